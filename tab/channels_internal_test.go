package tab

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tensor"
)

// featuresOf returns pools' layers 1 and 2 of a picture on layer 1's grid, [cells][6].
func featuresOf(t *testing.T, cfg TwinConfig, px []uint8) [][]float64 {
	t.Helper()
	const k, n = 4, twinSide / 4
	mean := func(c, y, x, side int) float64 {
		sum := 0.0
		for i := range side {
			for j := range side {
				sum += float64(px[4*((y*side+i)*twinSide+x*side+j)+c])
			}
		}
		return (sum/float64(side*side)/255 - float64(cfg.Normalize.Mean[c])) / float64(cfg.Normalize.Std[c])
	}
	var out [][]float64
	for y := range n {
		for x := range n {
			var f []float64
			for c := range 3 {
				f = append(f, mean(c, y, x, k))
			}
			for c := range 3 {
				f = append(f, mean(c, y/2, x/2, 2*k))
			}
			out = append(out, f)
		}
	}
	return out
}

// TestMeasureChannels holds spread and displacements to loops over pixels.
func TestMeasureChannels(t *testing.T) {
	testutil.NoLeak(t)
	net := pools{tensor.NewParams(tensor.CPU)}
	defer net.params.Close()
	const c = 6
	all := surfaces(t, 12)
	ds := dataset.Filter(all, func(it dataset.Item) bool { return it.Class == "blotched" })
	m, cfg := twinMixture(), twinConfig()
	cfg.Draws = 20
	got, err := MeasureChannels(t.Context(), net, ds, m, cfg)
	require.NoError(t, err)
	require.Len(t, got, 1)
	p := got[0]
	require.Equal(t, "blotched", p.Class)
	require.Equal(t, []int{3, 3}, p.Widths)
	require.Equal(t, cfg.Layers, p.Layers)
	require.Equal(t, 12, p.Images)
	require.Equal(t, 20*len(m.Kinds), p.Counts.placed()+p.Counts.Unplaced)
	require.Positive(t, p.Counts.Drawn)

	// The spread: positions centred, outer products averaged.
	var fs [][][]float64
	for i := range ds.Len() {
		s, err := ds.Sample(t.Context(), i)
		require.NoError(t, err)
		fs = append(fs, featuresOf(t, cfg, s.Image.Pix))
	}
	cells := len(fs[0])
	spread := make([]float64, c*c)
	for cell := range cells {
		var mean [c]float64
		for _, f := range fs {
			for k := range c {
				mean[k] += f[cell][k] / float64(len(fs))
			}
		}
		for _, f := range fs {
			for a := range c {
				for b := range c {
					spread[a*c+b] += (f[cell][a] - mean[a]) * (f[cell][b] - mean[b]) / float64(cells*(len(fs)-1))
				}
			}
		}
	}
	require.InDeltaSlice(t, spread, p.Spread, 1e-5*slices.Max(spread))

	// The displacements: the same twins, each solved for by itself.
	runs, err := twinRuns("test", net, ds, func(string) (synth.Mixture, bool) { return m, true }, cfg)
	require.NoError(t, err)
	r := runs[0]
	r.visual, r.cfg.Layers = joined{net, cfg.Layers}, cfg.Layers[:1]
	require.NoError(t, r.prepare(t.Context()))
	ridged, trace := slices.Clone(p.Spread), 0.0
	for k := range c {
		trace += p.Spread[k*c+k]
	}
	for k := range c {
		ridged[k*c+k] += cfg.Ridge * trace / c
	}
	metric := ProductChannels{Widths: []int{3, 3}, Spread: ridged}
	var kinds []ingredient
	for _, g := range m.Kinds {
		kinds = append(kinds, ingredient{g, false})
	}
	want, total := make([]float64, c*c), 0.0
	drawn := 0
	for draw := range cfg.Draws {
		dst, pairs, of, err := r.pairs(t.Context(), draw, kinds, func(int) {})
		require.NoError(t, err)
		good := featuresOf(t, cfg, dst.Pix)
		for i, pair := range pairs {
			twin := featuresOf(t, cfg, pair.Image.Pix)
			var ds [][]float64
			var q []float64
			for _, cell := range damagedCells(pair.Mask, 16, 16) {
				d := make([]float64, c)
				for k := range c {
					d[k] = twin[cell][k] - good[cell][k]
				}
				ds = append(ds, d)
				q = append(q, distance(metric, [][]float64{d}, []int{0, 1, 2, 3, 4, 5}, 0)/c)
			}
			loud := loudest(q)
			mean := 0.0
			for _, k := range loud {
				mean += q[k] / float64(len(loud))
			}
			if verdict([]float64{mean}, r.spread, cfg.Far) != VerdictDrawn {
				continue
			}
			drawn++
			w := kinds[of[i]].Weight
			total += w
			for _, k := range loud {
				for a := range c {
					for b := range c {
						want[a*c+b] += w * ds[k][a] * ds[k][b] / (mean * c * float64(len(loud)))
					}
				}
			}
		}
	}
	require.Equal(t, drawn, p.Counts.Drawn)
	for k := range want {
		want[k] /= total
	}
	require.InDeltaSlice(t, want, p.Moved, 1e-4*slices.Max(want))

	// The settings and the seed alone decide, and another seed draws other twins.
	again, err := MeasureChannels(t.Context(), net, ds, m, cfg)
	require.NoError(t, err)
	require.Equal(t, got, again)
	cfg.Seed++
	other, err := MeasureChannels(t.Context(), net, ds, m, cfg)
	require.NoError(t, err)
	require.NotEqual(t, got[0].Moved, other[0].Moved)
}

func TestMeasureChannelsRefuses(t *testing.T) {
	testutil.NoLeak(t)
	net := pools{tensor.NewParams(tensor.CPU)}
	defer net.params.Close()
	ds, m, cfg := surfaces(t, 8), twinMixture(), twinConfig()
	_, err := MeasureChannels(t.Context(), nil, ds, m, cfg)
	require.ErrorIs(t, err, ErrConfig)
	_, err = MeasureChannelsByClass(t.Context(), net, ds, map[string]synth.Mixture{"even": m}, cfg)
	require.ErrorIs(t, err, ErrUnknownClass)
	wrong := cfg
	wrong.Layers = nil
	_, err = MeasureChannels(t.Context(), net, ds, m, wrong)
	require.ErrorIs(t, err, ErrConfig)
	_, err = MeasureChannels(t.Context(), many{net}, ds, m, cfg)
	require.ErrorIs(t, err, ErrConfig)
	require.ErrorContains(t, err, "want 8192 at most")
	// Stains that nothing can tell from good parts' own spots.
	far := cfg
	far.Far, far.Draws = math.MaxFloat64, 3
	quiet := m
	quiet.Kinds = []synth.Ingredient{{Kind: "quiet", Generator: synth.DefaultUnchanged(), Weight: 1}}
	_, err = MeasureChannels(t.Context(), net, ds, quiet, far)
	require.ErrorIs(t, err, ErrNoTwin)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = MeasureChannels(ended, net, ds, m, cfg)
	require.ErrorIs(t, err, context.Canceled)
}

// many is a network of more channels than can be taken apart.
type many struct{ pools }

func (many) Channels(backbone.Layer) int { return 5000 }
