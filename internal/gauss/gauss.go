package gauss

import (
	"math"
	"math/bits"
	"sync"
)

// Rows fills dst, rows of width values, with independent draws from the normal
// distribution of mean 0 and the given deviation. state gives the 128 bits from
// which a row's numbers follow, as [github.com/gotab/gotab/internal/seed.State]
// derives them; it is called from up to workers goroutines, at least one, which
// have ended when Rows returns. The length of dst is a multiple of width.
func Rows(dst []float32, width int, deviation float64, workers int, state func(row int) (hi, lo uint64)) {
	rows := len(dst) / width
	workers = max(min(workers, rows), 1)
	t := newTable(deviation)
	fill := func(from, to int) {
		for r := from; r < to; r++ {
			hi, lo := state(r)
			t.fill(dst[r*width:][:width], generator{hi, lo})
		}
	}
	var wg sync.WaitGroup
	for w := 1; w < workers; w++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			fill(w*rows/workers, (w+1)*rows/workers)
		}()
	}
	fill(0, rows/workers)
	wg.Wait()
}

// generator is xoroshiro128++ (Blackman and Vigna, "Scrambled linear
// pseudorandom number generators", 2021): two words of state, a period of
// 2^128-1. A state of nothing but zeros would stay there. It is handed on by
// value: through a pointer its words would not stay in registers.
type generator struct{ a, b uint64 }

func (g generator) next() (uint64, generator) {
	out := bits.RotateLeft64(g.a+g.b, 17) + g.a
	b := g.b ^ g.a
	return out, generator{bits.RotateLeft64(g.a, 49) ^ b ^ b<<21, bits.RotateLeft64(b, 28)}
}

// unit returns a number from the open interval (0, 1).
func (g generator) unit() (float64, generator) {
	u, g := g.next()
	return (float64(u>>11) + 0.5) / (1 << 53), g
}

const (
	// layers of equal area lie under the density exp(-x^2/2), the lowest with the
	// tail beyond right in it (Marsaglia and Tsang, "The ziggurat method for
	// generating random variables", 2000: table of 128 layers).
	layers = 128
	right  = 3.442619855899
	area   = 9.91256303526217e-3

	indexBits = 7  // of 32 that a draw takes: which layer
	placeBits = 24 // and the sign: where in it. Other bits than the index's, or the two would be related
)

// table is what a draw needs of the layers.
type table struct {
	// inside is how far a place may be from the middle to be under the density
	// whatever its height.
	inside [layers]int32
	// scale brings a place to a value.
	scale [layers]float32
	// edge is the layers' width, x in the paper, the lowest's as if it were a
	// rectangle; edge[layers] is 0.
	edge      [layers + 1]float64
	deviation float64
}

func newTable(deviation float64) *table {
	t := &table{deviation: deviation}
	t.edge[0] = area / density(right)
	t.edge[1] = right
	for i := 1; i < layers-1; i++ {
		t.edge[i+1] = math.Sqrt(-2 * math.Log(area/t.edge[i]+density(t.edge[i])))
	}
	for i := range layers {
		t.inside[i] = int32(t.edge[i+1] / t.edge[i] * (1 << placeBits))
		t.scale[i] = float32(t.edge[i] * deviation / (1 << placeBits))
	}
	return t
}

func density(x float64) float64 { return math.Exp(-x * x / 2) }

// fill draws two values of each 64 bits.
func (t *table) fill(dst []float32, g generator) {
	var u uint64
	for len(dst) > 1 {
		u, g = g.next()
		k, place := uint32(u)%layers, int32(u)>>indexBits
		dst[0] = float32(place) * t.scale[k]
		if n := t.inside[k]; place >= n || place <= -n {
			dst[0], g = t.border(k, place, g)
		}
		k, place = uint32(u>>32)%layers, int32(u>>32)>>indexBits
		dst[1] = float32(place) * t.scale[k]
		if n := t.inside[k]; place >= n || place <= -n {
			dst[1], g = t.border(k, place, g)
		}
		dst = dst[2:]
	}
	if len(dst) == 1 {
		u, g = g.next()
		// border takes every place: it looks at the middle part first.
		dst[0], _ = t.border(uint32(u)%layers, int32(u)>>indexBits, g)
	}
}

// border decides on a place in the part of a layer that the density cuts, one
// draw in 80, and draws again as long as it is not under it.
func (t *table) border(k uint32, place int32, g generator) (float32, generator) {
	for {
		x := float64(place) * t.edge[k] / (1 << placeBits)
		switch {
		case math.Abs(x) < t.edge[k+1]: // the middle part, of a draw again
			return float32(x * t.deviation), g
		case k == 0:
			far, g := tail(g)
			return float32(math.Copysign(far, x) * t.deviation), g
		}
		var height float64
		height, g = g.unit()
		low, high := density(t.edge[k]), density(t.edge[k+1])
		if low+height*(high-low) < density(x) {
			return float32(x * t.deviation), g
		}
		var u uint64
		u, g = g.next()
		k, place = uint32(u)%layers, int32(u)>>indexBits
	}
}

// tail draws from the density beyond right, by Marsaglia's comparison with an
// exponential one.
func tail(g generator) (float64, generator) {
	var u, w float64
	for {
		u, g = g.unit()
		w, g = g.unit()
		if x := -math.Log(u) / right; -2*math.Log(w) > x*x {
			return right + x, g
		}
	}
}
