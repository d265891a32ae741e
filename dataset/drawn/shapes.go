package drawn

import (
	"math"
	"math/rand/v2"
)

// between draws evenly from lo to hi.
func between(r *rand.Rand, lo, hi float64) float64 { return lo + (hi-lo)*r.Float64() }

// spot draws a place that keeps the given distance from the image's edge.
func spot(r *rand.Rand, margin float64) (x, y float64) {
	return between(r, margin, 1-margin), between(r, margin, 1-margin)
}

// seedField draws a noise field.
func seedField(r *rand.Rand) field { return field(r.Uint32()) }

// blob is a rounded patch with an uneven rim.
type blob struct {
	x, y, r float64 // middle and mean radius
	flat    float64 // length over width, 1 for round
	turn    float64 // radians
	rough   float64 // how far the rim strays, as a share of the radius
	rim     field
}

func newBlob(r *rand.Rand, x, y, radius, rough float64) blob {
	return blob{x: x, y: y, r: radius, flat: between(r, 1, 1.7), turn: between(r, 0, math.Pi), rough: rough, rim: seedField(r)}
}

// depth is 1 in the middle, 0 on the rim and negative outside.
func (b blob) depth(x, y float64) float64 {
	dx, dy := x-b.x, y-b.y
	c, s := math.Cos(b.turn), math.Sin(b.turn)
	u, v := (dx*c+dy*s)/math.Sqrt(b.flat), (dy*c-dx*s)*math.Sqrt(b.flat)
	d := math.Hypot(u, v)
	if d == 0 {
		return 1
	}
	rim := b.r * (1 + b.rough*b.rim.sum(3+1.6*u/d, 3+1.6*v/d, 3))
	return 1 - d/rim
}

// reach is a radius that the blob stays within.
func (b blob) reach() float64 { return b.r * math.Sqrt(b.flat) * (1 + 1.5*b.rough) }

// node is a point of a line with the line's half width there.
type node struct{ x, y, w float64 }

// curve draws a gently bent line of a given length through (x, y), thin at
// both ends.
func curve(r *rand.Rand, x, y, turn, length, width float64) []node {
	const steps = 28
	bend := between(r, -0.9, 0.9) / steps
	turn -= bend * steps / 2
	x -= math.Cos(turn) * length / 2
	y -= math.Sin(turn) * length / 2
	press := seedField(r)
	line := make([]node, 0, steps+1)
	for k := range steps + 1 {
		t := float64(k) / steps
		w := width * math.Pow(math.Sin(math.Pi*clamp(t, 0.03, 0.97)), 0.6) * (1 + 0.35*press.at(9*t, 0.5))
		line = append(line, node{x, y, w})
		x += math.Cos(turn) * length / steps
		y += math.Sin(turn) * length / steps
		turn += bend
	}
	return line
}

// jagged draws a crack: a line that changes its direction at random while it
// keeps its course, and gets thinner toward its end.
func jagged(r *rand.Rand, x, y, turn, length, width float64) []node {
	steps := max(8, int(length/0.018))
	line := make([]node, 0, steps+1)
	stray := 0.0
	for k := range steps + 1 {
		t := float64(k) / float64(steps)
		line = append(line, node{x, y, width * (1 - 0.75*t) * between(r, 0.75, 1.2)})
		stray = 0.55*stray + between(r, -0.75, 0.75)
		x += math.Cos(turn+stray) * length / float64(steps)
		y += math.Sin(turn+stray) * length / float64(steps)
	}
	return line
}

// along calls fn for every point within pad half widths of a line with its
// distance in half widths (0 on the line, 1 on its edge) and the side it lies
// on (-1 or 1).
func (s *surface) along(line []node, pad float64, fn func(i int, d, side float64)) {
	type hit struct{ d, side float64 }
	hits := map[int]hit{}
	var order []int
	for k := 1; k < len(line); k++ {
		a, b := line[k-1], line[k]
		dx, dy := b.x-a.x, b.y-a.y
		length := math.Hypot(dx, dy)
		if length == 0 {
			continue
		}
		reach := max(a.w, b.w)*pad + length/2
		s.within((a.x+b.x)/2, (a.y+b.y)/2, reach, func(i int, x, y float64) {
			t := clamp(((x-a.x)*dx+(y-a.y)*dy)/(length*length), 0, 1)
			px, py := x-a.x-t*dx, y-a.y-t*dy
			d := math.Hypot(px, py) / lerp(a.w, b.w, t)
			if d > pad {
				return
			}
			old, seen := hits[i]
			if !seen {
				order = append(order, i)
			} else if old.d <= d {
				return
			}
			hits[i] = hit{d, math.Copysign(1, dx*py-dy*px)}
		})
	}
	for _, i := range order {
		fn(i, hits[i].d, hits[i].side)
	}
}
