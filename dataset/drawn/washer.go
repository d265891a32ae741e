package drawn

import (
	"math"
	"math/rand/v2"
)

// washer is a turned steel ring with three stamped marks on a belt.
type washer struct {
	x, y         float64
	outer, inner float64
	turn         float64
	lathe        field // lines that the tool left
	belt         field
	dx           float64
	tone         rgb
	ground       rgb
	sheen        float64

	bite *blob // what is broken off
}

func steelWasher() product {
	return product{
		name: "steel washer",
		plan: func(r *rand.Rand) plan {
			return &washer{
				x: 0.5 + between(r, -0.02, 0.02), y: 0.5 + between(r, -0.02, 0.02),
				outer: between(r, 0.385, 0.395), inner: between(r, 0.165, 0.17),
				turn: between(r, -0.06, 0.06), lathe: seedField(r), belt: seedField(r), dx: between(r, 0, 50),
				tone:   rgb{0.60, 0.61, 0.63}.times(between(r, 0.96, 1.04)),
				ground: rgb{0.20, 0.23, 0.22}.times(between(r, 0.93, 1.07)),
				sheen:  between(r, -0.12, 0.12),
			}
		},
		defects: []defect{
			{name: "scratch", after: func(s *surface, p plan, r *rand.Rand) {
				x, y := p.(*washer).place(r)
				line := curve(r, x, y, between(r, 0, math.Pi), between(r, 0.12, 0.22), between(r, 0.004, 0.0075))
				p.(*washer).onSteel(s, func() {
					s.groove(line, 0.003, 0.0014, rgb{0.80, 0.81, 0.82}, between(r, 0.3, 0.55))
				})
			}},
			{name: "dent", after: func(s *surface, p plan, r *rand.Rand) {
				x, y := p.(*washer).place(r)
				p.(*washer).onSteel(s, func() {
					s.press(newBlob(r, x, y, between(r, 0.035, 0.055), 0.02), between(r, 0.008, 0.014))
				})
			}},
			{name: "rust", after: func(s *surface, p plan, r *rand.Rand) {
				x, y := p.(*washer).place(r)
				p.(*washer).onSteel(s, func() {
					patches := seedField(r)
					for k := range 2 + r.IntN(4) {
						radius := between(r, 0.03, 0.055) / (1 + 0.25*float64(k))
						s.soak(newBlob(r, x, y, radius, 0.5), rgb{0.64, 0.40, 0.24}, between(r, 0.5, 0.85), patches)
						x += between(r, -0.07, 0.07)
						y += between(r, -0.07, 0.07)
					}
				})
			}},
			{name: "broken edge", before: func(p plan, r *rand.Rand) {
				w := p.(*washer)
				turn := between(r, 0, 2*math.Pi)
				at := w.outer + between(r, -0.005, 0.015)
				b := newBlob(r, w.x+at*math.Cos(turn), w.y+at*math.Sin(turn), between(r, 0.03, 0.055), 0.3)
				w.bite = &b
			}},
		},
	}
}

// place draws a point in the middle of the ring's width.
func (w *washer) place(r *rand.Rand) (x, y float64) {
	turn := between(r, 0, 2*math.Pi)
	at := between(r, lerp(w.inner, w.outer, 0.3), lerp(w.inner, w.outer, 0.7))
	return w.x + at*math.Cos(turn), w.y + at*math.Sin(turn)
}

// onSteel runs a harm and undoes what it did to the belt.
func (w *washer) onSteel(s *surface, harm func()) {
	was := &surface{n: s.n, height: append([]float64(nil), s.height...), colour: append([]rgb(nil), s.colour...), gloss: append([]float64(nil), s.gloss...)}
	harm()
	s.each(func(i int, x, y float64) {
		if w.inside(x, y) <= 0 {
			s.height[i], s.colour[i], s.gloss[i] = was.height[i], was.colour[i], was.gloss[i]
		}
	})
}

// inside is the distance from the nearest edge of the steel, negative off it.
func (w *washer) inside(x, y float64) float64 {
	d := math.Hypot(x-w.x, y-w.y)
	in := min(w.outer-d, d-w.inner)
	if w.bite != nil {
		in = min(in, -w.bite.depth(x, y)*w.bite.r)
	}
	return in
}

func (w *washer) paint(n int) *surface {
	s := newSurface(n)
	s.each(func(i int, x, y float64) {
		in := w.inside(x, y)
		if in <= 0 {
			grain := w.belt.sum(x*70+w.dx, y*70, 3)
			// The ring's shadow falls away from the lamp.
			shadow := step(-0.015, 0.02, w.inside(x-0.012, y-0.014))
			s.colour[i] = w.ground.times((1 + 0.16*grain) * (1 - 0.45*shadow))
			s.height[i] = 0.0008 * grain
			return
		}
		dx, dy := x-w.x, y-w.y
		d, turn := math.Hypot(dx, dy), math.Atan2(dy, dx)-w.turn
		tool := 0.6*w.lathe.at(d*170, turn*1.5+w.dx) + 0.4*w.lathe.at(d*330, turn*4+w.dx)
		// Turned steel shows two bright fans, across from each other.
		fan := math.Pow(math.Abs(math.Cos(turn+w.turn-0.75+w.sheen)), 6)
		s.colour[i] = w.tone.times(0.88 + 0.30*fan + 0.09*tool)
		s.height[i] = 0.010*step(0, 0.02, in) + 0.0002*tool
		s.gloss[i] = 0.3
		// Three stamped marks, a third of a turn apart.
		third := turn - math.Round(turn/(2*math.Pi/3))*(2*math.Pi/3)
		along, across := math.Abs(d-(w.inner+w.outer)/2), math.Abs(third)*d
		mark := step(0.055, 0.045, along) * step(0.014, 0.006, across)
		s.height[i] -= 0.005 * mark
		s.colour[i] = s.colour[i].times(1 - 0.35*mark)
	})
	return s
}
