package dataset_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

func TestPermutationHasEachNumberOnce(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 15, 16, 17, 63, 64, 65, 255, 256, 257, 1000, 4096, 65537} {
		p, err := dataset.NewPermutation(n, 7, 3)
		require.NoError(t, err)
		require.Equal(t, n, p.Len())
		seen := make([]bool, n)
		for i := range n {
			x := p.At(i)
			require.True(t, x >= 0 && x < n && !seen[x], "n %d, place %d, number %d", n, i, x)
			seen[x] = true
		}
		require.Equal(t, -1, p.At(-1))
		require.Equal(t, -1, p.At(n))
	}
	_, err := dataset.NewPermutation(-1, 0)
	require.ErrorIs(t, err, dataset.ErrConfig)
	var zero dataset.Permutation
	require.Equal(t, -1, zero.At(0))
	p, err := dataset.NewPermutation(math.MaxInt, 1)
	require.NoError(t, err)
	require.NotEqual(t, p.At(0), p.At(1))
}

func TestPermutationDependsOnAllItIsMadeOf(t *testing.T) {
	first := func(seed uint64, ids ...uint64) string {
		p, err := dataset.NewPermutation(1000, seed, ids...)
		require.NoError(t, err)
		return fmt.Sprint(p.At(0), p.At(1), p.At(2))
	}
	require.Equal(t, first(1, 2), first(1, 2))
	require.NotEqual(t, first(1, 2), first(1, 3))
	require.NotEqual(t, first(1, 2), first(2, 2))
	// Fixed numbers, so that an order that a run was stopped in is found again by later versions.
	p, err := dataset.NewPermutation(10_000_000, 1, 0)
	require.NoError(t, err)
	require.Equal(t, []int{5517685, 4361577, 2863600}, []int{p.At(0), p.At(1), p.At(9_999_999)})
}

// Of five numbers there are 120 orders. With 24,000 seeds the sum of squared deviations over
// the expectation is chi-squared of 119 degrees of freedom: mean 119, deviation 15.4. The
// seeds are fixed, so the bar of 119 + 5 deviations is no matter of luck.
func TestPermutationsOfFewAreEquallyFrequent(t *testing.T) {
	const draws = 24000
	count := map[string]int{}
	for s := range uint64(draws) {
		p, err := dataset.NewPermutation(5, s)
		require.NoError(t, err)
		key := ""
		for i := range 5 {
			key += fmt.Sprint(p.At(i))
		}
		count[key]++
	}
	require.Len(t, count, 120)
	chi := 0.0
	for _, c := range count {
		chi += (float64(c) - draws/120) * (float64(c) - draws/120) / (draws / 120)
	}
	require.Less(t, chi, 119+5*15.4)
}

// Places and numbers, and neighbouring places, are uncorrelated as in a uniform draw: the
// deviation of a correlation of n pairs is 1/sqrt(n).
func TestPermutationOfManyIsUncorrelated(t *testing.T) {
	const n = 100_000
	p, err := dataset.NewPermutation(n, 5)
	require.NoError(t, err)
	var place, next float64
	scale := func(i int) float64 { return (float64(i) - (n-1)/2.0) / (n / math.Sqrt(12)) }
	for i := range n {
		place += scale(i) * scale(p.At(i)) / n
		next += scale(p.At(i)) * scale(p.At((i+1)%n)) / n
	}
	require.Less(t, math.Abs(place), 5/math.Sqrt(n))
	require.Less(t, math.Abs(next), 5/math.Sqrt(n))
}

func BenchmarkPermutation(b *testing.B) {
	p, err := dataset.NewPermutation(10_000_000, 1)
	if err != nil {
		b.Fatal(err)
	}
	for i := range b.N {
		p.At(i % 10_000_000)
	}
}
