package metrics_test

import (
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/metrics"
)

// pairs are trials of which both, only a, only b and none of a and b are right.
func pairs(both, onlyA, onlyB, neither int) (a, b []bool) {
	for i, n := range []int{both, onlyA, onlyB, neither} {
		a = append(a, slices.Repeat([]bool{i < 2}, n)...)
		b = append(b, slices.Repeat([]bool{i%2 == 0}, n)...)
	}
	return a, b
}

func TestMcNemar(t *testing.T) {
	for _, c := range []struct {
		both, onlyA, onlyB, neither int
		low, high, p                float64
	}{
		// Airway hyper-responsiveness of 21 children before and after a transplantation (Bentur and others, 2009), as
		// in Fagerland, Lydersen and Laake, "Recommended tests and confidence intervals for paired binomial
		// proportions", Statistics in Medicine 33, 2014: -0.507 to -0.026, P 0.0703.
		{1, 1, 7, 12, -0.507, -0.026, 0.0703125},
		// Newcombe's own examples, method 10.
		{36, 12, 2, 0, 0.0569, 0.3404, 106.0 / 8192}, // 2 (1 + 14 + 91) / 2^14
		{36, 14, 0, 0, 0.1528, 0.4167, 1.0 / 8192},
		{10, 0, 0, 5, -0.1349, 0.1349, 1}, // never apart, and yet with a length; by this formula, in Python
	} {
		a, b := pairs(c.both, c.onlyA, c.onlyB, c.neither)
		s, err := metrics.McNemar(a, b, 0.95)
		require.NoError(t, err)
		require.Equal(t, c.onlyA, s.OnlyA)
		require.Equal(t, c.onlyB, s.OnlyB)
		require.InDelta(t, float64(c.both+c.onlyA)/float64(s.N), s.A, 1e-15)
		require.InDelta(t, float64(c.both+c.onlyB)/float64(s.N), s.B, 1e-15)
		require.InDelta(t, s.A-s.B, s.Difference.Value, 1e-12)
		require.InDelta(t, c.p, s.P, 1e-9)
		require.InDelta(t, c.low, s.Difference.Low, 5e-4)
		require.InDelta(t, c.high, s.Difference.High, 5e-4)
	}
	for name, want := range map[string]error{"length": metrics.ErrLength, "empty": metrics.ErrEmpty, "level": metrics.ErrRange} {
		a, b, level := []bool{true}, []bool{false}, 0.95
		switch name {
		case "length":
			b = nil
		case "empty":
			a, b = nil, nil
		case "level":
			level = math.NaN()
		}
		_, err := metrics.McNemar(a, b, level)
		require.ErrorIs(t, err, want)
	}
}

// P is the sum of the binomial's terms that are as far out or farther, in whole numbers.
func TestMcNemarAgainstWholeNumbers(t *testing.T) {
	for n := 1; n <= 60; n++ {
		for k := range n + 1 {
			a, b := pairs(3, k, n-k, 4)
			s, err := metrics.McNemar(a, b, 0.95)
			require.NoError(t, err)
			sum := new(big.Int)
			for j := range n + 1 {
				if j <= min(k, n-k) || j >= max(k, n-k) {
					sum.Add(sum, new(big.Int).Binomial(int64(n), int64(j)))
				}
			}
			want, _ := new(big.Rat).SetFrac(sum, new(big.Int).Lsh(big.NewInt(1), uint(n))).Float64()
			require.InDelta(t, want, s.P, 1e-12, "%d of %d", k, n)
			other, err := metrics.McNemar(b, a, 0.95)
			require.NoError(t, err)
			require.Equal(t, s.P, other.P)
			require.InDelta(t, -s.Difference.Low, other.Difference.High, 1e-12)
			require.LessOrEqual(t, s.Difference.Low, s.Difference.Value)
			require.GreaterOrEqual(t, s.Difference.High, s.Difference.Value)
		}
	}
}

// Of many draws of trials whose answers go together, the interval holds the true difference as
// often as its level says, and the exact test alarms at most so often where there is none.
func TestMcNemarCovers(t *testing.T) {
	const draws, trials = 2000, 120
	for _, c := range []struct{ both, onlyA, onlyB float64 }{{0.6, 0.15, 0.05}, {0.8, 0.05, 0.05}, {0.3, 0.1, 0.2}} {
		r := rand.New(rand.NewPCG(1, 2))
		held, alarms := 0, 0
		for range draws {
			a, b := make([]bool, trials), make([]bool, trials)
			for i := range a {
				switch u := r.Float64(); {
				case u < c.both:
					a[i], b[i] = true, true
				case u < c.both+c.onlyA:
					a[i] = true
				case u < c.both+c.onlyA+c.onlyB:
					b[i] = true
				}
			}
			s, err := metrics.McNemar(a, b, 0.9)
			require.NoError(t, err)
			if d := c.onlyA - c.onlyB; s.Difference.Low <= d && d <= s.Difference.High {
				held++
			}
			if s.P <= 0.1 {
				alarms++
			}
		}
		require.InDelta(t, 0.9, float64(held)/draws, 0.03) // four standard deviations
		if c.onlyA == c.onlyB {
			require.LessOrEqual(t, float64(alarms)/draws, 0.1)
		}
	}
}
