package dataset

import (
	"fmt"
	"math/bits"

	"github.com/gotab/gotab/internal/seed"
)

const (
	// permutationRounds of a Feistel network; four make it a pseudo-random permutation
	// if the round function is one (Luby and Rackoff, 1988), the rest is for the short
	// halves of small domains.
	permutationRounds = 8
	// permutationHalf is the fewest bits of a half. A domain of fewer than 2^8 numbers has
	// too few round functions for its permutations to be equally frequent.
	permutationHalf = 4
)

// Permutation is a random order of the numbers 0 to Len()-1 that takes no memory: At is
// computed. So an order of ten million images is gone on with at any place by a number.
// It is a value and safe for concurrent use; the zero value is of no numbers.
//
// It is a Feistel network over the next power of four, through which a number goes until
// it comes out below Len(): four times at most on average, and 256/Len() times where there are
// fewer than 64. All orders of a few numbers are equally frequent to what tests can
// tell. Of many numbers there are 2^512 orders and not Len()!, as with every generator.
type Permutation struct {
	n    uint64
	half uint // bits of each half
	keys [permutationRounds]uint64
}

// NewPermutation returns the order of n numbers that seed and ids decide, on every machine.
// ids are for instance an epoch. An n below 0 is an error that wraps [ErrConfig].
func NewPermutation(n int, seed uint64, ids ...uint64) (Permutation, error) {
	if n < 0 {
		return Permutation{}, fmt.Errorf("dataset: permutation: %w: of %d numbers, want 0 or more", ErrConfig, n)
	}
	return newPermutation(uint64(n), seed, "permutation", ids...), nil
}

func newPermutation(n, from uint64, purpose string, ids ...uint64) Permutation {
	p := Permutation{n: n, half: permutationHalf}
	if n > 1 {
		p.half = max(p.half, uint(bits.Len64(n-1)+1)/2)
	}
	rng := seed.Rand(from, purpose, ids...)
	for i := range p.keys {
		p.keys[i] = rng.Uint64()
	}
	return p
}

// Len is how many numbers there are.
func (p Permutation) Len() int { return int(p.n) }

// At returns the number at place i of the order, and -1 for an i out of range.
func (p Permutation) At(i int) int {
	if i < 0 || uint64(i) >= p.n {
		return -1
	}
	x := uint64(i)
	mask := uint64(1)<<p.half - 1
	for {
		left, right := x>>p.half, x&mask
		for _, k := range p.keys {
			left, right = right, left^(scramble(right+k)&mask)
		}
		// A permutation of the whole domain leads back to where it began, which lies below n.
		if x = left<<p.half | right; x < p.n {
			return int(x)
		}
	}
}

// scramble is a bijection in which every bit of the input reaches every bit of the output
// (the finaliser of MurmurHash3).
func scramble(z uint64) uint64 {
	z ^= z >> 33
	z *= 0xff51afd7ed558ccd
	z ^= z >> 33
	z *= 0xc4ceb9fe1a85ec53
	return z ^ z>>33
}
