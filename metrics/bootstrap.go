package metrics

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// BootstrapConfig says how Bootstrap draws.
type BootstrapConfig struct {
	Resamples int     // how often the set is drawn anew; at least 2
	Level     float64 // of confidence, between 0 and 1
}

// maxResamples is far beyond what the ends of an interval need. A value is kept of
// each set.
const maxResamples = 1_000_000

// DefaultBootstrap returns 2,000 resamples and a level of 0.95.
func DefaultBootstrap() BootstrapConfig {
	return BootstrapConfig{
		Resamples: 2000, // the ends of a 95 % interval then have 50 values beyond them; Efron and Tibshirani 1993, section 13.3, ask for 1,000
		Level:     0.95,
	}
}

// Validate names the field that is out of range, as ErrRange.
func (c BootstrapConfig) Validate() error {
	if c.Resamples < 2 || c.Resamples > maxResamples {
		return fmt.Errorf("metrics: bootstrap: %w: Resamples is %d, want 2 to %d", ErrRange, c.Resamples, maxResamples)
	}
	if err := checkLevel(c.Level); err != nil {
		return fmt.Errorf("metrics: bootstrap: %w", err)
	}
	return nil
}

// Bootstrap returns the value of stat, such as AUROC or AveragePrecision, and the
// percentile interval of its values over sets drawn anew with replacement. Drawing is
// stratified: each set has as many positives and as many negatives as the given
// one, so that no set has one class only. stat gets slices that are overwritten after
// it returns; an error of it ends everything.
//
// A nil rng is ErrNoRand; the same generator state gives the same interval. Other
// errors are those of AUROC, of Validate, of stat, and ctx's.
//
// Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
func Bootstrap(ctx context.Context, scores []float64, positive []bool, stat func(scores []float64, positive []bool) (float64, error), cfg BootstrapConfig, rng *rand.Rand) (Interval, error) {
	if len(scores) != len(positive) {
		return Interval{}, fmt.Errorf("metrics: bootstrap: %w: %d scores, %d labels", ErrLength, len(scores), len(positive))
	}
	if stat == nil {
		return Interval{}, fmt.Errorf("metrics: bootstrap: %w: stat is nil", ErrRange)
	}
	s, p := make([]float64, len(scores)), make([]bool, len(scores))
	return Resample(ctx, positive, func(images []int) (float64, error) {
		for i, j := range images {
			s[i], p[i] = scores[j], positive[j]
		}
		return stat(s, p)
	}, cfg, rng)
}

// Resample is Bootstrap for values that need more than a score an image, such as
// those of pixels, where whole images have to be drawn because the pixels of
// one image are no independent sample: stat gets the indices of the images of a set, those of
// positive images first. The first call has each index once.
func Resample(ctx context.Context, positive []bool, stat func(images []int) (float64, error), cfg BootstrapConfig, rng *rand.Rand) (Interval, error) {
	if stat == nil {
		return Interval{}, fmt.Errorf("metrics: bootstrap: %w: stat is nil", ErrRange)
	}
	all, err := resample(ctx, positive, 1, func(images []int, values []float64) (err error) {
		values[0], err = stat(images)
		return err
	}, cfg, rng)
	if err != nil {
		return Interval{}, err
	}
	return all[0], nil
}

// ResampleGroups is Resample where each image belongs to one of several groups, such
// as the kinds of several classes: a set has as many images of each group as there are.
// groups lists the indices of each group's images. stat gets the indices of a set, those
// of the first group first. A group without an image is ErrEmpty, other errors are those
// of Resample. It takes more than one group to be of use, and allows one.
func ResampleGroups(ctx context.Context, groups [][]int, stat func(images []int) (float64, error), cfg BootstrapConfig, rng *rand.Rand) (Interval, error) {
	if stat == nil {
		return Interval{}, fmt.Errorf("metrics: bootstrap: %w: stat is nil", ErrRange)
	}
	if len(groups) == 0 {
		return Interval{}, fmt.Errorf("metrics: bootstrap: %w: there are no groups", ErrEmpty)
	}
	for i, g := range groups {
		if len(g) == 0 {
			return Interval{}, fmt.Errorf("metrics: bootstrap: %w: group %d of %d has no image", ErrEmpty, i, len(groups))
		}
	}
	all, err := resampleGroups(ctx, groups, 1, func(images []int, values []float64) (err error) {
		values[0], err = stat(images)
		return err
	}, cfg, rng)
	if err != nil {
		return Interval{}, err
	}
	return all[0], nil
}

