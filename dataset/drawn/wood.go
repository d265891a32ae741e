package drawn

import (
	"math"
	"math/rand/v2"
)

// wood is a planed board, the grain running down.
type wood struct {
	rings     float64 // growth rings across the image
	turn      float64
	dx, dy    float64
	bow       float64 // how far the rings arch
	bend      field
	fibre     field
	pores     field
	early     rgb // the light wood of spring
	late      rgb // the dark wood of autumn
	lateShare float64
}

func woodBoard() product {
	return product{
		name: "wood board",
		plan: func(r *rand.Rand) plan {
			tone := between(r, 0.94, 1.05)
			return &wood{
				rings: between(r, 7, 10), turn: between(r, -0.05, 0.05),
				dx: between(r, 0, 60), dy: between(r, 0, 60), bow: between(r, -1.2, 1.2),
				bend: seedField(r), fibre: seedField(r), pores: seedField(r),
				early: rgb{0.74, 0.57, 0.39}.times(tone), late: rgb{0.56, 0.39, 0.24}.times(tone),
				lateShare: between(r, 2.2, 3.4),
			}
		},
		defects: []defect{
			{name: "scratch", after: func(s *surface, _ plan, r *rand.Rand) {
				x, y := spot(r, 0.25)
				turn := between(r, -1.1, 1.1) // across the grain
				line := curve(r, x, y, turn, between(r, 0.22, 0.48), between(r, 0.004, 0.008))
				s.groove(line, 0.004, 0.0008, rgb{0.80, 0.68, 0.52}, between(r, 0.3, 0.55))
			}},
			{name: "crack", after: func(s *surface, _ plan, r *rand.Rand) {
				x, y := between(r, 0.2, 0.8), between(r, 0.1, 0.4)
				line := jagged(r, x, y, math.Pi/2+between(r, -0.12, 0.12), between(r, 0.3, 0.5), between(r, 0.005, 0.009))
				for k := range line { // it follows the grain
					line[k].x = lerp(line[k].x, x+(line[k].y-y)*0.05, 0.6)
				}
				s.split(line, rgb{0.20, 0.13, 0.09}, 0.004)
			}},
			{name: "stain", after: func(s *surface, _ plan, r *rand.Rand) {
				x, y := spot(r, 0.18)
				dye := []rgb{{0.48, 0.44, 0.42}, {0.55, 0.42, 0.34}, {0.46, 0.50, 0.58}}[r.IntN(3)]
				s.soak(newBlob(r, x, y, between(r, 0.07, 0.13), 0.3), dye, between(r, 0.4, 0.75), seedField(r))
			}},
			{name: "insect holes", after: func(s *surface, _ plan, r *rand.Rand) {
				x, y := spot(r, 0.18)
				for range 2 + r.IntN(4) {
					b := newBlob(r, x, y, between(r, 0.010, 0.017), 0.12)
					s.bore(b, rgb{0.16, 0.10, 0.07})
					x = clamp(x+between(r, -0.12, 0.12), 0.05, 0.95)
					y = clamp(y+between(r, -0.12, 0.12), 0.05, 0.95)
				}
			}},
		},
	}
}

func (w *wood) paint(n int) *surface {
	s := newSurface(n)
	c, t := math.Cos(w.turn), math.Sin(w.turn)
	s.each(func(i int, x, y float64) {
		u, v := x*c+y*t, y*c-x*t
		ring := u*w.rings + w.dx + 0.9*w.bend.sum(u*2.2+w.dx, v*0.8+w.dy, 2) + w.bow*(v-0.5)*(v-0.5)*4 + 0.05*w.fibre.at(u*30, v*3)
		f := ring - math.Floor(ring)
		// Dark wood builds up slowly and ends sharply.
		late := math.Pow(f, w.lateShare) * step(1, 0.93, f)
		late *= 0.75 + 0.25*w.bend.at(math.Floor(ring)+0.5, 3)
		colour := w.early.toward(w.late, late)
		streak := w.fibre.sum(u*95+w.dx, v*5+w.dy, 2)
		colour = colour.times(1 + 0.06*streak + 0.03*w.bend.sum(u*3+20, v*1.5, 2))
		pore := step(0.62, 0.85, w.pores.at(u*120+w.dx, v*13+w.dy))
		s.colour[i] = colour.times(1 - 0.22*pore)
		s.height[i] = -0.0007*pore + 0.0003*streak
		s.gloss[i] = 0.06
	})
	return s
}
