package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// errSeed reports a seed that a method does not have.
var errSeed = errors.New("no such seed")

// referenceSeed is the name of a draw that a method's reference program fixed.
const referenceSeed = "reference"

// seed decides what a method draws at random: a number, or the draw of the
// method's reference program where there is one.
type seed struct {
	reference bool
	n         uint64
}

// String returns what parseSeed reads.
func (s seed) String() string {
	if s.reference {
		return referenceSeed
	}
	return strconv.FormatUint(s.n, 10)
}

func parseSeed(text string) (seed, error) {
	if text == referenceSeed {
		return seed{reference: true}, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return seed{}, fmt.Errorf("%w: %q, want a whole number or %q", errSeed, text, referenceSeed)
	}
	return seed{n: n}, nil
}

// parseSeeds reads how many seeds there are to be, counted from 1, or a list of
// them.
func parseSeeds(text string) ([]seed, error) {
	const most = 1000
	if n, err := strconv.Atoi(text); err == nil {
		if n < 1 || n > most {
			return nil, fmt.Errorf("%w: %d of them, want 1 to %d; a single one is -seed", errSeed, n, most)
		}
		out := make([]seed, n)
		for i := range out {
			out[i].n = uint64(i + 1)
		}
		return out, nil
	}
	var out []seed
	for _, t := range strings.Split(text, ",") {
		s, err := parseSeed(strings.TrimSpace(t))
		if err != nil {
			return nil, err
		}
		if slices.Contains(out, s) {
			return nil, fmt.Errorf("%w: %s is named twice", errSeed, s)
		}
		out = append(out, s)
	}
	return out, nil
}

// purpose keeps draws apart that start from the same seed.
type purpose uint64

const (
	forMethod  purpose = 1 + iota // what a method draws
	forSupport                    // a support set
	forHalves                     // halves of a test set
	forImages                     // sets of images for the intervals of their figures
	forPixels                     // and of pixels
)

// rand is a generator for a purpose. The reference seed is for those that have the
// draw already.
func (s seed) rand(use purpose) *rand.Rand { return rand.New(rand.NewPCG(s.n, uint64(use))) }
