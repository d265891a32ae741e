package evaluate

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/metrics"
)

// Stages, images, record and detector come in their order, and the detector is closed
// last.
func TestRunTellsHowFarItIs(t *testing.T) {
	train, test := plates(t, "alpha", true)
	f := newDark()
	var told []string
	o, err := Run(t.Context(), f.trial(train, test), nil, WithProgress(nil),
		WithProgress(func(p Progress) { told = append(told, fmt.Sprintf("%s %d/%d", p.Stage, p.Done, p.Total)) }),
		WithScored(func(sc Scored) error {
			require.Equal(t, test.Item(len(told)/2-1), sc.Item)
			told = append(told, "scored")
			return nil
		}),
		WithDetector(func(_ context.Context, d Detector, o *Outcome) error {
			require.Zero(t, f.closed)
			require.Equal(t, f, d.(*darkness).darkMethod)
			require.NotNil(t, o.Record.AUPRO)
			told = append(told, "record")
			return nil
		}), WithPeakMemory())
	require.NoError(t, err)
	require.Equal(t, []string{"fit 0/4", "score 0/4", "scored", "score 1/4", "scored", "score 2/4", "scored", "score 3/4", "scored", "score 4/4", "record"}, told)
	require.Equal(t, 1, f.closed)
	require.Equal(t, "alpha", o.Record.Class, "the class of the test set")
	require.GreaterOrEqual(t, o.Record.PeakRSS, int64(0))

	broken := errors.New("out of paint")
	_, err = Run(t.Context(), f.trial(train, test), WithScored(func(Scored) error { return broken }))
	require.ErrorIs(t, err, broken)
	calls := 0
	fail := func(context.Context, Detector, *Outcome) error { calls++; return broken }
	o, err = Run(t.Context(), f.trial(train, test), WithDetector(fail), WithDetector(fail))
	require.ErrorIs(t, err, broken)
	require.NotNil(t, o, "the record is there although the pictures failed")
	require.Equal(t, 1, calls)
	require.Equal(t, 3, f.closed)
}

// Equal trials give equal records; the seed changes them.
func TestRunIsReproducible(t *testing.T) {
	a, b := dark(t, newDark(), "alpha", true, 1), dark(t, newDark(), "alpha", true, 1)
	require.Equal(t, timeless(a.Record), timeless(b.Record))
	require.Equal(t, a.Scores, b.Scores)
	require.NotEqual(t, a.Scores, dark(t, newDark(), "alpha", true, 2).Scores)
}

// Without masks there are no figures of pixels; without maps neither.
func TestFiguresThatNeedMasks(t *testing.T) {
	plain := dark(t, newDark(), "alpha", false, 1).Record
	require.Nil(t, plain.PixelAUROC)
	require.Nil(t, plain.AUPRO)
	require.NotNil(t, plain.Cut)
	f := newDark()
	f.change = func(r *Result, _ string) { r.Map = Map{} }
	train, test := plates(t, "alpha", true)
	trial := f.trial(train, test)
	trial.Method.Protocol.Width, trial.Method.Protocol.Height = 23, 17
	o, err := Run(t.Context(), trial)
	require.NoError(t, err)
	require.Nil(t, o.Record.PixelAUROC)
	require.Equal(t, plain.ImageAUROC, o.Record.ImageAUROC)
	require.Equal(t, 23, o.Record.Width)
}

// A data set that is transformed already is not transformed twice.
func TestTransformedTestSet(t *testing.T) {
	train, test := plates(t, "alpha", true)
	f := newDark()
	want, err := Run(t.Context(), f.trial(train, test))
	require.NoError(t, err)
	cached, err := dataset.NewCached(test, f.transform, 1<<20)
	require.NoError(t, err)
	trial := f.trial(train, cached)
	// The detector sees what is left to be done, as those of package downstream do.
	twin := newDark()
	twin.transform = dataset.Transform{}
	trial.Method.New = func(s Seed) (Detector, error) { return &darkness{twin, s}, nil }
	got, err := Run(t.Context(), trial)
	require.NoError(t, err)
	require.Equal(t, *want.Record.AUPRO, *got.Record.AUPRO)
	trial.Method.Protocol.Mask = metrics.MaskBilinearOne
	_, err = Run(t.Context(), trial)
	require.ErrorIs(t, err, ErrConfig, "its masks are of the nearest neighbour")
}

