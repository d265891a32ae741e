package metrics_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/metrics"
)

func TestOverSeeds(t *testing.T) {
	s, err := metrics.OverSeeds([]float64{0.98, 0.99, 0.94})
	require.NoError(t, err)
	// Mean 0.97; deviations 0.01, 0.02, -0.03; their squares sum to 14e-4.
	require.InDelta(t, 0.97, s.Mean, parityTol)
	require.InDelta(t, math.Sqrt(7e-4), s.Deviation, parityTol)
	require.Equal(t, []float64{3, 0.94, 0.99}, []float64{float64(s.N), s.Min, s.Max})
	require.Equal(t, "0.9700 ± 0.0265 (n = 3)", s.String())
	s, err = metrics.OverSeeds([]float64{0.5})
	require.NoError(t, err)
	require.Equal(t, "0.5000 (n = 1)", s.String())
	require.Zero(t, s.Deviation)
	// A large offset takes nothing from the deviation.
	s, err = metrics.OverSeeds([]float64{1e9, 1e9 + 1, 1e9 + 2})
	require.NoError(t, err)
	require.InDelta(t, 1, s.Deviation, parityTol)

	_, err = metrics.OverSeeds(nil)
	require.ErrorIs(t, err, metrics.ErrEmpty)
	_, err = metrics.OverSeeds([]float64{1, math.NaN()})
	require.ErrorIs(t, err, metrics.ErrNaN)
	_, err = metrics.OverSeeds([]float64{1, math.Inf(1)})
	require.ErrorIs(t, err, metrics.ErrRange)
}

func TestFigureCarriesItsProtocol(t *testing.T) {
	p := metrics.Protocol{Data: "pcb, test split", Width: 224, Height: 224, Mask: metrics.MaskNearest,
		Epoch: metrics.EpochLast, Score: metrics.ScoreMapMax, Seeds: 3}
	f, err := metrics.NewFigure("pixel AUROC", 0.98765, p)
	require.NoError(t, err)
	require.Equal(t, "pixel AUROC 0.9877 {pcb, test split; 224 x 224 px; masks: nearest, >= 128; weights: last epoch; image score: maximum of map; 3 seeds}", f.String())
	spread, err := metrics.OverSeeds([]float64{0.98, 0.99, 0.94})
	require.NoError(t, err)
	f.Interval = &metrics.Interval{Value: f.Value, Low: 0.9, High: 1, Level: 0.95, Method: "DeLong"}
	f.Spread, f.Bound = &spread, 0.002
	f.Protocol.Seeds, f.Protocol.Notes = 1, "8 images a class"
	require.Equal(t, "pixel AUROC 0.9877 [0.9000, 1.0000] (95 % DeLong), over seeds 0.9700 ± 0.0265 (n = 3), binned: off by at most 0.002 "+
		"{pcb, test split; 224 x 224 px; masks: nearest, >= 128; weights: last epoch; image score: maximum of map; 1 seed; 8 images a class}", f.String())

	for name, spoil := range map[string]func(*metrics.Protocol){
		"Data": func(p *metrics.Protocol) { p.Data = "" }, "Width": func(p *metrics.Protocol) { p.Width = 0 },
		"Height": func(p *metrics.Protocol) { p.Height = -1 }, "Mask": func(p *metrics.Protocol) { p.Mask = "" },
		"Epoch": func(p *metrics.Protocol) { p.Epoch = "" }, "Score": func(p *metrics.Protocol) { p.Score = "" },
		"Seeds": func(p *metrics.Protocol) { p.Seeds = 0 },
	} {
		bad := p
		spoil(&bad)
		_, err := metrics.NewFigure("AUPRO", 0.5, bad)
		require.ErrorIs(t, err, metrics.ErrProtocol)
		require.ErrorContains(t, err, name)
		require.Contains(t, metrics.Figure{Name: "AUPRO", Value: 0.5, Protocol: bad}.String(), "protocol is not complete")
	}
	_, err = metrics.NewFigure("", 0.5, p)
	require.ErrorIs(t, err, metrics.ErrEmpty)
	_, err = metrics.NewFigure("AUPRO", math.NaN(), p)
	require.ErrorIs(t, err, metrics.ErrNaN)
}
