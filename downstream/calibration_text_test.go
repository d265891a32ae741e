package downstream_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/metrics"
)

// A calibration is the same after JSON, to the last bit, whatever chose its threshold.
func TestCalibrationText(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	good, defective := make([]float64, 200), make([]float64, 30)
	for i := range good {
		good[i] = rng.ExpFloat64()
	}
	for i := range defective {
		defective[i] = 2 + rng.ExpFloat64()
	}
	scale := downstream.ColourScale{Low: 0.1, High: 1.0 / 3}
	for _, rule := range []metrics.Rule{metrics.Overkill(0.05), metrics.Conformal(0.01), metrics.TailOverkill(0.01), metrics.Escape(0.1), metrics.Youden(), metrics.BestF1()} {
		for _, bad := range [][]float64{defective, nil} {
			if bad == nil && rule.NeedsDefects() {
				continue
			}
			c, err := downstream.NewCalibration(good, bad, scale, rule)
			require.NoError(t, err)
			text, err := json.Marshal(c)
			require.NoError(t, err)
			got, err := downstream.ParseCalibration(text)
			require.NoError(t, err, "%s", rule)
			require.Equal(t, c, got)
		}
	}
	var none *downstream.Calibration
	text, err := json.Marshal(none)
	require.NoError(t, err)
	require.Equal(t, "null", string(text))
}

func TestParseCalibrationRefuses(t *testing.T) {
	c, err := downstream.NewCalibration([]float64{1, 2, 3}, nil, downstream.ColourScale{High: 1}, metrics.Overkill(0))
	require.NoError(t, err)
	text, err := json.Marshal(c)
	require.NoError(t, err)
	for _, bad := range []string{
		"", "null", "{}", "[]", string(text[:len(text)-1]),
		strings.Replace(string(text), "[1,2,3]", "[1,3,2]", 1),
		strings.Replace(string(text), "[1,2,3]", "[1,2]", 1),
		strings.Replace(string(text), `"version":1`, `"version":2`, 1),
		strings.Replace(string(text), `"scale":[0,1]`, `"scale":[1,1]`, 1),
		strings.Replace(string(text), `"Threshold":3`, `"Threshold":2`, 1),
		string(bytes.Repeat([]byte(" "), 1<<22)) + string(text),
	} {
		require.NotEqual(t, string(text), bad)
		_, err := downstream.ParseCalibration([]byte(bad))
		require.ErrorIs(t, err, downstream.ErrFile, "%.100s", bad)
	}
}

func TestTiledDetector(t *testing.T) {
	d := &downstream.PaDiM{}
	tiled, err := downstream.NewTiled(d, downstream.DefaultTiled())
	require.NoError(t, err)
	require.Same(t, d, tiled.Detector())
}
