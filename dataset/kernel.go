package dataset

import (
	"math"
	"sync"
)

// Kernel is how pixels are weighed when an image is resized. All but Nearest
// widen with the scale when shrinking, so that no pixel is skipped.
type Kernel int

// Kernels, named and defined as in Pillow.
const (
	Lanczos  Kernel = iota // windowed sinc over 3 pixels to each side
	Bicubic                // Keys' cubic with a = -0.5, 2 pixels to each side
	Bilinear               // triangle, 1 pixel to each side
	Nearest                // the one pixel under the centre
)

// String returns the name in lower case.
func (f Kernel) String() string {
	switch f {
	case Lanczos:
		return "lanczos"
	case Bicubic:
		return "bicubic"
	case Bilinear:
		return "bilinear"
	case Nearest:
		return "nearest"
	}
	return "unknown kernel"
}

// support is the half width of the kernel in pixels at scale 1.
func (f Kernel) support() float64 {
	switch f {
	case Bicubic:
		return 2
	case Bilinear:
		return 1
	}
	return 3
}

// at is the weight at distance x. The conversions keep a compiler from fusing
// a product and a sum, which would round differently from the reference.
func (f Kernel) at(x float64) float64 {
	switch f {
	case Bicubic:
		const a = -0.5
		x = math.Abs(x)
		switch {
		case x < 1:
			return float64(float64(float64(float64((a+2)*x)-(a+3))*x)*x) + 1
		case x < 2:
			return (float64((float64((x-5)*x)+8)*x) - 4) * a
		}
		return 0
	case Bilinear:
		x = math.Abs(x)
		if x < 1 {
			return 1 - x
		}
		return 0
	}
	if -3 <= x && x < 3 {
		return sinc(x) * sinc(x/3)
	}
	return 0
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	x *= math.Pi
	return math.Sin(x) / x
}

// Weights are whole numbers in units of 2^-precision: 32 bits hold a byte
// times a weight with two bits to spare for sums above full scale.
const precision = 32 - 8 - 2

// axis holds the weights for resizing one axis.
type axis struct {
	taps  int      // weights for each output position
	first []int    // first input position for each output, never falling
	k     []uint64 // taps weights for each output, as two's complement
}

// weights returns the taps of output position i.
func (a *axis) weights(i int) []uint64 { return a.k[i*a.taps : (i+1)*a.taps] }

// newAxis computes the weights from in to out pixels: for each output position
// the kernel, centred at (i+0.5)*in/out and widened when shrinking, is sampled
// at the centres of the input pixels, normalised to sum 1 and rounded half
// away from zero. With in equal to out, nothing is weighed.
func newAxis(in, out int, f Kernel) *axis {
	if in == out {
		a := &axis{taps: 1, first: make([]int, out), k: make([]uint64, out)}
		for i := range out {
			a.first[i], a.k[i] = i, 1<<precision
		}
		return a
	}
	scale := float64(in) / float64(out)
	wide := max(scale, 1)
	support := f.support() * wide
	bounds := func(i int) (center float64, lo, hi int) {
		center = (float64(i) + 0.5) * scale
		lo = max(int(center-support+0.5), 0)
		hi = min(int(center+support+0.5), in)
		return center, lo, hi
	}
	a := &axis{first: make([]int, out)}
	for i := range out {
		_, lo, hi := bounds(i)
		a.taps = max(a.taps, hi-lo)
	}
	a.k = make([]uint64, out*a.taps)
	w := make([]float64, a.taps)
	inv := 1 / wide
	for i := range out {
		center, lo, hi := bounds(i)
		sum := 0.0
		for j := lo; j < hi; j++ {
			v := f.at((float64(j) - center + 0.5) * inv)
			w[j-lo] = v
			sum += v
		}
		a.first[i] = min(lo, in-a.taps)
		row := a.weights(i)[lo-a.first[i]:]
		for j, v := range w[:hi-lo] {
			if sum != 0 {
				v /= sum
			}
			v = float64(v * (1 << precision))
			row[j] = uint64(int64(v + math.Copysign(0.5, v)))
		}
	}
	return a
}

// maxTables bounds how many weight tables are remembered: images of ever new
// sizes must not fill the memory.
const maxTables = 64

type axisKey struct {
	in, out int
	kernel  Kernel
}

// tables remembers weights and work space. It is safe for concurrent use.
type tables struct {
	mu   sync.Mutex
	axes map[axisKey]*axis
	work sync.Pool
	clip [1024]uint8
}

func newTables() *tables {
	t := &tables{axes: make(map[axisKey]*axis)}
	for i := range t.clip {
		t.clip[i] = uint8(min(max(i-256, 0), 255))
	}
	return t
}

func (t *tables) axis(in, out int, f Kernel) *axis {
	key := axisKey{in, out, f}
	t.mu.Lock()
	a := t.axes[key]
	t.mu.Unlock()
	if a != nil {
		return a
	}
	a = newAxis(in, out, f)
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.axes) >= maxTables {
		clear(t.axes)
	}
	t.axes[key] = a
	return a
}
