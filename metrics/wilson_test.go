package metrics_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/metrics"
)

func TestWilson(t *testing.T) {
	// scipy.stats.binomtest(81, 263).proportion_ci(0.95, "wilson").
	i, err := metrics.Wilson(81, 263, 0.95)
	require.NoError(t, err)
	require.InDelta(t, 81.0/263, i.Value, 1e-15)
	require.InDelta(t, 0.2552885198782742, i.Low, 1e-9)
	require.InDelta(t, 0.36620957698280004, i.High, 1e-9)
	require.Equal(t, "0.3080 [0.2553, 0.3662] (95 % Wilson)", i.String())
	for n := 1; n < 40; n++ {
		for v := range n + 1 {
			i, err := metrics.Wilson(v, n, 0.9)
			require.NoError(t, err)
			mirror, err := metrics.Wilson(n-v, n, 0.9)
			require.NoError(t, err)
			require.InDelta(t, 1-i.Low, mirror.High, 1e-12)
			require.LessOrEqual(t, i.Low, i.Value)
			require.GreaterOrEqual(t, i.High, i.Value)
			require.Less(t, i.Low, i.High)
			require.GreaterOrEqual(t, i.Low, 0.0)
			require.LessOrEqual(t, i.High, 1.0)
		}
	}
	for _, c := range []struct {
		v, n  int
		level float64
	}{{1, 0, 0.9}, {-1, 3, 0.9}, {4, 3, 0.9}, {1, 3, 1}, {1, 3, 0}} {
		_, err := metrics.Wilson(c.v, c.n, c.level)
		require.ErrorIs(t, err, metrics.ErrRange)
	}
}