// scholar learns from more than good images.
type scholar struct {
	darkness
	learn func(m Material) (Learnt, error)
}

func (s *scholar) Learn(_ context.Context, m Material) (Learnt, error) { return s.learn(m) }

func TestLearners(t *testing.T) {
	train, test := plates(t, "alpha", true)
	others, _ := plates(t, "gamma", true)
	f := newDark()
	trial := f.trial(train, test)
	trial.Method.Others, trial.Method.Epochs, trial.Method.Shots = true, 7, 3
	trial.Checkpoint = "a.ckpt"
	supports := map[string]bool{}
	trial.Method.New = func(s Seed) (Detector, error) {
		return &scholar{darkness{f, s}, func(m Material) (Learnt, error) {
			require.Equal(t, []any{"plant", "alpha", "a.ckpt", s}, []any{m.Data, m.Class, m.Checkpoint, m.Seed})
			require.Equal(t, others, m.Others)
			support, err := m.Support(3)
			require.NoError(t, err)
			names := ""
			for _, it := range dataset.Items(support) {
				require.Equal(t, "alpha", it.Class)
				names += it.Name + " "
			}
			supports[names] = true
			_, err = m.Support(5)
			require.ErrorIs(t, err, dataset.ErrConfig, "more shots than images")
			return Learnt{Images: 3, Others: 4, Training: time.Nanosecond}, nil
		}}, nil
	}
	_, err := Run(t.Context(), trial)
	require.ErrorIs(t, err, ErrConfig)
	require.ErrorContains(t, err, "dark learns from other classes")
	trial.Others = others
	for n := range uint64(4) {
		trial.Seed.Number = n
		o, err := Run(t.Context(), trial)
		require.NoError(t, err)
		r := o.Record
		require.Equal(t, []int{3, 4, 7, 3}, []int{r.FitImages, r.TrainImages, r.Epochs, r.Shots})
		require.InEpsilon(t, 3/r.FitSeconds, r.FitSpeed, 1e-9, "the epochs were on other classes")
		require.Equal(t, 1e-9, r.TrainSeconds)
	}
	require.Greater(t, len(supports), 1, "seeds draw other support sets")
	require.Zero(t, f.fits)
}

