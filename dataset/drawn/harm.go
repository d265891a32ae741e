package drawn

import "math"

// groove carves a line into the surface: a valley with a low ridge on both
// sides, its ground tinted toward a colour.
func (s *surface) groove(line []node, deep, ridge float64, ground rgb, tint float64) {
	s.along(line, 2.2, func(i int, d, _ float64) {
		s.height[i] += -deep*max(0, 1-d*d) + ridge*math.Exp(-6*(d-1.35)*(d-1.35))
		t := tint * (1 - step(0.7, 1.15, d))
		s.colour[i] = s.colour[i].toward(ground, t)
		s.gloss[i] *= 1 - 0.6*t
	})
}

// split opens a crack: a dark gap with sharp sides.
func (s *surface) split(line []node, gap rgb, deep float64) {
	s.along(line, 1.8, func(i int, d, _ float64) {
		t := 1 - step(0.55, 1.25, d)
		s.height[i] -= deep * t
		s.colour[i] = s.colour[i].toward(gap, 0.88*t)
		s.gloss[i] *= 1 - t
	})
}

// soak stains the surface as a liquid that has dried: the colour is multiplied,
// unevenly, and more along the rim.
func (s *surface) soak(b blob, dye rgb, strength float64, patches field) {
	s.within(b.x, b.y, b.reach(), func(i int, x, y float64) {
		d := b.depth(x, y)
		if d <= 0 {
			return
		}
		body := step(0, 0.10, d) * (0.72 + 0.4*patches.sum(x*13, y*13, 3))
		rim := 0.45 * step(0, 0.06, d) * (1 - step(0.08, 0.26, d))
		t := clamp(strength*(body+rim), 0, 0.92)
		for c := range s.colour[i] {
			s.colour[i][c] *= lerp(1, dye[c], t)
		}
		s.gloss[i] *= 1 - 0.5*t
	})
}

// drop lays a drop of paint on the surface: its own colour, a little relief.
func (s *surface) drop(b blob, paint rgb, cover, thick, gloss float64) {
	s.within(b.x, b.y, b.reach(), func(i int, x, y float64) {
		d := b.depth(x, y)
		t := cover * step(-0.04, 0.12, d)
		if t <= 0 {
			return
		}
		s.colour[i] = s.colour[i].toward(paint, t)
		s.height[i] += thick * math.Sqrt(clamp(d, 0, 1))
		s.gloss[i] = lerp(s.gloss[i], gloss, t)
	})
}

// press pushes the surface in: a smooth hollow with a raised edge. The colour
// stays; only the light shows it.
func (s *surface) press(b blob, deep float64) {
	s.within(b.x, b.y, 2.6*b.reach(), func(i int, x, y float64) {
		q := 1 - b.depth(x, y) // 0 in the middle, 1 on the rim
		s.height[i] += deep * (-math.Exp(-1.6*q*q) + 0.35*math.Exp(-5*(q-1.25)*(q-1.25)))
	})
}

// bore makes a hole with a worn rim.
func (s *surface) bore(b blob, ground rgb) {
	s.within(b.x, b.y, 1.6*b.reach(), func(i int, x, y float64) {
		d := b.depth(x, y)
		t := step(-0.12, 0.22, d)
		s.colour[i] = s.colour[i].toward(ground, 0.95*t)
		s.gloss[i] *= 1 - t
		s.height[i] -= 0.012 * step(-0.3, 0.5, d)
	})
}
