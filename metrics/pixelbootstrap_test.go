package metrics_test

import (
	"context"
	"image"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/metrics"
)

// sumTol allows for another order of adding numbers up to 1.
const sumTol = 1e-12

// pixelImages are maps of n images, the first good of which have no defect: half of
// those have an empty mask, half none.
func pixelImages(n, good int, seed uint64) (maps [][]float32, masks []*image.Gray) {
	rng := pcg(seed)
	for i := range n {
		s, m := anomalyMap(80+i%3, 64, rng)
		if i < good {
			clear(m.Pix)
			if i%2 == 0 {
				m = nil
			}
		}
		maps, masks = append(maps, s), append(masks, m)
	}
	return maps, masks
}

func addedPixels(t testing.TB, budget int64, maps [][]float32, masks []*image.Gray) *metrics.PixelBootstrap {
	t.Helper()
	p := metrics.NewPixelBootstrap(budget)
	for i := range maps {
		require.NoError(t, p.AddMask(maps[i], masks[i]))
	}
	return p
}

// slowIntervals gives every set's images, pixel by pixel, to the accumulators, which
// count in bins from the start with a budget of 0.
func slowIntervals(t *testing.T, budget int64, maps [][]float32, masks []*image.Gray, limit float64, cfg metrics.BootstrapConfig, rng func() *rand.Rand) (out metrics.PixelIntervals) {
	t.Helper()
	positive := make([]bool, len(masks))
	for i, m := range masks {
		positive[i] = m != nil && maxOf(m) > 0
	}
	resample := func(stat func(roc *metrics.PixelAUROC, pro *metrics.AUPRO) (float64, error)) metrics.Interval {
		i, err := metrics.Resample(t.Context(), positive, func(images []int) (float64, error) {
			roc, pro := metrics.NewPixelAUROC(budget), metrics.NewAUPRO(budget)
			for _, i := range images {
				require.NoError(t, roc.AddMask(maps[i], masks[i]))
				require.NoError(t, pro.AddMask(maps[i], masks[i]))
			}
			return stat(roc, pro)
		}, cfg, rng())
		require.NoError(t, err)
		return i
	}
	out.AUROC = resample(func(roc *metrics.PixelAUROC, _ *metrics.AUPRO) (float64, error) {
		r, err := roc.Result()
		return r.AUROC, err
	})
	out.AP = resample(func(roc *metrics.PixelAUROC, _ *metrics.AUPRO) (float64, error) {
		r, err := roc.AveragePrecision()
		return r.AP, err
	})
	out.AUPRO = resample(func(_ *metrics.PixelAUROC, pro *metrics.AUPRO) (float64, error) {
		r, err := pro.Result(limit)
		return r.AUPRO, err
	})
	return out
}

func maxOf(m *image.Gray) (top uint8) {
	for _, v := range m.Pix {
		top = max(top, v)
	}
	return top
}

func requireSameInterval(t *testing.T, want, got metrics.Interval, tol float64) {
	t.Helper()
	require.InDelta(t, want.Value, got.Value, tol)
	require.InDelta(t, want.Low, got.Low, tol)
	require.InDelta(t, want.High, got.High, tol)
	require.Greater(t, want.High-want.Low, 1e-3, "an interval of no length shows nothing")
	require.Equal(t, want.Level, got.Level)
}

func TestPixelBootstrapEqualsSetsOfPixels(t *testing.T) {
	maps, masks := pixelImages(9, 4, 1)
	cfg := metrics.BootstrapConfig{Resamples: 24, Level: 0.9}
	got, err := addedPixels(t, ample, maps, masks).Intervals(t.Context(), 0.3, cfg, pcg(5))
	require.NoError(t, err)
	want := slowIntervals(t, 0, maps, masks, 0.3, cfg, func() *rand.Rand { return pcg(5) })
	requireSameInterval(t, want.AUROC, got.AUROC, sumTol)
	requireSameInterval(t, want.AUPRO, got.AUPRO, sumTol)
	require.Equal(t, 0.3, got.Limit)
	require.Equal(t, "bootstrap over images, 24 sets, scores in 2^16 bins", got.AUPRO.Method)

	// The bins move the ends by little beside the length of the intervals, which is 0.02
	// and more, even with so few pixels: sets of all scores, not binned.
	exact := slowIntervals(t, ample, maps, masks, 0.3, cfg, func() *rand.Rand { return pcg(5) })
	const little = 1e-3
	requireSameInterval(t, exact.AUROC, got.AUROC, little)
	requireSameInterval(t, exact.AUPRO, got.AUPRO, little)
	// Average precision has a hundred positive pixels here, each of them with a rank.
	requireSameInterval(t, exact.AP, got.AP, little)
	require.Less(t, math.Abs(exact.AP.Value-got.AP.Value), math.Abs(exact.AP.Value-want.AP.Value)/2, "as good as with a bin's pixels taken for equal")
}

