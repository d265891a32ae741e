package metrics_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/metrics"
)

// The threshold rejects just what has a p-value of at most alpha, and the p-value is the
// one that counting gives; with and without ties.
func TestConformalThresholdAndPValueAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 1))
	for range 200 {
		n := 1 + rng.IntN(40)
		good := make([]float64, n)
		for i := range good {
			good[i] = float64(rng.IntN(12)) / 4
			if n%2 == 0 {
				good[i] += rng.Float64()
			}
		}
		shuffled := slices.Clone(good)
		slices.Sort(good)
		for _, alpha := range []float64{0.01, 0.05, 0.1, 0.25, 1.0 / 3, 0.5, 0.9} {
			threshold, err := metrics.ConformalThreshold(shuffled, alpha)
			if alpha*float64(n+1) < 1-1e-12 {
				require.ErrorIs(t, err, metrics.ErrTooFew)
				continue
			}
			require.NoError(t, err, "%d parts, alpha %v", n, alpha)
			for _, s := range append(slices.Clone(good), -1, 1.1, 2.6, 99) {
				p, err := metrics.ConformalP(good, s)
				require.NoError(t, err)
				count := 1
				for _, g := range good {
					if g >= s {
						count++
					}
				}
				require.Equal(t, float64(count)/float64(n+1), p)
				require.Equal(t, p <= alpha, s >= threshold, "score %v of %v, threshold %v, p %v, alpha %v", s, good, threshold, p, alpha)
			}
		}
	}
}

// As the definition writes it: the ceil((n+1)(1-alpha))-th score, and 19 parts are
// enough for 5 %, 18 are not.
func TestConformalThresholdIsTheOrderStatistic(t *testing.T) {
	good := make([]float64, 99)
	for i := range good {
		good[i] = float64(i + 1)
	}
	for alpha, rank := range map[float64]float64{0.01: 99, 0.02: 98, 0.05: 95, 0.29: 71, 0.5: 50} {
		got, err := metrics.ConformalThreshold(good, alpha)
		require.NoError(t, err)
		require.Equal(t, math.Nextafter(rank, 1000), got, "alpha %v", alpha)
	}
	_, err := metrics.ConformalThreshold(good[:19], 0.05)
	require.NoError(t, err)
	_, err = metrics.ConformalThreshold(good[:18], 0.05)
	require.ErrorIs(t, err, metrics.ErrTooFew)
	require.ErrorContains(t, err, "18 good parts, a false alarm in 5 % takes 19 or more")
}

func TestConformalRefusals(t *testing.T) {
	for _, alpha := range []float64{0, 1, -0.1, math.NaN()} {
		_, err := metrics.ConformalThreshold([]float64{1, 2}, alpha)
		require.ErrorIs(t, err, metrics.ErrRange)
	}
	_, err := metrics.ConformalThreshold(nil, 0.1)
	require.ErrorIs(t, err, metrics.ErrEmpty)
	_, err = metrics.ConformalThreshold([]float64{1, math.NaN()}, 0.5)
	require.ErrorIs(t, err, metrics.ErrNaN)
	_, err = metrics.ConformalThreshold([]float64{1, math.Inf(1)}, 0.5)
	require.ErrorIs(t, err, metrics.ErrRange)
	_, err = metrics.ConformalP(nil, 1)
	require.ErrorIs(t, err, metrics.ErrEmpty)
	_, err = metrics.ConformalP([]float64{1}, math.NaN())
	require.ErrorIs(t, err, metrics.ErrNaN)
}
