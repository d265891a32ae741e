package wafers

import (
	"math"
	"math/rand/v2"
)

// Places are in units of the wafer's radius: the centre is (0, 0), the right and
// lower ends are 1. A die is 1/26 wide.
const radius = Side / 2.0

// place returns the middle of die i.
func place(i int) (x, y float64) {
	return (float64(i%Side) + 0.5 - radius) / radius, (float64(i/Side) + 0.5 - radius) / radius
}

// onWafer reports whether die i is not blank: its middle lies on the disc.
func onWafer(i int) bool {
	x, y := place(i)
	return x*x+y*y <= 1
}

// ramp rises from 0 at -1/2 to 1 at 1/2, smoothly (Hermite).
func ramp(t float64) float64 {
	t = min(max(t+0.5, 0), 1)
	return t * t * (3 - 2*t)
}

// between draws evenly from low to high.
func between(rng *rand.Rand, low, high float64) float64 { return low + (high-low)*rng.Float64() }

// angle is the smallest turn between two directions, 0 to pi.
func angle(a, b float64) float64 {
	d := math.Mod(math.Abs(a-b), 2*math.Pi)
	return min(d, 2*math.Pi-d)
}

// outline makes a round shape irregular: the factor of its radius in each
// direction, 1 in the mean.
type outline struct{ size, phase [3]float64 }

// newOutline draws waves two, three and four to the turn, each of at most size.
func newOutline(rng *rand.Rand, size float64) (o outline) {
	for k := range o.size {
		o.size[k] = between(rng, 0, size)
		o.phase[k] = between(rng, 0, 2*math.Pi)
	}
	return o
}

func (o outline) at(direction float64) float64 {
	f := 1.0
	for k := range o.size {
		f += o.size[k] * math.Cos(float64(k+2)*direction+o.phase[k])
	}
	return f
}

// field is one pattern of a map.
type field struct {
	chance [Side * Side]float64 // that a die fails because of it
	region [Side * Side]bool    // where the chance is at least half of density
	// density is the chance in the middle of the pattern.
	density float64
}

// newField fills a field with density times shape, which is 0 to 1.
func newField(density float64, shape func(x, y float64) float64) *field {
	f := &field{density: density}
	for i := range f.chance {
		if !onWafer(i) {
			continue
		}
		v := shape(place(i))
		f.chance[i] = density * v
		f.region[i] = v >= 0.5
	}
	return f
}
