package evaluate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/gotab/gotab/metrics"
)

// Pair is what two methods, or one method on two networks, made of the test images of
// one class: an outcome for each seed, at least one each. The numbers of seeds may
// differ.
type Pair struct{ A, B []*Outcome }

// NewPair makes a pair of records that have the scores of their images ([WithScores]).
// It returns [ErrConfig] if one has none. The images of two records are the same if their
// checksums are; where one has no checksum, labels alone are compared.
func NewPair(a, b []Record) (Pair, error) {
	var p Pair
	for _, side := range []struct {
		from []Record
		to   *[]*Outcome
	}{{a, &p.A}, {b, &p.B}} {
		for _, r := range side.from {
			if r.Images == nil {
				return Pair{}, fmt.Errorf("evaluate: pair: %w: %s by %s, seed %s, has no scores of images", ErrConfig, r.Class, r.Method, r.Seed)
			}
			*side.to = append(*side.to, &Outcome{Record: r, Scores: r.Images.Scores, Defective: r.Images.Defective})
		}
	}
	return p, nil
}

// Difference is how much higher a figure is of B than of A, on the same images.
type Difference struct {
	Figure FigureKey // ImageAUROC or ImageAP
	A, B   float64   // means over seeds and classes
	// Interval is of B-A, by a bootstrap of images within each class and kind. Both sides
	// of a set have the same images, which are hard for both: the interval is shorter than
	// two separate ones would tell. It says nothing about other seeds.
	Interval metrics.Interval
	// Error is the standard error of B-A over images: the deviation of the bootstrap's
	// values.
	Error float64
	// Test is DeLong's paired test of B with A. It is there for the image AUROC of one
	// class with one seed a side and two images of each kind; nil otherwise.
	Test *metrics.Comparison
}

// Compare compares two methods on the same images of one or more classes, as means over
// seeds and classes: by the figures of keys, which are the image AUROC, the average
// precision, or both where none is named. The detectors stay as they were fitted, images
// are drawn anew. It returns
// [ErrPairs] if the outcomes of a class are not of the same images, [ErrConfig] if one
// is missing or for another key, and errors of metrics.ResampleGroups. The same state of
// rng gives the same intervals. Time is that of cfg.Resamples figures of all outcomes; the
// image AUROC takes a product of the numbers of defects and good images instead, however
// many outcomes there are.
func Compare(ctx context.Context, classes []Pair, cfg metrics.BootstrapConfig, rng *rand.Rand, keys ...FigureKey) ([]Difference, error) {
	if len(classes) == 0 {
		return nil, fmt.Errorf("evaluate: compare: %w: there is no class", ErrConfig)
	}
	for i, c := range classes {
		if err := c.check(); err != nil {
			return nil, fmt.Errorf("evaluate: compare: class %d of %d: %w", i+1, len(classes), err)
		}
	}
	if len(keys) == 0 {
		keys = []FigureKey{ImageAUROC, ImageAP}
	}
	var out []Difference
	for _, key := range keys {
		d, err := compare(ctx, classes, cfg, rng, key)
		if err != nil {
			return nil, fmt.Errorf("evaluate: compare: %s: %w", key, err)
		}
		out = append(out, d)
	}
	return out, nil
}

func compare(ctx context.Context, classes []Pair, cfg metrics.BootstrapConfig, rng *rand.Rand, key FigureKey) (d Difference, err error) {
	d.Figure = key
	var of statistic
	switch key {
	case ImageAUROC:
		of = metrics.AUROC
	case ImageAP:
		of = metrics.AveragePrecision
	default:
		return d, fmt.Errorf("%w: only figures of images are compared", ErrConfig)
	}
	if d.A, d.B, err = means(classes, of); err != nil {
		return d, err
	}
	differences := make([]func(images []int) (float64, error), len(classes))
	for i, c := range classes {
		if differences[i] = c.difference(of); key == ImageAUROC {
			differences[i] = c.areas(differences[i])
		}
	}
	if d.Interval, d.Error, err = pairedInterval(ctx, classes, differences, cfg, rng); err != nil {
		return d, err
	}
	if c := classes[0]; key == ImageAUROC && len(classes) == 1 && len(c.A) == 1 && len(c.B) == 1 {
		test, err := metrics.DeLongTest(c.B[0].Scores, c.A[0].Scores, c.A[0].Defective, cfg.Level)
		switch {
		case err == nil:
			d.Test = &test
		case !errors.Is(err, metrics.ErrOneClass): // a kind of one image has no variance
			return d, err
		}
	}
	return d, nil
}

// statistic is a figure of images.
type statistic func(scores []float64, positive []bool) (float64, error)

// check says whether all outcomes of the class are of the same images.
func (p Pair) check() error {
	if len(p.A) == 0 || len(p.B) == 0 {
		return fmt.Errorf("%w: %d and %d outcomes", ErrConfig, len(p.A), len(p.B))
	}
	first, known := p.A[0], ""
	for _, o := range slices.Concat(p.A, p.B) {
		if o == nil || len(o.Scores) == 0 || len(o.Defective) != len(o.Scores) || o.Items != nil && len(o.Items) != len(o.Scores) {
			return fmt.Errorf("%w: an outcome is nil or not complete", ErrConfig)
		}
		images, err := o.images()
		if err != nil {
			return err
		}
		if known == "" {
			known = images
		}
		if images != "" && images != known || !slices.Equal(o.Defective, first.Defective) {
			return fmt.Errorf("%w: %s by %s, seed %s, and %s by %s, seed %s", ErrPairs,
				first.Record.Class, first.Record.Method, first.Record.Seed, o.Record.Class, o.Record.Method, o.Record.Seed)
		}
	}
	return nil
}

