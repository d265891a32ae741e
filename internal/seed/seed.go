package seed

import (
	"math/bits"
	"math/rand/v2"
)

// Rand returns a generator (PCG-DXSM of math/rand/v2) whose stream is determined
// by the arguments and nothing else: same arguments, same stream, on every
// machine and in every version. purpose keeps uses apart that share ids, for
// example "synth" and "shuffle"; ids name the item, for example epoch and index.
//
// Different arguments give streams that are independent for every practical end:
// each argument passes through a mixing of 128 bits of state, and purpose and ids
// enter with their lengths, so that ("a", 1) differs from ("a", 1, 0) and from
// ("a1").
//
// The generator belongs to the caller and is not safe for concurrent use. Rand
// itself is.
func Rand(seed uint64, purpose string, ids ...uint64) *rand.Rand {
	return rand.New(rand.NewPCG(State(seed, purpose, ids...)))
}

// State returns the two words that Rand starts its generator from, for those who
// need the numbers themselves.
func State(seed uint64, purpose string, ids ...uint64) (hi, lo uint64) {
	s := sponge{hi: startHi, lo: startLo}
	s.absorb(seed)
	s.absorb(uint64(len(purpose)))
	// Eight bytes a round, little-endian; the last word is filled with zeros,
	// which the length above makes unambiguous.
	for len(purpose) > 0 {
		n := min(8, len(purpose))
		var w uint64
		for i := range n {
			w |= uint64(purpose[i]) << (8 * i)
		}
		s.absorb(w)
		purpose = purpose[n:]
	}
	s.absorb(uint64(len(ids)))
	for _, id := range ids {
		s.absorb(id)
	}
	return mix(s.hi ^ bits.RotateLeft64(s.lo, 29)), mix(s.lo + s.hi)
}

const (
	// golden is 2^64 divided by the golden ratio, the step of SplitMix64 (Steele,
	// Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
	golden = 0x9e3779b97f4a7c15
	// startHi and startLo are the first 128 bits of the fraction of pi.
	startHi = 0x243f6a8885a308d3
	startLo = 0x13198a2e03707344
)

// sponge is 128 bits of state in two halves that take in one word a round.
type sponge struct{ hi, lo uint64 }

// absorb is a bijection of the state for every w, so no round loses what earlier
// ones brought in.
func (s *sponge) absorb(w uint64) {
	s.hi = mix(s.hi + golden ^ w)
	s.lo = mix(s.lo ^ s.hi)
	s.hi += bits.RotateLeft64(s.lo, 31)
}

// mix is the finaliser of SplitMix64: a bijection in which every bit of the input
// reaches every bit of the output.
func mix(z uint64) uint64 {
	z ^= z >> 30
	z *= 0xbf58476d1ce4e5b9
	z ^= z >> 27
	z *= 0x94d049bb133111eb
	return z ^ z>>31
}