// Whatever decides the figures is part of the key, and nothing else is.
func TestKeyOfATrial(t *testing.T) {
	train, test := plates(t, "alpha", true)
	fresh := func() Trial { return newDark().trial(train, test) }
	key := func(t *testing.T, trial Trial) Key {
		r, err := trial.Known()
		require.NoError(t, err)
		return r.Key()
	}
	first := key(t, fresh())
	o, err := Run(t.Context(), fresh())
	require.NoError(t, err)
	require.Equal(t, first, o.Record.Key(), "Run's record has the key that was known beforehand")
	few, err := dataset.Subset(train, []int{0, 1, 2})
	require.NoError(t, err)
	seen := map[Key]string{first: "first"}
	for name, change := range map[string]func(x *Trial){
		"seed": func(x *Trial) { x.Seed.Number = 2 }, "data": func(x *Trial) { x.Data = "other" }, "class": func(x *Trial) { x.Class = "other" },
		"name": func(x *Trial) { x.Method.Name = "other" }, "settings": func(x *Trial) { x.Method.Settings = 3 },
		"arch": func(x *Trial) { x.Method.Arch = "resnet34" }, "weights": func(x *Trial) { x.Method.WeightsSHA256 = "12" },
		"layers": func(x *Trial) { x.Method.Layers = []string{"layer2"} }, "epochs": func(x *Trial) { x.Method.Epochs = 3 },
		"shots": func(x *Trial) { x.Method.Shots = 3 }, "mask": func(x *Trial) { x.Method.Protocol.Mask = metrics.MaskBilinearHalf },
		"transform": func(x *Trial) { x.Method.Protocol.Transform.Exact.X = 24 }, "limit": func(x *Trial) { x.Method.Protocol.Limit = 0.1 },
		"rule": func(x *Trial) { x.Method.Protocol.Rule = metrics.BestF1() }, "sets": func(x *Trial) { x.Method.Protocol.Bootstrap.Resamples = 7 },
		"budget": func(x *Trial) { x.Method.Protocol.PixelBytes = 7 }, "train": func(x *Trial) { x.Train = few },
		"epoch": func(x *Trial) { x.Method.Protocol.Epoch = "best" }, "score": func(x *Trial) { x.Method.Protocol.Score = "mean" },
		"decoder": func(x *Trial) { x.Decoder = dataset.DefaultDecoder(); x.Decoder.MaskAbove = 9 }, "others": func(x *Trial) { x.Others = few },
		"training": func(x *Trial) { x.Method.Training = &Training{Name: "a", Seed: 1, Share: 1} },
	} {
		x := fresh()
		change(&x)
		k := key(t, x)
		require.Empty(t, seen[k], name)
		seen[k] = name
	}
	for name, change := range map[string]func(x *Trial){
		"origin": func(x *Trial) { x.Made.Command = "other" }, "skipped": func(x *Trial) { x.Skipped = []string{"a"} },
		"unseen": func(x *Trial) { x.Unseen = 0.5 }, "checkpoint": func(x *Trial) { x.Checkpoint = "a" },
		"decoder": func(x *Trial) { x.Decoder = dataset.DefaultDecoder() }, "weights' name": func(x *Trial) { x.Method.Weights = "w" },
	} {
		x := fresh()
		change(&x)
		require.Equal(t, first, key(t, x), name)
	}
	// Settings that name the transform are the same settings with and without it.
	type settings struct{ Transform dataset.Transform }
	named := fresh()
	named.Method.Settings = settings{named.Method.Protocol.Transform}
	r, err := named.Known()
	require.NoError(t, err)
	require.True(t, names(r.Settings, named.Method.Protocol.Transform))
	// Settings of a detector inside another one's name it too.
	tiles := dataset.DefaultTiles()
	deep := named
	deep.Method.Settings = struct{ Tiles, Detector any }{tiles, []any{named.Method.Settings}}
	deep.Method.Protocol.Tiles = &tiles
	r, err = deep.Known()
	require.NoError(t, err)
	require.True(t, names(r.Settings, deep.Method.Protocol.Transform))
	require.True(t, names(r.Settings, tiles))
	require.Equal(t, "tiles of the shorter side, overlap 25 %, each exactly 23x17 bilinear", r.Transform)
	other := tiles
	other.Side = 64
	require.False(t, names(r.Settings, other))
	// Tiles that the settings do not name are part of the key all the same.
	plain := fresh()
	plain.Method.Protocol.Tiles = &tiles
	require.NotEqual(t, first, key(t, plain))
}

// The mask of an image that is seen as tiles comes to the size of its own map.
func TestMasksOfTiles(t *testing.T) {
	tiles := dataset.DefaultTiles()
	p := DefaultProtocol()
	p.Transform, p.Tiles = dataset.Transform{Exact: image.Pt(8, 8)}, &tiles
	require.NoError(t, p.Validate())
	mask := image.NewGray(image.Rect(0, 0, 40, 20))
	for _, rule := range []string{metrics.MaskNearest, metrics.MaskBilinearHalf, metrics.MaskBilinearOne} {
		p.Mask = rule
		m, err := p.MaskOf(mask, Map{W: 16, H: 8})
		require.NoError(t, err)
		require.Equal(t, image.Pt(16, 8), m.Rect.Size())
		none, err := p.MaskOf(nil, Map{W: 16, H: 8})
		require.NoError(t, err)
		require.Nil(t, none)
	}
	tiles.Overlap = -1
	require.ErrorIs(t, p.Validate(), dataset.ErrConfig)
}

