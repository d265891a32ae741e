package patchcore

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/tensor"
)

// TestAlongAxesKeepsDistances turns rows that vary along one direction across all
// values: afterwards the first value has nearly all of it.
func TestAlongAxesKeepsDistances(t *testing.T) {
	before := tensor.Live()
	rng := rand.New(rand.NewPCG(6, 6))
	const n, k = bankBlock + axesRows + 77, 24 // several blocks, and more rows than are looked at
	x := make([]float32, n*k)
	for i := range n {
		along := rng.NormFloat64() * 10
		for j := range k {
			x[i*k+j] = float32(3 + along*float64(j%5-2) + rng.NormFloat64()*float64(j)/k)
		}
	}
	was := slices.Clone(x)
	require.NoError(t, alongAxes(t.Context(), x, k))
	require.Equal(t, before, tensor.Live())
	a, b := matrix{values: was, k: k}, matrix{values: x, k: k}
	for range 500 {
		i, j := rng.IntN(n), rng.IntN(n)
		want := squaredDistance(a.row(i), a.row(j), 1e30)
		require.InDelta(t, want, squaredDistance(b.row(i), b.row(j), 1e30), 1e-4+1e-4*float64(want))
	}
	variance := make([]float64, k)
	for j := range k {
		mean := 0.0
		for i := range n {
			mean += float64(x[i*k+j]) / n
		}
		for i := range n {
			d := float64(x[i*k+j]) - mean
			variance[j] += d * d / n
		}
	}
	require.Greater(t, variance[0], 900*variance[1])
	for j := 1; j < k; j++ {
		require.Less(t, variance[j], 1.2*variance[j-1], "the axes were found on a part of the rows")
	}

	wide := make([]float32, 3*(maxAxes+1))
	for i := range wide {
		wide[i] = rng.Float32()
	}
	was = slices.Clone(wide)
	require.NoError(t, alongAxes(t.Context(), wide, maxAxes+1))
	require.Equal(t, was, wide)
	flat := []float32{1, 2, 1, 2, 1, 2} // no axis is better than another
	require.NoError(t, alongAxes(t.Context(), flat, 2))
	require.Zero(t, squaredDistance(flat[:2], flat[4:], 1))
}
