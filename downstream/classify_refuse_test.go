package downstream_test

import (
	"bytes"
	"image"
	"math"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/dataset/wafers"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/classify"
	"github.com/gotab/gotab/tensor"
)

func TestClassifierConfigRefuses(t *testing.T) {
	require.NoError(t, classify.Default().Validate())
	require.NoError(t, classify.DefaultWafer(64).Validate())
	type config = classify.Config
	for want, change := range map[string]func(c *config){
		"Task is 2":                     func(c *config) { c.Task = 2 },
		"Encoding is -1":                func(c *config) { c.Encoding = -1 },
		"Epochs is 0":                   func(c *config) { c.Epochs = 0 },
		"Batch is 3, want 4 or more":    func(c *config) { c.Batch = 3 },
		"Batch is 0":                    func(c *config) { c.Frozen, c.Batch = true, 0 },
		"LR is NaN":                     func(c *config) { c.LR = math.NaN() },
		"BackboneLR is 0":               func(c *config) { c.BackboneLR = 0 },
		"Warmup is 21":                  func(c *config) { c.Warmup = 21 },
		"ClipNorm is -1":                func(c *config) { c.ClipNorm = -1 },
		"Balance and Weights":           func(c *config) { c.Balance, c.Weights = true, []float64{1} },
		"Weights[1] is 0":               func(c *config) { c.Weights = []float64{1, 0} },
		"Turn and Frozen":               func(c *config) { c.Turn, c.Frozen = true, true },
		`Rule is "adam"`:                func(c *config) { c.Rule = "adam" },
		"SGDConfig.Momentum is 1":       func(c *config) { c.Rule, c.SGD.Momentum = "sgd", 1 },
		"AdamWConfig.Epsilon is 0":      func(c *config) { c.AdamW.Epsilon = 0 },
		"Transform":                     func(c *config) { c.Transform.Shorter = -1 },
		"Normalize":                     func(c *config) { c.Normalize.Std[1] = 0 },
		"Exact is 0x64, want sides of ": func(c *config) { c.Transform = dataset.Transform{Exact: image.Pt(0, 64)} },
	} {
		cfg := classify.Default()
		change(&cfg)
		err := cfg.Validate()
		require.ErrorIs(t, err, downstream.ErrConfig, want)
		require.ErrorContains(t, err, want)
		_, err = classify.New(&pooler{}, cfg, seeded(1))
		require.ErrorIs(t, err, downstream.ErrConfig, want)
	}
}

func TestNewClassifierRefuses(t *testing.T) {
	frozen := frozenConfig(classify.MultiLabel)
	_, err := classify.New(nil, frozen, seeded(1))
	require.ErrorIs(t, err, downstream.ErrConfig)
	_, err = classify.New(&pooler{}, frozen, nil)
	require.ErrorIs(t, err, downstream.ErrConfig)
	_, err = classify.New(&pooler{}, classify.Default(), seeded(1))
	require.ErrorIs(t, err, downstream.ErrConfig)
	require.ErrorContains(t, err, "only a *backbone.ResNet is trained")
	_, err = classify.New(noPooled{}, frozen, seeded(1))
	require.ErrorIs(t, err, downstream.ErrLayers)
}

// noPooled has stages and no pooled features.
type noPooled struct{}

func (noPooled) Device() tensor.Device { return tensor.CPU }

func (noPooled) Channels(l backbone.Layer) int {
	if l == backbone.Pooled {
		return 0
	}
	return 8
}

func (noPooled) Forward(s *tensor.Scope, x *tensor.Tensor, _ ...backbone.Layer) []*tensor.Tensor {
	return []*tensor.Tensor{x}
}

// wide promises other features than it gives.
type wide struct{ pooler }

func (*wide) Device() tensor.Device { return tensor.CPU }

func (*wide) Channels(backbone.Layer) int { return 25 }

