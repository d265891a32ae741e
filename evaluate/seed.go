package evaluate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// referenceSeed is the name of a draw that a method's reference program fixed.
const referenceSeed = "reference"

// Seed decides what a method draws at random: a number, or the draw of the
// method's reference program where there is one ([Method.Seed]).
type Seed struct {
	Reference bool
	Number    uint64
}

// String returns what [ParseSeed] reads.
func (s Seed) String() string {
	if s.Reference {
		return referenceSeed
	}
	return strconv.FormatUint(s.Number, 10)
}

// ParseSeed reads a whole number or "reference". It returns [ErrSeed] for anything
// else.
func ParseSeed(text string) (Seed, error) {
	if text == referenceSeed {
		return Seed{Reference: true}, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return Seed{}, fmt.Errorf("evaluate: %w: %q, want a whole number or %q", ErrSeed, text, referenceSeed)
	}
	return Seed{Number: n}, nil
}

// Seeds returns the seeds 1 to n, at most 1,000. It returns [ErrSeed] for other
// numbers.
func Seeds(n int) ([]Seed, error) {
	const most = 1000
	if n < 1 || n > most {
		return nil, fmt.Errorf("evaluate: %w: %d of them, want 1 to %d", ErrSeed, n, most)
	}
	out := make([]Seed, n)
	for i := range out {
		out[i].Number = uint64(i + 1)
	}
	return out, nil
}

// ParseSeeds reads how many seeds there are to be, counted from 1, or a list of
// them with commas. It returns [ErrSeed] if one is none or named twice.
func ParseSeeds(text string) ([]Seed, error) {
	if n, err := strconv.Atoi(text); err == nil {
		return Seeds(n)
	}
	var out []Seed
	for _, t := range strings.Split(text, ",") {
		s, err := ParseSeed(strings.TrimSpace(t))
		if err != nil {
			return nil, err
		}
		if slices.Contains(out, s) {
			return nil, fmt.Errorf("evaluate: %w: %s is named twice", ErrSeed, s)
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

// Rand returns the generator of what a method draws. Equal seeds give equal
// generators. The reference seed is for a method that has the draw already.
func (s Seed) Rand() *rand.Rand { return s.rand(forMethod) }

func (s Seed) rand(use purpose) *rand.Rand { return rand.New(rand.NewPCG(s.Number, uint64(use))) }
