package metrics_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/metrics"
)

// pareto draws from the generalised Pareto distribution of scale 1.
func pareto(shape float64, rng *rand.Rand) float64 {
	if y := rng.ExpFloat64(); shape == 0 {
		return y
	} else {
		return math.Expm1(shape*y) / shape
	}
}

// A tail is that of its own distribution: the shape comes back, and rates and scores
// are what the formula says.
func TestFitTailFindsTheDistribution(t *testing.T) {
	rng := rand.New(rand.NewPCG(41, 1))
	for _, shape := range []float64{-0.4, -0.1, 0, 0.2} {
		good := make([]float64, 200_000)
		for i := range good {
			good[i] = pareto(shape, rng)
		}
		tail, err := metrics.FitTail(good)
		require.NoError(t, err)
		require.Equal(t, 20_000, tail.Used)
		require.Equal(t, 0.1, tail.Share)
		require.InDelta(t, shape, tail.Shape, 0.05) // its standard error is 0.01
		// Above a value the distribution is one of the same shape.
		require.InEpsilon(t, 1+shape*tail.From, tail.Scale, 0.05)
		for _, rate := range []float64{0.05, 0.01, 1e-4} {
			want := -math.Log(rate)
			if shape != 0 {
				want = math.Expm1(-shape*math.Log(rate)) / shape
			}
			got, err := tail.Threshold(rate)
			require.NoError(t, err)
			require.InEpsilon(t, want, got, 0.05, "rate %v of shape %v", rate, shape)
			require.InEpsilon(t, rate, tail.Share*math.Pow(1+tail.Shape*(got-tail.From)/tail.Scale, -1/tail.Shape), 1e-6)
		}
	}
}

// The moments by their definition over pairs: with x below y of two values, the mean of
// x over all pairs is twice the weighted mean.
func TestFitTailAgainstPairs(t *testing.T) {
	rng := rand.New(rand.NewPCG(42, 1))
	ended := 0
	for range 100 {
		good := make([]float64, 80+rng.IntN(100))
		for i := range good {
			good[i] = rng.NormFloat64()
		}
		tail, err := metrics.FitTail(good)
		require.NoError(t, err)
		sorted := slices.Sorted(slices.Values(good))
		excess := sorted[len(sorted)-20:]
		mean, lower := 0.0, 0.0
		for i, x := range excess {
			mean += (x - tail.From) / 20
			for _, y := range excess[:i] {
				lower += (min(x, y) - tail.From) / (20 * 19 / 2)
			}
		}
		a0, a1 := mean, lower/2
		scale, shape := 2*a0*a1/(a0-2*a1), 2-a0/(a0-2*a1)
		require.InEpsilon(t, scale, tail.Scale, 1e-9)
		if top := excess[19] - tail.From; shape < 0 && -scale/shape < top {
			shape = -scale / top
			ended++
			require.InDelta(t, excess[19], tail.From-tail.Scale/tail.Shape, 1e-9, "the tail ends at the highest score")
		}
		require.InDelta(t, shape, tail.Shape, 1e-9)
		require.Equal(t, sorted[len(sorted)-21], tail.From)
	}
	require.Positive(t, ended, "no tail had to be made to end at the highest score")
}

// A tail moves with the scores.
func TestFitTailMovesWithTheScores(t *testing.T) {
	rng := rand.New(rand.NewPCG(43, 1))
	good, moved := make([]float64, 300), make([]float64, 300)
	for i := range good {
		good[i] = rng.NormFloat64()
		moved[i] = 8*good[i] - 64
	}
	a, err := metrics.FitTail(good)
	require.NoError(t, err)
	b, err := metrics.FitTail(moved)
	require.NoError(t, err)
	require.InDelta(t, a.Shape, b.Shape, 1e-9)
	require.InEpsilon(t, 8*a.Scale, b.Scale, 1e-9)
	x, err := a.Threshold(0.001)
	require.NoError(t, err)
	y, err := b.Threshold(0.001)
	require.NoError(t, err)
	require.InEpsilon(t, 8*x-64, y, 1e-9)
}

func TestFitTailRefusals(t *testing.T) {
	good := make([]float64, 100)
	_, err := metrics.FitTail(good)
	require.ErrorIs(t, err, metrics.ErrTail, "all are equal")
	rng := rand.New(rand.NewPCG(44, 1))
	for i := range good {
		good[i] = rng.NormFloat64()
	}
	_, err = metrics.FitTail(good[:79])
	require.ErrorIs(t, err, metrics.ErrTooFew)
	_, err = metrics.FitTail(nil)
	require.ErrorIs(t, err, metrics.ErrTooFew)
	tail, err := metrics.FitTail(good[:80])
	require.NoError(t, err)
	for _, rate := range []float64{0, tail.Share, 1, -1, math.NaN()} {
		_, err := tail.Threshold(rate)
		require.ErrorIs(t, err, metrics.ErrRange)
	}
	for bad, want := range map[float64]error{math.Inf(1): metrics.ErrRange, math.Inf(-1): metrics.ErrRange} {
		_, err = metrics.FitTail(append([]float64{bad}, good...))
		require.ErrorIs(t, err, want)
	}
	_, err = metrics.FitTail(append([]float64{math.NaN()}, good...))
	require.ErrorIs(t, err, metrics.ErrNaN)
	good[3], good[50] = 1000, 3000
	_, err = metrics.FitTail(good)
	require.ErrorIs(t, err, metrics.ErrTail)
	require.ErrorContains(t, err, "look at these parts")
}
