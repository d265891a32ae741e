package drawn

import (
	"math"
	"math/rand/v2"
)

// tiles is a wall of glazed tiles with a printed flower on each.
type tiles struct {
	across float64 // tiles across the image
	turn   float64
	dx, dy float64
	shade  field
	glaze  field
	joint  field
	ink    rgb

	// What a misprint changes: one tile's print.
	wrong    [2]float64
	hasWrong bool
	move     [2]float64
	cutAt    float64 // the print ends here, in tiles from its middle
}

func ceramicTiles() product {
	return product{
		name: "ceramic tiles",
		plan: func(r *rand.Rand) plan {
			return &tiles{
				across: between(r, 3.4, 3.6), turn: between(r, -0.025, 0.025),
				dx: between(r, 0, 8), dy: between(r, 0, 8),
				shade: seedField(r), glaze: seedField(r), joint: seedField(r),
				ink:   rgb{0.30, 0.40, 0.58}.times(between(r, 0.96, 1.04)),
				cutAt: 9,
			}
		},
		defects: []defect{
			{name: "crack", after: func(s *surface, _ plan, r *rand.Rand) {
				x, y := spot(r, 0.25)
				turn := between(r, 0, 2*math.Pi)
				line := jagged(r, x, y, turn, between(r, 0.22, 0.4), between(r, 0.004, 0.0065))
				gap := rgb{0.33, 0.29, 0.26}
				s.split(line, gap, 0.003)
				if r.IntN(2) == 0 { // a branch
					from := line[len(line)/3]
					s.split(jagged(r, from.x, from.y, turn+between(r, 0.5, 0.9), between(r, 0.08, 0.16), 0.7*from.w), gap, 0.003)
				}
			}},
			{name: "chipped corner", after: func(s *surface, p plan, r *rand.Rand) {
				w := p.(*tiles)
				x, y := w.corner(r)
				b := newBlob(r, x, y, between(r, 0.045, 0.075), 0.4)
				body := seedField(r)
				s.within(b.x, b.y, b.reach(), func(i int, px, py float64) {
					if !w.sameTile(x, y, px, py) {
						return
					}
					d := b.depth(px, py)
					t := step(0, 0.1, d)
					s.colour[i] = s.colour[i].toward(rgb{0.60, 0.45, 0.36}.times(1+0.15*body.sum(px*40, py*40, 2)), 0.92*t)
					s.height[i] -= 0.006 * step(0, 0.5, d)
					s.gloss[i] *= 1 - t
				})
			}},
			{name: "colour spot", after: func(s *surface, _ plan, r *rand.Rand) {
				x, y := spot(r, 0.12)
				paint := []rgb{{0.46, 0.36, 0.28}, {0.44, 0.50, 0.40}, {0.40, 0.42, 0.50}}[r.IntN(3)]
				for k := range 1 + r.IntN(3) {
					s.drop(newBlob(r, x, y, between(r, 0.018, 0.034)/(1+0.5*float64(k)), 0.2), paint, 0.8, 0.002, 0.3)
					x += between(r, -0.08, 0.08)
					y += between(r, -0.08, 0.08)
				}
			}},
			{name: "misprint", before: func(p plan, r *rand.Rand) {
				t := p.(*tiles)
				u, v := t.tilesAt(between(r, 0.3, 0.7), between(r, 0.3, 0.7))
				t.hasWrong, t.wrong = true, [2]float64{math.Floor(u), math.Floor(v)}
				if r.IntN(2) == 0 {
					turn := between(r, 0, 2*math.Pi)
					far := between(r, 0.08, 0.16)
					t.move = [2]float64{far * math.Cos(turn), far * math.Sin(turn)}
				} else {
					t.cutAt = between(r, -0.15, 0.12)
				}
			}},
		},
	}
}

func (t *tiles) tilesAt(x, y float64) (u, v float64) {
	c, s := math.Cos(t.turn), math.Sin(t.turn)
	return (x*c+y*s)*t.across + t.dx, (y*c-x*s)*t.across + t.dy
}

// corner draws a corner of a tile that lies well inside the image.
func (t *tiles) corner(r *rand.Rand) (x, y float64) {
	u, v := t.tilesAt(between(r, 0.3, 0.7), between(r, 0.3, 0.7))
	u, v = (math.Round(u)-t.dx)/t.across, (math.Round(v)-t.dy)/t.across
	// Into one of the four tiles that meet there.
	u += 0.02 * math.Copysign(1, r.Float64()-0.5)
	v += 0.02 * math.Copysign(1, r.Float64()-0.5)
	c, s := math.Cos(t.turn), math.Sin(t.turn)
	return u*c - v*s, u*s + v*c
}

// sameTile says whether two places belong to one tile, its joint left out.
func (t *tiles) sameTile(ax, ay, bx, by float64) bool {
	au, av := t.tilesAt(ax, ay)
	bu, bv := t.tilesAt(bx, by)
	iu, iv := math.Floor(bu), math.Floor(bv)
	return math.Floor(au) == iu && math.Floor(av) == iv && tileDepth(bu-iu-0.5, bv-iv-0.5) >= 0
}

// tileDepth is how far a place, counted from the tile's middle, lies inside the
// tile's edge; the corners are rounded. It is negative in the joint.
func tileDepth(a, b float64) float64 {
	const straight = 0.38
	return 0.5 - straight - math.Hypot(max(math.Abs(a)-straight, 0), max(math.Abs(b)-straight, 0)) - jointWidth
}

const jointWidth = 0.045 // half of it, in tiles

func (t *tiles) paint(n int) *surface {
	s := newSurface(n)
	glazed, grout := rgb{0.80, 0.78, 0.73}, rgb{0.50, 0.49, 0.47}
	s.each(func(i int, x, y float64) {
		u, v := t.tilesAt(x, y)
		iu, iv := math.Floor(u), math.Floor(v)
		a, b := u-iu-0.5, v-iv-0.5
		edge := tileDepth(a, b)
		if edge < 0 {
			sand := t.joint.sum(x*110, y*110, 2)
			s.colour[i] = grout.times(1 + 0.09*sand)
			s.height[i] = -0.008 + 0.0006*sand
			return
		}
		tile := 1 + 0.025*t.shade.lattice(int32(iu), int32(iv))
		mottle := t.glaze.sum(u*5, v*5, 3)
		colour := glazed.times(tile * (1 + 0.025*mottle))
		if t.hasWrong && iu == t.wrong[0] && iv == t.wrong[1] {
			a, b = a-t.move[0], b-t.move[1]
			if a < t.cutAt {
				colour = colour.toward(t.ink, 0.8*flower(a, b))
			}
		} else {
			colour = colour.toward(t.ink, 0.8*flower(a, b))
		}
		s.colour[i] = colour
		s.height[i] = -0.008 + 0.008*math.Sqrt(1-math.Pow(1-clamp(edge/0.06, 0, 1), 2)) + 0.0002*mottle
		s.gloss[i] = 0.22
	})
	return s
}

// flower is the print at a place from the tile's middle: how much ink lies there.
func flower(a, b float64) float64 {
	d, turn := math.Hypot(a, b), math.Atan2(b, a)
	leaf := 0.16 + 0.09*math.Cos(4*turn)
	line := step(0.028, 0.012, math.Abs(d-leaf))
	ring := step(0.022, 0.008, math.Abs(d-0.305))
	dot := step(0.052, 0.036, d)
	return max(line, 0.8*ring, dot)
}
