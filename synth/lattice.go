package synth

import (
	"math"
	"math/rand/v2"
)

// lattice is gradient noise on a grid (Perlin, "Improving Noise", 2002: fade 6t^5-15t^4+10t^3), with gradients of length 1
// in random directions, times sqrt(2): from -1 to 1.
type lattice struct {
	rows, cols int // cells
	grad       []float64
}

// reset draws new gradients for a grid of rows x cols cells.
func (n *lattice) reset(rows, cols int, rng *rand.Rand) {
	n.rows, n.cols = rows, cols
	n.grad = grow(n.grad, 2*(rows+1)*(cols+1))
	for i := 0; i < len(n.grad); i += 2 {
		n.grad[i], n.grad[i+1] = math.Sincos(2 * math.Pi * rng.Float64()) // along the columns, along the rows
	}
}

func fade(t float64) float64 { return t * t * t * (t*(t*6-15) + 10) }

// at is the noise at (y, x) in cells, from 0 to rows and cols.
func (n *lattice) at(y, x float64) float64 {
	iy, ix := min(int(y), n.rows-1), min(int(x), n.cols-1)
	fy, fx := y-float64(iy), x-float64(ix)
	g := n.grad[2*(iy*(n.cols+1)+ix):]
	b := n.grad[2*((iy+1)*(n.cols+1)+ix):][:4]
	g = g[:4]
	n00 := fx*g[0] + fy*g[1]
	n01 := (fx-1)*g[2] + fy*g[3]
	n10 := fx*b[0] + (fy-1)*b[1]
	n11 := (fx-1)*b[2] + (fy-1)*b[3]
	tx, ty := fade(fx), fade(fy)
	top, low := n00+tx*(n01-n00), n10+tx*(n11-n10)
	return math.Sqrt2 * (top + ty*(low-top))
}
