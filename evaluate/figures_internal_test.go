package evaluate

import (
	"context"
	"errors"
	"image"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/metrics"
)

// TestFiguresEqualMetrics computes the figures of one class once more, from the
// images, and by each rule for masks.
func TestFiguresEqualMetrics(t *testing.T) {
	train, test := plates(t, "alpha", true)
	seen := map[float64]bool{}
	for _, rule := range []string{metrics.MaskNearest, metrics.MaskBilinearHalf, metrics.MaskBilinearOne} {
		f := newDark()
		trial := f.trial(train, test)
		trial.Method.Protocol.Mask = rule
		o, err := Run(t.Context(), trial)
		require.NoError(t, err)
		r := o.Record
		var scores []float64
		var positive []bool
		roc, pro := metrics.NewPixelAUROC(1<<30), metrics.NewAUPRO(1<<30)
		for sc, err := range ScoreSet(t.Context(), &darkness{f, Seed{Number: 1}}, test) {
			require.NoError(t, err)
			scores, positive = append(scores, sc.Score), append(positive, sc.IsDefective())
			mask, err := trial.Method.Protocol.MaskOf(sc.Mask, sc.Map)
			require.NoError(t, err)
			require.NoError(t, roc.AddMask(sc.Map.Data, mask))
			require.NoError(t, pro.AddMask(sc.Map.Data, mask))
		}
		require.Equal(t, scores, o.Scores)
		require.Equal(t, positive, o.Defective)
		require.Equal(t, dataset.Items(test), o.Items)
		area, err := metrics.DeLong(scores, positive, 0.95)
		require.NoError(t, err)
		require.Equal(t, area.Value, r.ImageAUROC)
		require.Equal(t, Interval{area.Low, area.High, 0.95, "DeLong"}, r.Intervals[ImageAUROC])
		ap, err := metrics.AveragePrecision(scores, positive)
		require.NoError(t, err)
		require.Equal(t, ap, r.ImageAP)
		f1, threshold, err := metrics.F1Max(scores, positive)
		require.NoError(t, err)
		require.Equal(t, [2]float64{f1, threshold}, [2]float64{r.ImageF1, r.F1Threshold})
		pixel, err := roc.Result()
		require.NoError(t, err)
		require.Equal(t, pixel.AUROC, *r.PixelAUROC)
		pixelAPs, err := roc.AveragePrecision()
		require.NoError(t, err)
		require.Equal(t, pixelAPs.AP, *r.PixelAP)
		pixelF1s, _, err := roc.F1Max()
		require.NoError(t, err)
		require.Equal(t, pixelF1s, *r.PixelF1)
		region, err := pro.Result(0.3)
		require.NoError(t, err)
		require.Equal(t, region.AUPRO, *r.AUPRO)
		for _, key := range []FigureKey{ImageAUROC, ImageAP, PixelAUROC, PixelAP, AUPRO, Escape, Overkill} {
			i, ok := r.Intervals[key]
			require.True(t, ok, key)
			require.LessOrEqual(t, i.Low, i.High)
			require.Equal(t, 0.95, i.Level)
		}
		require.NotContains(t, r.Intervals, ImageF1)
		require.Equal(t, 2, r.Cut.Defects)
		require.Equal(t, [2]int{23, 17}, [2]int{r.Width, r.Height})
		seen[*r.PixelAP] = true
	}
	require.Len(t, seen, 3, "the rules for masks make no difference")
}

// TestPixelsMayWait counts maps one by one and all at the end.
func TestPixelsMayWait(t *testing.T) {
	mask := image.NewGray(image.Rect(0, 0, 3, 3))
	mask.Pix[4] = 255
	by := DefaultProtocol()
	add := func(p *pixels, now bool) Record {
		require.NoError(t, p.add(pixelMap{"a", []float32{1, 2, 3, 4, 9, 6, 5, 8, 7}, mask}))
		require.Len(t, p.waiting, 1)
		if now {
			require.NoError(t, p.count())
			require.Empty(t, p.waiting)
		}
		require.NoError(t, p.add(pixelMap{"b", make([]float32, 9), nil}))
		var r Record
		require.NoError(t, p.judge(t.Context(), &r, by))
		return r
	}
	require.Equal(t, add(newPixels(by.PixelBytes), true), add(newPixels(by.PixelBytes), false))
	many := newPixels(by.PixelBytes)
	many.budget = 100
	for range 7 { // of 36 bytes
		require.NoError(t, many.add(pixelMap{"b", make([]float32, 9), nil}))
	}
	require.Len(t, many.waiting, 1, "what waits is bounded")
	require.Equal(t, 36, many.bytes)
}

// The scores of maps that have waited are copied once for a figure, into a list of the right length, and the list goes with the figure.
func TestPixelsLieInMemoryOnce(t *testing.T) {
	const images, side = 24, 256
	by := DefaultProtocol()
	by.Bootstrap.Resamples = 20
	p := newPixels(by.PixelBytes)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range images {
		m := pixelMap{"a", make([]float32, side*side), nil}
		for k := range m.scores {
			m.scores[k] = 0.5 + rng.Float32()/2
		}
		if i%8 == 0 {
			m.mask = image.NewGray(image.Rect(0, 0, side, side))
			m.mask.Pix[700] = 255
		}
		require.NoError(t, p.add(m))
	}
	require.Len(t, p.waiting, images)
	var r Record
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	require.NoError(t, p.judge(t.Context(), &r, by))
	runtime.ReadMemStats(&after)
	require.True(t, *r.Exact)
	require.Nil(t, p.roc)
	require.Nil(t, p.pro)
	require.Empty(t, p.waiting)
	const list = 4 * images * side * side
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(3*list), "two lists, and something for labels and bins")
}

