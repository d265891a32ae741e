package evaluate

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/metrics"
)

func TestHalvesShareEveryKindOut(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		defective := make([]bool, 2+rng.IntN(60))
		for i := range defective {
			defective[i] = rng.IntN(3) == 0
		}
		half := halves(defective)
		require.Equal(t, half, halves(defective), "the halves depend on nothing but the labels")
		all := slices.Concat(half[0], half[1])
		slices.Sort(all)
		for i, at := range all {
			require.Equal(t, i, at)
		}
		for _, kind := range []bool{false, true} {
			var n [2]int
			for h := range half {
				for _, i := range half[h] {
					if defective[i] == kind {
						n[h]++
					}
				}
			}
			require.LessOrEqual(t, n[0]-n[1], 1)
			require.GreaterOrEqual(t, n[0]-n[1], 0)
		}
	}
}

// TestCrossFitCountsEveryImageOnce holds the counts against a loop over the halves, with
// thresholds chosen by definition.
func TestCrossFitCountsEveryImageOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	scores, defective := make([]float64, 45), make([]bool, 45)
	for i := range scores {
		defective[i] = i%3 == 0
		scores[i] = rng.NormFloat64()
		if defective[i] {
			scores[i]++
		}
	}
	rule := metrics.Overkill(0.2)
	got, err := NewCrossFit(rule, scores, defective)
	require.NoError(t, err)
	want := CrossFit{Rule: "overkill:0.2", Defects: 15, Good: 30}
	// lowest is the lowest number at which no more than a fifth of the good ones of these
	// images are rejected, which lies just above one of them.
	lowest := func(of []int) float64 {
		var own []float64
		for _, i := range of {
			if !defective[i] {
				own = append(own, math.Nextafter(scores[i], 100))
			}
		}
		slices.Sort(own)
		for _, s := range own {
			rejected := 0
			for _, i := range of {
				if !defective[i] && scores[i] >= s {
					rejected++
				}
			}
			if float64(rejected) <= 0.2*float64(len(own)) {
				return s
			}
		}
		t.Fatal("no threshold")
		return 0
	}
	half := halves(defective)
	for h := range half {
		want.Thresholds[h] = lowest(half[h])
		for _, i := range half[1-h] {
			switch rejected := scores[i] >= want.Thresholds[h]; {
			case defective[i] && !rejected:
				want.Escaped++
			case !defective[i] && rejected:
				want.Overkilled++
			}
		}
	}
	all := make([]int, len(scores))
	for i := range all {
		all[i] = i
	}
	want.Threshold = lowest(all)
	require.Equal(t, want, *got)
	require.Positive(t, got.Escaped)
	require.Positive(t, got.Overkilled)
	require.Contains(t, got.String(), "of 15 defects")
	require.Contains(t, got.String(), "lowest threshold that rejects at most 20 % of the good parts")

	for _, r := range []metrics.Rule{metrics.Escape(0.1), metrics.BestF1(), metrics.Youden()} {
		c, err := NewCrossFit(r, scores, defective)
		require.NoError(t, err)
		require.Equal(t, r.Flag(), c.Rule)
		require.NotEqual(t, want.Thresholds, c.Thresholds)
	}
	// One image of a kind cannot be halved.
	none, err := NewCrossFit(rule, []float64{1, 2, 3}, []bool{false, false, true})
	require.NoError(t, err)
	require.Nil(t, none)
	// Nor can half of the images tell a conformal rate of a thirtieth.
	none, err = NewCrossFit(metrics.Conformal(1./30), scores, defective)
	require.NoError(t, err)
	require.Nil(t, none)
}

// TestCrossFitOfSeparateKindsLetsNothingEscape has defects far above all good parts: the
// good parts alone place the threshold, so it makes no difference which defects the
// half has that it is chosen on.
func TestCrossFitOfSeparateKindsLetsNothingEscape(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	scores, defective := make([]float64, 40), make([]bool, 40)
	for i := range scores {
		defective[i] = i%2 == 0
		scores[i] = rng.Float64()
		if defective[i] {
			scores[i] = 2 + 3*rng.Float64()
		}
	}
	got, err := NewCrossFit(metrics.Overkill(0.05), scores, defective)
	require.NoError(t, err)
	require.Zero(t, got.Escaped)
}
