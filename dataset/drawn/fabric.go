package drawn

import (
	"math"
	"math/rand/v2"
)

// fabric is a plain weave: warp threads run down, weft threads across, each
// over one and under one.
type fabric struct {
	threads    float64 // threads across the image
	turn       float64
	dx, dy     float64 // phase, in threads
	pull       field   // how the threads wander
	fibre      field
	shade      field // brightness of each thread
	warp, weft rgb

	// What a defect may set.
	gone     []gap // threads that are missing
	torn     *blob // hole, threads end at its rim
	tornEdge field
}

// gap is a stretch of one thread, in threads along it.
type gap struct {
	weft     bool
	index    float64
	from, to float64
}

func wovenFabric() product {
	return product{
		name: "woven fabric",
		plan: func(r *rand.Rand) plan {
			return &fabric{
				threads: between(r, 19, 20), turn: between(r, -0.035, 0.035),
				dx: between(r, 0, 40), dy: between(r, 0, 40),
				pull: seedField(r), fibre: seedField(r), shade: seedField(r),
				warp: rgb{0.36, 0.44, 0.56}.times(between(r, 0.95, 1.05)),
				weft: rgb{0.66, 0.64, 0.58}.times(between(r, 0.95, 1.05)),
			}
		},
		defects: []defect{
			{name: "missing thread", before: func(p plan, r *rand.Rand) {
				f := p.(*fabric)
				x, y := spot(r, 0.2)
				u, v := f.threadsAt(x, y)
				g := gap{weft: r.IntN(2) == 0, index: math.Floor(u), from: v, to: v}
				if g.weft {
					g.index, g.from, g.to = math.Floor(v), u, u
				}
				g.from -= between(r, 3, 9)
				g.to += between(r, 3, 9)
				f.gone = append(f.gone, g)
				if r.IntN(3) == 0 { // now and then the neighbour goes too
					g.index++
					g.from += between(r, 0, 3)
					g.to -= between(r, 0, 3)
					f.gone = append(f.gone, g)
				}
			}},
			{name: "hole", before: func(p plan, r *rand.Rand) {
				f := p.(*fabric)
				x, y := spot(r, 0.2)
				b := newBlob(r, x, y, between(r, 0.045, 0.085), 0.15)
				f.torn, f.tornEdge = &b, seedField(r)
			}},
			{name: "stain", after: func(s *surface, _ plan, r *rand.Rand) {
				x, y := spot(r, 0.18)
				s.soak(newBlob(r, x, y, between(r, 0.07, 0.14), 0.3), rgb{0.52, 0.42, 0.28}, between(r, 0.5, 0.85), seedField(r))
			}},
			{name: "colour spot", after: func(s *surface, _ plan, r *rand.Rand) {
				x, y := spot(r, 0.15)
				paint := []rgb{{0.50, 0.20, 0.20}, {0.20, 0.26, 0.46}, {0.22, 0.40, 0.28}}[r.IntN(3)]
				for k := range 1 + r.IntN(3) {
					radius := between(r, 0.025, 0.045) / (1 + 0.6*float64(k))
					s.drop(newBlob(r, x, y, radius, 0.25), paint, 0.7, 0, 0)
					x += between(r, -0.09, 0.09)
					y += between(r, -0.09, 0.09)
				}
			}},
		},
	}
}

// threadsAt gives the place in threads: u counts warp threads, v weft threads.
func (f *fabric) threadsAt(x, y float64) (u, v float64) {
	c, s := math.Cos(f.turn), math.Sin(f.turn)
	u = (x*c+y*s)*f.threads + f.dx + 0.28*f.pull.sum(x*5, y*2, 2)
	v = (y*c-x*s)*f.threads + f.dy + 0.28*f.pull.sum(x*2+50, y*5, 2)
	return u, v
}

const (
	threadWidth = 0.9  // of the pitch
	noThread    = -9.0 // height of a thread that is not there
)

func (f *fabric) paint(n int) *surface {
	s := newSurface(n)
	unit := 0.16 / f.threads
	base := rgb{0.10, 0.10, 0.11}
	s.each(func(i int, x, y float64) {
		u, v := f.threadsAt(x, y)
		iu, iv := math.Floor(u), math.Floor(v)
		up := 1.0
		if (int(iu)+int(iv))%2 != 0 {
			up = -1
		}
		warp := threadHeight(u-iu, up*math.Sin(math.Pi*(v-iv)))
		weft := threadHeight(v-iv, -up*math.Sin(math.Pi*(u-iu)))
		if f.cut(false, iu, v, x, y) {
			warp = noThread
		}
		if f.cut(true, iv, u, x, y) {
			weft = noThread
		}
		top := max(warp, weft)
		switch {
		case top <= noThread:
			s.colour[i] = base.times(1 + 0.3*f.fibre.at(x*90, y*90))
			s.height[i] = -2 * unit
			return
		case warp >= weft:
			fuzz := f.fibre.sum(u*5, v*1.3, 2)
			s.colour[i] = f.warp.times((1 + 0.10*fuzz + 0.07*f.shade.at(iu, 0.5+v*0.05)) * (0.72 + 0.28*step(-0.6, 1.1, warp)))
			s.height[i] = unit * (warp + 0.12*fuzz)
		default:
			fuzz := f.fibre.sum(u*1.3+70, v*5, 2)
			s.colour[i] = f.weft.times((1 + 0.10*fuzz + 0.07*f.shade.at(0.5+u*0.05, iv+900)) * (0.72 + 0.28*step(-0.6, 1.1, weft)))
			s.height[i] = unit * (weft + 0.12*fuzz)
		}
		if top < -0.55 { // between the threads
			s.colour[i] = s.colour[i].toward(base, step(-0.55, -1.1, top))
		}
	})
	return s
}

// threadHeight is the height of a thread at a share of the pitch across it; wave
// says how it rises and dips along its way.
func threadHeight(across, wave float64) float64 {
	d := (2*across - 1) / threadWidth
	if d*d >= 1 {
		return -1.3
	}
	return 0.75*wave + 0.8*math.Sqrt(1-d*d) - 0.3
}

// cut says whether a thread is missing at a place: t is how far along it.
func (f *fabric) cut(weft bool, index, t, x, y float64) bool {
	for _, g := range f.gone {
		if g.weft == weft && g.index == index && t > g.from && t < g.to {
			return true
		}
	}
	if f.torn != nil {
		// Every thread ends a little elsewhere: that is what makes an edge frayed.
		fray := 0.28 * f.tornEdge.lattice(int32(index), boolInt(weft))
		return f.torn.depth(x, y) > fray
	}
	return false
}

func boolInt(b bool) int32 {
	if b {
		return 1
	}
	return 0
}
