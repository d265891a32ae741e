package downstream_test

import (
	"context"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/classify"
	"github.com/gotab/gotab/tensor"
)

// pooler is an extractor of pooled features alone: the means of the quarters of
// an image and their squares.
type pooler struct {
	scale float64
	bad   atomic.Int64 // how many passes more give NaN
}

func (*pooler) Device() tensor.Device { return tensor.CPU }

func (p *pooler) Channels(l backbone.Layer) int {
	if l == backbone.Pooled {
		return 24
	}
	return 0
}

func (p *pooler) Forward(s *tensor.Scope, x *tensor.Tensor, _ ...backbone.Layer) []*tensor.Tensor {
	return []*tensor.Tensor{s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		y := s.MulScalar(s.Reshape(s.Contiguous(s.AvgPool2d(x, x.Size(2)/2, x.Size(2)/2, 0)), x.Size(0), 12), p.scale)
		if p.bad.Load() > 0 {
			p.bad.Add(-1)
			y = s.Log(s.Neg(s.Square(y)))
		}
		return s.Cat(1, y, s.Square(y))
	})}
}

// The parts of a picture that can be bright, each a label.
var quarters = []string{"upper left", "upper right", "lower left", "lower right"}

// quartered draws n noisy pictures; in the i-th, quarter k is bright where bit k
// of i is 1.
func quartered(n int, seed uint64, side int) []dataset.Sample {
	rng := rand.New(rand.NewPCG(seed, 3))
	out := make([]dataset.Sample, n)
	for i := range out {
		img := image.NewRGBA(image.Rect(0, 0, side, side))
		for y := range side {
			for x := range side {
				v := 60 + 20*rng.Float64()
				if k := x*2/side + y*2/side*2; i>>k&1 == 1 {
					v += 100
				}
				img.SetRGBA(x, y, color.RGBA{uint8(v), uint8(v), uint8(v), 255})
			}
		}
		name := string(rune('a'+i/26)) + string(rune('a'+i%26))
		out[i] = dataset.Sample{Item: dataset.Item{Name: name, Class: "part"}, Image: img}
	}
	return out
}

// bits labels quartered pictures with their bright quarters.
func bits(t testing.TB, n int, seed uint64) *classify.Labelled {
	t.Helper()
	ds, err := dataset.NewMemory(quartered(n, seed, fakeSide))
	require.NoError(t, err)
	l, err := classify.Label(ds, quarters, func(i int, _ dataset.Item) ([]bool, error) {
		return []bool{i&1 != 0, i&2 != 0, i&4 != 0, i&8 != 0}, nil
	})
	require.NoError(t, err)
	return l
}

// kinds labels them with how many of the left quarters are bright.
func kinds(t testing.TB, n int, seed uint64) *classify.Labelled {
	t.Helper()
	ds, err := dataset.NewMemory(quartered(n, seed, fakeSide))
	require.NoError(t, err)
	l, err := classify.LabelOne(ds, []string{"none", "one", "both"}, func(i int, _ dataset.Item) (int, error) {
		return i&1 + i>>2&1, nil
	})
	require.NoError(t, err)
	return l
}

func images(l *classify.Labelled) (out []image.Image) {
	for i := range l.Len() {
		s, err := l.Sample(context.Background(), i)
		if err != nil {
			panic(err)
		}
		out = append(out, s.Image)
	}
	return out
}

