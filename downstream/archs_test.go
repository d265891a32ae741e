package downstream_test

import (
	"image"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/classify"
	"github.com/gotab/gotab/tensor"
)

// TestDetectorsOnEveryBackbone fits and scores tiny images with all five detectors
// and the classifier on every architecture, with layer4 among the layers (RD4AD and
// RegAD: on the architectures of basic blocks).
func TestDetectorsOnEveryBackbone(t *testing.T) {
	noLeak(t)
	const side = 64 // layer4 still has 2x2 positions
	good, other := textures(5, 51, side), textures(1, 52, side)[0]
	for _, arch := range []backbone.Arch{backbone.ArchResNet18, backbone.ArchResNet34, backbone.ArchResNet50, backbone.ArchWideResNet50} {
		t.Run(arch.String(), func(t *testing.T) {
			net, err := backbone.New(arch, tensor.CPU, rand.New(rand.NewPCG(1, 1)))
			require.NoError(t, err)
			defer net.Close()
			all := detectorsOn(t, net, side)
			require.Len(t, all, 5)
			for name, d := range all {
				defer d.Close()
				if r, ok := d.(*downstream.RegAD); ok {
					require.NoError(t, r.Train(t.Context(), products()))
				}
				require.NoError(t, d.Fit(t.Context(), memory(t, good)), name)
				r, err := d.Score(t.Context(), scratched(good[0]), good[0], other)
				require.NoError(t, err, name)
				require.Equal(t, [2]int{side, side}, [2]int{r[1].Map.W, r[1].Map.H}, name)
				if name == "padim" || name == "patchcore" {
					require.Greater(t, r[0].Score, r[2].Score, "%s: the scratch must stand out", name)
				} else { // an epoch on random features is not enough for that
					requireScratchAt(t, name, r[0].Map, r[1].Map)
				}
			}
			requireClassifiesOn(t, net, side)
		})
	}
}

// requireScratchAt holds two maps of an image, with a scratch and without, against
// each other: they differ most where the scratch is.
func requireScratchAt(t *testing.T, name string, with, without downstream.Map) {
	t.Helper()
	at, most := image.Point{}, 0.0
	for y := range with.H {
		for x := range with.W {
			if d := math.Abs(float64(with.At(x, y) - without.At(x, y))); d > most {
				at, most = image.Pt(x, y), d
			}
		}
	}
	near := image.Rect(with.W/2, 8, with.W/2+6, 20).Inset(-12) // most of a position of layer4 aside
	require.True(t, at.In(near), "%s: the maps differ most at %v, the scratch is in %v", name, at, near)
}

// detectorsOn are the five detectors on a network, for images of a side.
func detectorsOn(t *testing.T, net *backbone.ResNet, side int) map[string]detector {
	t.Helper()
	return detectorsOver(t, net, net, side)
}

// detectorsOver are those on fe, which is net or stands before it; RegAD is on net.
func detectorsOver(t *testing.T, net *backbone.ResNet, fe downstream.Extractor, side int) map[string]detector {
	t.Helper()
	out := map[string]detector{}
	padim := downstream.DefaultPaDiM()
	padim.Layers = append(padim.Layers, backbone.Layer4)
	padim.Channels, padim.Reduced = nil, 40
	padim.Transform = dataset.Square(side)
	p, err := downstream.NewPaDiM(fe, padim, rand.New(rand.NewPCG(2, 1)))
	require.NoError(t, err)
	out["padim"] = p
	patch := downstream.DefaultPatchCore()
	patch.Layers = append(patch.Layers, backbone.Layer4)
	patch.Transform = dataset.Square(side)
	c, err := downstream.NewPatchCore(fe, patch, rand.New(rand.NewPCG(3, 1)))
	require.NoError(t, err)
	out["patchcore"] = c
	rd := downstream.DefaultRD4AD()
	deep := net.Arch() == backbone.ArchResNet18 || net.Arch() == backbone.ArchResNet34
	if deep { // a mirror of layer4 of the others takes half a minute to train
		rd.Layers = []backbone.Layer{backbone.Layer2, backbone.Layer3, backbone.Layer4}
	}
	rd.Epochs, rd.TrainBatch = 1, 5
	rd.Transform = dataset.Square(side)
	r, err := downstream.NewRD4AD(fe, rd, rand.New(rand.NewPCG(4, 1)))
	require.NoError(t, err)
	out["rd4ad"] = r
	simple := downstream.DefaultSimpleNet()
	simple.Layers = append(simple.Layers, backbone.Layer4)
	simple.LayerDim, simple.Dim, simple.Hidden = 48, 48, 32
	simple.Epochs = 1
	simple.Transform = dataset.Square(side)
	s, err := downstream.NewSimpleNet(fe, simple, rand.New(rand.NewPCG(5, 1)))
	require.NoError(t, err)
	out["simplenet"] = s
	reg := downstream.DefaultRegAD()
	if deep {
		reg.Layers = append(reg.Layers, backbone.Layer4)
	}
	reg.Hidden, reg.Shots, reg.Queries, reg.Epochs = 8, 2, 4, 1
	reg.Transform = dataset.Square(side)
	g, err := downstream.NewRegAD(net, reg, rand.New(rand.NewPCG(6, 1)))
	require.NoError(t, err)
	out["regad"] = g
	return out
}

// requireClassifiesOn trains a classifier on a network: it must come to tell bright
// from dark pictures that it has been shown.
func requireClassifiesOn(t *testing.T, net *backbone.ResNet, side int) {
	t.Helper()
	c, l := classifierOn(t, net, side)
	defer c.Close()
	require.GreaterOrEqual(t, exact(t, c, l), 0.9)
}

// classifierOn is one that was fitted on a frozen network, with the pictures.
func classifierOn(t *testing.T, fe downstream.Extractor, side int) (*classify.Classifier, *classify.Labelled) {
	t.Helper()
	ds, err := dataset.NewMemory(quartered(16, 1, side))
	require.NoError(t, err)
	l, err := classify.LabelOne(ds, []string{"dark", "bright"}, func(i int, _ dataset.Item) (int, error) { return i & 1, nil })
	require.NoError(t, err)
	cfg := frozenConfig(classify.MultiClass)
	cfg.Transform = dataset.Square(side)
	c, err := classify.New(fe, cfg, seeded(1))
	require.NoError(t, err)
	require.NoError(t, c.Fit(t.Context(), l))
	return c, l
}
