package heatmap

import (
	"fmt"
	"math"

	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/internal/usual"
)

// GoodConfig says how a scale follows from the maps of good images. It moves with the
// values: of maps times a, plus b, the scale is that of the maps times a, plus b.
type GoodConfig struct {
	// Quantile is the fraction of the pixels of good images that have no colour: the
	// scale begins at this quantile of their values. From 0.5 to 1, without both.
	Quantile float64
	// Reach is how far the scale goes on, in multiples of the good range, which is the
	// distance from the median of the good pixels to the lower end. Above 0.
	Reach float64
}

// DefaultGood leaves all but a thousandth of the good pixels without colour and ends three
// good ranges above. The values are ours, chosen on maps of PaDiM and PatchCore with
// ImageNet's and with random weights on four kinds of products: the highest value of a good
// image lay at 0.41 of the scale at most, which is orange, and no good part was red; the
// highest of a clear defect between 0.3 and 1.9, that of a weak one below.
func DefaultGood() GoodConfig { return GoodConfig{Quantile: usual.Quantile, Reach: usual.Reach} }

// Validate reports settings that make no sense, as ErrConfig.
func (c GoodConfig) Validate() error {
	switch {
	case !(c.Quantile > 0.5 && c.Quantile < 1):
		return fmt.Errorf("heatmap: good: %w: Quantile is %v, want above 0.5 and below 1", ErrConfig, c.Quantile)
	case !(c.Reach > 0) || math.IsInf(c.Reach, 1):
		return fmt.Errorf("heatmap: good: %w: Reach is %v, want above 0", ErrConfig, c.Reach)
	}
	return nil
}

// Good gathers the values of good images for a scale. Take images that the detector was not
// fitted on where there are any: those it knows get lower values. The zero value is ready;
// it is not safe for concurrent use.
//
// Values are counted in bins of 1/2048 of themselves (their sign, exponent and first eleven
// digits), so memory does not grow with the images: 8 KB for each half of an octave that
// values lie in, 8 MB at most.
type Good struct{ values usual.Values }

// Add counts all values of a map but the NaN of what was not seen. When it fails, nothing of
// the map has been counted: ErrSize for data of another size than W x H, ErrNotFinite for NaN
// or infinity where the detector has looked.
func (g *Good) Add(m downstream.Map) error {
	in, err := seen(m)
	if err != nil {
		return fmt.Errorf("heatmap: good map: %w", err)
	}
	for y := in.Min.Y; y < in.Max.Y; y++ {
		g.values.Add(m.Data[y*m.W+in.Min.X : y*m.W+in.Max.X])
	}
	return nil
}

// Scale returns the scale of what has been added; more may be added afterwards. Nothing is
// ErrNoMaps, values without a spread are ErrScale.
func (g *Good) Scale(c GoodConfig) (Scale, error) {
	if err := c.Validate(); err != nil {
		return Scale{}, err
	}
	if g.values.Len() == 0 {
		return Scale{}, fmt.Errorf("heatmap: scale of good maps: %w", ErrNoMaps)
	}
	low, high := g.values.Scale(c.Quantile, c.Reach)
	s := Scale{low, high}
	if err := s.Validate(); err != nil {
		return Scale{}, fmt.Errorf("heatmap: scale of good maps: median %v, quantile %v at %v: %w", g.values.Quantile(0.5), c.Quantile, low, err)
	}
	return s, nil
}

// ScaleFromGood is Good for maps that are all at hand.
func ScaleFromGood(maps []downstream.Map, c GoodConfig) (Scale, error) {
	var g Good
	for i, m := range maps {
		if err := g.Add(m); err != nil {
			return Scale{}, fmt.Errorf("map %d of %d: %w", i, len(maps), err)
		}
	}
	return g.Scale(c)
}