func frozenConfig(task classify.Task) classify.Config {
	c := classify.Default()
	c.Task, c.Frozen, c.Epochs, c.Batch, c.LR = task, true, 60, 8, 0.05
	c.Transform = dataset.Square(fakeSide)
	return c
}

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func newClassifier(t testing.TB, fe downstream.Extractor, cfg classify.Config, opts ...downstream.Option) *classify.Classifier {
	t.Helper()
	c, err := classify.New(fe, cfg, seeded(1), opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// exact is the share of samples whose labels are all right.
func exact(t testing.TB, c *classify.Classifier, test *classify.Labelled) float64 {
	t.Helper()
	i, right := 0, 0
	for p, err := range c.PredictSet(t.Context(), test) {
		require.NoError(t, err)
		require.Equal(t, test.Item(i), p.Item)
		if slices.Equal(p.Labels, test.Truth(i)) {
			right++
		}
		i++
	}
	require.Equal(t, test.Len(), i)
	return float64(right) / float64(i)
}

func TestClassifierLearnsLabels(t *testing.T) {
	noLeak(t)
	var steps []downstream.Progress
	c := newClassifier(t, &pooler{scale: 1}, frozenConfig(classify.MultiLabel),
		downstream.WithProgress(func(s downstream.Progress) {
			if s.Stage != "predict" {
				steps = append(steps, s)
			}
		}))
	require.Nil(t, c.Names())
	require.NoError(t, c.Fit(t.Context(), bits(t, 32, 1)))
	require.Equal(t, quarters, c.Names())
	require.Equal(t, 1.0, exact(t, c, bits(t, 48, 2)))

	// Four batches of features, then sixty epochs of four steps.
	require.Len(t, steps, 4+60*4)
	require.Equal(t, downstream.Progress{Detector: "classifier", Stage: "features", Done: 32, Total: 32}, steps[3])
	first, last := steps[4], steps[len(steps)-1]
	require.Equal(t, [4]int{1, 60, 1, 4}, [4]int{first.Epoch, first.Epochs, first.Done, first.Total})
	require.Equal(t, [4]int{60, 60, 4, 4}, [4]int{last.Epoch, last.Epochs, last.Done, last.Total})
	require.InDelta(t, 0.05/4, first.LR, 1e-12, "the first of four steps of warm-up")
	require.Less(t, last.LR, 1e-5)
	require.Less(t, last.Loss, 0.2*first.Loss)
	require.Equal(t, 1.0, last.Accuracy)

	p, err := c.Predict(t.Context(), images(bits(t, 16, 3))[5])
	require.NoError(t, err)
	require.Equal(t, []bool{true, false, true, false}, p[0].Labels)
	for k, v := range p[0].Logits {
		require.InDelta(t, 1/(1+math.Exp(-float64(v))), p[0].Probability[k], 1e-6)
	}
}

func TestClassifierLearnsClasses(t *testing.T) {
	noLeak(t)
	cfg := frozenConfig(classify.MultiClass)
	cfg.Balance, cfg.ClipNorm, cfg.Rule, cfg.LR = true, 1, "sgd", 0.1
	c := newClassifier(t, &pooler{scale: 1}, cfg)
	require.NoError(t, c.Fit(t.Context(), kinds(t, 32, 1)))
	require.Equal(t, 1.0, exact(t, c, kinds(t, 48, 2)))
	p, err := c.Predict(t.Context(), images(kinds(t, 16, 3))...)
	require.NoError(t, err)
	for i, r := range p {
		require.Equal(t, i&1+i>>2&1, r.Class)
		sum := float32(0)
		for k, v := range r.Probability {
			sum += v
			require.Equal(t, k == r.Class, r.Labels[k])
		}
		require.InDelta(t, 1, sum, 1e-6)
	}
}

func TestClassifierBatchEqualsOneByOne(t *testing.T) {
	noLeak(t)
	c := newClassifier(t, &pooler{scale: 1}, frozenConfig(classify.MultiLabel))
	require.NoError(t, c.Fit(t.Context(), bits(t, 32, 1)))
	test := bits(t, 19, 4)
	all, err := c.Predict(t.Context(), images(test)...)
	require.NoError(t, err)
	require.Len(t, all, 19)
	for i, img := range images(test) {
		one, err := c.Predict(t.Context(), img)
		require.NoError(t, err)
		require.LessOrEqual(t, relative(t, one[0].Logits, all[i].Logits), batchTolerance)
	}
	i := 0
	before := runtime.NumGoroutine()
	for p, err := range c.PredictSet(t.Context(), test) {
		require.NoError(t, err)
		require.Equal(t, all[i], p.Prediction)
		if i++; i == 11 {
			break
		}
	}
	require.Equal(t, 11, i)
	require.LessOrEqual(t, runtime.NumGoroutine(), before)
	none, err := c.Predict(t.Context())
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestClassifierSeedDecides(t *testing.T) {
	noLeak(t)
	test := images(bits(t, 3, 4))
	logits := func(seed uint64, fits int) []classify.Prediction {
		cfg := frozenConfig(classify.MultiLabel)
		cfg.Epochs, cfg.Warmup = 3, 0
		c, err := classify.New(&pooler{scale: 1}, cfg, seeded(seed))
		require.NoError(t, err)
		defer c.Close()
		for range fits {
			require.NoError(t, c.Fit(t.Context(), bits(t, 32, 1)))
		}
		p, err := c.Predict(t.Context(), test...)
		require.NoError(t, err)
		return p
	}
	require.Equal(t, logits(1, 1), logits(1, 1))
	require.Equal(t, logits(1, 1), logits(1, 2), "a second Fit begins anew")
	require.NotEqual(t, logits(1, 1), logits(2, 1))
}

// trainedConfig trains a ResNet-18 on pictures of 32x32 for a few steps.
func trainedConfig() classify.Config {
	c := frozenConfig(classify.MultiLabel)
	c.Frozen, c.Epochs, c.LR, c.BackboneLR = false, 2, 3e-3, 1e-3
	return c
}

func smallNet(t testing.TB) *backbone.ResNet {
	t.Helper()
	net, err := backbone.NewResNet18(tensor.CPU, seeded(7))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, net.Close()) })
	return net
}

