package wafers

import (
	"math/rand/v2"

	"github.com/gotab/gotab/internal/seed"
)

// Values of a die.
const (
	Blank  = 0 // outside of the wafer
	Passed = 1
	Failed = 2
)

// Side is the width and height of a map in dies.
const Side = 52

// Map is one wafer: rows from the top, dies from the left.
type Map [Side * Side]uint8

// Draw returns map number index of a seed, which is of combination c. It depends
// on nothing else, so maps can be drawn in any order and by any number of
// goroutines.
func Draw(s uint64, index int, c Combination) Map {
	return compose(seed.Rand(s, "wafer map", uint64(index)), c).dies
}

// drawing is a map with what it was made of.
type drawing struct {
	dies       Map
	background float64 // mean chance of a failure outside of patterns
	fields     [Labels]*field
}

// attempts bounds the search for places at which every pattern of a mix can be
// seen; hardly one map in a thousand takes ten.
const attempts = 100

// compose draws the patterns, the background and the dies.
func compose(rng *rand.Rand, c Combination) drawing {
	d := drawing{}
	best := -1.0
	// Patterns that hide one another are all drawn anew, so that no pattern's
	// place depends on which was drawn first.
	for range attempts {
		fields := patterns(rng, c)
		seen := leastSeen(fields)
		if seen > best {
			best, d.fields = seen, fields
		}
		if seen >= 1 {
			break
		}
	}
	noise := background(rng, &d)
	for i := range d.dies {
		if !onWafer(i) {
			continue
		}
		pass := 1 - noise[i]
		for _, f := range d.fields {
			if f != nil {
				pass *= 1 - f.chance[i]
			}
		}
		d.dies[i] = Passed
		if rng.Float64() >= pass {
			d.dies[i] = Failed
		}
	}
	speckle(rng, &d.dies)
	return d
}

// leastSeen returns, for the pattern that can be seen least, its dies outside of
// the other patterns in units of what its kind needs; 1 and more is enough.
func leastSeen(fields [Labels]*field) float64 {
	least := 2.0
	for j, f := range fields {
		if f == nil {
			continue
		}
		all, free := 0, 0
		for i, in := range f.region {
			if !in {
				continue
			}
			all++
			covered := false
			for k, g := range fields {
				covered = covered || k != j && g != nil && g.region[i]
			}
			if !covered {
				free++
			}
		}
		least = min(least, float64(free)/max(visibleShare*float64(all), minSeen))
	}
	return least
}
