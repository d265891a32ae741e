package downstream_test

import (
	"context"
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

func TestRegADFindsAScratch(t *testing.T) {
	noLeak(t)
	good := textures(4, 31, fakeSide)
	cfg := regadConfig()
	cfg.Epochs = 3
	r := trainedTiny(t, cfg, good)
	require.Equal(t, []string{"cloth", "felt"}, r.Classes())
	got, err := r.Score(t.Context(), append(textures(2, 32, 40), scratched(good[0]))...)
	require.NoError(t, err)
	require.Greater(t, got[2].Score, 1.5*max(got[0].Score, got[1].Score), "the scratch must stand out")
	require.Equal(t, got[2].Map.Max(), got[2].Score)
	require.Equal(t, dataset.Rect{MaxX: 40, MaxY: 40}, got[0].Map.Rect)
}

func TestRegADBatchEqualsOneByOne(t *testing.T) {
	noLeak(t)
	requireBatchEqualsOneByOne(t, trainedTiny(t, regadConfig(), textures(2, 33, fakeSide)), textures(11, 34, 48))
}

func TestRegADConcurrentScoreFitAndClose(t *testing.T) {
	noLeak(t)
	good := textures(3, 35, fakeSide)
	requireConcurrent(t, trainedTiny(t, regadConfig(), good), good, textures(2, 36, fakeSide), textures(20, 37, fakeSide))
}

func TestRegADCancelledFitChangesNothing(t *testing.T) {
	noLeak(t)
	r := trainedTiny(t, regadConfig(), textures(2, 38, fakeSide))
	requireCancelledFitChangesNothing(t, r, textures(1, 39, fakeSide)[0], textures(40, 40, fakeSide))
}

func TestRegADBreakEndsAllGoroutines(t *testing.T) {
	noLeak(t)
	r := trainedTiny(t, regadConfig(), textures(2, 41, fakeSide))
	for _, err := range r.ScoreSet(t.Context(), memory(t, textures(3, 42, fakeSide))) { // warms libtorch's threads up
		require.NoError(t, err)
	}
	requireBreakEndsAllGoroutines(t, r, textures(30, 43, fakeSide))
}

// A training that ends early, at its first batch or later, leaves network and
// statistics as they were; one that succeeds leaves no statistics.
func TestRegADCancelledTrainChangesNothing(t *testing.T) {
	noLeak(t)
	img := textures(1, 44, fakeSide)[0]
	r := trainedTiny(t, regadConfig(), textures(2, 45, fakeSide))
	before, err := r.Score(t.Context(), img)
	require.NoError(t, err)
	inside := tensor.Live()
	for _, after := range []int{0, 1, 9} {
		ctx, cancel := context.WithCancel(t.Context())
		err := r.Train(ctx, &interrupting{Dataset: products(), after: after, cancel: cancel})
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, inside, tensor.Live())
		cancel()
	}
	again, err := r.Score(t.Context(), img)
	require.NoError(t, err)
	require.Equal(t, before, again)

	require.NoError(t, r.Train(t.Context(), products()))
	_, err = r.Score(t.Context(), img)
	require.ErrorIs(t, err, downstream.ErrNotFitted)
	require.NoError(t, r.Fit(t.Context(), memory(t, textures(2, 45, fakeSide))))
	again, err = r.Score(t.Context(), img)
	require.NoError(t, err)
	require.Equal(t, before, again, "the same training, the same bits")
}

// Score goes on with the network that it began with while another is trained.
func TestRegADScoresWhileItIsTrained(t *testing.T) {
	noLeak(t)
	r := trainedTiny(t, regadConfig(), textures(2, 46, fakeSide))
	n := 0
	for _, err := range r.ScoreSet(t.Context(), memory(t, textures(30, 47, fakeSide))) {
		require.NoError(t, err)
		if n == 0 {
			require.NoError(t, r.Train(t.Context(), products()))
		}
		n++
	}
	require.Equal(t, 30, n)
}

// losses trains for a while and returns the losses of the steps.
func losses(t *testing.T, cfg downstream.RegADConfig, seed uint64) (out []float64, seen []downstream.Progress) {
	t.Helper()
	r, err := downstream.NewRegADOn(tinyWeights(t), growTiny(&fake{}), cfg, rand.New(rand.NewPCG(seed, 1)),
		downstream.WithProgress(func(p downstream.Progress) {
			out, seen = append(out, p.Loss), append(seen, p)
		}))
	require.NoError(t, err)
	defer r.Close()
	require.NoError(t, r.Train(t.Context(), products()))
	return out, seen
}