func TestTrialsThatMakeNoSense(t *testing.T) {
	train, test := plates(t, "alpha", true)
	_, other := plates(t, "beta", true)
	onlyGood := dataset.Filter(test, dataset.Item.IsGood)
	onlyBad := dataset.Filter(test, dataset.Item.IsDefective)
	unknown := []dataset.Sample{mustSample(t, test, 0), mustSample(t, test, 2)}
	unknown[0].Label, unknown[0].Defect = dataset.LabelUnknown, dataset.Unknown
	unlabelled, err := dataset.NewMemory(unknown)
	require.NoError(t, err)
	gap := []dataset.Sample{mustSample(t, test, 0), mustSample(t, test, 2), mustSample(t, test, 3)}
	gap[2].Mask = nil
	missing, err := dataset.NewMemory(gap)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		is     error
		says   string
		change func(x *Trial)
	}{
		"no name":     {ErrConfig, "no name", func(x *Trial) { x.Method.Name = "" }},
		"no New":      {ErrConfig, "New is nil", func(x *Trial) { x.Method.New = nil }},
		"no detector": {ErrConfig, "no detector", func(x *Trial) { x.Method.New = func(Seed) (Detector, error) { return nil, nil } }},
		"protocol":    {ErrConfig, "mask rule", func(x *Trial) { x.Method.Protocol = Protocol{} }},
		"rule":        {metrics.ErrRange, "rule", func(x *Trial) { x.Method.Protocol.Rule = metrics.Rule{} }},
		"limit":       {ErrConfig, "AUPRO", func(x *Trial) { x.Method.Protocol.Limit = math.NaN() }},
		"bootstrap":   {metrics.ErrRange, "Resamples", func(x *Trial) { x.Method.Protocol.Bootstrap.Resamples = 0 }},
		"reference":   {ErrSeed, "dark has no reference draw", func(x *Trial) { x.Seed.Reference = true }},
		"settings":    {nil, "settings of dark", func(x *Trial) { x.Method.Settings = math.NaN() }},
		"no train":    {ErrConfig, "no images", func(x *Trial) { x.Train = nil }},
		"no test":     {ErrConfig, "no images", func(x *Trial) { x.Test = nil }},
		"classes":     {ErrConfig, `"alpha" "beta"`, func(x *Trial) { x.Test = dataset.Concat(test, other) }},
		"only good":   {metrics.ErrOneClass, "all 2 test images are good", func(x *Trial) { x.Test = onlyGood }},
		"only bad":    {metrics.ErrOneClass, "none of the 2 test images is good", func(x *Trial) { x.Test = onlyBad }},
		"unlabelled":  {dataset.ErrLabel, "", func(x *Trial) { x.Test = unlabelled }},
		"one mask":    {dataset.ErrMask, "has no mask, and others have one", func(x *Trial) { x.Test = missing }},
	} {
		x := newDark().trial(train, test)
		c.change(&x)
		_, err := Run(t.Context(), x)
		require.Error(t, err, name)
		require.ErrorContains(t, err, c.says, name)
		if c.is != nil {
			require.ErrorIs(t, err, c.is, name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Run(ctx, newDark().trial(train, test))
	require.ErrorIs(t, err, context.Canceled)
}

func mustSample(t *testing.T, ds dataset.Dataset, i int) dataset.Sample {
	t.Helper()
	s, err := ds.Sample(t.Context(), i)
	require.NoError(t, err)
	return s
}

// A store does what it has not, once.
func TestStoreRuns(t *testing.T) {
	train, test := plates(t, "alpha", true)
	s, err := OpenStore("", false)
	require.NoError(t, err)
	f := newDark()
	there := -1
	look := WithDetector(func(context.Context, Detector, *Outcome) error { there = len(s.Records()); return nil })
	first, found, err := s.Run(t.Context(), f.trial(train, test), look)
	require.NoError(t, err)
	require.False(t, found)
	require.Equal(t, 1, there, "what is known is known before pictures are drawn")
	again, found, err := s.Run(t.Context(), f.trial(train, test))
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, first, again)
	require.Equal(t, 1, f.fits)
	_, _, err = s.Run(t.Context(), Trial{})
	require.ErrorIs(t, err, ErrConfig)
	require.Len(t, s.Records(), 1)
}
