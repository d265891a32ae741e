package downstream

import (
	"image"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/network"
	"github.com/gotab/gotab/downstream/internal/regad"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

func TestEstimateRegAD(t *testing.T) {
	positions, channels := []int{3136, 784, 196}, []int{64, 128, 256}
	values := 3136*64 + 784*128 + 196*256
	for shots, want := range map[int]int64{
		4:  4 * (3136*(88*88*5/8) + 88*int64(values) + int64(values)),
		64: 4 * (3136*(448*448*5/8) + int64(values)),
	} {
		fitted, _ := estimateRegAD(shots, positions, channels, 8, 2)
		require.Equal(t, want, fitted)
	}
	fitted, fitting := estimateRegAD(4, positions, channels, 8, 2)
	require.InDelta(t, 186e6, float64(fitted), 1e6)
	require.InDelta(t, 231e6, float64(fitting), 1e6)
	fitted, fitting = estimateRegAD(8, positions, channels, 8, 2)
	require.InDelta(t, 491e6, float64(fitted), 1e6)
	require.InDelta(t, 602e6, float64(fitting), 1e6)
	fitted, fitting = estimateRegAD(64, positions, channels, 8, 2)
	require.InDelta(t, 1.6e9, float64(fitted), 0.05e9)
	require.InDelta(t, 4.3e9, float64(fitting), 0.05e9)
	for _, bad := range [][2][]int{{}, {{1}, {}}, {{1}, {1, 2}}} {
		fitted, fitting = estimateRegAD(4, bad[0], bad[1], 8, 2)
		require.Zero(t, fitted+fitting)
	}
}

// The constants have the names, and so the parts, that they say.
func TestWarpNames(t *testing.T) {
	for w, name := range map[Warp]string{WarpRotationScale: "rotation_scale", WarpAffine: "affine", WarpTranslation: "translation", WarpRotation: "rotation",
		WarpScale: "scale", WarpShear: "shear", WarpTranslationScale: "translation_scale", WarpRotationTranslation: "rotation_translation",
		WarpRotationTranslationScale: "rotation_translation_scale"} {
		require.Equal(t, name, w.String())
	}
	require.Len(t, regad.WarpNames(), 9)
}

// The authors' program has lr/2 (1 + cos(pi epoch / epochs)) for epochs 1 to 4.
func TestRegADRate(t *testing.T) {
	c := RegADConfig{Rate: 0.5, Epochs: 4}
	half := math.Sqrt2 / 4
	require.InDeltaSlice(t, []float64{0.25 + half/2, 0.25, 0.25 - half/2, 0}, []float64{c.rate(0), c.rate(1), c.rate(2), c.rate(3)}, 1e-12)
}

// A batch's images are read together: each waits for another here.
func TestRegADReadsABatchTogether(t *testing.T) {
	testutil.WithCores(t, 2)
	cfg := DefaultRegAD()
	cfg.Transform = dataset.Transform{}
	r := newRegAD(nil, nil, "", tensor.CPU, cfg, [2]uint64{})
	at := []int{5, 3, 4, 3, 5, 5}
	b, err := regad.ReadBatch(t.Context(), &r.core.In, testutil.InPairs(4, ramps(-1)), at, image.Pt(8, 8))
	require.NoError(t, err)
	require.Equal(t, []int64{2, 0, 1, 0, 2, 2}, b.At)
	for k, v := range []int{3, 4, 5} {
		require.InDelta(t, float64(17*v)/255, b.Pixels[k*3*64], 1e-6)
	}
	_, err = regad.ReadBatch(t.Context(), &r.core.In, ramps(4), at, image.Pt(8, 8))
	require.ErrorIs(t, err, ErrImage)
	require.ErrorContains(t, err, "image 4")
}

func TestEstimateRegADTraining(t *testing.T) {
	live := tensor.Live()
	rng := rand.New(rand.NewPCG(1, 1))
	for arch, want := range map[backbone.Arch]int64{
		// Of the stem, and of each stage the convolutions and the path around.
		backbone.ArchResNet18: 112*112*64 + 5*56*56*64/4 + 4*2*56*56*64 + (4*2+1)*28*28*128 + (4*2+1)*14*14*256,
		backbone.ArchResNet50: 112*112*64 + 5*56*56*64/4 +
			3*2*56*56*(64+64+256) + 56*56*256 +
			2*56*56*128 + 2*28*28*(128+512) + 28*28*512 + 3*2*28*28*(128+128+512) +
			2*28*28*256 + 2*14*14*(256+1024) + 14*14*1024 + 5*2*14*14*(256+256+1024),
	} {
		net, err := backbone.New(arch, tensor.CPU, rng)
		require.NoError(t, err)
		z := network.StepOf(net, backbone.Layer3, image.Pt(224, 224))
		require.Equal(t, want, z.Held, arch)
		require.Equal(t, network.MapShape{H: 14, W: 14, C: arch.Channels(backbone.Layer3)}, z.Maps[backbone.Layer3])
		cfg := DefaultRegAD()
		all := estimateRegADTraining(net, image.Pt(224, 224), cfg)
		cfg.Queries /= 2
		half := estimateRegADTraining(net, image.Pt(224, 224), cfg)
		cfg.Queries, cfg.Shots = 32, 9
		require.InEpsilon(t, 2*(all-half), estimateRegADTraining(net, image.Pt(224, 224), cfg)-all, 0.05, "twice the images but for the head")
		if arch == backbone.ArchResNet18 {
			require.InDelta(t, 3.7e9, float64(all), 0.05e9)
		}
		cfg.Layers = []backbone.Layer{backbone.Pooled}
		require.Zero(t, estimateRegADTraining(net, image.Pt(224, 224), cfg))
		require.NoError(t, net.Close())
	}
	require.Zero(t, estimateRegADTraining(nil, image.Pt(224, 224), DefaultRegAD()))
	require.Equal(t, live, tensor.Live())
}
