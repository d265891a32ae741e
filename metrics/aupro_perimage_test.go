package metrics_test

import (
	"image"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/metrics"
)

func TestAUPROPerImageEqualToItsDefinition(t *testing.T) {
	var f aupro
	readParity(t, "aupro_parity.json", &f)
	var want []struct {
		Case   string
		Image  int
		Values []*float64
	}
	readParity(t, "aupro_perimage_parity.json", &want)
	require.Greater(t, len(want), 10)
	undefined := 0
	for _, w := range want {
		for _, c := range f.Cases {
			if c.Name != w.Case {
				continue
			}
			mask := image.NewGray(image.Rect(0, 0, c.Width, c.Height))
			for j, v := range c.Masks[w.Image] {
				if v == '#' {
					mask.Pix[j] = 255
				}
			}
			for i, limit := range f.Limits {
				got, err := metrics.AUPROPerImage(c.Maps[w.Image], mask, limit)
				if w.Values[i] == nil {
					require.ErrorIs(t, err, metrics.ErrUnreachable)
					undefined++
					continue
				}
				require.NoError(t, err)
				require.InDelta(t, *w.Values[i], got, parityTol, "%s, image %d, limit %g", w.Case, w.Image, limit)
			}
		}
	}
	require.Positive(t, undefined)
}

func TestAUPROPerImageRefusals(t *testing.T) {
	mask := image.NewGray(image.Rect(0, 0, 2, 2))
	mask.Pix[0] = 255
	good := []float32{4, 1, 2, 3}
	for _, limit := range []float64{0, 1.5, math.NaN()} {
		_, err := metrics.AUPROPerImage(good, mask, limit)
		require.ErrorIs(t, err, metrics.ErrRange)
	}
	_, err := metrics.AUPROPerImage(good[:3], mask, 0.3)
	require.ErrorIs(t, err, metrics.ErrSize)
	_, err = metrics.AUPROPerImage([]float32{4, 1, float32(math.NaN()), 3}, mask, 0.3)
	require.ErrorIs(t, err, metrics.ErrNaN)
	_, err = metrics.AUPROPerImage([]float32{4, 1, float32(math.Inf(1)), 3}, mask, 0.3)
	require.ErrorIs(t, err, metrics.ErrRange)
	_, err = metrics.AUPROPerImage(good, nil, 0.3)
	require.ErrorIs(t, err, metrics.ErrOneClass)
	_, err = metrics.AUPROPerImage(good, image.NewGray(mask.Rect), 0.3)
	require.ErrorIs(t, err, metrics.ErrOneClass)
	full := image.NewGray(mask.Rect)
	for i := range full.Pix {
		full.Pix[i] = 255
	}
	_, err = metrics.AUPROPerImage(good, full, 0.3)
	require.ErrorIs(t, err, metrics.ErrOneClass)
}

func BenchmarkAUPROPerImage(b *testing.B) {
	scores, mask := anomalyMap(256, 256, rand.New(rand.NewPCG(1, 1)))
	for b.Loop() {
		if _, err := metrics.AUPROPerImage(scores, mask, metrics.LimitMVTec); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
}