// Masks of which none marks anything give no figures of pixels, and no error when all the
// work is done.
func TestMasksThatMarkNothing(t *testing.T) {
	by := DefaultProtocol()
	p := newPixels(by.PixelBytes)
	for range 2 {
		require.NoError(t, p.add(pixelMap{"a", []float32{1, 2, 3, 4}, image.NewGray(image.Rect(0, 0, 2, 2))}))
	}
	r := Record{ImageAUROC: 0.5}
	require.NoError(t, p.judge(t.Context(), &r, by))
	require.Equal(t, Record{ImageAUROC: 0.5}, r)
}

// The protocol decides the figures: another limit of AUPRO, level and rule.
func TestFiguresFollowTheProtocol(t *testing.T) {
	train, test := plates(t, "alpha", true)
	f := newDark()
	f.change = func(r *Result, _ string) { // some way from perfect
		for i := range r.Map.Data {
			r.Map.Data[i] = float32(math.Mod(float64(r.Map.Data[i])*7, 255))
		}
	}
	run := func(change func(p *Protocol)) Record {
		trial := f.trial(train, test)
		change(&trial.Method.Protocol)
		o, err := Run(t.Context(), trial)
		require.NoError(t, err)
		return o.Record
	}
	plain := run(func(*Protocol) {})
	near := run(func(p *Protocol) { p.Limit = 0.05 })
	require.Equal(t, 0.05, *near.AUPROLimit)
	require.NotEqual(t, *plain.AUPRO, *near.AUPRO)
	require.Equal(t, "AUPRO to 0.05", near.Name(AUPRO))
	require.Equal(t, *plain.PixelAUROC, *near.PixelAUROC)
	few := run(func(p *Protocol) { p.Bootstrap.Level = 0.8 })
	for _, k := range []FigureKey{PixelAUROC, Escape} {
		require.Equal(t, 0.8, few.Intervals[k].Level)
		require.Less(t, few.Intervals[k].High-few.Intervals[k].Low, plain.Intervals[k].High-plain.Intervals[k].Low)
	}
	require.Equal(t, "f1", run(func(p *Protocol) { p.Rule = metrics.BestF1() }).Cut.Rule)
	counted := run(func(p *Protocol) { p.PixelBytes = 64 })
	require.False(t, *counted.Exact)
	require.Positive(t, *counted.PixelBound)
	keys := map[string]bool{plain.Hash: true, near.Hash: true, few.Hash: true, counted.Hash: true}
	require.Len(t, keys, 4, "each has a key of its own")
}

func TestDetectorsThatMisbehave(t *testing.T) {
	train, test := plates(t, "alpha", true)
	diverged := errors.New("diverged")
	for name, c := range map[string]struct {
		is   error
		says string
		make func(f *darkMethod)
	}{
		"score NaN": {metrics.ErrNaN, "alpha/test/hole/0.png", func(f *darkMethod) {
			f.change = func(r *Result, of string) {
				if of == "alpha/test/hole/0.png" {
					r.Score = math.NaN()
				}
			}
		}},
		"score infinite": {metrics.ErrRange, "alpha/test/good/0.png: out of range: its score is +Inf", func(f *darkMethod) {
			f.change = func(r *Result, _ string) { r.Score = math.Inf(1) }
		}},
		"map NaN": {metrics.ErrNaN, "pixels of alpha/test/good/0.png", func(f *darkMethod) {
			f.change = func(r *Result, _ string) { r.Map.Data[7] = float32(math.NaN()) }
		}},
		"map size": {metrics.ErrSize, "pixels of alpha/test/hole/0.png: metrics: add pixels: map and mask differ in size", func(f *darkMethod) {
			f.change = func(r *Result, _ string) { r.Map.Data = r.Map.Data[:100] }
		}},
		"some maps": {ErrMaps, "alpha/test/good/1.png", func(f *darkMethod) {
			f.change = func(r *Result, of string) {
				if of == "alpha/test/good/1.png" {
					r.Map = Map{}
				}
			}
		}},
		"no size": {ErrMaps, "must state Width and Height", func(f *darkMethod) {
			f.change = func(r *Result, _ string) { r.Map = Map{} }
		}},
		"fit fails": {diverged, "diverged", func(f *darkMethod) {
			f.inFit = func(context.Context, dataset.Dataset) error { return diverged }
		}},
	} {
		f := newDark()
		c.make(f)
		o, err := Run(t.Context(), f.trial(train, watched{test, f}))
		require.ErrorIs(t, err, c.is, name)
		require.ErrorContains(t, err, c.says, name)
		require.Nil(t, o, name)
		require.Equal(t, 1, f.closed, name)
	}
}
