package wafers

import (
	"math"
	"math/rand/v2"
)

// What was chosen where nothing is published. Lengths are in units of the
// wafer's radius (26 dies), angles in radians, densities are chances that a die
// fails.
const (
	// Between the patterns one die in a hundred to one in twelve fails. Random
	// begins at three times that and ends well below Near-full.
	minBackground, maxBackground   = 0.01, 0.08
	minRandom, maxRandom           = 0.25, 0.50
	minNearFull, maxNearFull       = 0.75, 0.97
	minArea, maxArea               = 0.60, 0.98 // of spots, rings and edges
	minScratchFill, maxScratchFill = 0.85, 1.00

	// Of a pattern this share, and at least so many dies, lie outside the other
	// patterns of a mix.
	visibleShare = 0.65
	minSeen      = 18

	// Tools leave their marks in the same places again and again: this share of
	// the spots, edge defects and scratches lies near one of three places of its
	// kind, the rest anywhere.
	recurring = 0.9
	places    = 3
)

// usual says whether a defect recurs, and if so at which place.
func usual(rng *rand.Rand) (k int, ok bool) {
	k = rng.IntN(places)
	return k, rng.Float64() < recurring
}

// usualDirection is that of place k: the places of a kind lie a third of a turn
// apart, the first so far from the right end.
func usualDirection(rng *rand.Rand, k int, first float64) float64 {
	return first + float64(k)*2*math.Pi/places + between(rng, -0.1, 0.1)
}

// square draws from 0 to 1 with small values more often.
func square(rng *rand.Rand) float64 { v := rng.Float64(); return v * v }

// areaDensity draws the density of a spot, ring or edge: most are dense, some
// faint.
func areaDensity(rng *rand.Rand) float64 { return maxArea - (maxArea-minArea)*square(rng) }

// patterns draws one field for each label of c.
func patterns(rng *rand.Rand, c Combination) (out [Labels]*field) {
	for j, draw := range [Labels]func(*rand.Rand) *field{center, donut, edgeLoc, edgeRing, loc, nearFull, scratch, random} {
		if c.Has(j) {
			out[j] = draw(rng)
		}
	}
	return out
}

// spot is an ellipse with an irregular, soft edge. Its long half axis is a.
func spot(rng *rand.Rand, x0, y0, a, b float64) *field {
	turn := between(rng, 0, math.Pi)
	edge := newOutline(rng, 0.07)
	soft := between(rng, 0.03, 0.10)
	sin, cos := math.Sincos(turn)
	return newField(areaDensity(rng), func(x, y float64) float64 {
		u, v := (x-x0)*cos+(y-y0)*sin, (y-y0)*cos-(x-x0)*sin
		r := math.Hypot(u/a, v/b)
		if r > 2 {
			return 0 // beyond every outline and its soft edge
		}
		return ramp((1 - r/edge.at(math.Atan2(v, u))) * math.Sqrt(a*b) / soft)
	})
}

// center covers the middle of the wafer, whose centre lies well inside.
func center(rng *rand.Rand) *field {
	away, direction := between(rng, 0, 0.10), between(rng, 0, 2*math.Pi)
	size, stretch := between(rng, 0.20, 0.34), between(rng, 1, 1.25)
	return spot(rng, away*math.Cos(direction), away*math.Sin(direction), size*stretch, size/stretch)
}

// loc is a spot between middle and edge that reaches neither.
func loc(rng *rand.Rand) *field {
	size, stretch := between(rng, 0.16, 0.24), between(rng, 1, 1.3)
	a := size * stretch
	away, direction := between(rng, max(0.40, 0.12+a), 0.80-a), between(rng, 0, 2*math.Pi)
	if k, ok := usual(rng); ok {
		size = between(rng, 0.19, 0.24)
		a = size * stretch
		away, direction = between(rng, 0.48, 0.54), usualDirection(rng, k, 0.63)
	}
	return spot(rng, away*math.Cos(direction), away*math.Sin(direction), a, size/stretch)
}

// donut is a ring around the middle with a hole of eight dies or more; half of
// them have a gap or a thin part.
func donut(rng *rand.Rand) *field {
	away, direction := between(rng, 0, 0.10), between(rng, 0, 2*math.Pi)
	x0, y0 := away*math.Cos(direction), away*math.Sin(direction)
	half := between(rng, 0.07, 0.13)
	middle := between(rng, 0.34, 0.50)
	edge := newOutline(rng, 0.05)
	soft := between(rng, 0.03, 0.08)
	gap, gapAt, gapDepth := between(rng, 0.2, 0.7), between(rng, 0, 2*math.Pi), between(rng, 0.4, 1)
	if rng.IntN(2) == 0 {
		gapDepth = 0
	}
	return newField(areaDensity(rng), func(x, y float64) float64 {
		direction := math.Atan2(y-y0, x-x0)
		r := math.Hypot(x-x0, y-y0)
		missing := gapDepth * ramp((gap-angle(direction, gapAt))/0.2)
		return ramp((half-math.Abs(r-middle*edge.at(direction)))/soft) * (1 - missing)
	})
}

// edgeRing runs along the edge, at least three fifths of the way round, and is
// broader on one side.
func edgeRing(rng *rand.Rand) *field {
	deep := between(rng, 0.08, 0.19)
	uneven, broadest := between(rng, 0, 0.35), between(rng, 0, 2*math.Pi)
	missing, missingAt := between(rng, 0.2, 0.4*math.Pi), between(rng, 0, 2*math.Pi)
	if rng.IntN(2) == 0 {
		missing = -1 // a whole ring
	}
	soft := between(rng, 0.03, 0.08)
	return newField(areaDensity(rng), func(x, y float64) float64 {
		direction := math.Atan2(y, x)
		depth := deep * (1 + uneven*math.Cos(direction-broadest))
		return ramp((depth-1+math.Hypot(x, y))/soft) * ramp((angle(direction, missingAt)-missing)/0.15)
	})
}