// images is the checksum of the names and labels of the test images; empty where it is not
// known.
func (o *Outcome) images() (string, error) {
	switch {
	case o.Items != nil:
		return sumOf(o.Items)
	case o.Record.Images != nil:
		return o.Record.Images.SHA256, nil
	}
	return "", nil
}

// mean is the mean of a figure over the outcomes of one side, on the images of a set.
func mean(side []*Outcome, of statistic, images []int) (float64, error) {
	sum := 0.0
	for _, o := range side {
		v, err := of(pick(o.Scores, images), pick(o.Defective, images))
		if err != nil {
			return 0, err
		}
		sum += v
	}
	return sum / float64(len(side)), nil
}

// means are those of both sides over the classes, on all images.
func means(classes []Pair, of statistic) (a, b float64, err error) {
	for _, c := range classes {
		all := make([]int, len(c.A[0].Scores))
		for i := range all {
			all[i] = i
		}
		x, err := mean(c.A, of, all)
		if err != nil {
			return 0, 0, err
		}
		y, err := mean(c.B, of, all)
		if err != nil {
			return 0, 0, err
		}
		a, b = a+x/float64(len(classes)), b+y/float64(len(classes))
	}
	return a, b, nil
}

// difference returns what makes the mean of a figure of B, less that of A, of images.
func (p Pair) difference(of statistic) func(images []int) (float64, error) {
	return func(images []int) (float64, error) {
		a, err := mean(p.A, of, images)
		if err != nil {
			return 0, err
		}
		b, err := mean(p.B, of, images)
		return b - a, err
	}
}

// mostPairs bounds the table of areas: 128 MiB.
const mostPairs = 1 << 24

// areas is difference for the area under the ROC curve, which is a mean over pairs of a
// defect and a good image. How much more often B places the defect above is counted once
// for all sets. Where there are too many pairs, or only one kind, it returns slow.
func (p Pair) areas(slow func(images []int) (float64, error)) func(images []int) (float64, error) {
	positive := p.A[0].Defective
	rank := make([]int, len(positive)) // of an image among those of its kind
	var kinds [2][]int                 // good images and defects
	for i, d := range positive {
		k := 0
		if d {
			k = 1
		}
		rank[i] = len(kinds[k])
		kinds[k] = append(kinds[k], i)
	}
	good, defects := len(kinds[0]), len(kinds[1])
	if good == 0 || defects == 0 || good > mostPairs/defects {
		return slow
	}
	more := make([]float64, good*defects)
	for _, side := range []struct {
		of   []*Outcome
		sign float64
	}{{p.A, -1}, {p.B, 1}} {
		w := side.sign / float64(len(side.of))
		for _, o := range side.of {
			for d, i := range kinds[1] {
				row := more[d*good:]
				for g, k := range kinds[0] {
					switch {
					case o.Scores[i] > o.Scores[k]:
						row[g] += w
					case o.Scores[i] == o.Scores[k]:
						row[g] += w / 2
					}
				}
			}
		}
	}
	return func(images []int) (float64, error) {
		var drawn [2][]int
		for _, i := range images {
			if positive[i] {
				drawn[1] = append(drawn[1], rank[i])
			} else {
				drawn[0] = append(drawn[0], rank[i])
			}
		}
		sum := 0.0
		for _, d := range drawn[1] {
			row := more[d*good:]
			for _, g := range drawn[0] {
				sum += row[g]
			}
		}
		return sum / float64(len(drawn[0])*len(drawn[1])), nil
	}
}

// pairedInterval draws images anew within each class and kind, the same for both
// sides. The error is the deviation of the values of these sets.
func pairedInterval(ctx context.Context, classes []Pair, differences []func(images []int) (float64, error), cfg metrics.BootstrapConfig, rng *rand.Rand) (metrics.Interval, float64, error) {
	var groups [][]int // defects and good images of each class
	for _, c := range classes {
		var kinds [2][]int
		for i, d := range c.A[0].Defective {
			k := 0
			if !d {
				k = 1
			}
			kinds[k] = append(kinds[k], i)
		}
		groups = append(groups, kinds[:]...)
	}
	var values []float64
	interval, err := metrics.ResampleGroups(ctx, groups, func(images []int) (float64, error) {
		sum := 0.0
		for i, c := range classes { // a set has the classes one after the other, each whole
			n := len(c.A[0].Scores)
			v, err := differences[i](images[:n])
			if err != nil {
				return 0, err
			}
			sum, images = sum+v, images[n:]
		}
		values = append(values, sum/float64(len(classes)))
		return values[len(values)-1], nil
	}, cfg, rng)
	if err != nil {
		return interval, 0, err
	}
	spread, err := metrics.OverSeeds(values[1:]) // the first is of the images as they are
	return interval, spread.Deviation, err
}