func TestClassifierRefusesBadData(t *testing.T) {
	noLeak(t)
	fe := &pooler{scale: 1}
	labels := newClassifier(t, fe, frozenConfig(classify.MultiLabel))
	classes := newClassifier(t, fe, frozenConfig(classify.MultiClass))
	relabelled := func(truth func(i int) []bool) *classify.Labelled {
		l, err := classify.Label(bits(t, 16, 1).Dataset, quarters, func(i int, _ dataset.Item) ([]bool, error) { return truth(i), nil })
		require.NoError(t, err)
		return l
	}
	require.ErrorIs(t, labels.Fit(t.Context(), nil), downstream.ErrTooFewImages)
	require.ErrorIs(t, labels.Fit(t.Context(), &classify.Labelled{}), downstream.ErrTooFewImages)
	same := relabelled(func(int) []bool { return []bool{true, false, true, false} })
	err := labels.Fit(t.Context(), same)
	require.ErrorIs(t, err, downstream.ErrLabels)
	require.ErrorContains(t, err, "all 16 samples have the same labels")
	require.ErrorIs(t, classes.Fit(t.Context(), relabelled(func(int) []bool { return []bool{false, true, false, false} })), downstream.ErrLabels, "one class")
	err = classes.Fit(t.Context(), relabelled(func(i int) []bool { return []bool{true, i == 3, false, false} }))
	require.ErrorIs(t, err, downstream.ErrLabels)
	require.ErrorContains(t, err, "sample ad shows not exactly one of 4 classes")
	exchanged := bits(t, 16, 1)
	exchanged.Dataset = bits(t, 8, 1).Dataset
	require.ErrorIs(t, labels.Fit(t.Context(), exchanged), downstream.ErrLabels)

	weighted := frozenConfig(classify.MultiLabel)
	weighted.Weights = []float64{1, 2, 3}
	err = newClassifier(t, fe, weighted).Fit(t.Context(), bits(t, 16, 1))
	require.ErrorIs(t, err, downstream.ErrConfig)
	require.ErrorContains(t, err, "3 Weights for 4 names")

	fe.bad.Store(100) // more passes than there are
	err = labels.Fit(t.Context(), bits(t, 16, 1))
	require.ErrorIs(t, err, downstream.ErrNotFinite)
	require.ErrorContains(t, err, "features of image aa")
	fe.bad.Store(0)
	other, err := dataset.NewMemory(append(quartered(4, 1, 40), dataset.Sample{Item: dataset.Item{Name: "odd"}, Image: image.NewRGBA(image.Rect(0, 0, 40, 20))}))
	require.NoError(t, err)
	free := frozenConfig(classify.MultiLabel)
	free.Transform = dataset.Transform{Shorter: 32, Filter: dataset.Bilinear}
	l, err := classify.Label(other, quarters, func(i int, _ dataset.Item) ([]bool, error) { return []bool{i == 0, true, true, true}, nil })
	require.NoError(t, err)
	err = newClassifier(t, fe, free).Fit(t.Context(), l)
	require.ErrorIs(t, err, downstream.ErrImage)
	require.ErrorContains(t, err, "image odd")

	w, err := classify.New(&wide{pooler: pooler{scale: 1}}, frozenConfig(classify.MultiLabel), seeded(1))
	require.NoError(t, err)
	require.ErrorIs(t, w.Fit(t.Context(), bits(t, 16, 1)), downstream.ErrLayers)

	require.NoError(t, labels.Fit(t.Context(), bits(t, 16, 1)))
	_, err = labels.Predict(t.Context(), images(bits(t, 1, 1))[0], nil)
	require.ErrorIs(t, err, downstream.ErrImage)
	yielded := 0
	for _, err := range labels.PredictSet(t.Context(), nil) {
		require.ErrorIs(t, err, downstream.ErrImage)
		yielded++
	}
	require.Equal(t, 1, yielded)
	fe.bad.Store(1)
	_, err = labels.Predict(t.Context(), images(bits(t, 1, 1))...)
	require.ErrorIs(t, err, downstream.ErrNotFinite)
	require.ErrorContains(t, err, "image 0")
	require.ErrorIs(t, classes.Save(t.TempDir()+"/x"), downstream.ErrNotFitted)
}

func TestLabelsComeFromItems(t *testing.T) {
	ds, err := dataset.NewMemory([]dataset.Sample{
		sample("a", "screw", "bent"), sample("b", "nut", dataset.Good), sample("c", "nut", "bent+dirty"),
	})
	require.NoError(t, err)
	classes, err := classify.ByClass(ds, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"nut", "screw"}, classes.Names())
	require.Equal(t, []int{1, 0, 0}, []int{classes.Class(0), classes.Class(1), classes.Class(2)})
	require.Equal(t, -1, classes.Class(3))
	require.Nil(t, classes.Truth(-1))

	defects, err := classify.ByDefect(ds, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"bent", "bent+dirty", "good"}, defects.Names())
	require.Equal(t, []bool{false, false, true}, defects.Truth(1))

	parts, err := classify.ByDefects(ds, []string{"dirty", "bent"})
	require.NoError(t, err)
	require.Equal(t, []bool{false, true}, parts.Truth(0))
	require.Equal(t, []bool{false, false}, parts.Truth(1))
	require.Equal(t, []bool{true, true}, parts.Truth(2))
	require.Equal(t, -1, parts.Class(2))
	require.Equal(t, -1, parts.Class(1))

	for name, f := range map[string]func() (*classify.Labelled, error){
		"unknown defect": func() (*classify.Labelled, error) { return classify.ByDefect(ds, []string{"bent", "good"}) },
		"unknown part":   func() (*classify.Labelled, error) { return classify.ByDefects(ds, []string{"bent"}) },
		"twice": func() (*classify.Labelled, error) {
			return classify.ByDefects(ds, []string{"bent", "dirty", "bent"})
		},
		"empty name":  func() (*classify.Labelled, error) { return classify.ByClass(ds, []string{"nut", "screw", ""}) },
		"no names":    func() (*classify.Labelled, error) { return classify.ByDefects(ds, nil) },
		"nil":         func() (*classify.Labelled, error) { return classify.ByClass(nil, nil) },
		"no function": func() (*classify.Labelled, error) { return classify.LabelOne(ds, []string{"x"}, nil) },
		"out of range": func() (*classify.Labelled, error) {
			return classify.LabelOne(ds, []string{"x"}, func(int, dataset.Item) (int, error) { return 1, nil })
		},
		"too few answers": func() (*classify.Labelled, error) {
			return classify.Label(ds, []string{"x"}, func(int, dataset.Item) ([]bool, error) { return nil, nil })
		},
	} {
		_, err := f()
		require.ErrorIs(t, err, downstream.ErrLabels, name)
	}
}

