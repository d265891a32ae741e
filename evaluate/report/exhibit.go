package report

import (
	"context"
	"fmt"
	"slices"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/metrics"
)

// Exhibit makes a [Class] of outcomes of package evaluate as they come, so that the detectors of a class need not
// be open together: of their maps it keeps those of the parts that the gallery shows, which the first detector
// decides. Its fields are set before the first [Exhibit.Add]. It is not safe for concurrent use.
type Exhibit struct {
	Name    string       // of the class
	Rule    metrics.Rule // of the threshold that the curves and the gallery show
	Gallery Gallery      // that of the report's head
	// SharedScale draws the maps of a second network on the scale of the first one's.
	SharedScale bool

	test    dataset.Dataset
	items   []dataset.Item // of the test set, in its order; samples likewise
	samples []Sample
	parts   []int    // samples that the gallery shows
	all     []*entry // in the order in which they came
}

// Shown is an outcome whose detector is still open, as a function that is given to evaluate.WithDetector
// has it.
type Shown struct {
	Name     string // what tells the detector from the others of the class
	Method   string // outcomes of one method and network are of several seeds
	Second   bool   // on the second of two networks that are compared
	Protocol evaluate.Protocol
	Test     dataset.Dataset
	Outcome  *evaluate.Outcome
	Detector evaluate.Detector
	Good     *heatmap.Good // maps of the good test images, which the scale of colours follows from
}

// entry is a method on a network in an exhibit. All but the records is of its first
// seed.
type entry struct {
	name    string
	method  string
	second  bool
	by      evaluate.Protocol
	records []evaluate.Record // one for each seed
	scores  []float64
	maps    map[int]downstream.Map
	detail  Detector // threshold, scale and line
}

// of says whether an entry is of a method and network.
func (k *entry) of(method string, second bool) bool { return k.method == method && k.second == second }

// view is the transform that brings sample i to its map.
func (k *entry) view(i int) dataset.Transform { return k.by.View(evaluate.Map(k.maps[i])) }

// Len is the number of detectors that were added; several seeds of one count once.
func (x *Exhibit) Len() int { return len(x.all) }

// Has says whether a method on a network was added with a seed.
func (x *Exhibit) Has(method string, second bool, seed evaluate.Seed) bool {
	return slices.ContainsFunc(x.all, func(k *entry) bool {
		return k.of(method, second) && slices.ContainsFunc(k.records, func(r evaluate.Record) bool { return r.Seed == seed.String() })
	})
}

// Add keeps what the page shows of an outcome. Of the first seed of a method on a network it scores the parts of the
// gallery once more. It returns an error that wraps [ErrData] if the outcome is not complete or the test images are not those of the first one,
// and what reading and scoring return; then the exhibit is as it was.
func (x *Exhibit) Add(ctx context.Context, s Shown) error {
	if s.Outcome == nil || s.Detector == nil || s.Test == nil || s.Good == nil {
		return fmt.Errorf("report: class %s: %w: %s lacks its outcome, detector, test images or maps of good ones", x.Name, ErrData, s.Name)
	}
	changed := fmt.Errorf("report: %w: the test images of %s have changed since the first detector saw them", ErrData, x.Name)
	for _, k := range x.all {
		if k.of(s.Method, s.Second) {
			if !slices.Equal(x.items, s.Outcome.Items) {
				return changed
			}
			k.records = append(k.records, s.Outcome.Record)
			return nil
		}
	}
	test, items, samples, parts := x.test, x.items, x.samples, x.parts
	if len(x.all) == 0 {
		test, items, samples = s.Test, s.Outcome.Items, nil
		for _, it := range items {
			samples = append(samples, Sample{Name: it.Name, Kind: it.Defect, Defective: it.IsDefective()})
		}
		parts = x.Gallery.Parts(samples, s.Outcome.Scores)
	}
	if !slices.Equal(items, s.Outcome.Items) {
		return changed
	}
	k := &entry{name: s.Name, method: s.Method, second: s.Second, by: s.Protocol, records: []evaluate.Record{s.Outcome.Record}, scores: s.Outcome.Scores,
		maps: map[int]downstream.Map{}}
	var err error
	if k.detail, err = s.detail(x.Rule); err != nil {
		return err
	}
	for _, i := range parts {
		sample, err := test.Sample(ctx, i)
		if err != nil {
			return err
		}
		result, err := s.Detector.Score(ctx, sample.Image)
		if err != nil {
			return err
		}
		k.maps[i] = downstream.Map(result.Map)
	}
	x.test, x.items, x.samples, x.parts = test, items, samples, parts
	x.all = append(x.all, k)
	return nil
}

// detail is the threshold of a detector and how its maps are drawn.
func (s Shown) detail(rule metrics.Rule) (d Detector, err error) {
	if d.Threshold, err = rule.Threshold(s.Outcome.Scores, s.Outcome.Defective); err != nil {
		return d, err
	}
	d.ThresholdFrom = rule.Words() + ", chosen on these very images"
	if s.Outcome.Record.Cut != nil {
		d.ThresholdFrom += "; escape and overkill of the table have one that is chosen on one half of them and counted on the other, and the other way round"
	}
	if d.Scale, err = s.Good.Scale(heatmap.DefaultGood()); err != nil {
		return d, err
	}
	// Where the score is the map's maximum, a line at the threshold is seen on the
	// parts that are rejected; other scores say nothing about the map's values.
	if d.Line = d.Scale.Low; s.Outcome.Record.Score == metrics.ScoreMapMax {
		d.Line = d.Threshold
	}
	return d, nil
}

// Class is the exhibit as [Writer.Add] takes it. The caller may add notes.
func (x *Exhibit) Class() (Class, error) {
	c := Class{Name: x.Name, Samples: slices.Clone(x.samples), Load: x.pictures}
	for _, k := range x.all {
		d := k.detail
		d.Name, d.Scores = k.name, k.scores
		if o := x.beside(k); o != nil {
			d.Beside = o.name
			if x.SharedScale && k.second {
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
				f.Name = key.Name() + " at " + heading(x.Rule)
			}
			one := Figure{Figure: f}
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
func (x *Exhibit) beside(k *entry) *entry {
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
func (x *Exhibit) pictures(ctx context.Context, i int) (Item, error) {
	sample, err := x.test.Sample(ctx, i)
	if err != nil {
		return Item{}, err
	}
	first := x.all[0]
	it := Item{Image: sample.Image, Mask: sample.Mask}
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
