package downstream_test

import (
	"bytes"
	"context"
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

func simpleConfig() downstream.SimpleNetConfig {
	c := downstream.DefaultSimpleNet()
	c.Layers = []backbone.Layer{backbone.Layer1, backbone.Layer2}
	c.LayerDim, c.Dim, c.Hidden = 24, 16, 20
	c.Transform = dataset.Square(fakeSide)
	c.Epochs, c.TrainBatch, c.Batch = 3, 2, 3
	c.AdaptorRate, c.DiscriminatorRate = 1e-3, 2e-3
	return c
}

func simpleRand() *rand.Rand { return rand.New(rand.NewPCG(4, 4)) }

func fittedSimpleNet(t testing.TB, fe downstream.Extractor, cfg downstream.SimpleNetConfig, imgs []image.Image) *downstream.SimpleNet {
	t.Helper()
	p, err := downstream.NewSimpleNet(fe, cfg, simpleRand())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	require.NoError(t, p.Fit(t.Context(), memory(t, imgs)))
	return p
}

// slowSimpleNet scores an image with the weights of a saved detector by their
// definition, one layer after the other, in float64.
func slowSimpleNet(t *testing.T, fe downstream.Extractor, p *downstream.SimpleNet, img image.Image) (float64, []float32) {
	t.Helper()
	saved, err := tensor.ReadWeights(bytes.NewReader(written(t, p)))
	require.NoError(t, err)
	weights := map[string][]float32{}
	for _, a := range saved.Arrays {
		if a.DType == tensor.Int64 { // digests of the images of the fit
			continue
		}
		weights[a.Name], err = a.Floats()
		require.NoError(t, err)
	}
	linear := func(x []float64, name string) []float64 {
		w, b := weights[name+".weight"], weights[name+".bias"]
		out := make([]float64, len(w)/len(x))
		for i := range out {
			if b != nil {
				out[i] = float64(b[i])
			}
			for j, v := range x {
				out[i] += v * float64(w[i*len(x)+j])
			}
		}
		return out
	}
	cfg := p.Config()
	// With one size of the two poolings, and with none, patches are PatchCore's.
	require.True(t, cfg.Dim == cfg.LayerDim)
	like := downstream.PatchCoreConfig{Layers: cfg.Layers, Neighbourhood: cfg.Neighbourhood, Dim: cfg.Dim, Transform: cfg.Transform, Normalize: cfg.Normalize}
	patches, gw, gh := slowPatches(t, fe, like, img)
	grid, score := make([]float64, len(patches)), math.Inf(-1)
	for i, x := range patches {
		y := linear(linear(x, "adaptor"), "discriminator.hidden")
		for k := range y {
			at := func(name string) float64 { return float64(weights["discriminator.norm."+name][k]) }
			y[k] = (y[k]-at("running_mean"))/math.Sqrt(at("running_var")+1e-5)*at("weight") + at("bias")
			if y[k] < 0 {
				y[k] *= 0.2
			}
		}
		grid[i] = -linear(y, "discriminator.out")[0]
		score = max(score, grid[i])
	}
	return score, slowSmoothed(grid, gw, gh, cfg.Sigma)
}

func TestSimpleNetScoresByDefinition(t *testing.T) {
	noLeak(t)
	fe := &fake{scale: 1}
	good := textures(5, 61, 40)
	test := []image.Image{textures(1, 62, 40)[0], scratched(good[0])}
	for name, f := range map[string]func(c *downstream.SimpleNetConfig){
		"pooled":   func(c *downstream.SimpleNetConfig) { c.LayerDim, c.Sigma = c.Dim, 4 },
		"averages": func(c *downstream.SimpleNetConfig) { c.LayerDim, c.Dim = 0, 0 },
		"one layer": func(c *downstream.SimpleNetConfig) {
			c.Layers, c.LayerDim, c.Dim, c.Neighbourhood = c.Layers[1:], 9, 9, 5
		},
		"as they are": func(c *downstream.SimpleNetConfig) {
			c.Layers, c.LayerDim, c.Dim, c.Neighbourhood = c.Layers[:1], 0, 0, 1
		},
		"three": func(c *downstream.SimpleNetConfig) {
			c.Layers, c.LayerDim, c.Dim = append(slices.Clone(c.Layers), backbone.Layer3), 12, 12
		},
	} {
		cfg := simpleConfig()
		cfg.Sigma = 1.5 // the slow blur is slow
		f(&cfg)
		p := fittedSimpleNet(t, fe, cfg, good)
		got, err := p.Score(t.Context(), test...)
		require.NoError(t, err)
		for i, r := range got {
			score, m := slowSimpleNet(t, fe, p, test[i])
			require.InDelta(t, score, r.Score, roundingTolerance*max(1, math.Abs(score)), name)
			require.LessOrEqual(t, relative(t, m, r.Map.Data), 3*roundingTolerance, name)
			require.Equal(t, dataset.Rect{MaxX: 40, MaxY: 40}, r.Map.Rect)
			require.NotEqual(t, r.Map.Max(), r.Score, "the score is taken before smoothing")
		}
	}
}

func TestSimpleNetLearns(t *testing.T) {
	noLeak(t)
	cfg := simpleConfig()
	cfg.Epochs = 30
	var losses []float64
	p, err := downstream.NewSimpleNet(&fake{scale: 1}, cfg, simpleRand(), downstream.WithProgress(func(p downstream.Progress) {
		if p.Stage == "train" && p.Done == p.Total {
			require.Equal(t, "SimpleNet", p.Detector)
			require.Equal(t, []int{len(losses) + 1, 30, 4}, []int{p.Epoch, p.Epochs, p.Total})
			losses = append(losses, p.Loss)
		}
	}))
	require.NoError(t, err)
	defer p.Close()
	require.NoError(t, p.Fit(t.Context(), memory(t, textures(7, 63, fakeSide))))
	require.Len(t, losses, 30)
	require.InDelta(t, 1, losses[0], 0.3, "at first the two cannot be told apart: both terms are near the margin")
	require.Less(t, losses[29], 0.9*losses[0])
	fresh := textures(2, 64, fakeSide)
	r, err := p.Score(t.Context(), fresh[0], scratched(fresh[1]))
	require.NoError(t, err)
	require.Greater(t, r[1].Score, r[0].Score, "the scratch must stand out")
	// Where it stands out is where it is, 17 to 21 across and 9 to 19 down, give or
	// take the sigma of the smoothing.
	m := r[1].Map
	i := slices.Index(m.Data, slices.Max(m.Data))
	require.InDelta(t, 19, i%m.W, 2+cfg.Sigma)
	require.InDelta(t, 14, i/m.W, 5+cfg.Sigma)
}

// The seed decides everything; the cache and an earlier fit nothing.
func TestSimpleNetSeeds(t *testing.T) {
	noLeak(t)
	good, imgs := textures(5, 65, fakeSide), textures(2, 66, fakeSide)
	score := func(seed uint64, fits int, cache int64) []downstream.Result {
		cfg := simpleConfig()
		cfg.Cache = cache
		fe := &fake{scale: 1}
		p, err := downstream.NewSimpleNet(fe, cfg, rand.New(rand.NewPCG(seed, 1)))
		require.NoError(t, err)
		defer p.Close()
		for range fits {
			require.NoError(t, p.Fit(t.Context(), memory(t, good)))
		}
		if cache == 0 {
			require.EqualValues(t, 1+15+1, fe.calls.Load(), "a first look, every image in every epoch, the fingerprint")
		} else {
			require.EqualValues(t, fits*(5+1), fe.calls.Load(), "every image once, the fingerprint")
		}
		r, err := p.Score(t.Context(), imgs...)
		require.NoError(t, err)
		return r
	}
	a := score(1, 1, 1<<20)
	require.Equal(t, a, score(1, 2, 1<<20))
	require.Equal(t, a, score(1, 1, 0))
	require.NotEqual(t, a, score(2, 1, 1<<20))
}

func TestSimpleNetBatchEqualsOneByOne(t *testing.T) {
	noLeak(t)
	p := fittedSimpleNet(t, &fake{scale: 1}, simpleConfig(), textures(4, 67, fakeSide))
	imgs := textures(11, 68, 48)
	requireBatchEqualsOneByOne(t, p, imgs)
	requireBreakEndsAllGoroutines(t, p, imgs)
}

func TestSimpleNetConcurrentScoreFitAndClose(t *testing.T) {
	noLeak(t)
	requireConcurrent(t, subjects()["SimpleNet"](t), memory(t, textures(5, 69, fakeSide)), memory(t, textures(6, 79, fakeSide)), textures(2, 70, fakeSide), textures(12, 71, fakeSide))
}

func TestSimpleNetCancelledFitChangesNothing(t *testing.T) {
	noLeak(t)
	cfg := simpleConfig()
	cfg.Cache = 0 // so that the training reads images
	p := fittedSimpleNet(t, &fake{scale: 1}, cfg, textures(5, 72, fakeSide))
	img := textures(1, 73, fakeSide)[0]
	requireCancelledFitChangesNothing(t, p, img, textures(20, 74, fakeSide))

	// Between two epochs, and while the test set is looked at.
	before, err := p.Score(t.Context(), img)
	require.NoError(t, err)
	live := tensor.Live()
	for _, at := range []downstream.Progress{{Stage: "train", Epoch: 2}, {Stage: "score"}} {
		ctx, cancel := context.WithCancel(t.Context())
		q, err := downstream.NewSimpleNet(&fake{scale: 1}, cfg, simpleRand(), downstream.WithProgress(func(p downstream.Progress) {
			if p.Stage == at.Stage && p.Epoch == at.Epoch {
				cancel()
			}
		}))
		require.NoError(t, err)
		cfg.TestEvery = 1
		good, test := testSet(t, 75)
		require.ErrorIs(t, q.FitBestOnTest(ctx, good, test), context.Canceled)
		_, err = q.Score(t.Context(), img)
		require.ErrorIs(t, err, downstream.ErrNotFitted)
		require.Equal(t, live, tensor.Live())
		cancel()
	}
	again, err := p.Score(t.Context(), img)
	require.NoError(t, err)
	require.Equal(t, before, again)
}

// testSet returns good images and a test set of good and slightly scratched
// ones with masks.
func testSet(t *testing.T, seed uint64) (good, test *dataset.Memory) {
	t.Helper()
	imgs := textures(16, seed, fakeSide)
	var samples []dataset.Sample
	for i, img := range imgs[4:] {
		it := dataset.Item{Name: string(rune('a' + i)), Class: "texture", Label: dataset.LabelGood}
		s := dataset.Sample{Item: it, Image: img.(*image.RGBA)}
		if i%2 == 1 {
			s.Label, s.Defect, s.MaskName = dataset.LabelDefective, "scratch", "mask"
			s.Mask = image.NewGray(image.Rect(0, 0, fakeSide, fakeSide))
			px := image.NewRGBA(s.Image.Bounds())
			copy(px.Pix, img.(*image.RGBA).Pix)
			for y := 9; y < 12; y++ {
				for x := 12; x < 15; x++ {
					px.Pix[px.PixOffset(x, y)] += 35
					s.Mask.Pix[s.Mask.PixOffset(x, y)] = 255
				}
			}
			s.Image = px
		}
		samples = append(samples, s)
	}
	test, err := dataset.NewMemory(samples)
	require.NoError(t, err)
	return memory(t, imgs[:4]), test
}

// FitBestOnTest must end with the weights of that epoch whose detector, fitted
// for so many epochs, does best on the test set.
func TestSimpleNetBestOnTest(t *testing.T) {
	noLeak(t)
	good, test := testSet(t, 76)
	cfg := simpleConfig()
	cfg.TestEvery = 2
	score := func(p *downstream.SimpleNet) (all []downstream.Scored) {
		for sc, err := range p.ScoreSet(t.Context(), test) {
			require.NoError(t, err)
			all = append(all, sc)
		}
		return all
	}
	const epochs = 9
	var results [][]downstream.Scored
	best, bestImage, bestPixel, last := -1, -1.0, -1.0, -1.0
	for _, e := range []int{2, 4, 6, 8, 9} {
		cfg.Epochs = e
		p, err := downstream.NewSimpleNet(&fake{scale: 1}, cfg, simpleRand())
		require.NoError(t, err)
		require.NoError(t, p.Fit(t.Context(), good))
		all := score(p)
		require.NoError(t, p.Close())
		var scores []float64
		var positive []bool
		pixels := metrics.NewPixelAUROC(1 << 20)
		for _, sc := range all {
			scores, positive = append(scores, sc.Score), append(positive, sc.IsDefective())
			require.NoError(t, pixels.AddMask(sc.Map.Data, sc.Mask))
		}
		image, err := metrics.AUROC(scores, positive)
		require.NoError(t, err)
		pixel, err := pixels.Result()
		require.NoError(t, err)
		t.Logf("%d epochs: %.3f %.3f", e, image, pixel.AUROC)
		if image > bestImage || image == bestImage && pixel.AUROC > bestPixel {
			best, bestImage, bestPixel = len(results), image, pixel.AUROC
		}
		last = image
		results = append(results, all)
	}
	require.Less(t, last, bestImage, "the last epoch must not be the best, or the test proves less")
	cfg.Epochs = epochs
	p, err := downstream.NewSimpleNet(&fake{scale: 1}, cfg, simpleRand())
	require.NoError(t, err)
	defer p.Close()
	require.False(t, p.BestOnTest())
	require.NoError(t, p.FitBestOnTest(t.Context(), good, test))
	require.Equal(t, results[best], score(p))
	// Model and file say how it was fitted, until it is fitted otherwise.
	require.True(t, p.BestOnTest())
	q, err := downstream.ReadSimpleNet(t.Context(), bytes.NewReader(written(t, p)), &fake{scale: 1})
	require.NoError(t, err)
	defer q.Close()
	require.True(t, q.BestOnTest())
	require.NoError(t, q.Fit(t.Context(), good))
	require.False(t, q.BestOnTest())
	r, err := downstream.ReadSimpleNet(t.Context(), bytes.NewReader(written(t, q)), &fake{scale: 1})
	require.NoError(t, err)
	defer r.Close()
	require.False(t, r.BestOnTest())

	require.ErrorIs(t, p.FitBestOnTest(t.Context(), good, good), metrics.ErrOneClass)
	require.ErrorIs(t, p.FitBestOnTest(t.Context(), good, nil), downstream.ErrTooFewImages)
}

func TestSimpleNetRefuses(t *testing.T) {
	noLeak(t)
	fe := &fake{scale: 1}
	good := textures(3, 77, fakeSide)
	for name, f := range map[string]func(c *downstream.SimpleNetConfig){
		"Layers":             func(c *downstream.SimpleNetConfig) { c.Layers = nil },
		"Neighbourhood":      func(c *downstream.SimpleNetConfig) { c.Neighbourhood = 4 },
		"LayerDim":           func(c *downstream.SimpleNetConfig) { c.LayerDim = 0 },
		"Dim":                func(c *downstream.SimpleNetConfig) { c.Dim = 7 },
		"Hidden":             func(c *downstream.SimpleNetConfig) { c.Hidden = 0 },
		"Noise":              func(c *downstream.SimpleNetConfig) { c.Noise = math.NaN() },
		"Margin":             func(c *downstream.SimpleNetConfig) { c.Margin = 0 },
		"Epochs":             func(c *downstream.SimpleNetConfig) { c.Epochs = 0 },
		"TestEvery":          func(c *downstream.SimpleNetConfig) { c.TestEvery = 0 },
		"TrainBatch":         func(c *downstream.SimpleNetConfig) { c.TrainBatch = 257 },
		"AdaptorRate":        func(c *downstream.SimpleNetConfig) { c.AdaptorRate = 0 },
		"DiscriminatorRate":  func(c *downstream.SimpleNetConfig) { c.DiscriminatorRate = 2 },
		"AdaptorDecay":       func(c *downstream.SimpleNetConfig) { c.AdaptorDecay = -1 },
		"DiscriminatorDecay": func(c *downstream.SimpleNetConfig) { c.DiscriminatorDecay = math.Inf(1) },
		"Cache":              func(c *downstream.SimpleNetConfig) { c.Cache = -1 },
		"Sigma":              func(c *downstream.SimpleNetConfig) { c.Sigma = 65 },
		"Batch":              func(c *downstream.SimpleNetConfig) { c.Batch = 0 },
		"Transform":          func(c *downstream.SimpleNetConfig) { c.Transform = dataset.Transform{Shorter: -1} },
		"Normalize":          func(c *downstream.SimpleNetConfig) { c.Normalize.Std[1] = 0 },
	} {
		cfg := simpleConfig()
		f(&cfg)
		_, err := downstream.NewSimpleNet(fe, cfg, simpleRand())
		require.ErrorIs(t, err, downstream.ErrConfig, name)
		require.ErrorContains(t, err, name)
	}
	cfg := simpleConfig()
	_, err := downstream.NewSimpleNet(fe, cfg, nil)
	require.ErrorIs(t, err, downstream.ErrConfig)
	_, err = downstream.NewSimpleNet(nil, cfg, simpleRand())
	require.ErrorIs(t, err, downstream.ErrConfig)
	for _, l := range []backbone.Layer{backbone.Layer4, backbone.Pooled, backbone.Layer1} {
		cfg := simpleConfig()
		cfg.Layers = []backbone.Layer{backbone.Layer1, l}
		_, err = downstream.NewSimpleNet(fe, cfg, simpleRand())
		require.ErrorIs(t, err, downstream.ErrLayers)
	}

	p, err := downstream.NewSimpleNet(fe, cfg, simpleRand())
	require.NoError(t, err)
	requireNotFitted(t, p, good)
	none := dataset.Filter(memory(t, good), func(dataset.Item) bool { return false })
	require.ErrorIs(t, p.Fit(t.Context(), none), downstream.ErrTooFewImages)
	requireRefusesBadImages(t, p, fe, 2, good)

	cfg.Transform = dataset.Transform{} // leaves the size, which then must be one
	q, err := downstream.NewSimpleNet(fe, cfg, simpleRand())
	require.NoError(t, err)
	require.ErrorIs(t, q.Fit(t.Context(), memory(t, append(good, textures(1, 1, 48)...))), downstream.ErrImage)

	cfg = simpleConfig()
	q, err = downstream.NewSimpleNet(&fake{scale: 5e37}, cfg, simpleRand()) // finite, but sums of a few are not
	require.NoError(t, err)
	err = q.Fit(t.Context(), memory(t, good))
	require.ErrorIs(t, err, downstream.ErrDiverged)
	require.ErrorContains(t, err, "epoch 1, batch ")
}

func TestEstimateSimpleNet(t *testing.T) {
	cfg := downstream.DefaultSimpleNet()
	const features = 128*36*36 + 256*18*18
	fitted, fitting := downstream.EstimateSimpleNet(200, 36*36, features, 1536, cfg)
	require.InDelta(t, 22e6, float64(fitted), 1e6)
	require.InDelta(t, 713e6, float64(fitting), 1e6)
	cfg.Cache = 0
	_, without := downstream.EstimateSimpleNet(200, 36*36, features, 1536, cfg)
	require.Equal(t, int64((200-3*8)*4*features), fitting-without, "three batches are on the host in place of all maps")
}

// What training takes from its pool, which is all but small blocks, must be what
// the estimate says of steps.
func TestSimpleNetTakesWhatIsEstimated(t *testing.T) {
	noLeak(t)
	cfg := simpleConfig()
	cfg.LayerDim, cfg.Dim, cfg.Hidden, cfg.TrainBatch, cfg.Epochs, cfg.Cache = 512, 512, 512, 16, 2, 0
	tensor.ReleasePool()
	var most int64
	p, err := downstream.NewSimpleNet(&fake{scale: 1}, cfg, simpleRand(), downstream.WithProgress(func(p downstream.Progress) {
		if p.Stage == "train" {
			most = max(most, tensor.PooledBytes())
		}
	}))
	require.NoError(t, err)
	defer p.Close()
	require.NoError(t, p.Fit(t.Context(), memory(t, textures(16, 78, fakeSide))))
	require.Zero(t, tensor.PooledBytes(), "a fit leaves nothing behind")
	_, fitting := downstream.EstimateSimpleNet(16, 8*8, 0, cfg.Dim, cfg)
	inUse := int64(12 * (2*cfg.Dim*cfg.Hidden + cfg.Dim + 6*cfg.Hidden)) // weights and moments, between two steps
	// Patches take less than is said: those of the coarse layer are a quarter.
	require.InEpsilon(t, fitting-inUse, most, 0.15)
}
