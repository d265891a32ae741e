package evaluate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gotab/gotab/metrics"
)

// Cell is what one recipe gives on one class by one method: the records of all trainings
// of it ([Record.Training]) and of all seeds of the method. Records without a training
// count as of one.
type Cell []Record

// Mean is the mean of a figure over the records that have it; false where none has.
func (c Cell) Mean(key FigureKey) (v float64, ok bool) {
	n := 0
	for _, r := range c {
		if x, has := r.Value(key); has && r.Failed == "" {
			v += x
			n++
		}
	}
	return v / float64(max(n, 1)), n > 0
}

// Deviations are those of a figure over trainings, of the means over the method's seeds,
// and over the method's seeds within a training, in the root mean square over trainings. A
// deviation of one value is 0.
func (c Cell) Deviations(key FigureKey) (trainings, seeds float64, err error) {
	of := map[uint64][]float64{}
	var order []uint64
	for _, r := range c {
		v, has := r.Value(key)
		if !has || r.Failed != "" {
			continue
		}
		var training uint64
		if r.Training != nil {
			training = r.Training.Seed
		}
		if _, known := of[training]; !known {
			order = append(order, training)
		}
		of[training] = append(of[training], v)
	}
	slices.Sort(order)
	var means []float64
	squares := 0.0
	for _, t := range order {
		s, err := metrics.OverSeeds(of[t])
		if err != nil {
			return 0, 0, fmt.Errorf("evaluate: deviations of %s: %w", key, err)
		}
		means = append(means, s.Mean)
		squares += s.Deviation * s.Deviation / float64(len(order))
	}
	if len(means) == 0 {
		return 0, 0, nil
	}
	over, err := metrics.OverSeeds(means)
	if err != nil {
		return 0, 0, fmt.Errorf("evaluate: deviations of %s: %w", key, err)
	}
	return over.Deviation, math.Sqrt(squares), nil
}

// Over is [Compare] of the image AUROC of the cell with that of another one on the same
// images. Both need the scores of images ([WithScores]). It returns false where a cell is
// empty or a kind of image has none, so that there is no standard error.
func (c Cell) Over(ctx context.Context, base Cell, cfg metrics.BootstrapConfig, rng *rand.Rand) (d Difference, ok bool, err error) {
	done := func(c Cell) Cell {
		return slices.DeleteFunc(slices.Clone(c), func(r Record) bool { return r.Failed != "" })
	}
	if c, base = done(c), done(base); len(c) == 0 || len(base) == 0 {
		return d, false, nil
	}
	p, err := NewPair(base, c)
	if err != nil {
		return d, false, err
	}
	all, err := Compare(ctx, []Pair{p}, cfg, rng, ImageAUROC)
	if errors.Is(err, metrics.ErrOneClass) {
		return d, false, nil
	}
	if err != nil {
		return d, false, err
	}
	return all[0], true, nil
}

// SameSeeds returns the records of both cells that have a figure, of the method's seeds that both have it with. A trial
// that failed on one side costs the other one its seed, and a difference of two means owes nothing to seeds of one side.
func (c Cell) SameSeeds(base Cell, key FigureKey) (own, of Cell) {
	seeds := func(c Cell) map[string]bool {
		out := map[string]bool{}
		for _, r := range c {
			if _, has := r.Value(key); has && r.Failed == "" {
				out[r.Seed] = true
			}
		}
		return out
	}
	here, there := seeds(c), seeds(base)
	both := func(c Cell) (out Cell) {
		for _, r := range c {
			if _, has := r.Value(key); has && r.Failed == "" && here[r.Seed] && there[r.Seed] {
				out = append(out, r)
			}
		}
		return out
	}
	return both(c), both(base)
}

// MeanOf is the mean of the differences of several classes, with the standard error that
// classes give whose images are drawn independently: the root of the sum of squares,
// divided by their number. Of none it is 0 and 0.
func MeanOf(of []Difference) (difference, err float64) {
	for _, d := range of {
		difference += (d.B - d.A) / float64(len(of))
		err += d.Error * d.Error
	}
	return difference, math.Sqrt(err) / float64(max(len(of), 1))
}
