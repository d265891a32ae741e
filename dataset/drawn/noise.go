package drawn

import "math"

// field is smooth noise with a seed: a value from -1 to 1 for every point of
// the plane, changing over a distance of one.
type field uint32

// lattice gives the value at a whole-numbered point, from -1 to 1.
func (f field) lattice(x, y int32) float64 {
	h := uint32(f) ^ uint32(x)*0x9e3779b1 ^ uint32(y)*0x85ebca77
	h ^= h >> 15
	h *= 0x2c1b3c6d
	h ^= h >> 12
	h *= 0x297a2d39
	h ^= h >> 15
	return float64(h)*(2.0/math.MaxUint32) - 1
}

// at blends the four lattice values around (x, y).
func (f field) at(x, y float64) float64 {
	fx, fy := math.Floor(x), math.Floor(y)
	ix, iy := int32(fx), int32(fy)
	tx, ty := ease(x-fx), ease(y-fy)
	a, b := f.lattice(ix, iy), f.lattice(ix+1, iy)
	c, d := f.lattice(ix, iy+1), f.lattice(ix+1, iy+1)
	a += (b - a) * tx
	c += (d - c) * tx
	return a + (c-a)*ty
}

// sum adds octaves, each of twice the frequency and half the height of the one
// before; the result stays within about -1 to 1.
func (f field) sum(x, y float64, octaves int) float64 {
	v, amp, norm := 0.0, 1.0, 0.0
	for o := range octaves {
		v += amp * (f+field(o)*0x51ed27).at(x, y)
		norm += amp
		amp /= 2
		x, y = 2*x+17.3, 2*y-5.1
	}
	return v / norm * 1.5
}

// cells gives the distances from (x, y) to the nearest and the second nearest
// of points scattered one to a unit square (Worley 1996).
func (f field) cells(x, y float64) (near, next float64) {
	fx, fy := math.Floor(x), math.Floor(y)
	near, next = 9, 9
	for dy := -1.0; dy <= 1; dy++ {
		for dx := -1.0; dx <= 1; dx++ {
			ix, iy := int32(fx+dx), int32(fy+dy)
			px := fx + dx + 0.5 + 0.42*f.lattice(ix, iy)
			py := fy + dy + 0.5 + 0.42*(f+0x77).lattice(ix, iy)
			d := (px-x)*(px-x) + (py-y)*(py-y)
			if d < near {
				near, next = d, near
			} else if d < next {
				next = d
			}
		}
	}
	return math.Sqrt(near), math.Sqrt(next)
}

// ease is 0 at 0 and 1 at 1 with no slope at either.
func ease(t float64) float64 { return t * t * (3 - 2*t) }

// step rises from 0 at lo to 1 at hi; with lo > hi it falls.
func step(lo, hi, x float64) float64 {
	return ease(clamp((x-lo)/(hi-lo), 0, 1))
}

func clamp(x, lo, hi float64) float64 { return max(lo, min(hi, x)) }

func lerp(a, b, t float64) float64 { return a + (b-a)*t }
