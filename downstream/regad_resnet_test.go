package downstream_test

import (
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/tensor"
)

// TestRegADOnResNets trains, fits, scores and saves on real backbones, with basic
// and with bottleneck blocks, layer4 among the layers.
func TestRegADOnResNets(t *testing.T) {
	noLeak(t)
	for arch, layers := range map[backbone.Arch][]backbone.Layer{
		backbone.ArchResNet18: {backbone.Layer1, backbone.Layer3, backbone.Layer4},
		backbone.ArchResNet50: {backbone.Layer1, backbone.Layer2},
	} {
		t.Run(arch.String(), func(t *testing.T) {
			net, err := backbone.New(arch, tensor.CPU, rand.New(rand.NewPCG(1, 1)))
			require.NoError(t, err)
			before := net.Params().Version()
			cfg := regadConfig()
			cfg.Layers, cfg.Rate = layers, 1e-4
			r, err := downstream.NewRegAD(net, cfg, rand.New(rand.NewPCG(2, 2)))
			require.NoError(t, err)
			defer r.Close()
			require.NoError(t, r.Train(t.Context(), products()))
			require.Equal(t, before, net.Params().Version(), "the caller's network was changed")
			require.NoError(t, net.Close()) // RegAD has a copy
			good := textures(2, 80, fakeSide)
			require.NoError(t, r.Fit(t.Context(), memory(t, good)))
			test := append(textures(1, 81, fakeSide), good[0])
			want, err := r.Score(t.Context(), test...)
			require.NoError(t, err)
			require.Greater(t, want[0].Score, want[1].Score, "a support image is nearer than another")
			path := filepath.Join(t.TempDir(), "regad.safetensors")
			require.NoError(t, r.Save(path))
			q, err := downstream.OpenRegAD(t.Context(), path, tensor.CPU)
			require.NoError(t, err)
			defer q.Close()
			got, err := q.Score(t.Context(), test...)
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}
}

func TestNewRegADRefuses(t *testing.T) {
	noLeak(t)
	whole, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	defer whole.Close()
	arrays, err := whole.Params().Arrays(t.Context())
	require.NoError(t, err)
	short, err := backbone.FromStages(&tensor.Weights{Arrays: arrays}, backbone.ArchResNet18, backbone.Layer2, tensor.CPU)
	require.NoError(t, err)
	defer short.Close()
	rng := rand.New(rand.NewPCG(1, 1))
	cfg := regadConfig()
	_, err = downstream.NewRegAD(short, cfg, rng)
	require.ErrorIs(t, err, downstream.ErrLayers)
	require.ErrorContains(t, err, "the backbone has no layer3")
	for _, l := range []backbone.Layer{backbone.Stem, backbone.Pooled} {
		bad := cfg
		bad.Layers = []backbone.Layer{l}
		_, err = downstream.NewRegAD(whole, bad, rng)
		require.ErrorIs(t, err, downstream.ErrLayers)
		require.ErrorContains(t, err, "is no stage")
	}
	_, err = downstream.NewRegAD(nil, cfg, rng)
	require.ErrorIs(t, err, downstream.ErrConfig)
	_, err = downstream.NewRegAD(whole, cfg, nil)
	require.ErrorIs(t, err, downstream.ErrConfig)
	bad := cfg
	bad.Hidden = 0
	_, err = downstream.NewRegAD(whole, bad, rng)
	require.ErrorIs(t, err, downstream.ErrConfig)

	// Images that the network cannot take.
	cfg.Transform = dataset.Square(16)
	r, err := downstream.NewRegAD(whole, cfg, rng)
	require.NoError(t, err)
	defer r.Close()
	require.ErrorIs(t, r.Train(t.Context(), products()), tensor.ErrShape)
}