// resample is Resample for n values of the same sets.
func resample(ctx context.Context, positive []bool, n int, stat func(images []int, values []float64) error, cfg BootstrapConfig, rng *rand.Rand) ([]Interval, error) {
	if err := checkBootstrap(ctx, cfg, rng); err != nil {
		return nil, err
	}
	var pos, neg []int
	for i, p := range positive {
		if p {
			pos = append(pos, i)
		} else {
			neg = append(neg, i)
		}
	}
	if len(pos) == 0 || len(neg) == 0 {
		return nil, fmt.Errorf("metrics: bootstrap: %w: %d of %d are positive", ErrOneClass, len(pos), len(positive))
	}
	return resampleGroups(ctx, [][]int{pos, neg}, n, stat, cfg, rng)
}

func checkBootstrap(ctx context.Context, cfg BootstrapConfig, rng *rand.Rand) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	if rng == nil {
		return fmt.Errorf("metrics: bootstrap: %w", ErrNoRand)
	}
	if ctx == nil {
		return fmt.Errorf("metrics: bootstrap: %w: the context is nil; pass context.Background()", ErrRange)
	}
	return nil
}

// resampleGroups is ResampleGroups for n values of the same sets.
func resampleGroups(ctx context.Context, groups [][]int, n int, stat func(images []int, values []float64) error, cfg BootstrapConfig, rng *rand.Rand) ([]Interval, error) {
	if err := checkBootstrap(ctx, cfg, rng); err != nil {
		return nil, err
	}
	images := slices.Concat(groups...)
	measure := func() ([]float64, error) {
		values := make([]float64, n)
		if err := stat(images, values); err != nil {
			return nil, err
		}
		for _, v := range values {
			if err := checkFinite(v); err != nil {
				return nil, err
			}
		}
		return values, nil
	}
	given, err := measure()
	if err != nil {
		return nil, fmt.Errorf("metrics: bootstrap: the set as given: %w", err)
	}
	drawn := make([][]float64, n) // of each value, one element a set
	for r := range cfg.Resamples {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("metrics: bootstrap: after %d of %d sets: %w", r, cfg.Resamples, err)
		}
		at := 0
		for _, g := range groups {
			for range g {
				images[at] = g[rng.IntN(len(g))]
				at++
			}
		}
		values, err := measure()
		if err != nil {
			return nil, fmt.Errorf("metrics: bootstrap: set %d of %d: %w", r, cfg.Resamples, err)
		}
		for k, v := range values {
			drawn[k] = append(drawn[k], v)
		}
	}
	out := make([]Interval, n)
	for k := range out {
		slices.Sort(drawn[k])
		out[k] = Interval{Value: given[k], Low: quantile(drawn[k], (1-cfg.Level)/2), High: quantile(drawn[k], (1+cfg.Level)/2),
			Level: cfg.Level, Method: fmt.Sprintf("bootstrap, %d sets", cfg.Resamples)}
	}
	return out, nil
}

// checkFinite refuses values that have no mean.
func checkFinite(value float64) error {
	switch {
	case math.IsNaN(value):
		return fmt.Errorf("value: %w", ErrNaN)
	case math.IsInf(value, 0):
		return fmt.Errorf("%w: value is %g", ErrRange, value)
	}
	return nil
}

// quantile of a rising list of two or more, linear between neighbours (numpy's default).
func quantile(rising []float64, q float64) float64 {
	at := q * float64(len(rising)-1)
	i := min(int(at), len(rising)-2)
	return rising[i] + (at-float64(i))*(rising[i+1]-rising[i])
}