func TestClassifierTrainsACopy(t *testing.T) {
	noLeak(t)
	net := smallNet(t)
	before, err := net.Params().Arrays(t.Context())
	require.NoError(t, err)
	train, test := bits(t, 16, 1), images(bits(t, 4, 4))
	var first, last downstream.Progress
	progress := downstream.WithProgress(func(s downstream.Progress) {
		if s.Epoch == 1 && s.Done == 1 {
			first = s
		}
		if s.Stage == "train" {
			last = s
		}
	})
	cfg := trainedConfig()
	cfg.Epochs, cfg.Warmup, cfg.Turn = 3, 0, true
	c := newClassifier(t, net, cfg, progress)
	require.NoError(t, c.Fit(t.Context(), train))
	require.Less(t, last.Loss, 0.95*first.Loss)
	a, err := c.Predict(t.Context(), test...)
	require.NoError(t, err)

	// Another one of the same seed on the same network, which nothing has
	// changed, comes to the same bits.
	d := newClassifier(t, net, cfg)
	require.NoError(t, d.Fit(t.Context(), train))
	b, err := d.Predict(t.Context(), test...)
	require.NoError(t, err)
	require.Equal(t, a, b)
	after, err := net.Params().Arrays(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, after)
}

func TestClassifierCancelledFitChangesNothing(t *testing.T) {
	noLeak(t)
	net := smallNet(t)
	for name, c := range map[string]*classify.Classifier{
		"frozen":  newClassifier(t, &pooler{scale: 1}, frozenConfig(classify.MultiLabel)),
		"trained": newClassifier(t, net, trainedConfig()),
	} {
		require.NoError(t, c.Fit(t.Context(), bits(t, 8, 1)), name)
		img := images(bits(t, 5, 4))
		before, err := c.Predict(t.Context(), img...)
		require.NoError(t, err)
		inside := tensor.Live()
		for _, after := range []int{0, 1, 20} {
			ctx, cancel := context.WithCancel(t.Context())
			l := bits(t, 32, 2)
			l.Dataset = &interrupting{Dataset: l.Dataset, after: after, cancel: cancel}
			require.ErrorIs(t, c.Fit(ctx, l), context.Canceled, name)
			require.Equal(t, inside, tensor.Live(), name)
			cancel()
		}
		again, err := c.Predict(t.Context(), img...)
		require.NoError(t, err)
		require.Equal(t, before, again, name)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = c.Predict(ctx, img[0])
		require.ErrorIs(t, err, context.Canceled)
	}
	// In the middle of the linear layer's epochs, when nothing is read any more.
	ctx, cancel := context.WithCancel(t.Context())
	c := newClassifier(t, &pooler{scale: 1}, frozenConfig(classify.MultiLabel), downstream.WithProgress(func(s downstream.Progress) {
		if s.Epoch == 30 {
			cancel()
		}
	}))
	require.ErrorIs(t, c.Fit(ctx, bits(t, 32, 1)), context.Canceled)
	_, err := c.Predict(t.Context(), images(bits(t, 1, 1))...)
	require.ErrorIs(t, err, downstream.ErrNotFitted)
}

func TestClassifierDivergesByName(t *testing.T) {
	noLeak(t)
	net := smallNet(t)
	for name, change := range map[string]func(c *classify.Config){
		"frozen":  func(c *classify.Config) { c.LR = 1e38 },
		"trained": func(c *classify.Config) { c.Frozen, c.BackboneLR = false, 1e30 },
	} {
		cfg := frozenConfig(classify.MultiLabel)
		cfg.Rule, cfg.Warmup = "sgd", 0
		change(&cfg)
		c := newClassifier(t, net, cfg)
		err := c.Fit(t.Context(), bits(t, 32, 1))
		require.ErrorIs(t, err, downstream.ErrDiverged, name)
		require.ErrorContains(t, err, "epoch 1, batch", name)
		_, err = c.Predict(t.Context(), images(bits(t, 1, 1))...)
		require.ErrorIs(t, err, downstream.ErrNotFitted)
	}
}

func TestClassifierIsSafeForConcurrentUse(t *testing.T) {
	noLeak(t)
	for _, kind := range []string{"classifier", "trained classifier"} {
		t.Run(kind, func(t *testing.T) {
			c := subjects()[kind](t)
			requireConcurrent(t, c, memory(t, textures(8, 211, fakeSide)), memory(t, textures(8, 212, fakeSide)), textures(3, 213, fakeSide), textures(20, 214, fakeSide))
		})
	}
}