func TestRegADTraining(t *testing.T) {
	noLeak(t)
	cfg := regadConfig()
	cfg.Epochs = 6
	first, seen := losses(t, cfg, 1)
	require.Len(t, first, 6*3, "six images in steps of four and two, four in one")
	require.Equal(t, downstream.Progress{Detector: "RegAD", Stage: "train", Done: 3, Total: 3, Epoch: 6, Epochs: 6, Loss: first[17]}, seen[17])
	mean := func(v []float64) (m float64) {
		for _, x := range v {
			require.GreaterOrEqual(t, x, -1.0)
			m += x / float64(len(v))
		}
		return m
	}
	require.Less(t, mean(first[15:]), mean(first[:3])-0.1, "the loss falls")
	cfg.Epochs = 2
	one, _ := losses(t, cfg, 1)
	again, _ := losses(t, cfg, 1)
	require.Equal(t, one, again)
	require.Equal(t, first[0], one[0])
	require.NotEqual(t, first[1], one[1], "the rate is another where fewer epochs follow")
	other, _ := losses(t, cfg, 2)
	require.NotEqual(t, one[0], other[0])

	cfg.Rate = 1e30
	r := newTiny(t, &fake{}, cfg)
	err := r.Train(t.Context(), products())
	require.ErrorIs(t, err, downstream.ErrDiverged)
	require.ErrorContains(t, err, "downstream: train RegAD: epoch 1, batch")
	require.Nil(t, r.Classes())

	// Without an epoch the first weights are kept.
	cfg.Epochs, cfg.Rate = 0, 1
	none := trainedTiny(t, cfg, textures(2, 48, fakeSide))
	_, err = none.Score(t.Context(), textures(1, 49, fakeSide)[0])
	require.NoError(t, err)
}

// Every warp trains and scores.
func TestRegADWarps(t *testing.T) {
	noLeak(t)
	scores := map[float64]string{}
	for w := downstream.WarpRotationScale; w <= downstream.WarpRotationTranslationScale; w++ {
		cfg := regadConfig()
		cfg.Warp = w
		r := trainedTiny(t, cfg, textures(1, 50, fakeSide))
		got, err := r.Score(t.Context(), textures(1, 51, fakeSide)[0])
		require.NoError(t, err)
		require.Empty(t, scores[got[0].Score], "%s scores as another", w)
		scores[got[0].Score] = w.String()
		parsed, err := downstream.ParseWarp(w.String())
		require.NoError(t, err)
		require.Equal(t, w, parsed)
	}
	_, err := downstream.ParseWarp("fisheye")
	require.ErrorIs(t, err, downstream.ErrConfig)
	require.ErrorContains(t, err, "rotation_translation_scale")
}

// Other layers than the first three, also a first one on a coarser grid.
func TestRegADLayers(t *testing.T) {
	noLeak(t)
	for _, ls := range [][]backbone.Layer{{backbone.Layer1}, {backbone.Layer2, backbone.Layer3}, {backbone.Layer1, backbone.Layer3}} {
		cfg := regadConfig()
		cfg.Layers = ls
		r := trainedTiny(t, cfg, textures(2, 52, fakeSide))
		require.Equal(t, ls, r.Config().Layers)
		_, err := r.Score(t.Context(), textures(1, 53, fakeSide)[0])
		require.NoError(t, err)
	}
}

