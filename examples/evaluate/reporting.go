package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/detectors"
	"github.com/gotab/gotab/evaluate/report"
	"github.com/gotab/gotab/metrics"
)

// exhibit is a class on its way into the report: what its jobs have shown by now.
// Their detectors are closed, so that one at a time is in memory; of their maps those
// of the gallery's parts are kept.
type exhibit struct {
	place
	name    string
	rule    metrics.Rule
	shared  bool // scales of both networks are the first one's
	test    dataset.Dataset
	items   []dataset.Item // of the test set, in its order; samples likewise
	samples []report.Sample
	parts   []int    // samples that the gallery shows: the first detector decides
	all     []*entry // in the order in which they came
	failed  []string // jobs
	stopped bool     // before its last job
}

// entry is a method on a network in an exhibit. All but the records is of its first
// seed.
type entry struct {
	name    string
	method  string
	second  bool // on the network of -compare
	by      evaluate.Protocol
	records []evaluate.Record // one for each seed
	scores  []float64
	maps    map[int]downstream.Map
	detail  report.Detector // threshold, scale and line
}

// beginReport makes the folder of -report.
func (s *session) beginReport() (err error) {
	if s.o.report == "" {
		return nil
	}
	h := report.Head{Title: "Evaluation", Command: s.o.command, Gallery: report.DefaultGallery(),
		Intro: []string{fmt.Sprintf("Weights %s.", s.net.about())}}
	if s.compare != nil {
		h.Intro = append(h.Intro, fmt.Sprintf("Compared with weights %s.", s.compare.about()))
	}
	switch {
	case s.o.sameScale:
		h.Intro = append(h.Intro, "The second network's maps are on the scale of the first one's, which begins where maps of good test images end on that: "+
			"a colour is the same value on both.")
	case s.compare != nil || len(s.o.methods) > 1:
		h.Intro = append(h.Intro, "Each detector's maps are on a scale of its own, which begins where maps of good test images end: "+
			"scores of two detectors are not on one scale, the colours say the same.")
	}
	h.Notes = []string{evaluate.MeaningOfCut(s.o.rule), evaluate.MeaningOfAUPRO(metrics.LimitMVTec)}

	s.pages, err = report.Create(s.o.report, h)
	return err
}

// endReport writes the page; a report without a class is none. What is done of a
// class that was not finished is in it.
func (s *session) endReport(ctx context.Context) (err error) {
	if s.pages == nil {
		return nil
	}
	if s.exhibit != nil {
		s.exhibit.stopped = true
		err = s.endClass(ctx)
	}
	if s.added == 0 {
		return errors.Join(err, s.pages.Close())
	}
	return errors.Join(err, s.pages.Finish())
}

// beginClass makes room for a class, unless it is there.
func (s *session) beginClass(p place) {
	if s.pages != nil && s.exhibit == nil {
		s.exhibit = &exhibit{place: p, name: s.className(p), rule: s.o.rule, shared: s.o.sameScale}
	}
}

