package metrics_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/metrics"
)

// ovarian are the 43 patients with all three tests, of the 49 of DeLong, DeLong and Clarke-Pearson 1988, as printed in
// the manual of SAS/STAT (The LOGISTIC Procedure, "Comparing Receiver Operating
// Characteristic Curves"): albumin, total protein, K-G score, and whether they benefited.
var ovarian = [][4]float64{
	{3.0, 5.8, 10, 0}, {3.2, 6.3, 5, 1}, {3.9, 6.8, 3, 1}, {2.8, 4.8, 6, 0}, {3.2, 5.8, 3, 1}, {0.9, 4.0, 5, 0},
	{2.5, 5.7, 8, 0}, {1.6, 5.6, 5, 1}, {3.8, 5.7, 5, 1}, {3.7, 6.7, 6, 1}, {3.2, 5.4, 4, 1}, {3.8, 6.6, 6, 1},
	{4.1, 6.6, 5, 1}, {3.6, 5.7, 5, 1}, {4.3, 7.0, 4, 1}, {3.6, 6.7, 4, 0}, {2.3, 4.4, 6, 1}, {4.2, 7.6, 4, 0},
	{4.0, 6.6, 6, 0}, {3.5, 5.8, 6, 1}, {3.8, 6.8, 7, 1}, {3.0, 4.7, 8, 0}, {4.5, 7.4, 5, 1}, {3.7, 7.4, 5, 1},
	{3.1, 6.6, 6, 1}, {4.1, 8.2, 6, 1}, {4.3, 7.0, 5, 1}, {4.3, 6.5, 4, 1}, {3.2, 5.1, 5, 1}, {2.6, 4.7, 6, 1},
	{3.3, 6.8, 6, 0}, {1.7, 4.0, 7, 0}, {3.7, 6.1, 5, 1}, {3.3, 6.3, 7, 1}, {4.2, 7.7, 6, 1}, {3.5, 6.2, 5, 1},
	{2.9, 5.7, 9, 0}, {2.1, 4.8, 7, 1}, {2.8, 6.2, 8, 0}, {4.0, 7.0, 7, 1}, {3.3, 5.7, 6, 1}, {3.7, 6.9, 5, 1},
	{3.6, 6.6, 5, 1},
}

// The areas, standard errors and 95 % limits that the same manual prints.
func TestDeLongEqualToThePublishedExample(t *testing.T) {
	const printed = 0.5001e-4 // half of the last digit
	var scores [3][]float64
	var positive []bool
	for _, row := range ovarian {
		scores[0] = append(scores[0], 10-row[2])
		scores[1] = append(scores[1], row[0])
		scores[2] = append(scores[2], row[1])
		positive = append(positive, row[3] == 1)
	}
	for i, want := range []struct {
		name            string
		area, low, high float64
	}{
		{"K-G score", 0.7258, 0.5243, 0.9273},
		{"albumin", 0.7366, 0.5549, 0.9182},
		{"total protein", 0.6478, 0.4518, 0.8439},
	} {
		got, err := metrics.DeLong(scores[i], positive, 0.95)
		require.NoError(t, err)
		require.InDelta(t, want.area, got.Value, printed, want.name)
		require.InDelta(t, want.low, got.Low, printed, want.name)
		require.InDelta(t, want.high, got.High, printed, want.name)
	}
	for i, want := range []struct{ difference, low, high, p float64 }{
		{0.0108, -0.1761, 0.1976, 0.9102},
		{-0.0780, -0.2830, 0.1271, 0.4561},
	} {
		got, err := metrics.DeLongTest(scores[i+1], scores[0], positive, 0.95)
		require.NoError(t, err)
		require.InDelta(t, want.difference, got.Difference.Value, printed)
		require.InDelta(t, want.low, got.Difference.Low, printed)
		require.InDelta(t, want.high, got.Difference.High, printed)
		require.InDelta(t, want.p, got.P, printed)
	}
}

// slowDeLong is the 1988 form: structural components from all pairs, of two score
// lists at once. It returns the areas and their covariance matrix.
func slowDeLong(scores [2][]float64, positive []bool) (area [2]float64, cov [2][2]float64) {
	psi := func(x, y float64) float64 {
		switch {
		case x > y:
			return 1
		case x == y:
			return 0.5
		}
		return 0
	}
	var pos, neg []int
	for i, p := range positive {
		if p {
			pos = append(pos, i)
		} else {
			neg = append(neg, i)
		}
	}
	var v10, v01 [2][]float64
	for r, s := range scores {
		for _, i := range pos {
			sum := 0.0
			for _, j := range neg {
				sum += psi(s[i], s[j])
			}
			v10[r] = append(v10[r], sum/float64(len(neg)))
			area[r] += sum / float64(len(neg)*len(pos))
		}
		for _, j := range neg {
			sum := 0.0
			for _, i := range pos {
				sum += psi(s[i], s[j])
			}
			v01[r] = append(v01[r], sum/float64(len(pos)))
		}
	}
	for r := range 2 {
		for q := range 2 {
			var s10, s01 float64
			for i := range pos {
				s10 += (v10[r][i] - area[r]) * (v10[q][i] - area[q])
			}
			for j := range neg {
				s01 += (v01[r][j] - area[r]) * (v01[q][j] - area[q])
			}
			m, n := float64(len(pos)), float64(len(neg))
			cov[r][q] = s10/(m-1)/m + s01/(n-1)/n
		}
	}
	return area, cov
}

