package tensor

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Bounds against all distances in double precision, for rows of few values and many, from every row on, in one go and
// step by step.
func TestRowSet(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, k := range []int{1, 15, 16, 17, 40, 128} {
		const n = 37
		set, err := NewRowSet(k, 10)
		require.NoError(t, err)
		rows := make([][]float32, n)
		for i := range rows {
			rows[i] = make([]float32, k)
			for j := range rows[i] {
				rows[i][j] = float32(rng.NormFloat64())
			}
			require.NoError(t, set.Append(rows[i]))
			require.Equal(t, i+1, set.Len())
		}
		x := make([]float32, k)
		for j := range x {
			x[j] = float32(rng.NormFloat64())
		}
		distance := func(i int) float64 {
			sum := 0.0
			for j := range x {
				d := float64(x[j]) - float64(rows[i][j])
				sum += d * d
			}
			return sum
		}
		for from := range n + 1 {
			least := math.Inf(1)
			for i := from; i < n; i++ {
				least = min(least, distance(i))
			}
			got, at, err := set.Nearer(x, from, math.MaxFloat32, 0)
			require.NoError(t, err)
			require.Equal(t, n, at)
			if from < n {
				require.InEpsilon(t, least, got, 1e-5)
			} else {
				require.Equal(t, float32(math.MaxFloat32), got)
			}
			// It may end as soon as the bound is low enough, and goes on from there.
			enough := float32(least * 1.5)
			low, at, err := set.Nearer(x, from, math.MaxFloat32, enough)
			require.NoError(t, err)
			require.True(t, at == n || low < enough, "%d values, from %d", k, from)
			low, at, err = set.Nearer(x, at, low, 0)
			require.NoError(t, err)
			require.Equal(t, n, at)
			require.Equal(t, got, low)
			low, _, err = set.Nearer(x, from, float32(least/2), 0) // below all
			require.NoError(t, err)
			require.True(t, from == n || low == float32(least/2))
		}
		require.ErrorIs(t, set.Append(make([]float32, k+1)), ErrShape)
		for _, from := range []int{-1, n + 1} {
			_, _, err = set.Nearer(x, from, 1, 0)
			require.ErrorIs(t, err, ErrShape)
		}
		_, _, err = set.Nearer(x[:k-1], 0, 1, 0)
		require.ErrorIs(t, err, ErrShape)
	}
	for _, bad := range [][2]int{{0, 1}, {-1, 1}, {1<<20 + 1, 1}, {1, -1}} {
		_, err := NewRowSet(bad[0], bad[1])
		require.ErrorIs(t, err, ErrShape)
	}
}
