package patchcore

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/tensor"
)

// surfaces are count patches of c values that lie along few directions, with noise, as patches of images do, less their mean.
func surfaces(seed uint64, count, c, directions int) []float32 {
	rng := rand.New(rand.NewPCG(7, 7)) // the directions are those of all seeds
	turn := make([]float64, directions*c)
	for i := range turn {
		turn[i] = rng.NormFloat64()
	}
	rng = rand.New(rand.NewPCG(seed, 1))
	x := make([]float32, count*c)
	for i := range count {
		for d := range directions {
			along := rng.NormFloat64() * 4 / float64(1+d)
			for j := range c {
				x[i*c+j] += float32(along * turn[d*c+j])
			}
		}
		for j := range c {
			x[i*c+j] += float32(0.3 * rng.NormFloat64())
		}
	}
	return x
}

// TestShortenedFindsTheNearest holds the search that leaves patches out against the one that compares all, for
// patches near to the bank and far from all of it, and the shorter way against what it promises.
func TestShortenedFindsTheNearest(t *testing.T) {
	before := tensor.Live()
	const c, count = leastValues, leastPatches + 300
	k := Shortened(tensor.CPU, count, c)
	require.Equal(t, c/perAxis, k)
	require.Zero(t, Shortened(tensor.CPU, leastPatches-1, c))
	require.Zero(t, Shortened(tensor.CPU, count, c-1))
	patches := surfaces(1, count, c, 12)
	mean := Centre(patches, c)
	params := tensor.NewParams(tensor.CPU)
	g, err := NewBank(t.Context(), params, patches, mean)
	require.NoError(t, err)
	require.NotNil(t, g.low)
	require.Equal(t, []int64{count, int64(k + 1)}, g.low.Shape())
	query := append(surfaces(2, 200, c, 12), surfaces(3, 50, c, c)...)
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		q := s.FromFloats(query, 250, c)
		s.AddInto(q, g.Mean, -1)
		want, places, err := g.compareAll(s, q)
		require.NoError(t, err)
		got, at, err := g.Nearest(s, q, true)
		require.NoError(t, err)
		same := 0
		for i := range want {
			require.InEpsilon(t, want[i], got[i], 1e-5)
			if at[i] == places[i] {
				same++
			}
		}
		require.Greater(t, same, 245, "but for ties")
		near, _, err := g.Nearest(s, q, false)
		require.NoError(t, err)
		loss := 0.0
		for i := range 200 {
			require.GreaterOrEqual(t, near[i], want[i]*(1-1e-5))
			loss += math.Sqrt(float64(near[i]/want[i]))/200 - 1.0/200
		}
		require.Less(t, loss, 0.05)
		return nil
	}))
	require.NoError(t, params.Close())
	require.Equal(t, before, tensor.Live())
}

// The axes are of length 1, at right angles, and hold what patches vary by; vectors that lie among others become new ones.
func TestLeadingAxes(t *testing.T) {
	const c, k = 96, 12
	x := surfaces(1, 3000, c, k)
	Centre(x, c)
	axes, err := leading(t.Context(), x, c, k)
	require.NoError(t, err)
	check := func(axes []float32, c, k int) {
		for a := range k {
			for b := range k {
				p := 0.0
				for i := range c {
					p += float64(axes[i*k+a]) * float64(axes[i*k+b])
				}
				want := 0.0
				if a == b {
					want = 1
				}
				require.InDelta(t, want, p, 1e-5)
			}
		}
	}
	check(axes, c, k)
	whole, kept := 0.0, 0.0
	for i := range 3000 {
		for a := range k {
			p := 0.0
			for j := range c {
				p += float64(x[i*c+j]) * float64(axes[j*k+a])
			}
			kept += p * p
		}
		for _, v := range x[i*c:][:c] {
			whole += float64(v) * float64(v)
		}
	}
	require.Greater(t, kept, 0.95*whole)

	flat := make([]float32, 5*3) // one direction three times
	for i := range flat {
		flat[i] = float32(1 + i/3)
	}
	upright(flat, 5, 3)
	check(flat, 5, 3)
	clear(flat)
	upright(flat, 5, 3)
	check(flat, 5, 3)
}
