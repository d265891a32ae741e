package padim

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/tensor"
)

// TestStreamedCovariance holds the float32 sums against double precision for
// features that are far from zero, correlated, and drift away from the first
// batch, which sets the shift.
func TestStreamedCovariance(t *testing.T) {
	const (
		images, batch = 4096, 16
		side, c       = 2, 6
		grid          = side * side
		// tolerance is in units of the trace: 256 batches, each rounding the sums
		// by 6e-8.
		tolerance = 1e-5
	)
	start := tensor.Live()
	acc := NewMoments(tensor.CPU, c, 0.01, nil)
	rng := rand.New(rand.NewPCG(1, 1))
	var all [grid][c][]float64
	for b := range images / batch {
		values := make([]float32, batch*grid*c)
		for i := range batch {
			for g := range grid {
				common := rng.NormFloat64()
				for k := range c {
					v := float32(20 + float64(k) + common + 0.5*rng.NormFloat64() + float64(b)/100)
					values[(i*grid+g)*c+k] = v
					all[g][k] = append(all[g][k], float64(v))
				}
			}
		}
		require.NoError(t, acc.Add(t.Context(), values, batch, side, side))
	}
	var q, sum, shift []float64
	require.NoError(t, tensor.Run(context.Background(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		sums, err := of(acc.kept).symmetric(s, 0, grid)
		if err != nil {
			return err
		}
		for _, v := range sums {
			q = append(q, float64(v))
		}
		if sum, err = s.Float64s(acc.passed.Get("sum")); err != nil {
			return err
		}
		shift, err = s.Float64s(acc.kept.Get("mean"))
		return err
	}))
	mean := func(v []float64) float64 {
		s := 0.0
		for _, x := range v {
			s += x
		}
		return s / float64(len(v))
	}
	worst := 0.0
	for g := range grid {
		var m [c]float64
		trace := 0.0
		for k := range c {
			m[k] = mean(all[g][k])
			require.InEpsilon(t, m[k], shift[g*c+k]+sum[g*c+k]/images, 1e-6)
			for _, x := range all[g][k] {
				trace += (x - m[k]) * (x - m[k]) / (images - 1)
			}
		}
		for a := range c {
			for b := range c {
				want := 0.0
				for i := range images {
					want += (all[g][a][i] - m[a]) * (all[g][b][i] - m[b])
				}
				want /= images - 1
				got := (q[(g*c+a)*c+b] - sum[g*c+a]*sum[g*c+b]/images) / (images - 1)
				worst = math.Max(worst, math.Abs(got-want)/trace)
			}
		}
	}
	t.Logf("covariance differs by %.1e of the trace", worst)
	require.LessOrEqual(t, worst, tolerance)
	acc.Close()
	require.Equal(t, start, tensor.Live())
}
