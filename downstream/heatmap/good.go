package heatmap

import (
	"fmt"
	"math"

	"github.com/gotab/gotab/downstream"
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
func DefaultGood() GoodConfig { return GoodConfig{Quantile: 0.999, Reach: 3} }

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
type Good struct {
	pages [1 << pageBits]*[1 << slotBits]uint64
	n     uint64
}

const (
	pageBits = 10
	slotBits = 10
	dropBits = 32 - pageBits - slotBits
)

// Add counts all values of a map but the NaN of what was not seen. When it fails, nothing of
// the map has been counted: ErrSize for data of another size than W x H, ErrNotFinite for NaN
// or infinity where the detector has looked.
func (g *Good) Add(m downstream.Map) error {
	in, err := seen(m)
	if err != nil {
		return fmt.Errorf("heatmap: good map: %w", err)
	}
	for y := in.Min.Y; y < in.Max.Y; y++ {
		for _, v := range m.Data[y*m.W+in.Min.X : y*m.W+in.Max.X] {
			b := bin(v)
			page := &g.pages[b>>slotBits]
			if *page == nil {
				*page = new([1 << slotBits]uint64)
			}
			(*page)[b&(1<<slotBits-1)]++
		}
	}
	g.n += uint64(in.Dx()) * uint64(in.Dy())
	return nil
}

// Scale returns the scale of what has been added; more may be added afterwards. Nothing is
// ErrNoMaps, values without a spread are ErrScale.
func (g *Good) Scale(c GoodConfig) (Scale, error) {
	if err := c.Validate(); err != nil {
		return Scale{}, err
	}
	if g.n == 0 {
		return Scale{}, fmt.Errorf("heatmap: scale of good maps: %w", ErrNoMaps)
	}
	median, low := g.quantile(0.5), g.quantile(c.Quantile)
	s := Scale{low, low + c.Reach*(low-median)}
	if err := s.Validate(); err != nil {
		return Scale{}, fmt.Errorf("heatmap: scale of good maps: median %v, quantile %v at %v: %w", median, c.Quantile, low, err)
	}
	return s, nil
}

// quantile is the upper edge of the bin that holds the quantile q, so that at least the
// fraction q of the values lies below it.
func (g *Good) quantile(q float64) float64 {
	want := q * float64(g.n)
	below, at := 0.0, uint32(0)
	for p, page := range g.pages {
		if page == nil {
			continue
		}
		for s, n := range page {
			if n == 0 {
				continue
			}
			below, at = below+float64(n), uint32(p<<slotBits|s)
			if below >= want {
				return edge(at + 1)
			}
		}
	}
	return edge(at + 1)
}

// bin is the number of a value's bin. Bins rise with the values: the bits of a positive float
// do so as they are, those of a negative one when all are turned.
func bin(v float32) uint32 {
	b := math.Float32bits(v)
	if b>>31 == 1 {
		b = ^b
	} else {
		b |= 1 << 31
	}
	return b >> dropBits
}

// edge is the lower edge of a bin.
func edge(b uint32) float64 {
	b <<= dropBits
	if b>>31 == 1 {
		b &^= 1 << 31
	} else {
		b = ^b
	}
	return float64(math.Float32frombits(b))
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
