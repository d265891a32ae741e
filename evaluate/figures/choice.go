package figures

import (
	"math/rand/v2"

	"github.com/gotab/gotab/dataset"
)

// seeded is a generator for one of several uses of a seed.
func seeded(seed, use uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, use)) }

// spaced returns up to most of the numbers, evenly spaced, with the first.
func spaced(numbers []int, most int) []int {
	if len(numbers) <= most {
		return numbers
	}
	out := make([]int, most)
	for i := range out {
		out[i] = numbers[i*len(numbers)/most]
	}
	return out
}

// apart are the numbers of the good and of the damaged samples.
func apart(ds dataset.Dataset) (good, damaged []int) {
	for i := range ds.Len() {
		if ds.Item(i).IsGood() {
			good = append(good, i)
		} else {
			damaged = append(damaged, i)
		}
	}
	return good, damaged
}
