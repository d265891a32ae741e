package metrics

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// The standard error of the rate is what repetitions show, where the tail is one: of
// 2,000 exponential scores, whose true rate above a threshold is known.
func TestSpreadOfTheRateIsWhatRepetitionsShow(t *testing.T) {
	rng := rand.New(rand.NewPCG(45, 1))
	const n, rate, repeats = 2000, 0.002, 400
	var told, sum, squares float64
	for range repeats {
		good := make([]float64, n)
		for i := range good {
			good[i] = rng.ExpFloat64()
		}
		slices.Sort(good)
		tail, err := fitTail(good)
		require.NoError(t, err)
		log := -tail.threshold(rate) // of the true rate
		sum, squares = sum+log, squares+log*log
		told += tail.rateSpread(rate) / repeats
	}
	seen := math.Sqrt(squares/repeats - sum*sum/repeats/repeats)
	// A standard deviation from so many is uncertain by 4 %, and the formula is the
	// limit of many excesses; here there are 200.
	require.InEpsilon(t, seen, told, 0.15)
	require.InDelta(t, math.Log(rate), sum/repeats, 4*seen/math.Sqrt(repeats)+0.05)
}

// Near shape 0 the formula of the rate's spread goes over into that of 0.
func TestSpreadOfTheRateIsContinuous(t *testing.T) {
	for _, shape := range []float64{-1e-5, -1e-7, 1e-7, 1e-5} {
		at := Tail{Share: 0.1, Used: 50, Scale: 1}
		want := at.rateSpread(0.001)
		at.Shape = shape
		require.InEpsilon(t, want, at.rateSpread(0.001), 1e-4)
	}
}
