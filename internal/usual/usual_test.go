package usual_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/usual"
)

// Quantiles are those of the sorted values but for the width of a bin, and never below.
func TestQuantilesAreThoseOfTheSortedValues(t *testing.T) {
	rng := rand.New(rand.NewPCG(61, 1))
	for range 20 {
		var counted usual.Values
		all := make([]float64, 1+rng.IntN(3000))
		for i := range all {
			v := float32(rng.NormFloat64() * math.Exp(4*rng.NormFloat64()))
			counted.Add([]float32{v})
			all[i] = float64(v)
		}
		slices.Sort(all)
		require.Equal(t, uint64(len(all)), counted.Len())
		for _, q := range []float64{0.01, 0.5, 0.9, 0.999} {
			want := all[max(0, int(math.Ceil(q*float64(len(all))))-1)]
			got := counted.Quantile(q)
			require.GreaterOrEqual(t, got, want)
			require.InDelta(t, want, got, math.Abs(want)/1024)
		}
	}
}

func TestScale(t *testing.T) {
	var v usual.Values
	v.Add([]float32{1, 2, 2, 2})
	v.Add([]float32{2, 4})
	low, high := v.Scale(0.999, 3)
	require.InDelta(t, 4, low, 0.01)
	require.InDelta(t, 10, high, 0.03)
	var flat usual.Values
	flat.Add(make([]float32, 9))
	low, high = flat.Scale(0.999, 3)
	require.Equal(t, low, high)
}
