package downstream_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/tensor"
)

// TestDetectorsOnEveryBackbone fits and scores tiny images on every architecture
// that is not the detectors' default, with layer4 among the layers.
func TestDetectorsOnEveryBackbone(t *testing.T) {
	noLeak(t)
	const side = 64 // layer4 still has 2x2 positions
	good := textures(5, 51, side)
	test := append(textures(1, 52, side), scratched(good[0]))
	for _, arch := range []backbone.Arch{backbone.ArchResNet34, backbone.ArchResNet50, backbone.ArchWideResNet50} {
		t.Run(arch.String(), func(t *testing.T) {
			net, err := backbone.New(arch, tensor.CPU, rand.New(rand.NewPCG(1, 1)))
			require.NoError(t, err)
			defer net.Close()
			for name, d := range detectorsOn(t, net, side) {
				require.NoError(t, d.Fit(t.Context(), memory(t, good)), name)
				r, err := d.Score(t.Context(), test...)
				require.NoError(t, err, name)
				require.Equal(t, [2]int{side, side}, [2]int{r[1].Map.W, r[1].Map.H}, name)
				require.Greater(t, r[1].Score, r[0].Score, "%s: the scratch must stand out", name)
				require.NoError(t, d.Close())
			}
		})
	}
}

func detectorsOn(t *testing.T, net *backbone.ResNet, side int) map[string]detector {
	t.Helper()
	out := map[string]detector{}
	padim := downstream.DefaultPaDiM()
	padim.Layers = append(padim.Layers, backbone.Layer4)
	padim.Channels, padim.Reduced = nil, 40
	padim.Transform = dataset.Square(side)
	p, err := downstream.NewPaDiM(net, padim, rand.New(rand.NewPCG(2, 1)))
	require.NoError(t, err)
	out["padim"] = p
	patch := downstream.DefaultPatchCore()
	patch.Layers = append(patch.Layers, backbone.Layer4)
	patch.Transform = dataset.Square(side)
	c, err := downstream.NewPatchCore(net, patch, rand.New(rand.NewPCG(3, 1)))
	require.NoError(t, err)
	out["patchcore"] = c
	return out
}
