package drawn

import (
	"math"
	"math/rand/v2"
)

// metal is a brushed sheet: fine lines in one direction and a broad sheen.
type metal struct {
	turn         float64
	dx, dy       float64
	line, strand field
	sheen        float64 // where the sheen lies across the brushing
	slope        float64
	tone         rgb
}

func brushedMetal() product {
	return product{
		name: "brushed metal",
		plan: func(r *rand.Rand) plan {
			return &metal{
				turn: between(r, -0.05, 0.05), dx: between(r, 0, 50), dy: between(r, 0, 50),
				line: seedField(r), strand: seedField(r),
				sheen: between(r, 0.3, 0.7), slope: between(r, -0.2, 0.2),
				tone: rgb{0.57, 0.585, 0.60}.times(between(r, 0.96, 1.04)),
			}
		},
		defects: []defect{
			{name: "scratch", after: func(s *surface, _ plan, r *rand.Rand) {
				x, y := spot(r, 0.25)
				turn := between(r, 0.35, 2.8) // across the brushing, or it would be one of its lines
				line := curve(r, x, y, turn, between(r, 0.22, 0.5), between(r, 0.004, 0.0075))
				s.groove(line, 0.003, 0.0014, rgb{0.78, 0.79, 0.80}, between(r, 0.25, 0.5))
			}},
			{name: "dent", after: func(s *surface, _ plan, r *rand.Rand) {
				x, y := spot(r, 0.2)
				s.press(newBlob(r, x, y, between(r, 0.045, 0.085), 0.02), between(r, 0.009, 0.017))
			}},
			{name: "rust", after: func(s *surface, _ plan, r *rand.Rand) {
				x, y := spot(r, 0.18)
				patches := seedField(r)
				for k := range 2 + r.IntN(4) {
					radius := between(r, 0.03, 0.06) / (1 + 0.25*float64(k))
					s.soak(newBlob(r, x, y, radius, 0.5), rgb{0.66, 0.42, 0.25}, between(r, 0.45, 0.8), patches)
					x += between(r, -0.09, 0.09)
					y += between(r, -0.09, 0.09)
				}
			}},
			{name: "stain", after: func(s *surface, _ plan, r *rand.Rand) {
				x, y := spot(r, 0.2)
				s.soak(newBlob(r, x, y, between(r, 0.08, 0.15), 0.25), rgb{0.62, 0.60, 0.56}, between(r, 0.3, 0.55), seedField(r))
			}},
		},
	}
}

func (m *metal) paint(n int) *surface {
	s := newSurface(n)
	c, t := math.Cos(m.turn), math.Sin(m.turn)
	s.each(func(i int, x, y float64) {
		u, v := x*c+y*t, y*c-x*t
		brush := 0.5*m.line.at(u*3+m.dx, v*150+m.dy) + 0.35*m.line.at(u*8+m.dx, v*260+m.dy) + 0.3*m.strand.at(u*1.3+m.dx, v*45+m.dy)
		cloud := m.strand.sum(u*1.5+m.dx+9, v*4, 2)
		d := v - m.sheen - m.slope*(u-0.5)
		s.colour[i] = m.tone.times(1 + 0.13*brush + 0.02*cloud + 0.12*math.Exp(-d*d/0.06))
		s.height[i] = 0.0002 * brush
		s.gloss[i] = 0.35
	})
	return s
}
