package metrics_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/metrics"
)

func TestCutAt(t *testing.T) {
	scores := []float64{1, 2, 3, 4, 5, 6}
	defective := []bool{false, false, true, false, true, true}
	for _, c := range []struct {
		threshold          float64
		missed, overkilled int
	}{{math.Inf(-1), 0, 3}, {1, 0, 3}, {3, 0, 1}, {3.5, 1, 1}, {4, 1, 1}, {4.5, 1, 0}, {6, 2, 0}, {math.Inf(1), 3, 0}} {
		got, err := metrics.CutAt(scores, defective, c.threshold)
		require.NoError(t, err)
		require.Equal(t, metrics.Cut{Threshold: c.threshold, Defects: 3, Good: 3, Missed: c.missed, Overkilled: c.overkilled}, got)
	}
	got, err := metrics.CutAt(scores, defective, 3.5)
	require.NoError(t, err)
	require.Equal(t, "at threshold 3.5: escape 33.33 % (1 of 3 defects), overkill 33.33 % (1 of 3 good parts)", got.String())
}

// Against every threshold there is: all scores, the numbers just above them, and the
// infinities.
func TestCutsAreTheBest(t *testing.T) {
	rng := rand.New(rand.NewPCG(12, 12))
	for range 100 {
		scores, defective := draw(2+rng.IntN(40), 1+rng.IntN(40), rng)
		if rng.IntN(3) == 0 {
			scores[rng.IntN(len(scores))] = math.Inf(-1)
			for i, d := range defective { // a good part at +Inf may be unreachable, which is tested below
				if d {
					scores[i] = math.Inf(1)
					break
				}
			}
		}
		thresholds := []float64{math.Inf(1), math.Inf(-1)}
		for _, s := range scores {
			thresholds = append(thresholds, s, math.Nextafter(s, math.Inf(1)))
		}
		for _, rate := range []float64{0, 0.01, 0.1, 0.29, 1.0 / 3, 0.5, 1} {
			escape, err := metrics.CutForEscape(scores, defective, rate)
			require.NoError(t, err)
			overkill, err := metrics.CutForOverkill(scores, defective, rate)
			require.NoError(t, err)
			for _, c := range []metrics.Cut{escape, overkill} {
				again, err := metrics.CutAt(scores, defective, c.Threshold)
				require.NoError(t, err)
				require.Equal(t, again, c)
			}
			require.LessOrEqual(t, overkill.OverkillRate(), rate)
			if len(scores) > 0 && !math.IsInf(escape.Threshold, 1) {
				require.LessOrEqual(t, escape.EscapeRate(), rate)
			}
			for _, threshold := range thresholds {
				other, err := metrics.CutAt(scores, defective, threshold)
				require.NoError(t, err)
				if other.EscapeRate() <= rate {
					require.LessOrEqual(t, escape.OverkillRate(), other.OverkillRate())
					require.LessOrEqual(t, threshold, escape.Threshold, "the highest")
				}
				if other.OverkillRate() <= rate {
					require.LessOrEqual(t, overkill.EscapeRate(), other.EscapeRate())
					require.GreaterOrEqual(t, threshold, overkill.Threshold, "the lowest")
				}
			}
		}
	}
}

// A rate is kept as it is written: 29 of 100 are 0.29, though 0.29*100 < 29.
func TestRatesAreKeptAsWritten(t *testing.T) {
	scores, defective := make([]float64, 200), make([]bool, 200)
	for i := range scores {
		scores[i], defective[i] = float64(i/2), i%2 == 0
	}
	for k := range 100 {
		c, err := metrics.CutForEscape(scores, defective, float64(k)/100)
		require.NoError(t, err)
		require.Equal(t, k, c.Missed)
		c, err = metrics.CutForOverkill(scores, defective, float64(k)/100)
		require.NoError(t, err)
		require.Equal(t, k, c.Overkilled)
	}
}

// The threshold depends on good parts alone: a defect that scores just above them is
// found, and one that is added moves nothing.
func TestOverkillThreshold(t *testing.T) {
	good := []float64{3, 1, 2, 4}
	for rate, last := range map[float64]float64{0: 4, 0.24: 4, 0.25: 3, 0.5: 2, 0.75: 1} {
		got, err := metrics.OverkillThreshold(good, rate)
		require.NoError(t, err)
		require.Equal(t, math.Nextafter(last, 5), got)
		for _, defect := range []float64{-1, 2, 4.5, 100} {
			c, err := metrics.CutForOverkill(append([]float64{defect}, good...), []bool{true, false, false, false, false}, rate)
			require.NoError(t, err)
			require.Equal(t, got, c.Threshold)
		}
	}
	require.Equal(t, []float64{3, 1, 2, 4}, good)
	got, err := metrics.OverkillThreshold(good, 1)
	require.NoError(t, err)
	require.Equal(t, math.Inf(-1), got)
	for _, c := range []struct {
		good []float64
		rate float64
		want error
	}{
		{nil, 0.1, metrics.ErrEmpty},
		{[]float64{1, math.NaN()}, 0.1, metrics.ErrNaN},
		{good, 1.1, metrics.ErrRange},
		{good, math.NaN(), metrics.ErrRange},
		{[]float64{1, math.Inf(1)}, 0.4, metrics.ErrUnreachable},
	} {
		_, err := metrics.OverkillThreshold(c.good, c.rate)
		require.ErrorIs(t, err, c.want)
	}
}

func TestCutRefusals(t *testing.T) {
	scores, one := []float64{1, 2}, []bool{true, true}
	both := []bool{true, false}
	for name, f := range map[string]func([]float64, []bool, float64) (metrics.Cut, error){
		"at": metrics.CutAt, "escape": metrics.CutForEscape, "overkill": metrics.CutForOverkill,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f(scores, one, 0.5)
			require.ErrorIs(t, err, metrics.ErrOneClass)
			_, err = f([]float64{1, math.NaN()}, both, 0.5)
			require.ErrorIs(t, err, metrics.ErrNaN)
			_, err = f(scores, both[:1], 0.5)
			require.ErrorIs(t, err, metrics.ErrLength)
			_, err = f(scores, both, math.NaN())
			if name == "at" {
				require.ErrorIs(t, err, metrics.ErrNaN)
				return
			}
			require.ErrorIs(t, err, metrics.ErrRange)
			_, err = f(scores, both, -0.1)
			require.ErrorIs(t, err, metrics.ErrRange)
			_, err = f(scores, both, 5)
			require.ErrorContains(t, err, "rate is 5")
		})
	}
	_, err := metrics.CutForOverkill([]float64{1, math.Inf(1), 0}, []bool{true, false, false}, 0.25)
	require.ErrorIs(t, err, metrics.ErrUnreachable)
	require.ErrorContains(t, err, "more than 0 of 2")
}
