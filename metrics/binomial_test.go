package metrics_test

import (
	"math"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/metrics"
)

// chance is the probability of v successes or fewer in n trials of a share p, from the
// definition, in rational numbers.
func chance(v, n int64, p float64) float64 {
	share := new(big.Rat).SetFloat64(p)
	rest := new(big.Rat).Sub(big.NewRat(1, 1), share)
	power := func(x *big.Rat, k int64) *big.Rat {
		out := big.NewRat(1, 1)
		for range k {
			out.Mul(out, x)
		}
		return out
	}
	sum := new(big.Rat)
	for k := range v + 1 {
		term := new(big.Rat).SetInt(new(big.Int).Binomial(n, k))
		term.Mul(term, power(share, k)).Mul(term, power(rest, n-k))
		sum.Add(sum, term)
	}
	out, _ := sum.Float64()
	return out
}

// The ends are those shares of which counts so far away have the probability that the
// level leaves on each side.
func TestClopperPearsonSolvesItsDefinition(t *testing.T) {
	for _, level := range []float64{0.5, 0.95, 0.999} {
		for _, c := range [][2]int{{0, 1}, {1, 1}, {0, 30}, {1, 10}, {3, 7}, {7, 7}, {20, 41}, {29, 30}, {2, 60}} {
			v, n := c[0], c[1]
			i, err := metrics.ClopperPearson(v, n, level)
			require.NoError(t, err)
			require.Equal(t, float64(v)/float64(n), i.Value)
			require.Equal(t, level, i.Level)
			require.Equal(t, "Clopper-Pearson", i.Method)
			beyond := (1 - level) / 2
			if v == n {
				require.Equal(t, 1.0, i.High)
			} else {
				require.InEpsilon(t, beyond, chance(int64(v), int64(n), i.High), 1e-9, "%d of %d", v, n)
			}
			if v == 0 {
				require.Equal(t, 0.0, i.Low)
			} else {
				require.InEpsilon(t, 1-beyond, chance(int64(v)-1, int64(n), i.Low), 1e-9, "%d of %d", v, n)
			}
		}
	}
	i, err := metrics.ClopperPearson(0, 30, 0.95)
	require.NoError(t, err)
	require.InEpsilon(t, 1-math.Pow(0.025, 1.0/30), i.High, 1e-12)
	require.Equal(t, "0.0000 [0.0000, 0.1157] (95 % Clopper-Pearson)", i.String())
}

// By enumeration of all outcomes: whatever the share, the interval holds it at least as
// often as it says, which Wilson's does not.
func TestClopperPearsonHoldsItsLevel(t *testing.T) {
	const n, level = 25, 0.9
	short := 0
	for s := 1; s < 200; s++ {
		p := float64(s) / 200
		held, wilson := 0.0, 0.0
		for v := range n + 1 {
			log := func(k int) float64 { l, _ := math.Lgamma(float64(k) + 1); return l }
			weight := math.Exp(log(n) - log(v) - log(n-v) + float64(v)*math.Log(p) + float64(n-v)*math.Log(1-p))
			i, err := metrics.ClopperPearson(v, n, level)
			require.NoError(t, err)
			if i.Low <= p && p <= i.High {
				held += weight
			}
			if i, err = metrics.Wilson(v, n, level); i.Low <= p && p <= i.High {
				wilson += weight
			}
			require.NoError(t, err)
		}
		require.GreaterOrEqual(t, held, level, "share %v", p)
		if wilson < level {
			short++
		}
	}
	require.Positive(t, short, "the comparison says nothing")
}

func TestClopperPearsonOfMany(t *testing.T) {
	for _, n := range []int{10_000, 1 << 31} {
		for _, share := range []float64{0.001, 0.3, 0.5, 0.999} {
			v := int(share * float64(n))
			exact, err := metrics.ClopperPearson(v, n, 0.95)
			require.NoError(t, err)
			wilson, err := metrics.Wilson(v, n, 0.95)
			require.NoError(t, err)
			width := wilson.High - wilson.Low
			require.InDelta(t, wilson.Low, exact.Low, 0.2*width, "%d of %d", v, n)
			require.InDelta(t, wilson.High, exact.High, 0.2*width, "%d of %d", v, n)
			mirror, err := metrics.ClopperPearson(n-v, n, 0.95)
			require.NoError(t, err)
			require.InDelta(t, 1-exact.Low, mirror.High, 1e-12)
		}
	}
	for _, c := range []struct {
		v, n  int
		level float64
	}{{1, 0, 0.9}, {-1, 3, 0.9}, {4, 3, 0.9}, {1, 3, 1}, {1, 3, 0}, {1, 3, math.NaN()}, {1, 1<<31 + 1, 0.9}} {
		_, err := metrics.ClopperPearson(c.v, c.n, c.level)
		require.ErrorIs(t, err, metrics.ErrRange)
	}
}