// edgeLoc lies at the edge and takes at most a fifth of it.
func edgeLoc(rng *rand.Rand) *field {
	half, at := between(rng, 0.30, 0.62), between(rng, 0, 2*math.Pi)
	if k, ok := usual(rng); ok {
		at = usualDirection(rng, k, 1.47)
	}
	deep := between(rng, 0.17, 0.32)
	soft := between(rng, 0.03, 0.08)
	blunt := between(rng, 0.3, 0.8) // 1/2 gives the outline of an ellipse
	return newField(areaDensity(rng), func(x, y float64) float64 {
		t := angle(math.Atan2(y, x), at) / half
		depth := -1.0
		if t < 1 {
			depth = deep * math.Pow(1-t*t, blunt)
		}
		return ramp((depth - 1 + math.Hypot(x, y)) / soft)
	})
}

// line is the middle of a scratch, where it goes there, its length, and how far
// it turns over one radius of the wafer.
type line struct{ x, y, heading, length, bend float64 }

// usualLine is that of place k.
func usualLine(rng *rand.Rand, k int) line {
	l := [places]line{
		{-0.35, -0.30, 0.9, 1.4, 0.5},
		{0.40, -0.20, 2.2, 1.3, -0.6},
		{0.10, 0.45, 0.2, 1.4, 0.9},
	}[k]
	l.x += between(rng, -0.02, 0.02)
	l.y += between(rng, -0.02, 0.02)
	l.heading += between(rng, -0.05, 0.05)
	l.length += between(rng, -0.1, 0.1)
	l.bend += between(rng, -0.1, 0.1)
	return l
}

// scratch is a line, straight or bent, up to 42 dies long and two or three wide.
// Where it leaves the wafer it is cut off.
func scratch(rng *rand.Rand) *field {
	away, direction := 0.75*math.Sqrt(rng.Float64()), between(rng, 0, 2*math.Pi)
	l := line{away * math.Cos(direction), away * math.Sin(direction),
		between(rng, 0, 2*math.Pi), between(rng, 0.55, 1.6), between(rng, -1.4, 1.4)}
	if k, ok := usual(rng); ok {
		l = usualLine(rng, k)
	}
	half := between(rng, 0.9, 1.4) / radius
	const step = 0.2 / radius
	f := &field{density: between(rng, minScratchFill, maxScratchFill)}
	for _, way := range []float64{1, -1} { // both ways from the middle
		x, y, h := l.x, l.y, l.heading
		for s := 0.0; s < l.length/2; s += step {
			mark(&f.region, x, y, half)
			sin, cos := math.Sincos(h)
			x, y, h = x+way*step*cos, y+way*step*sin, h+way*step*l.bend
		}
	}
	for i, on := range f.region {
		if on {
			f.chance[i] = f.density
		}
	}
	return f
}

// mark sets the dies whose middle is within r of a place; it may lie off the
// wafer.
func mark(on *[Side * Side]bool, x, y, r float64) {
	col, row := int(math.Floor((x+1)*radius)), int(math.Floor((y+1)*radius))
	reach := int(math.Ceil(r * radius))
	for j := max(row-reach, 0); j <= min(row+reach, Side-1); j++ {
		for i := max(col-reach, 0); i <= min(col+reach, Side-1); i++ {
			u, v := place(j*Side + i)
			if onWafer(j*Side+i) && math.Hypot(u-x, v-y) <= r {
				on[j*Side+i] = true
			}
		}
	}
}

// nearFull is all of the wafer, with up to three thinner places.
func nearFull(rng *rand.Rand) *field {
	type thin struct{ x, y, r, depth float64 }
	places := make([]thin, rng.IntN(4))
	for i := range places {
		away, direction := math.Sqrt(rng.Float64()), between(rng, 0, 2*math.Pi)
		places[i] = thin{away * math.Cos(direction), away * math.Sin(direction), between(rng, 0.1, 0.3), between(rng, 0.2, 0.6)}
	}
	return newField(between(rng, minNearFull, maxNearFull), func(x, y float64) float64 {
		v := 1.0
		for _, p := range places {
			v *= 1 - p.depth*ramp((p.r-math.Hypot(x-p.x, y-p.y))/0.1)
		}
		return v
	})
}

// random is all of the wafer at a middling density.
func random(rng *rand.Rand) *field {
	return newField(between(rng, minRandom, maxRandom), func(float64, float64) float64 { return 1 })
}

// background returns the chance of a failure outside of patterns: a rate of the
// map's own that changes by up to two fifths from the middle to the edge on one
// side, and as much the other way on the other.
func background(rng *rand.Rand, d *drawing) (out [Side * Side]float64) {
	d.background = minBackground + (maxBackground-minBackground)*square(rng)
	tilt, direction := between(rng, 0, 0.4), between(rng, 0, 2*math.Pi)
	sin, cos := math.Sincos(direction)
	for i := range out {
		x, y := place(i)
		out[i] = d.background * (1 + tilt*(x*cos+y*sin))
	}
	return out
}

// speckle adds up to four groups of two to five failed dies side by side, which
// are no pattern.
func speckle(rng *rand.Rand, dies *Map) {
	for range rng.IntN(5) {
		at := rng.IntN(len(dies))
		for range 2 + rng.IntN(4) {
			if dies[at] != Blank {
				dies[at] = Failed
			}
			next := at + [4]int{1, -1, Side, -Side}[rng.IntN(4)]
			if next >= 0 && next < len(dies) {
				at = next
			}
		}
	}
}