func TestRegADRefuses(t *testing.T) {
	noLeak(t)
	fe := &fake{}
	good := textures(3, 54, fakeSide)
	for name, f := range map[string]func(c *downstream.RegADConfig){
		"Layers":       func(c *downstream.RegADConfig) { c.Layers = nil },
		"Layers are":   func(c *downstream.RegADConfig) { c.Layers = []backbone.Layer{backbone.Layer2, backbone.Layer1} },
		"each once":    func(c *downstream.RegADConfig) { c.Layers = []backbone.Layer{backbone.Layer2, backbone.Layer2} },
		"Warp":         func(c *downstream.RegADConfig) { c.Warp = 99 },
		"Hidden":       func(c *downstream.RegADConfig) { c.Hidden = 0 },
		"Shots is 0":   func(c *downstream.RegADConfig) { c.Shots = 0 },
		"Shots is 65":  func(c *downstream.RegADConfig) { c.Shots = 65 },
		"Queries":      func(c *downstream.RegADConfig) { c.Queries = 0 },
		"Epochs":       func(c *downstream.RegADConfig) { c.Epochs = -1 },
		"Rate":         func(c *downstream.RegADConfig) { c.Rate = 0 },
		"Rate is +Inf": func(c *downstream.RegADConfig) { c.Rate = math.Inf(1) },
		"Momentum":     func(c *downstream.RegADConfig) { c.Momentum = 1 },
		"Epsilon":      func(c *downstream.RegADConfig) { c.Epsilon = math.NaN() },
		"Sigma":        func(c *downstream.RegADConfig) { c.Sigma = -1 },
		"Batch":        func(c *downstream.RegADConfig) { c.Batch = 0 },
		"Normalize":    func(c *downstream.RegADConfig) { c.Normalize.Std[1] = 0 },
	} {
		c := regadConfig()
		f(&c)
		err := c.Validate()
		require.ErrorIs(t, err, downstream.ErrConfig, name)
		require.ErrorContains(t, err, name)
	}

	r := newTiny(t, fe, regadConfig())
	requireNotFitted(t, r, good)
	require.ErrorIs(t, r.Fit(t.Context(), memory(t, good)), downstream.ErrNotTrained)
	require.ErrorIs(t, r.Save(t.TempDir()+"/x"), downstream.ErrNotTrained)
	require.Nil(t, r.Classes())

	train := func(samples ...dataset.Sample) error {
		ds, err := dataset.NewMemory(samples)
		require.NoError(t, err)
		return r.Train(t.Context(), ds)
	}
	sample := func(class string, k int) dataset.Sample {
		return dataset.Sample{Item: dataset.Item{Class: class, Label: dataset.LabelGood}, Image: good[k%3].(*image.RGBA)}
	}
	require.ErrorIs(t, r.Train(t.Context(), nil), downstream.ErrTooFewImages)
	require.ErrorIs(t, train(), downstream.ErrTooFewImages)
	err := train(sample("b", 1), sample("b", 2), sample("a", 0), sample("b", 0))
	require.ErrorIs(t, err, downstream.ErrTooFewImages)
	require.ErrorContains(t, err, `class "a" has only sample 2, a query needs another`)
	// Two images of a class are enough for any number of shots.
	require.NoError(t, train(sample("a", 0), sample("a", 1), sample("b", 1), sample("b", 2), sample("b", 0)))
	require.NoError(t, r.Close())
	err = train(sample("a", 0), sample("", 1))
	require.ErrorIs(t, err, downstream.ErrClass)
	require.ErrorContains(t, err, "sample 1 has none")
	bad := sample("a", 0)
	bad.Label, bad.Defect = dataset.LabelDefective, "hole"
	require.ErrorIs(t, train(bad), downstream.ErrNotNormal)

	require.NoError(t, r.Train(t.Context(), products()))
	err = r.Fit(t.Context(), products())
	require.ErrorIs(t, err, downstream.ErrClass)
	require.ErrorContains(t, err, `sample 0 is of class "cloth", which the network was trained on`)
	require.ErrorIs(t, r.Fit(t.Context(), memory(t, nil)), downstream.ErrTooFewImages)
	many := make([]image.Image, 65)
	for i := range many {
		many[i] = good[0]
	}
	err = r.Fit(t.Context(), memory(t, many))
	require.ErrorIs(t, err, downstream.ErrConfig)
	require.ErrorContains(t, err, "65 images")
	requireRefusesBadImages(t, r, fe, 3, good)

	cfg := regadConfig()
	cfg.TrainedTarget = true
	own := trainedTiny(t, cfg, nil)
	require.NoError(t, own.Fit(t.Context(), products()))

	cfg.Transform = dataset.Transform{} // leaves the size, which then must be one
	free := trainedTiny(t, cfg, nil)
	require.ErrorIs(t, free.Fit(t.Context(), memory(t, textures(1, 55, 48))), downstream.ErrImage)
}
