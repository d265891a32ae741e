package tab

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
)

// stages is a product of two stages, of two and of len(variance) channels, without
// anything that channels have in common.
func stages(class string, variance, moved []float64) ProductChannels {
	c := 2 + len(variance)
	p := ProductChannels{Class: class, Layers: []backbone.Layer{backbone.Layer1, backbone.Layer2}, Widths: []int{2, len(variance)},
		Spread: make([]float64, c*c), Moved: make([]float64, c*c)}
	for i := range c {
		v, m := 1.0, 1.0
		if i >= 2 {
			v, m = variance[i-2], moved[i-2]
		}
		p.Spread[i*c+i], p.Moved[i*c+i] = v, m
	}
	return p
}

// Factors by hand: a nearly no ridge, one product and several.
func TestChannelScales(t *testing.T) {
	cfg := ScaleConfig{Twins: 1, Deviation: 0, Limit: 1000, Ridge: 1e-12}
	one := stages("one", []float64{1, 4, 16}, []float64{1, 16, 256}) // phi 1 4 16, geometric mean 4
	got, err := ChannelScales([]ProductChannels{one}, cfg)
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.Equal(t, []float32{1, 1}, got[0].Scale, "even channels stay")
	require.Equal(t, backbone.Layer2, got[1].Layer)
	require.InDeltaSlice(t, []float64{1, 4, 16}, got[1].Ratio, 1e-9)
	require.InDeltaSlice(t, []float64{1, 2, 4}, got[1].Deviation, 1e-9)
	// (phi/4)^(1/2) is 1/2 1 2: variances 1/4 4 64 have the sum 68.25, not 21.
	f := math.Sqrt(21 / 68.25)
	require.InDeltaSlice(t, []float64{f / 2, f, 2 * f}, got[1].Scale, 1e-6)

	cfg.Twins, cfg.Deviation = 0, 1
	got, err = ChannelScales([]ProductChannels{one}, cfg)
	require.NoError(t, err)
	for c, s := range got[1].Scale {
		require.InDelta(t, math.Sqrt(7), float64(s)*got[1].Deviation[c], 1e-6, "all deviations are the same, and their mean square is kept")
	}

	cfg.Twins, cfg.Limit = 1, 1.5
	got, err = ChannelScales([]ProductChannels{one}, cfg) // 1/2 1 2 times 2 1 1/2
	require.NoError(t, err)
	require.InDeltaSlice(t, []float64{1, 1, 1}, got[1].Scale, 1e-6)

	// Two products: phi 1 4 16 and 16 4 1 have the mean 4 4 4; the limit bounds.
	two := stages("two", []float64{1, 4, 16}, []float64{16, 16, 16})
	cfg = ScaleConfig{Twins: 1, Deviation: 1, Limit: 1.5, Ridge: 1e-12}
	got, err = ChannelScales([]ProductChannels{one, two}, cfg)
	require.NoError(t, err)
	require.InDeltaSlice(t, []float64{4, 4, 4}, got[1].Ratio, 1e-9)
	f = math.Sqrt(21 / (2.25 + 4 + 16/2.25)) // 2 1 1/2 within the limit
	require.InDeltaSlice(t, []float64{1.5 * f, f, f / 1.5}, got[1].Scale, 1e-6)
}

// A dead channel bears no weight, and one that twins never move is at the limit.
func TestChannelScalesOfDeadChannels(t *testing.T) {
	alive := stages("alive", []float64{1, 4, 16}, []float64{1, 16, 0})
	dead := stages("dead", []float64{1, 4, 16, 0}, []float64{1, 16, 0, 0})
	cfg := ScaleConfig{Twins: 1, Deviation: 1, Limit: 4, Ridge: 1e-9}
	a, err := ChannelScales([]ProductChannels{alive}, cfg)
	require.NoError(t, err)
	b, err := ChannelScales([]ProductChannels{dead}, cfg)
	require.NoError(t, err)
	require.InDeltaSlice(t, a[1].Scale, b[1].Scale[:3], 1e-6)
	require.InDelta(t, 16., float64(a[1].Scale[0])/float64(a[1].Scale[2]), 1e-5)
	require.Positive(t, b[1].Scale[3])
}

func TestChannelScalesRefuses(t *testing.T) {
	p := stages("p", []float64{1, 1}, []float64{1, 1})
	for name, c := range map[string]ScaleConfig{
		"twins":     {-0.1, 0, 4, 0.1},
		"deviation": {0, 3, 4, 0.1},
		"limit":     {0, 0, 0.9, 0.1},
		"ridge":     {0, 0, 4, 0},
		"nan":       {math.NaN(), 0, 4, 0.1},
	} {
		_, err := ChannelScales([]ProductChannels{p}, c)
		require.ErrorIs(t, err, ErrConfig, name)
	}
	other := stages("other", []float64{1, 1, 1}, []float64{1, 1, 1})
	for name, ps := range map[string][]ProductChannels{
		"none":      nil,
		"broken":    {{Class: "x"}},
		"others":    {p, other},
		"no spread": {stages("x", []float64{0, 0}, []float64{1, 1})},
		"no twins":  {stages("x", []float64{1, 1}, []float64{0, 0})},
	} {
		_, err := ChannelScales(ps, DefaultScale())
		require.ErrorIs(t, err, ErrConfig, name)
	}
}

func TestParseScale(t *testing.T) {
	want := DefaultScale()
	want.Twins, want.Deviation = 1, 0.25
	got, err := ParseScale("1, 0.25")
	require.NoError(t, err)
	require.Equal(t, want, got)
	for _, text := range []string{"", "1", "a,b", "1,", "3,0", "1,2,3", "NaN,1"} {
		_, err := ParseScale(text)
		require.ErrorIs(t, err, ErrConfig, text)
	}
}
