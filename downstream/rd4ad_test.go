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
	"github.com/gotab/gotab/tensor"
)

func rd4adConfig() downstream.RD4ADConfig {
	c := downstream.DefaultRD4AD()
	c.Epochs, c.TrainBatch = 2, 4
	c.Blocks = downstream.RD4ADBlocks{OCE: 1, Decoder: []int{1, 1, 1}}
	c.Transform = dataset.Square(fakeSide)
	c.Batch = 3
	return c
}

func newRD4AD(t testing.TB, fe downstream.Extractor, cfg downstream.RD4ADConfig, seed uint64, opts ...downstream.Option) *downstream.RD4AD {
	t.Helper()
	p, err := downstream.NewRD4AD(fe, cfg, rand.New(rand.NewPCG(seed, 1)), opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func fittedRD4AD(t testing.TB, cfg downstream.RD4ADConfig, good []image.Image) *downstream.RD4AD {
	t.Helper()
	p := newRD4AD(t, &fake{scale: 1}, cfg, 1)
	require.NoError(t, p.Fit(t.Context(), memory(t, good)))
	return p
}

// Training brings the loss down, and a scratch that it has not seen stands out
// where it is.
func TestRD4ADLearns(t *testing.T) {
	noLeak(t)
	for _, positions := range []bool{false, true} {
		good := textures(12, 60, fakeSide)
		cfg := rd4adConfig()
		cfg.Epochs, cfg.PerPosition = 10, positions
		var losses []float64
		p := newRD4AD(t, &fake{scale: 1}, cfg, 1, downstream.WithProgress(func(g downstream.Progress) {
			if g.Stage == "train" && g.Done == g.Total {
				losses = append(losses, g.Loss)
			}
		}))
		require.NoError(t, p.Fit(t.Context(), memory(t, good)))
		require.Len(t, losses, 10)
		require.Less(t, losses[9], 0.7*losses[0])
		other := textures(4, 61, fakeSide)
		clean, err := p.Score(t.Context(), other...)
		require.NoError(t, err)
		var before, after float32
		for i, img := range other {
			damaged, err := p.Score(t.Context(), scratched(img))
			require.NoError(t, err)
			before += clean[i].Map.At(19, 14)
			after += damaged[0].Map.At(19, 14)
		}
		require.Greater(t, after, 1.05*before)
		require.Equal(t, dataset.Rect{MaxX: fakeSide, MaxY: fakeSide}, clean[0].Map.Rect)
	}
}

// The seed decides everything; what is kept of the maps decides nothing.
func TestRD4ADRepeats(t *testing.T) {
	noLeak(t)
	good, img := textures(9, 62, fakeSide), textures(2, 63, fakeSide)
	cfg := rd4adConfig()
	score := func(seed uint64, keep int64) []downstream.Result {
		c := cfg
		c.Cache = keep
		p := newRD4AD(t, &fake{scale: 1}, c, seed)
		var first []downstream.Result
		for range 2 {
			require.NoError(t, p.Fit(t.Context(), memory(t, good)))
			r, err := p.Score(t.Context(), img...)
			require.NoError(t, err)
			if first == nil {
				first = r
			}
			require.Equal(t, first, r, "a second Fit gives the same")
		}
		return first
	}
	want := score(1, cfg.Cache)
	require.Equal(t, want, score(1, 0))
	require.Equal(t, want, score(1, 6000)) // some images
	require.NotEqual(t, want, score(2, cfg.Cache))
}

// The embedding of a 32-pixel image has one position: of five images a fifth is
// alone in its batch.
func TestRD4ADLeavesALoneImageOut(t *testing.T) {
	noLeak(t)
	steps := 0
	cfg := rd4adConfig()
	p := newRD4AD(t, &fake{scale: 1}, cfg, 1, downstream.WithProgress(func(g downstream.Progress) {
		if g.Stage == "train" {
			require.Equal(t, 1, g.Total)
			steps++
		}
	}))
	require.NoError(t, p.Fit(t.Context(), memory(t, textures(5, 64, fakeSide))))
	require.Equal(t, cfg.Epochs, steps)
	require.ErrorIs(t, p.Fit(t.Context(), memory(t, textures(1, 64, fakeSide))), downstream.ErrTooFewImages)
	cfg.TrainBatch = 1
	err := newRD4AD(t, &fake{scale: 1}, cfg, 1).Fit(t.Context(), memory(t, textures(5, 64, fakeSide)))
	require.ErrorIs(t, err, downstream.ErrTooFewImages)
	require.ErrorContains(t, err, "TrainBatch is 1")
	// With more positions one image is enough.
	cfg.Transform = dataset.Square(2 * fakeSide)
	require.NoError(t, newRD4AD(t, &fake{scale: 1}, cfg, 1).Fit(t.Context(), memory(t, textures(1, 64, fakeSide))))
}

func TestRD4ADBatchEqualsOneByOne(t *testing.T) {
	noLeak(t)
	requireBatchEqualsOneByOne(t, fittedRD4AD(t, rd4adConfig(), textures(8, 65, fakeSide)), textures(11, 66, 48))
}

func TestRD4ADConcurrentScoreFitAndClose(t *testing.T) {
	noLeak(t)
	requireConcurrent(t, subjects()["RD4AD"](t), memory(t, textures(8, 67, fakeSide)), memory(t, textures(5, 77, fakeSide)), textures(2, 68, fakeSide), textures(20, 69, fakeSide))
}

func TestRD4ADCancelledFitChangesNothing(t *testing.T) {
	noLeak(t)
	p := fittedRD4AD(t, rd4adConfig(), textures(8, 70, fakeSide))
	requireCancelledFitChangesNothing(t, p, textures(1, 71, fakeSide)[0], textures(40, 72, fakeSide))
}

func TestRD4ADBreakEndsAllGoroutines(t *testing.T) {
	noLeak(t)
	p := fittedRD4AD(t, rd4adConfig(), textures(4, 73, fakeSide))
	for _, err := range p.ScoreSet(t.Context(), memory(t, textures(3, 74, fakeSide))) { // warms libtorch's threads up
		require.NoError(t, err)
	}
	requireBreakEndsAllGoroutines(t, p, textures(30, 75, fakeSide))
}

func TestRD4ADRefuses(t *testing.T) {
	noLeak(t)
	fe := &fake{scale: 1}
	good := textures(6, 76, fakeSide)
	with := func(f func(c *downstream.RD4ADConfig)) error {
		c := rd4adConfig()
		f(&c)
		_, err := downstream.NewRD4AD(fe, c, rand.New(rand.NewPCG(1, 1)))
		return err
	}
	for name, f := range map[string]func(c *downstream.RD4ADConfig){
		"Layers":         func(c *downstream.RD4ADConfig) { c.Layers = nil },
		"Blocks.Width":   func(c *downstream.RD4ADConfig) { c.Blocks.Width = -1 },
		"Blocks.OCE":     func(c *downstream.RD4ADConfig) { c.Blocks.OCE = 0 },
		"Blocks.Decoder": func(c *downstream.RD4ADConfig) { c.Blocks.Decoder = nil },
		"1 to 64 each":   func(c *downstream.RD4ADConfig) { c.Blocks.Decoder = []int{1, 0, 1} },
		"Epochs":         func(c *downstream.RD4ADConfig) { c.Epochs = 0 },
		"TrainBatch":     func(c *downstream.RD4ADConfig) { c.TrainBatch = 257 },
		"Rate":           func(c *downstream.RD4ADConfig) { c.Rate = 0 },
		"Beta1":          func(c *downstream.RD4ADConfig) { c.Beta1 = 1 },
		"Beta2":          func(c *downstream.RD4ADConfig) { c.Beta2 = math.NaN() },
		"Cache":          func(c *downstream.RD4ADConfig) { c.Cache = -1 },
		"Sigma":          func(c *downstream.RD4ADConfig) { c.Sigma = math.NaN() },
		"Batch":          func(c *downstream.RD4ADConfig) { c.Batch = 0 },
		"Transform":      func(c *downstream.RD4ADConfig) { c.Transform = dataset.Transform{Shorter: -1} },
		"Normalize":      func(c *downstream.RD4ADConfig) { c.Normalize.Std[1] = 0 },
	} {
		err := with(f)
		require.ErrorIs(t, err, downstream.ErrConfig, name)
		require.ErrorContains(t, err, name)
	}
	for name, ls := range map[string][]backbone.Layer{
		"it has no layer4":       {backbone.Layer2, backbone.Layer3, backbone.Layer4},
		"pooled":                 {backbone.Layer3, backbone.Pooled},
		"twice":                  {backbone.Layer1, backbone.Layer1},
		"follow each other":      {backbone.Layer1, backbone.Layer3},
		"such as layer1, layer2": {backbone.Layer2, backbone.Layer1},
	} {
		err := with(func(c *downstream.RD4ADConfig) { c.Layers, c.Blocks = ls, downstream.RD4ADBlocks{} })
		require.ErrorIs(t, err, downstream.ErrLayers, name)
		require.ErrorContains(t, err, name)
	}
	err := with(func(c *downstream.RD4ADConfig) {
		c.Blocks = downstream.RD4ADBlocks{Width: 1, OCE: 1, Decoder: []int{1, 1, 1}}
	})
	require.ErrorIs(t, err, downstream.ErrLayers)
	require.ErrorContains(t, err, "layer2 has 6 channels")
	_, err = downstream.NewRD4AD(nil, rd4adConfig(), rand.New(rand.NewPCG(1, 1)))
	require.ErrorIs(t, err, downstream.ErrConfig)
	_, err = downstream.NewRD4AD(fe, rd4adConfig(), nil)
	require.ErrorIs(t, err, downstream.ErrConfig)

	p := newRD4AD(t, fe, rd4adConfig(), 1)
	requireNotFitted(t, p, good)
	requireRefusesBadImages(t, p, fe, 3, good)

	cfg := rd4adConfig()
	cfg.Transform = dataset.Square(48) // 12, 6 and 3 positions a side
	err = newRD4AD(t, fe, cfg, 1).Fit(t.Context(), memory(t, good))
	require.ErrorIs(t, err, downstream.ErrLayers)
	require.ErrorContains(t, err, "for an input of 48x48 layer3 has 3x3 positions")
	cfg = rd4adConfig()
	cfg.Rate = 1e30
	err = newRD4AD(t, fe, cfg, 1).Fit(t.Context(), memory(t, good))
	require.ErrorIs(t, err, downstream.ErrDiverged)
}

// withArch is an extractor that says what it is.
type withArch struct {
	*fake
	arch backbone.Arch
}

func (w withArch) Arch() backbone.Arch { return w.arch }

func (withArch) Device() tensor.Device { return tensor.CPU }

func (w withArch) Channels(l backbone.Layer) int { return w.arch.Channels(l) }

func TestRD4ADBlocksFollowTheExtractor(t *testing.T) {
	two, four := []int{2, 2, 2}, []int{3, 4, 6}
	for arch, want := range map[backbone.Arch]downstream.RD4ADBlocks{
		backbone.ArchResNet18:     {OCE: 2, Decoder: two},
		backbone.ArchResNet34:     {OCE: 3, Decoder: four},
		backbone.ArchResNet50:     {Width: 1, OCE: 3, Decoder: four},
		backbone.ArchWideResNet50: {Width: 2, OCE: 3, Decoder: four},
	} {
		cfg := rd4adConfig()
		cfg.Blocks = downstream.RD4ADBlocks{}
		require.Equal(t, want, newRD4AD(t, withArch{arch: arch}, cfg, 1).Config().Blocks)
		cfg.Layers = []backbone.Layer{backbone.Layer2, backbone.Layer3, backbone.Layer4}
		require.Equal(t, want, newRD4AD(t, withArch{arch: arch}, cfg, 1).Config().Blocks)
		cfg.Layers = append([]backbone.Layer{backbone.Layer1}, cfg.Layers...)
		require.Len(t, newRD4AD(t, withArch{arch: arch}, cfg, 1).Config().Blocks.Decoder, 4)
		cfg.Layers = cfg.Layers[1:2]
		require.Equal(t, want.Decoder[:1], newRD4AD(t, withArch{arch: arch}, cfg, 1).Config().Blocks.Decoder)
		own := downstream.RD4ADBlocks{OCE: 1, Decoder: []int{1}}
		cfg.Blocks = own
		require.Equal(t, own, newRD4AD(t, withArch{arch: arch}, cfg, 1).Config().Blocks)
	}
	cfg := rd4adConfig()
	cfg.Blocks = downstream.RD4ADBlocks{}
	require.Equal(t, two, newRD4AD(t, &fake{scale: 1}, cfg, 1).Config().Blocks.Decoder)
}

// A real network, bottlenecks and layer4 included, on small images.
func TestRD4ADOnABackbone(t *testing.T) {
	noLeak(t)
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	defer net.Close()
	cfg := rd4adConfig()
	cfg.Epochs, cfg.TrainBatch, cfg.Transform = 1, 2, dataset.Square(128)
	cfg.Layers = []backbone.Layer{backbone.Layer3, backbone.Layer4}
	cfg.Blocks = downstream.RD4ADBlocks{Width: 1, OCE: 1, Decoder: []int{1, 1}}
	p := newRD4AD(t, net, cfg, 1)
	require.NoError(t, p.Fit(t.Context(), memory(t, textures(2, 77, 64))))
	r, err := p.Score(t.Context(), textures(1, 78, 64)...)
	require.NoError(t, err)
	require.Greater(t, r[0].Score, 0.0)
	require.Equal(t, 128, r[0].Map.W)
}

func TestEstimateRD4AD(t *testing.T) {
	a := backbone.ArchResNet18
	channels := []int{a.Channels(backbone.Layer1), a.Channels(backbone.Layer2), a.Channels(backbone.Layer3)}
	fitted, fitting := downstream.EstimateRD4AD(200, channels, image.Pt(64, 64), downstream.DefaultRD4AD())
	require.InDelta(t, 123e6, float64(fitted), 1e6)
	require.InDelta(t, 1.03e9, float64(fitting), 1e7)

	// Beyond the Cache three batches are on the host besides.
	const maps = 64*64*64 + 128*32*32 + 256*16*16
	cfg := downstream.DefaultRD4AD()
	cfg.Cache = 4*200*maps - 1
	_, beyond := downstream.EstimateRD4AD(200, channels, image.Pt(64, 64), cfg)
	require.Equal(t, int64(3*4*16*maps-1), beyond-fitting)

	cfg.Blocks = downstream.RD4ADBlocks{OCE: 1, Decoder: []int{1, 1, 1, 1}}
	for _, bad := range [][]int{nil, channels, {64, 64, 64, 64, 64}} {
		fitted, fitting = downstream.EstimateRD4AD(200, bad, image.Pt(64, 64), cfg)
		require.Zero(t, fitted+fitting)
	}
	fitted, fitting = downstream.EstimateRD4AD(200, nil, image.Pt(64, 64), downstream.DefaultRD4AD())
	require.Zero(t, fitted+fitting)
}
