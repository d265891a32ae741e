package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/examples/evaluate/internal/report"
	"github.com/gotab/gotab/metrics"
)

// beginReport makes the folder of -report.
func (s *session) beginReport() (err error) {
	if s.o.report == "" {
		return nil
	}
	intro := []string{fmt.Sprintf("Weights %s (%s, SHA-256 %s).", s.net.weights, s.net.arch, short(s.net.sha256))}
	if s.compare != nil {
		intro = append(intro, fmt.Sprintf("Compared with weights %s (%s, SHA-256 %s). Each detector's maps are on a scale of its own, "+
			"which begins where maps of good test images end: scores of two detectors are not on one scale, the colours say the same.",
			s.compare.weights, s.compare.arch, short(s.compare.sha256)))
	}
	s.pages, err = report.Create(s.o.report, report.Head{Title: "Evaluation", Intro: intro, Command: s.o.command, Gallery: report.DefaultGallery()})
	return err
}

// endReport writes the page; a report without a class is none.
func (s *session) endReport(classes int) error {
	switch {
	case s.pages == nil:
		return nil
	case classes == 0:
		return s.pages.Close()
	}
	return s.pages.Finish()
}

// report adds a job to the report while its detector is open, and beside it what
// the second network makes of it where -compare names one.
func (s *session) report(ctx context.Context, o opened, j *judged, what string) (err error) {
	if s.pages == nil {
		return nil
	}
	all := []*judged{j}
	if s.compare != nil {
		p, err := o.of.plan(s.choice(o.of, *s.compare))
		if err != nil {
			return err
		}
		other := o
		other.plan = p
		if other.record, err = s.known(other, *s.compare); err != nil {
			return err
		}
		k, err := s.judge(ctx, other, *s.compare, what+", "+s.compare.weights)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, k.detector.Close()) }()
		all = append(all, k)
	}
	c := report.Class{Name: s.name(o.job)}
	for i, it := range j.items {
		c.Samples = append(c.Samples, report.Sample{Name: it.Name, Kind: it.Defect, Defective: j.positive[i]})
	}
	for _, k := range all {
		d, err := k.shown(s.o.rule)
		if err != nil {
			return err
		}
		c.Detectors = append(c.Detectors, d)
	}
	c.Load = func(ctx context.Context, i int) (report.Item, error) { return pictures(ctx, all, i) }
	fmt.Fprintf(s.stderr, "%s: write to the report\n", what)
	return s.pages.Add(ctx, c)
}

// shown is what the report says of a detector.
func (j *judged) shown(rule cutRule) (report.Detector, error) {
	r := &j.record
	d := report.Detector{Name: r.Method + ", " + r.Weights, Scores: j.scores}
	one := &summary{records: []record{*r}}
	for _, kind := range shown() {
		f, ok, err := one.figure(kind)
		if err != nil {
			return d, err
		}
		if ok {
			f.Name = kind.name // without the rule of the threshold, which stands with the class
			d.Figures = append(d.Figures, f)
		}
	}
	var err error
	if d.Threshold, err = rule.at(j.scores, j.positive); err != nil {
		return d, err
	}
	d.ThresholdFrom = rule.words() + ", chosen on these very images, while for the table it is chosen on one half of them and counted on the other"
	if d.Scale, err = j.good.Scale(heatmap.DefaultGood()); err != nil {
		return d, err
	}
	// Where the score is the map's maximum, a line at the threshold is seen on the
	// parts that are rejected; other scores say nothing about the map's values.
	if d.Line = d.Scale.Low; r.Score == metrics.ScoreMapMax {
		d.Line = d.Threshold
	}
	return d, nil
}

// pictures returns what a row of the gallery shows of test image i: what the
// detectors see where they see the same, and else the image as it was read.
func pictures(ctx context.Context, all []*judged, i int) (report.Item, error) {
	first := all[0]
	sample, err := first.test.Sample(ctx, i)
	if err != nil {
		return report.Item{}, err
	}
	it := report.Item{Image: sample.Image, Mask: sample.Mask}
	same := true
	for _, j := range all {
		results, err := j.detector.Score(ctx, sample.Image)
		if err != nil {
			return it, err
		}
		it.Maps = append(it.Maps, results[0].Map)
		same = same && j.plan.transform.String() == first.plan.transform.String()
	}
	if it.Whole = !same; it.Whole {
		return it, nil
	}
	if it.Image, err = first.plan.transform.Image(sample.Image); err != nil {
		return it, err
	}
	it.Mask, err = first.mask(downstream.Scored{Item: dataset.Item{Name: sample.Name}, Mask: sample.Mask})
	return it, err
}

// sameMethods says which methods cannot be compared on another network; a
// support set, for one, would be drawn anew.
func sameMethods(methods []method) error {
	var bad []string
	for _, m := range methods {
		if m.shots {
			bad = append(bad, m.name)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return fmt.Errorf("-compare does not go with %s, which trains a network of its own: give a report for each of the weights", strings.Join(bad, ", "))
}
