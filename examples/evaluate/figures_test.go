package main

import (
	"context"
	"errors"
	"image"
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/metrics"
)

// TestFiguresEqualMetrics computes the figures of one class once more, from the
// images, and by each rule for masks.
func TestFiguresEqualMetrics(t *testing.T) {
	root := t.TempDir()
	class(t, root, "alpha", true)
	test, err := dataset.OpenMVTecAD(root, "alpha", dataset.Test)
	require.NoError(t, err)
	seen := map[float64]bool{}
	for _, rule := range []maskRule{nearestMask(), halfMask(), fullMask()} {
		f := newDark()
		f.mask = rule
		path := filepath.Join(t.TempDir(), "r.jsonl")
		stdout, _, err := evaluateDark(t, t.Context(), f, "-data", root, "-json", path, "-details")
		require.NoError(t, err)
		require.Contains(t, stdout, rule.name, "the protocol is printed with the figures")
		r := recordsOf(t, path)[0]
		var scores []float64
		var positive []bool
		roc, pro := metrics.NewPixelAUROC(1<<30), metrics.NewAUPRO(1<<30)
		d := &darkness{darkMethod: f, seed: seed{n: 1}, view: f.transform}
		for sc, err := range d.ScoreSet(t.Context(), test) {
			require.NoError(t, err)
			scores, positive = append(scores, sc.Score), append(positive, sc.IsDefective())
			mask, err := rule.of(f.transform, sc.Mask)
			require.NoError(t, err)
			require.NoError(t, roc.AddMask(sc.Map.Data, mask))
			require.NoError(t, pro.AddMask(sc.Map.Data, mask))
		}
		area, err := metrics.DeLong(scores, positive, 0.95)
		require.NoError(t, err)
		require.Equal(t, area.Value, r.ImageAUROC)
		require.Equal(t, interval{area.Low, area.High, 0.95, "DeLong"}, r.Intervals[imageAUROC])
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
		for _, key := range []string{imageAUROC, imageAP, pixelAUROC, pixelAP, aupro, escape, overkill} {
			i, ok := r.Intervals[key]
			require.True(t, ok, key)
			require.LessOrEqual(t, i.Low, i.High)
			require.Equal(t, 0.95, i.Level)
		}
		require.NotContains(t, r.Intervals, imageF1)
		require.Equal(t, 2, r.Cut.Defects)
		seen[*r.PixelAP] = true
	}
	require.Len(t, seen, 3, "the rules for masks make no difference")
}

// TestPixelsMayWait counts maps one by one and all at the end.
func TestPixelsMayWait(t *testing.T) {
	mask := image.NewGray(image.Rect(0, 0, 3, 3))
	mask.Pix[4] = 255
	add := func(p *pixels, now bool) record {
		require.NoError(t, p.add(pixelMap{"a", []float32{1, 2, 3, 4, 9, 6, 5, 8, 7}, mask}))
		require.Len(t, p.waiting, 1)
		if now {
			require.NoError(t, p.count())
			require.Empty(t, p.waiting)
		}
		require.NoError(t, p.add(pixelMap{"b", make([]float32, 9), nil}))
		var r record
		require.NoError(t, p.judge(t.Context(), &r))
		return r
	}
	require.Equal(t, add(newPixels(), true), add(newPixels(), false))
	many := newPixels()
	many.budget = 100
	for range 7 { // of 36 bytes
		require.NoError(t, many.add(pixelMap{"b", make([]float32, 9), nil}))
	}
	require.Len(t, many.waiting, 1, "what waits is bounded")
	require.Equal(t, 36, many.bytes)
}

func TestDetectorsThatMisbehave(t *testing.T) {
	root := t.TempDir()
	class(t, root, "alpha", true)
	for name, c := range map[string]struct {
		is   error
		says string
		make func(f *darkMethod)
	}{
		"score NaN": {metrics.ErrNaN, "alpha/test/hole/0.png", func(f *darkMethod) {
			f.change = func(sc *downstream.Scored) {
				if sc.IsDefective() {
					sc.Score = math.NaN()
				}
			}
		}},
		"map NaN": {metrics.ErrNaN, "pixels of alpha/test/good/0.png", func(f *darkMethod) {
			f.change = func(sc *downstream.Scored) { sc.Map.Data[7] = float32(math.NaN()) }
		}},
		"map size": {metrics.ErrSize, "pixels of alpha/test/hole/0.png: metrics: add pixels: map and mask differ in size", func(f *darkMethod) {
			f.change = func(sc *downstream.Scored) { sc.Map.Data = sc.Map.Data[:100] }
		}},
		"fit fails": {downstream.ErrDiverged, "class alpha", func(f *darkMethod) {
			f.inFit = func(context.Context, material) error { return downstream.ErrDiverged }
		}},
		"settings": {nil, "settings of dark", func(f *darkMethod) {
			f.plans = func(p *plan) { p.settings = math.NaN() }
		}},
		"no plan": {downstream.ErrLayers, "layer3", func(f *darkMethod) {
			f.plans = func(p *plan) {
				p.make = func(*backbone.ResNet, seed, ...downstream.Option) (detector, error) {
					return nil, errors.Join(downstream.ErrLayers, errors.New("layer3"))
				}
			}
		}},
	} {
		f := newDark()
		c.make(f)
		stdout, _, err := evaluateDark(t, t.Context(), f, "-data", root)
		require.Error(t, err, name)
		require.ErrorContains(t, err, c.says, name)
		if c.is != nil {
			require.ErrorIs(t, err, c.is, name)
		}
		require.Empty(t, stdout, name)
	}
}