func sample(name, class, defect string) dataset.Sample {
	return dataset.Sample{Item: dataset.Item{Name: name, Class: class, Defect: defect, Label: dataset.LabelOf(defect)},
		Image: image.NewRGBA(image.Rect(0, 0, 4, 4))}
}

// Maps of MixedWM38 are labelled by their eight bits, and a linear layer on the
// means of their quarters can tell full maps from others.
func TestClassifierReadsMixedWM38(t *testing.T) {
	noLeak(t)
	var file bytes.Buffer
	require.NoError(t, wafers.Write(t.Context(), &file, 3, wafers.Even(2)))
	ds, err := dataset.NewMixedWM38(fstest.MapFS{"w.npz": {Data: file.Bytes()}}, "w.npz")
	require.NoError(t, err)
	defer ds.Close()
	names := dataset.WaferLabels()
	l, err := classify.ByDefects(ds, names[:])
	require.NoError(t, err)
	for i := range ds.Len() {
		for j, bit := range ds.Labels(i) {
			require.Equal(t, bit == 1, l.Truth(i)[j])
		}
	}
	for _, e := range []classify.Encoding{classify.Colours, classify.Dies} {
		cfg := classify.DefaultWafer(64)
		cfg.Frozen, cfg.Turn, cfg.Encoding, cfg.Epochs, cfg.LR = true, false, e, 200, 0.05
		c := newClassifier(t, &pooler{scale: 1}, cfg)
		require.NoError(t, c.Fit(t.Context(), l))
		full := 0
		i := 0
		for p, err := range c.PredictSet(t.Context(), ds) {
			require.NoError(t, err)
			if p.Labels[5] == (ds.Labels(i)[5] == 1) { // Near-full
				full++
			}
			i++
		}
		require.Equal(t, ds.Len(), full)
	}
}

func TestEstimateClassifier(t *testing.T) {
	noLeak(t)
	const images, labels = 1000, 8
	cores := int64(tensor.GetThreads().Cores)
	size := image.Pt(64, 64)
	cfg := classify.DefaultWafer(64)
	net := smallNet(t)
	head := int64(4 * 8 * 513)
	read := (cores + 2) * 64 * 64 * 64 * 12 // batches of 64 maps

	cfg.Frozen, cfg.Turn = true, false
	m, err := cfg.Estimate(net, size, images, labels)
	require.NoError(t, err)
	require.Equal(t, head, m.Fitted)
	require.Equal(t, 4*head+read+1000*512*4, m.Fitting)

	cfg.Frozen = false
	weights := net.Params().Len()
	require.InDelta(t, 11.7e6, float64(weights), 0.1e6, "ResNet-18 has 11.7 million")
	m, err = cfg.Estimate(net, size, images, labels)
	require.NoError(t, err)
	require.Equal(t, head+8*weights, m.Fitted)
	const stem, stages = (32*32 + 16*16*5/4) * 64, 4*2*16*16*64 + 9*8*8*128 + 9*4*4*256 + 9*2*2*512
	require.Equal(t, 4*head+read+16*weights+64*(4*(stem+stages)+12*64*64), m.Fitting)

	_, err = cfg.Estimate(nil, size, images, labels)
	require.ErrorIs(t, err, downstream.ErrConfig)
	_, err = cfg.Estimate(net, image.Point{}, images, labels)
	require.ErrorIs(t, err, downstream.ErrImage)
	_, err = cfg.Estimate(net, size, images, 0)
	require.ErrorIs(t, err, downstream.ErrLabels)
	_, err = cfg.Estimate(net, size, 0, labels)
	require.ErrorIs(t, err, downstream.ErrTooFewImages)
}
