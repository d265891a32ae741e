package wafers

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// The bits of a label, in the order of the published file's columns.
const (
	Center = iota
	Donut
	EdgeLoc
	EdgeRing
	Loc
	NearFull
	Scratch
	Random
	// Labels is how many there are.
	Labels
)

// ErrCounts reports a composition that cannot be made.
var ErrCounts = errors.New("invalid numbers of maps")

// maxMaps bounds a set: more than the published 38,015 by far, and little enough
// that a slip of the pen does not fill a disk.
const maxMaps = 1 << 20

// Names returns the names of the labels, in the order of the columns.
func Names() [Labels]string {
	return [Labels]string{"Center", "Donut", "Edge-Loc", "Edge-Ring", "Loc", "Near-full", "Scratch", "Random"}
}

// Combination is a set of patterns: bit j is label j. 0 is a normal map.
type Combination uint8

// of joins labels.
func of(labels ...int) (c Combination) {
	for _, l := range labels {
		c |= 1 << l
	}
	return c
}

// Has reports whether label j is one of the combination's.
func (c Combination) Has(j int) bool { return j >= 0 && c>>j&1 == 1 }

// String joins the names with a plus; a normal map is "good".
func (c Combination) String() string {
	var on []string
	for j, name := range Names() {
		if c.Has(j) {
			on = append(on, name)
		}
	}
	if len(on) == 0 {
		return "good"
	}
	return strings.Join(on, "+")
}

// Combinations returns the 38 that there are: at most one of Center and Donut,
// at most one of Edge-Loc and Edge-Ring, with or without Loc and Scratch, and
// Near-full and Random alone. The order is such that the pure patterns come to
// lie in the rows in which the published file has them; that of the mixes
// between is not documented and chosen here.
func Combinations() []Combination {
	var out []Combination
	for _, middle := range []int{Center, Donut} {
		for _, edge := range []Combination{of(EdgeLoc), of(EdgeRing), 0} {
			for _, rest := range []Combination{0, of(Loc), of(Loc, Scratch), of(Scratch)} {
				if c := of(middle) | edge | rest; c != of(middle) {
					out = append(out, c)
				}
			}
		}
		out = append(out, of(middle))
	}
	return append(out, of(EdgeLoc), of(EdgeRing),
		of(EdgeLoc, Loc), of(EdgeLoc, Loc, Scratch), of(EdgeRing, Loc), of(EdgeRing, Loc, Scratch), of(Loc, Scratch), of(Loc),
		of(Random), 0, of(NearFull),
		of(EdgeLoc, Scratch), of(EdgeRing, Scratch), of(Scratch))
}

// Counts says how many maps there are of each of [Combinations], in their order.
type Counts []int

// Even returns n maps of each combination.
func Even(n int) Counts {
	c := make(Counts, len(Combinations()))
	for i := range c {
		c[i] = n
	}
	return c
}

// Published returns the composition of the published file times scale, rounded,
// and at least one of each. With scale 1 these are 38,015 maps: 1,000 of each
// combination, but 149 Near-full, 866 Random and 2,000 Center+Edge-Loc+Scratch.
func Published(scale float64) Counts {
	c := make(Counts, 0, len(Combinations()))
	for _, k := range Combinations() {
		n := 1000
		switch k {
		case of(NearFull):
			n = 149
		case of(Random):
			n = 866
		case of(Center, EdgeLoc, Scratch):
			n = 2000
		}
		c = append(c, int(max(1, min(math.Round(float64(n)*scale), maxMaps))))
	}
	return c
}

// Total is the number of maps.
func (c Counts) Total() int {
	n := 0
	for _, k := range c {
		n += k
	}
	return n
}

// Validate reports counts that are not 38, one below 0, no map at all and more
// than 2^20; the error wraps [ErrCounts].
func (c Counts) Validate() error {
	if want := len(Combinations()); len(c) != want {
		return fmt.Errorf("wafers: %w: there are %d, want one for each of %d combinations", ErrCounts, len(c), want)
	}
	n := 0
	for i, k := range c {
		if k < 0 || k > maxMaps {
			return fmt.Errorf("wafers: %w: %d of %s, want 0 to %d", ErrCounts, k, Combinations()[i], maxMaps)
		}
		n += k
	}
	if n < 1 || n > maxMaps {
		return fmt.Errorf("wafers: %w: %d maps in all, want 1 to %d", ErrCounts, n, maxMaps)
	}
	return nil
}

// combinations lists the combination of every map of a set.
func (c Counts) combinations() []Combination {
	out := make([]Combination, 0, c.Total())
	for i, k := range Combinations() {
		for range c[i] {
			out = append(out, k)
		}
	}
	return out
}
