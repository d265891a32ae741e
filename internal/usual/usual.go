// Package usual counts the values of the maps of good images, and says where the
// unusual begins.
package usual

import "math"

const (
	// Quantile is the fraction of the values of good maps that are shown without
	// colour, and Reach how far a scale goes on above, in multiples of the distance from
	// the median to there. heatmap.DefaultGood says how they were chosen.
	Quantile = 0.999
	Reach    = 3
)

const (
	pageBits = 10
	slotBits = 10
	dropBits = 32 - pageBits - slotBits
)

// Values counts values in bins of 1/2048 of themselves (their sign, exponent and first
// eleven digits), so memory does not grow with their number: 8 KB for each half of an
// octave that values lie in, 8 MB at most. The zero value is ready.
type Values struct {
	pages [1 << pageBits]*[1 << slotBits]uint64
	n     uint64
}

// Len is how many values were added.
func (g *Values) Len() uint64 { return g.n }

// Add counts values that are finite.
func (g *Values) Add(values []float32) {
	for _, v := range values {
		b := bin(v)
		page := &g.pages[b>>slotBits]
		if *page == nil {
			*page = new([1 << slotBits]uint64)
		}
		(*page)[b&(1<<slotBits-1)]++
	}
	g.n += uint64(len(values))
}

// Scale is the scale that begins at a quantile of the values and goes on above for
// reach times the distance from the median to there. Values without a spread give one
// without a length.
func (g *Values) Scale(quantile, reach float64) (low, high float64) {
	median := g.Quantile(0.5)
	low = g.Quantile(quantile)
	return low, low + reach*(low-median)
}

// Quantile is the upper edge of the bin that holds the quantile q, so that at least the
// fraction q of the values lies below it.
func (g *Values) Quantile(q float64) float64 {
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
