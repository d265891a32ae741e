package drawn

import (
	"math"
	"math/rand/v2"
)

// hide is grained leather: rounded cells with creases between them.
type hide struct {
	grain  float64 // cells across the image
	dx, dy float64
	turn   float64
	cell   field
	warp   field
	fine   field
	tone   rgb
}

func leather() product {
	return product{
		name: "leather",
		plan: func(r *rand.Rand) plan {
			return &hide{
				grain: between(r, 17, 19), dx: between(r, 0, 90), dy: between(r, 0, 90), turn: between(r, -0.3, 0.3),
				cell: seedField(r), warp: seedField(r), fine: seedField(r),
				tone: rgb{0.46, 0.29, 0.20}.times(between(r, 0.95, 1.05)),
			}
		},
		defects: []defect{
			{name: "cut", after: func(s *surface, _ plan, r *rand.Rand) {
				x, y := spot(r, 0.22)
				line := curve(r, x, y, between(r, 0, math.Pi), between(r, 0.16, 0.34), between(r, 0.006, 0.011))
				s.groove(line, 0.006, 0.0022, rgb{0.62, 0.48, 0.36}, between(r, 0.6, 0.85))
			}},
			{name: "press mark", after: func(s *surface, _ plan, r *rand.Rand) {
				x, y := spot(r, 0.2)
				b := newBlob(r, x, y, between(r, 0.05, 0.085), 0.02)
				// Pressing irons the grain flat before it pushes the hide in.
				s.within(b.x, b.y, b.reach(), func(i int, x, y float64) {
					t := step(0, 0.25, b.depth(x, y))
					s.height[i] *= 1 - 0.85*t
					s.gloss[i] = lerp(s.gloss[i], 0.5, t)
				})
				s.press(b, between(r, 0.007, 0.013))
			}},
			{name: "stain", after: func(s *surface, _ plan, r *rand.Rand) {
				x, y := spot(r, 0.18)
				s.soak(newBlob(r, x, y, between(r, 0.07, 0.13), 0.3), rgb{0.46, 0.44, 0.44}, between(r, 0.45, 0.8), seedField(r))
			}},
			{name: "colour spot", after: func(s *surface, _ plan, r *rand.Rand) {
				x, y := spot(r, 0.15)
				paint := []rgb{{0.62, 0.52, 0.40}, {0.36, 0.40, 0.34}, {0.55, 0.28, 0.22}}[r.IntN(3)]
				for k := range 1 + r.IntN(3) {
					s.drop(newBlob(r, x, y, between(r, 0.022, 0.04)/(1+0.5*float64(k)), 0.25), paint, 0.75, 0.001, 0.1)
					x += between(r, -0.08, 0.08)
					y += between(r, -0.08, 0.08)
				}
			}},
		},
	}
}

func (h *hide) paint(n int) *surface {
	s := newSurface(n)
	c, t := math.Cos(h.turn), math.Sin(h.turn)
	s.each(func(i int, x, y float64) {
		u, v := (x*c+y*t)*h.grain+h.dx, (y*c-x*t)*h.grain*0.85+h.dy
		u += 0.45 * h.warp.sum(x*6, y*6, 2)
		v += 0.45 * h.warp.sum(x*6+40, y*6, 2)
		near, next := h.cell.cells(u, v)
		crease := step(0.30, 0.02, next-near)
		pore := h.fine.sum(x*85+h.dx, y*85, 2)
		cloud := h.warp.sum(x*2.5+11, y*2.5, 2)
		s.height[i] = 0.0055*(1-crease)*(1-0.5*near*near) + 0.0005*pore
		s.colour[i] = h.tone.times((1 + 0.05*pore + 0.06*cloud) * (1 - 0.32*crease))
		s.gloss[i] = 0.16
	})
	return s
}