// TestPixelBootstrapOrderWithinABin holds average precision where it can be written
// down: two bins, the pixels of each taken to be in an even order.
func TestPixelBootstrapOrderWithinABin(t *testing.T) {
	p := metrics.NewPixelBootstrap(ample)
	mask := image.NewGray(image.Rect(0, 0, 4, 2))
	for _, i := range []int{0, 1, 2, 4} { // 3 of the 4 pixels of score 2, 1 of score 1
		mask.Pix[i] = 255
	}
	require.NoError(t, p.AddMask([]float32{2, 2, 2, 2, 1, 1, 1, 1}, mask))
	require.NoError(t, p.AddMask([]float32{1, 1}, nil))
	got, err := p.Intervals(t.Context(), 1, metrics.BootstrapConfig{Resamples: 2, Level: 0.5}, pcg(1))
	require.NoError(t, err)
	// A quarter of a negative before each of the 3 positives above; 5/2 before that below.
	require.InDelta(t, (3*(3/3.75)+4/(4+1+2.5))/4, got.AP.Value, sumTol)
}

func TestPixelBootstrapCoarsensWithinItsBudget(t *testing.T) {
	maps, masks := pixelImages(30, 12, 2)
	cfg := metrics.BootstrapConfig{Resamples: 50, Level: 0.9}
	fine, err := addedPixels(t, ample, maps, masks).Intervals(t.Context(), 1, cfg, pcg(6))
	require.NoError(t, err)
	// 30 images with some 250 bins each take 180 KB.
	p := addedPixels(t, 40<<10, maps, masks)
	require.Less(t, p.Bins(), 1<<15)
	require.Greater(t, p.Bins(), 16)
	coarse, err := p.Intervals(t.Context(), 1, cfg, pcg(6))
	require.NoError(t, err)
	const bins = 0.01 // bins of several percent
	requireSameInterval(t, fine.AUROC, coarse.AUROC, bins)
	requireSameInterval(t, fine.AP, coarse.AP, 2*bins)
	requireSameInterval(t, fine.AUPRO, coarse.AUPRO, bins)
	require.NotEqual(t, fine.AUROC, coarse.AUROC)
	require.NotContains(t, coarse.AUROC.Method, "2^16")

	// Without any budget 16 bins are left, in which numbers from 8 to 32 are four.
	least := addedPixels(t, 0, maps, masks)
	require.Equal(t, 16, least.Bins())
	_, err = least.Intervals(t.Context(), 1, cfg, pcg(6))
	require.NoError(t, err)
}

func TestPixelBootstrapRefuses(t *testing.T) {
	maps, masks := pixelImages(6, 3, 3)
	p := addedPixels(t, ample, maps, masks)
	cfg := metrics.BootstrapConfig{Resamples: 20, Level: 0.9}
	before, err := p.Intervals(t.Context(), 0.3, cfg, pcg(1))
	require.NoError(t, err)
	require.ErrorIs(t, p.AddMask(maps[0][1:], masks[1]), metrics.ErrSize)
	bad := append([]float32(nil), maps[0]...)
	bad[7] = float32(math.NaN())
	require.ErrorIs(t, p.AddMask(bad, nil), metrics.ErrNaN)
	after, err := p.Intervals(t.Context(), 0.3, cfg, pcg(1))
	require.NoError(t, err)
	require.Equal(t, before, after, "a refused image left something behind")

	for _, limit := range []float64{0, -1, 1.1, math.NaN()} {
		_, err = p.Intervals(t.Context(), limit, cfg, pcg(1))
		require.ErrorIs(t, err, metrics.ErrRange)
	}
	_, err = p.Intervals(t.Context(), 0.3, metrics.BootstrapConfig{Resamples: 1, Level: 0.9}, pcg(1))
	require.ErrorIs(t, err, metrics.ErrRange)
	_, err = p.Intervals(t.Context(), 0.3, cfg, nil)
	require.ErrorIs(t, err, metrics.ErrNoRand)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.Intervals(ctx, 0.3, cfg, pcg(1))
	require.ErrorIs(t, err, context.Canceled)

	_, err = addedPixels(t, ample, maps[:3], masks[:3]).Intervals(t.Context(), 0.3, cfg, pcg(1))
	require.ErrorIs(t, err, metrics.ErrOneClass)
	_, err = addedPixels(t, ample, maps[3:], masks[3:]).Intervals(t.Context(), 0.3, cfg, pcg(1))
	require.ErrorIs(t, err, metrics.ErrOneClass)
	_, err = metrics.NewPixelBootstrap(0).Intervals(t.Context(), 0.3, cfg, pcg(1))
	require.ErrorIs(t, err, metrics.ErrOneClass)
}

func BenchmarkPixelBootstrap(b *testing.B) {
	rng := pcg(1)
	p := metrics.NewPixelBootstrap(ample)
	for i := range 100 {
		s, m := anomalyMap(224, 224, rng)
		if i%2 == 0 {
			m = nil
		}
		require.NoError(b, p.AddMask(s, m))
	}
	cfg := metrics.BootstrapConfig{Resamples: 100, Level: 0.95}
	for b.Loop() {
		_, err := p.Intervals(b.Context(), 0.3, cfg, pcg(1))
		require.NoError(b, err)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/100, "µs/set")
}