func TestDeLongAgainstAllPairs(t *testing.T) {
	const z95 = 1.959963984540054 // of the normal distribution
	rng := rand.New(rand.NewPCG(9, 9))
	for range 100 {
		n := 4 + rng.IntN(60)
		a, positive := draw(n, 1+rng.IntN(60), rng)
		positive[1], positive[2] = true, false
		b := make([]float64, n)
		for i := range b {
			b[i] = math.Round(4*(a[i]+rng.NormFloat64())) / 4
		}
		area, cov := slowDeLong([2][]float64{a, b}, positive)
		for i, s := range [][]float64{a, b} {
			got, err := metrics.DeLong(s, positive, 0.95)
			require.NoError(t, err)
			half := z95 * math.Sqrt(cov[i][i])
			require.InDelta(t, area[i], got.Value, parityTol)
			require.InDelta(t, math.Max(0, area[i]-half), got.Low, parityTol)
			require.InDelta(t, math.Min(1, area[i]+half), got.High, parityTol)
			require.Equal(t, "DeLong", got.Method)
		}
		got, err := metrics.DeLongTest(a, b, positive, 0.95)
		require.NoError(t, err)
		variance := cov[0][0] + cov[1][1] - 2*cov[0][1]
		if variance < parityTol {
			continue // the three terms cancel to rounding
		}
		half := z95 * math.Sqrt(variance)
		const root = 1e-9 // rounding of the variance, through its root
		require.InDelta(t, math.Max(-1, area[0]-area[1]-half), got.Difference.Low, root)
		require.InDelta(t, math.Min(1, area[0]-area[1]+half), got.Difference.High, root)
		require.InDelta(t, math.Erfc(math.Abs(area[0]-area[1])/math.Sqrt(2*variance)), got.P, 1e-6)
	}
}

func TestDeLongProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 10))
	scores, positive := draw(80, 30, rng)
	want, err := metrics.DeLong(scores, positive, 0.95)
	require.NoError(t, err)
	area, err := metrics.AUROC(scores, positive)
	require.NoError(t, err)
	require.Equal(t, area, want.Value)
	wider, err := metrics.DeLong(scores, positive, 0.99)
	require.NoError(t, err)
	require.Less(t, wider.Low, want.Low)
	require.Greater(t, wider.High, want.High)

	same, err := metrics.DeLongTest(scores, scores, positive, 0.95)
	require.NoError(t, err)
	require.Equal(t, []float64{0, 0, 0, 1}, []float64{same.Difference.Low, same.Difference.High, same.Z, same.P})

	// Complete separation: no variance is seen, and none is invented.
	got, err := metrics.DeLong([]float64{1, 2, 3, 4}, []bool{false, false, true, true}, 0.95)
	require.NoError(t, err)
	require.Equal(t, metrics.Interval{Value: 1, Low: 1, High: 1, Level: 0.95, Method: "DeLong"}, got)
	require.Equal(t, "1.0000 [1.0000, 1.0000] (95 % DeLong)", got.String())
}

// Of the intervals of many samples, about as many hold the true area as they claim.
func TestDeLongCovers(t *testing.T) {
	const samples, images = 600, 80
	truth := 0.5 * math.Erfc(-0.5) // of N(1,1) against N(0,1): Phi(1/sqrt 2)
	rng := rand.New(rand.NewPCG(11, 11))
	held := 0
	for range samples {
		scores, positive := make([]float64, images), make([]bool, images)
		for i := range scores {
			positive[i] = i%2 == 0
			scores[i] = rng.NormFloat64()
			if positive[i] {
				scores[i]++
			}
		}
		got, err := metrics.DeLong(scores, positive, 0.90)
		require.NoError(t, err)
		if got.Low <= truth && truth <= got.High {
			held++
		}
	}
	// 90 % of 600, four standard deviations (1.2 %) to each side.
	require.InDelta(t, 0.90, float64(held)/samples, 0.05)
}

func TestDeLongRefusals(t *testing.T) {
	two := []bool{true, true, false, false}
	_, err := metrics.DeLong([]float64{1, 2, 3, 4}, []bool{true, false, false, false}, 0.95)
	require.ErrorIs(t, err, metrics.ErrOneClass)
	require.ErrorContains(t, err, "two of each")
	_, err = metrics.DeLong([]float64{1, 2, 3, 4}, []bool{false, false, false, false}, 0.95)
	require.ErrorIs(t, err, metrics.ErrOneClass)
	_, err = metrics.DeLong([]float64{1, 2, 3, math.NaN()}, two, 0.95)
	require.ErrorIs(t, err, metrics.ErrNaN)
	_, err = metrics.DeLongTest([]float64{1, 2, 3, 4}, []float64{1, 2, 3}, two, 0.95)
	require.ErrorIs(t, err, metrics.ErrLength)
	require.ErrorContains(t, err, "second scores")
	_, err = metrics.DeLongTest([]float64{math.NaN(), 2, 3, 4}, []float64{1, 2, 3, 4}, two, 0.95)
	require.ErrorIs(t, err, metrics.ErrNaN)
	require.ErrorContains(t, err, "first scores")
	for _, level := range []float64{0, 1, 95, math.NaN()} {
		_, err = metrics.DeLong([]float64{1, 2, 3, 4}, two, level)
		require.ErrorIs(t, err, metrics.ErrRange)
		_, err = metrics.DeLongTest([]float64{1, 2, 3, 4}, []float64{1, 2, 3, 4}, two, level)
		require.ErrorIs(t, err, metrics.ErrRange)
	}
}

func BenchmarkDeLong(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		b.Run(fmt.Sprintf("images=%d", n), func(b *testing.B) {
			scores, positive := draw(n, n, rand.New(rand.NewPCG(1, 1)))
			for b.Loop() {
				if _, err := metrics.DeLong(scores, positive, 0.95); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "images/s")
		})
	}
}
