package tab

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCosineEqualsPyTorch(t *testing.T) {
	b, err := os.ReadFile("testdata/parity/objectives.json")
	require.NoError(t, err)
	var f struct{ Cosine, Rising []float64 }
	require.NoError(t, json.Unmarshal(b, &f))
	s := Schedule{Cosine: true}
	for e, want := range f.Cosine {
		require.InDelta(t, want, s.factor(e, 3, 7, 10), 1e-12)
	}
	s.Period = 8 // shorter than the run, as the released code has it: the rate rises again
	for e, want := range f.Rising {
		require.InDelta(t, want, s.factor(e, 0, 7, 12), 1e-12)
	}
}

func TestWarmupAndPerStep(t *testing.T) {
	s := Schedule{Cosine: true, Warmup: 2, Min: 0.1, PerStep: true}
	require.InDelta(t, 0.1, s.factor(0, 0, 5, 12), 1e-12)
	require.InDelta(t, 1, s.factor(1, 4, 5, 12), 1e-12)
	require.InDelta(t, 1, s.factor(2, 0, 5, 12), 1e-12)
	require.InDelta(t, 0.55, s.factor(7, 0, 5, 12), 1e-12)
	last := 2.0
	for e := 2; e < 12; e++ {
		for i := range 5 {
			v := s.factor(e, i, 5, 12)
			require.Less(t, v, last)
			require.GreaterOrEqual(t, v, 0.1)
			last = v
		}
	}
	require.Equal(t, 1.0, Schedule{}.factor(9, 1, 2, 3))
}
