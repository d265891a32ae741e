package downstream

import (
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// pixels is an extractor whose one layer is the picture, averaged 4 by 4.
type pixels struct{}

func (pixels) Device() tensor.Device { return tensor.CPU }

func (pixels) Channels(backbone.Layer) int { return 3 }

func (pixels) Forward(s *tensor.Scope, x *tensor.Tensor, _ ...backbone.Layer) []*tensor.Tensor {
	return []*tensor.Tensor{s.AvgPool2d(x, 4, 4, 0)}
}

// TestPatchCoreBankIsTheCoreset compares the bank of a whole fit, over several
// batches and with a projection, with the definition on all patches.
func TestPatchCoreBankIsTheCoreset(t *testing.T) {
	before := tensor.Live()
	t.Cleanup(func() { require.Equal(t, before, tensor.Live()) }) // runs last
	rng := rand.New(rand.NewPCG(5, 5))
	imgs := make([]image.Image, 5)
	for i := range imgs {
		img := image.NewRGBA(image.Rect(0, 0, 32, 24))
		for y := range 24 {
			for x := range 32 {
				img.SetRGBA(x, y, color.RGBA{uint8(rng.IntN(256)), uint8(rng.IntN(256)), uint8(rng.IntN(256)), 255})
			}
		}
		imgs[i] = img
	}
	ds, err := dataset.NewImages("noise", imgs...)
	require.NoError(t, err)
	cfg := DefaultPatchCore()
	cfg.Layers, cfg.Transform, cfg.Batch = []backbone.Layer{backbone.Layer2}, dataset.Transform{}, 2
	cfg.Share, cfg.Projection, cfg.Starts = 0.15, 2, 4
	fit := func(share float64) *patchBank {
		c := cfg
		c.Share = share
		p, err := NewPatchCore(pixels{}, c, rand.New(rand.NewPCG(7, 8)))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, p.Close()) })
		require.NoError(t, p.Fit(t.Context(), ds))
		g, ok := p.core.Current.Hold()
		require.True(t, ok)
		t.Cleanup(func() { p.core.Release(g) })
		return g
	}
	rows := func(g *patchBank) (v [][]float64) {
		require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
			flat, err := s.Floats(g.Patches)
			if err != nil {
				return err
			}
			mean, err := s.Floats(g.Mean)
			for i := range flat {
				if i%3 == 0 {
					v = append(v, nil)
				}
				v[i/3] = append(v[i/3], float64(flat[i])+float64(mean[i%3]))
			}
			return err
		}))
		return v
	}
	all, got := rows(fit(1)), rows(fit(cfg.Share))
	require.Len(t, all, 5*6*8)
	require.Len(t, got, 36)

	seeds := rand.New(rand.NewPCG(7, 8))
	draw := rand.New(rand.NewPCG(seeds.Uint64(), seeds.Uint64()))
	projection, err := tensor.Uniform(draw, 6, 1/math.Sqrt(3))
	require.NoError(t, err)
	var starts []int64
	for _, i := range draw.Perm(len(all))[:4] {
		starts = append(starts, int64(i))
	}
	projected := make([][]float64, len(all))
	for i, v := range all {
		projected[i] = make([]float64, 2)
		for k := range 2 {
			for c := range 3 {
				projected[i][k] += v[c] * float64(projection[c*2+k])
			}
		}
	}
	chosen := testutil.GreedyChoice(projected, 36, starts)
	slices.Sort(chosen)
	for i, at := range chosen {
		require.InDeltaSlice(t, all[at], got[i], 1e-6, "%d", at) // means of the two banks round otherwise
	}
}
