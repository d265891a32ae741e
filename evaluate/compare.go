package evaluate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gotab/gotab/metrics"
)

// Pair is what two methods, or one method on two networks, made of the test images of
// one class: an outcome for each seed, at least one each. The numbers of seeds may
// differ.
type Pair struct{ A, B []*Outcome }

// Difference is how much higher a figure is of B than of A, on the same images.
type Difference struct {
	Figure FigureKey // ImageAUROC or ImageAP
	A, B   float64   // means over seeds and classes
	// Interval is of B-A, by a bootstrap of images within each class and kind. Both sides
	// of a set have the same images, which are hard for both: the interval is shorter than
	// two separate ones would tell. It says nothing about other seeds.
	Interval metrics.Interval
	// Test is DeLong's paired test of B with A. It is there for the image AUROC of one
	// class with one seed a side and two images of each kind; nil otherwise.
	Test *metrics.Comparison
}

// Compare compares two methods on the same images of one or more classes: the image
// AUROC and the average precision, as means over seeds and classes. It returns
// [ErrPairs] if the outcomes of a class are not of the same images, [ErrConfig] if one
// is missing, and errors of metrics.ResampleGroups. The generator is fixed: equal
// outcomes give equal intervals. Time is that of cfg.Resamples figures of all outcomes.
func Compare(ctx context.Context, classes []Pair, cfg metrics.BootstrapConfig) ([]Difference, error) {
	if len(classes) == 0 {
		return nil, fmt.Errorf("evaluate: compare: %w: there is no class", ErrConfig)
	}
	for i, c := range classes {
		if err := c.check(); err != nil {
			return nil, fmt.Errorf("evaluate: compare: class %d of %d: %w", i+1, len(classes), err)
		}
	}
	var out []Difference
	for _, f := range []struct {
		key FigureKey
		of  statistic
	}{{ImageAUROC, metrics.AUROC}, {ImageAP, metrics.AveragePrecision}} {
		d := Difference{Figure: f.key}
		var err error
		if d.A, d.B, err = means(classes, f.of); err != nil {
			return nil, fmt.Errorf("evaluate: compare: %s: %w", f.key, err)
		}
		if d.Interval, err = pairedInterval(ctx, classes, f.of, cfg); err != nil {
			return nil, fmt.Errorf("evaluate: compare: %s: %w", f.key, err)
		}
		if c := classes[0]; f.key == ImageAUROC && len(classes) == 1 && len(c.A) == 1 && len(c.B) == 1 {
			test, err := metrics.DeLongTest(c.B[0].Scores, c.A[0].Scores, c.A[0].Defective, cfg.Level)
			switch {
			case err == nil:
				d.Test = &test
			case !errors.Is(err, metrics.ErrOneClass): // a kind of one image has no variance
				return nil, fmt.Errorf("evaluate: compare: %w", err)
			}
		}
		out = append(out, d)
	}
	return out, nil
}

// statistic is a figure of images.
type statistic func(scores []float64, positive []bool) (float64, error)

// check says whether all outcomes of the class are of the same images.
func (p Pair) check() error {
	if len(p.A) == 0 || len(p.B) == 0 {
		return fmt.Errorf("%w: %d and %d outcomes", ErrConfig, len(p.A), len(p.B))
	}
	for _, o := range slices.Concat(p.A, p.B) {
		if o == nil || len(o.Scores) != len(o.Items) || len(o.Defective) != len(o.Items) {
			return fmt.Errorf("%w: an outcome is nil or not complete", ErrConfig)
		}
		if first := p.A[0]; !slices.Equal(o.Items, first.Items) || !slices.Equal(o.Defective, first.Defective) {
			return fmt.Errorf("%w: %s by %s, seed %s, and %s by %s, seed %s", ErrPairs,
				first.Record.Class, first.Record.Method, first.Record.Seed, o.Record.Class, o.Record.Method, o.Record.Seed)
		}
	}
	return nil
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
		all := make([]int, len(c.A[0].Items))
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

// pairedInterval draws images anew within each class and kind, the same for both
// sides.
func pairedInterval(ctx context.Context, classes []Pair, of statistic, cfg metrics.BootstrapConfig) (metrics.Interval, error) {
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
	return metrics.ResampleGroups(ctx, groups, func(images []int) (float64, error) {
		sum := 0.0
		for _, c := range classes { // a set has the classes one after the other, each whole
			n := len(c.A[0].Items)
			a, err := mean(c.A, of, images[:n])
			if err != nil {
				return 0, err
			}
			b, err := mean(c.B, of, images[:n])
			if err != nil {
				return 0, err
			}
			sum, images = sum+b-a, images[n:]
		}
		return sum / float64(len(classes)), nil
	}, cfg, Seed{Number: 1}.rand(forPairs))
}