// endClass puts the class into the report and writes the page as it is by then: a
// run of hours may end otherwise than by its end. An interrupt does not stop it: it
// takes seconds, and what it shows has taken longer.
func (s *session) endClass(ctx context.Context) error {
	x := s.exhibit
	s.exhibit = nil
	switch {
	case x == nil:
		return nil
	case len(x.all) == 0 && x.stopped:
		s.pages.Say("The run was stopped in class " + x.name + ", which is not shown.")
		return nil
	case len(x.all) == 0:
		s.pages.Say("Class " + x.name + " failed and is not shown.")
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	c, err := x.class()
	if err != nil {
		return err
	}
	fmt.Fprintf(s.stderr, "%s: write to the report\n", x.name)
	if err := s.pages.Add(ctx, c); err != nil {
		s.pages.Say("Class " + x.name + " could not be drawn and is not shown.")
		return err
	}
	s.added++
	lines, err := c.Differences()
	s.differences = append(s.differences, lines...)
	return errors.Join(err, s.pages.Save())
}

// has says whether the exhibit shows a job.
func (x *exhibit) has(j job) bool {
	return slices.ContainsFunc(x.all, func(k *entry) bool {
		return k.of(j) && slices.ContainsFunc(k.records, func(r evaluate.Record) bool { return r.Seed == j.seed.String() })
	})
}

// of says whether an entry is of a job's method and network.
func (k *entry) of(j job) bool { return k.method == j.of.Name && k.second == j.second }

// view is the transform that brings sample i to its map.
func (k *entry) view(i int) dataset.Transform { return k.by.View(evaluate.Map(k.maps[i])) }

// report keeps what the page shows of a job, whose detector is open.
func (s *session) report(ctx context.Context, j *judged) error {
	x := s.exhibit
	if x == nil {
		return nil
	}
	at := slices.IndexFunc(x.all, func(k *entry) bool { return k.of(j.job) })
	if at >= 0 {
		x.all[at].records = append(x.all[at].records, j.Record)
		return nil
	}
	if len(x.all) == 0 {
		x.test, x.items = j.trial.Test, j.Items
		for _, it := range j.Items {
			x.samples = append(x.samples, report.Sample{Name: it.Name, Kind: it.Defect, Defective: it.IsDefective()})
		}
		x.parts = report.DefaultGallery().Parts(x.samples, j.Scores)
	}
	if !slices.Equal(x.items, j.Items) {
		return fmt.Errorf("%w: the test images of %s have changed since the first detector saw them", dataset.ErrLayout, x.name)
	}
	k := &entry{name: s.detectorName(j.job), method: j.of.Name, second: j.second, by: j.method.Protocol, records: []evaluate.Record{j.Record}, scores: j.Scores,
		maps: map[int]downstream.Map{}}
	var err error
	if k.detail, err = j.detail(s.o.rule); err != nil {
		return err
	}
	for _, i := range x.parts {
		sample, err := x.test.Sample(ctx, i)
		if err != nil {
			return err
		}
		result, err := j.detector.Score(ctx, sample.Image)
		if err != nil {
			return err
		}
		k.maps[i] = downstream.Map(result.Map)
	}
	x.all = append(x.all, k)
	return nil
}

// detectorName tells the detectors of a class apart.
func (s *session) detectorName(j job) string {
	if s.compare == nil {
		return j.of.Name
	}
	return j.of.Name + ", " + s.network(j).label
}

// detail is the threshold of a detector and how its maps are drawn.
func (j *judged) detail(rule metrics.Rule) (d report.Detector, err error) {
	if d.Threshold, err = rule.Threshold(j.Scores, j.Defective); err != nil {
		return d, err
	}
	d.ThresholdFrom = rule.Words() + ", chosen on these very images"
	if j.Record.Cut != nil {
		d.ThresholdFrom += "; escape and overkill of the table have one that is chosen on one half of them and counted on the other, and the other way round"
	}
	if d.Scale, err = j.good.Scale(heatmap.DefaultGood()); err != nil {
		return d, err
	}
	// Where the score is the map's maximum, a line at the threshold is seen on the
	// parts that are rejected; other scores say nothing about the map's values.
	if d.Line = d.Scale.Low; j.Record.Score == metrics.ScoreMapMax {
		d.Line = d.Threshold
	}
	return d, nil
}

// class is the exhibit as the report takes it.
func (x *exhibit) class() (report.Class, error) {
	c := report.Class{Name: x.name, Samples: x.samples, Load: x.pictures}
	if len(x.failed) > 0 {
		c.Notes = append(c.Notes, "Failed, and not in what follows: "+strings.Join(x.failed, "; ")+".")
	}
	if x.stopped {
		c.Notes = append(c.Notes, "The run was stopped before it was done with this class.")
	}
	for _, k := range x.all {
		d := k.detail
		d.Name, d.Scores = k.name, k.scores
		if o := x.beside(k); o != nil {
			d.Beside = o.name
			if x.shared && k.second {
				if d.Line == d.Scale.Low {
					d.Line = o.detail.Scale.Low
				}
				d.Scale, d.ScaleOf = o.detail.Scale, o.name
			}
		}
		all := &evaluate.Summary{Records: k.records}
		d.Seeds = all.Seeds()
		for _, key := range evaluate.MainFigures() {
			f, ok, err := all.Figure(key)
			if err != nil {
				return c, err
			}
			if !ok {
				continue
			}
			if key == evaluate.Escape || key == evaluate.Overkill {
				f.Name = key.Name() + " at " + heading(x.rule)
			}
			one := report.Figure{Figure: f}
			for _, r := range k.records {
				if v, ok := r.Value(key); ok && len(k.records) > 1 {
					one.Values = append(one.Values, v)
				}
			}
			d.Figures = append(d.Figures, one)
		}
		c.Detectors = append(c.Detectors, d)
	}
	return c, nil
}

// heading says in a few words where the threshold of the table's escape and overkill
// comes from.
func heading(r metrics.Rule) string {
	switch r.Kind {
	case metrics.RuleOverkill, metrics.RuleEscape:
		return fmt.Sprintf("the threshold for at most %.3g %% %s on the other half", 100*r.Rate, r.Kind)
	}
	return "the " + r.Words() + " on the other half"
}

// beside is what a detector is compared with: a method on the second network with
// itself on the first, another method with the first one; nil for none.
func (x *exhibit) beside(k *entry) *entry {
	for _, o := range x.all {
		switch {
		case o == k:
			return nil
		case !o.second && (o.method == k.method || !k.second):
			return o
		}
	}
	return nil
}

// pictures returns what a row of the gallery shows of test image i: what the
// detectors see where they see the same, and else the image as it was read.
func (x *exhibit) pictures(ctx context.Context, i int) (report.Item, error) {
	sample, err := x.test.Sample(ctx, i)
	if err != nil {
		return report.Item{}, err
	}
	first := x.all[0]
	it := report.Item{Image: sample.Image, Mask: sample.Mask}
	same := true
	for _, k := range x.all {
		m, ok := k.maps[i]
		if !ok {
			return it, fmt.Errorf("%s has no map of %s", k.name, sample.Name)
		}
		it.Maps = append(it.Maps, m)
		same = same && k.view(i).Fingerprint() == first.view(i).Fingerprint()
	}
	if it.Whole = !same; it.Whole {
		return it, nil
	}
	if it.Image, err = first.view(i).Image(sample.Image); err != nil {
		return it, err
	}
	if it.Mask, err = first.by.MaskOf(sample.Mask, evaluate.Map(first.maps[i])); err != nil {
		return it, fmt.Errorf("mask of %s: %w", sample.Name, err)
	}
	return it, nil
}

// sameMethods says which methods cannot be compared on another network; a
// support set, for one, would be drawn anew.
func sameMethods(methods []detectors.Kind) error {
	var bad []string
	for _, m := range methods {
		if m.Shots {
			bad = append(bad, m.Name)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return fmt.Errorf("-compare does not go with %s, which trains a network of its own: give a report for each of the weights", strings.Join(bad, ", "))
}
