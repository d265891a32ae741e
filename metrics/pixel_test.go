package metrics_test

import (
	"image"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/metrics"
)

const ample = 1 << 30 // a budget that no test here meets

// anomalyMap makes w*h scores with the spread of a PaDiM map and a square defect.
func anomalyMap(w, h int, rng *rand.Rand) ([]float32, *image.Gray) {
	scores, mask := make([]float32, w*h), image.NewGray(image.Rect(0, 0, w, h))
	x0, y0 := rng.IntN(w*3/4), rng.IntN(h*3/4)
	for y := range h {
		for x := range w {
			v := 12 + 3*rng.NormFloat64()
			if x >= x0 && x < x0+w/5 && y >= y0 && y < y0+h/5 {
				mask.Pix[y*mask.Stride+x] = 255
				v += 5
			}
			scores[y*w+x] = float32(v)
		}
	}
	return scores, mask
}

// widen turns pixels into the arguments of AUROC.
func widen(scores []float32, mask *image.Gray) ([]float64, []bool) {
	s, p := make([]float64, len(scores)), make([]bool, len(scores))
	for i, v := range scores {
		s[i], p[i] = float64(v), mask.Pix[i] == 255
	}
	return s, p
}

func TestPixelsEqualToScikitLearn(t *testing.T) {
	_, c := parity(t)
	scores := make([]float32, len(c.Scores))
	for i, s := range c.Scores {
		scores[i] = float32(s)
		require.Equal(t, s, float64(scores[i]), "the fixture's scores are float32")
	}
	p := metrics.NewPixelAUROC(ample)
	for i := 0; i < len(scores); i += 256 {
		require.NoError(t, p.Add(scores[i:i+256], c.labels()[i:i+256]))
	}
	r, err := p.Result()
	require.NoError(t, err)
	require.InDelta(t, c.AUROC, r.AUROC, parityTol)
	r.AUROC = 0
	require.Equal(t, metrics.PixelResult{Exact: true, Pixels: 768, Positive: 42}, r)
	f1, threshold, err := p.F1Max()
	require.NoError(t, err)
	require.InDelta(t, c.F1, f1, parityTol)
	require.Equal(t, float32(c.Threshold), threshold)
}

// The exact mode and AUROC are two ways of counting the same pairs: no tolerance.
func TestPixelsExactEqualsAUROC(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	special := []float32{0, float32(math.Copysign(0, -1)), float32(math.Inf(1)), float32(math.Inf(-1)),
		math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32, 1, -1}
	p := metrics.NewPixelAUROC(ample)
	var all []float64
	var labels []bool
	for range 4 {
		scores, mask := anomalyMap(64, 48, rng)
		for i := range scores {
			switch rng.IntN(8) {
			case 0:
				scores[i] = special[rng.IntN(len(special))]
			case 1:
				scores[i] = math.Float32frombits(rng.Uint32() & 0xff7fffff) // any finite number
			case 2:
				scores[i] = float32(math.Round(float64(scores[i])))
			}
		}
		require.NoError(t, p.AddMask(scores, mask))
		s, l := widen(scores, mask)
		all, labels = append(all, s...), append(labels, l...)

		// A result in between must neither disturb nor miss what comes later.
		want, err := metrics.AUROC(all, labels)
		require.NoError(t, err)
		r, err := p.Result()
		require.NoError(t, err)
		require.Equal(t, want, r.AUROC)
		require.True(t, r.Exact)
		require.Zero(t, r.Bound)
		wantF1, wantThreshold, err := metrics.F1Max(all, labels)
		require.NoError(t, err)
		f1, threshold, err := p.F1Max()
		require.NoError(t, err)
		require.Equal(t, wantF1, f1)
		require.True(t, wantThreshold == float64(threshold), "%v, %v", wantThreshold, threshold)
	}
}

func TestStreamingStaysWithinItsBound(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	shapes := map[string]func(x float64) float64{
		"as it is":      func(x float64) float64 { return x },
		"negative":      func(x float64) float64 { return x - 40 },
		"around zero":   func(x float64) float64 { return x - 12 },
		"tiny":          func(x float64) float64 { return x * 1e-30 },
		"narrow":        func(x float64) float64 { return 1000 + x/100 }, // nearly all in one bin
		"in one bin":    func(x float64) float64 { return 1.001 + x*1e-5 },
		"whole numbers": math.Round,
	}
	for name, f := range shapes {
		t.Run(name, func(t *testing.T) {
			exact, stream := metrics.NewPixelAUROC(ample), metrics.NewPixelAUROC(0)
			for range 3 {
				scores, mask := anomalyMap(100, 80, rng)
				for i, s := range scores {
					scores[i] = float32(f(float64(s)))
				}
				require.NoError(t, exact.AddMask(scores, mask))
				require.NoError(t, stream.AddMask(scores, mask))
			}
			e, err := exact.Result()
			require.NoError(t, err)
			s, err := stream.Result()
			require.NoError(t, err)
			require.False(t, s.Exact)
			require.Equal(t, e.Pixels, s.Pixels)
			require.Equal(t, e.Positive, s.Positive)
			const rounding = 1e-15 // of the two divisions
			require.LessOrEqual(t, math.Abs(s.AUROC-e.AUROC), s.Bound+rounding)
			require.LessOrEqual(t, s.Bound, 0.5)
			switch name {
			case "as it is":
				require.Less(t, s.Bound, 0.02, "two octaves of scores take some hundred bins")
				require.Positive(t, s.Bound)
			case "in one bin":
				require.Equal(t, 0.5, s.AUROC)
				require.Equal(t, 0.5, s.Bound)
			}
			// The F1 that is stated is the one at the threshold that is stated.
			bestF1, _, err := exact.F1Max()
			require.NoError(t, err)
			f1, _, err := stream.F1Max()
			require.NoError(t, err)
			require.LessOrEqual(t, f1, bestF1)
			require.GreaterOrEqual(t, f1, 2*float64(s.Positive)/float64(s.Pixels+s.Positive), "calling everything anomalous reaches this")
		})
	}
}

// The bound is met exactly where all pairs of a bin go the other way, so it could
// not be smaller.
func TestBoundIsTight(t *testing.T) {
	p := metrics.NewPixelAUROC(0)
	require.NoError(t, p.Add([]float32{1.0001, 1.0002, 3, 3.0001}, []bool{false, true, false, true}))
	r, err := p.Result()
	require.NoError(t, err)
	// True area 3/4; the pairs (1.0001, 1.0002) and (3, 3.0001) count one half each.
	require.Equal(t, metrics.PixelResult{AUROC: 0.5, Bound: 0.25, Pixels: 4, Positive: 2}, r)
}

func TestStreamingThreshold(t *testing.T) {
	inf := float32(math.Inf(1))
	cases := []struct {
		scores        []float32
		positive      []bool
		f1            float64
		lowest, above float32 // the threshold t has lowest <= t and t <= above
	}{
		{[]float32{1, 2, 5, 6}, []bool{false, false, true, true}, 1, 2.001, 5},
		{[]float32{-6, -5, -2, -1}, []bool{false, false, true, true}, 1, -4.9, -2},
		{[]float32{-inf, -inf}, []bool{true, false}, 2.0 / 3, -inf, -inf},
		{[]float32{-1, inf}, []bool{false, true}, 1, inf, inf},
		{[]float32{-1, 0}, []bool{false, true}, 1, 0, 0},
	}
	for _, c := range cases {
		p := metrics.NewPixelAUROC(-1)
		require.NoError(t, p.Add(c.scores, c.positive))
		f1, threshold, err := p.F1Max()
		require.NoError(t, err)
		require.Equal(t, c.f1, f1)
		require.True(t, c.lowest <= threshold && threshold <= c.above, "%v: threshold %v", c.scores, threshold)
	}
}

// Whenever the budget is met, the result is that of having streamed all along.
func TestTurningToStreamingIsSeamless(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	type img struct {
		scores []float32
		mask   *image.Gray
	}
	var imgs []img
	pixels := 0
	for range 6 {
		s, m := anomalyMap(200, 150, rng)
		imgs = append(imgs, img{s, m})
		pixels += len(s)
	}
	run := func(budget int64) (metrics.PixelResult, float64, float32) {
		p := metrics.NewPixelAUROC(budget)
		for i, m := range imgs {
			require.NoError(t, p.AddMask(m.scores, m.mask))
			if i == 2 {
				_, err := p.Result()
				require.NoError(t, err)
			}
		}
		r, err := p.Result()
		require.NoError(t, err)
		f1, threshold, err := p.F1Max()
		require.NoError(t, err)
		return r, f1, threshold
	}
	streamed, f1, threshold := run(0)
	exact, _, _ := run(int64(9*pixels + 1<<20))
	require.True(t, exact.Exact, "9 bytes a pixel and 1 MiB suffice")
	// From budgets that no image fits into to those that all but the last fit into.
	budgets := []int64{int64(4 * pixels / 3), int64(4 * pixels / 2), int64(4*pixels) - 1}
	for budget := int64(1); budget < int64(4*pixels); budget = budget*3 + 1 {
		budgets = append(budgets, budget)
	}
	turned := 0
	for _, budget := range budgets {
		r, f, th := run(budget)
		require.False(t, r.Exact, "4 bytes a pixel do not fit into %d", budget)
		require.Equal(t, streamed, r)
		require.Equal(t, f1, f)
		require.Equal(t, threshold, th)
		turned++
	}
	require.Greater(t, turned, 10)
}

// What one list keeps in reserve is not taken from the other: 4 bytes a pixel are
// enough for a single image.
func TestOneImageNeedsNoReserve(t *testing.T) {
	scores, mask := anomalyMap(60, 50, rand.New(rand.NewPCG(4, 4)))
	p := metrics.NewPixelAUROC(4 * 60 * 50)
	require.NoError(t, p.AddMask(scores, mask))
	r, err := p.Result()
	require.NoError(t, err)
	require.True(t, r.Exact)
	a := metrics.NewAUPRO(4*60*50 + 4*r.Positive)
	require.NoError(t, a.AddMask(scores, mask))
	s, err := a.Result(metrics.LimitMVTec)
	require.NoError(t, err)
	require.True(t, s.Exact)
}

func TestMasks(t *testing.T) {
	// A mask that is a part of a larger one, with values around the threshold.
	whole := image.NewGray(image.Rect(-1, -1, 4, 3))
	for i := range whole.Pix {
		whole.Pix[i] = 255
	}
	part := whole.SubImage(image.Rect(1, 0, 3, 2)).(*image.Gray)
	copy(part.Pix[0:], []byte{0, 127})
	copy(part.Pix[part.Stride:], []byte{128, 255})
	p := metrics.NewPixelAUROC(ample)
	require.NoError(t, p.AddMask([]float32{1, 2, 3, 4}, part))
	require.NoError(t, p.AddMask([]float32{9, 9, 9}, nil))
	r, err := p.Result()
	require.NoError(t, err)
	require.Equal(t, metrics.PixelResult{AUROC: 4.0 / 10, Exact: true, Pixels: 7, Positive: 2}, r)
	require.ErrorIs(t, p.AddMask([]float32{1, 2, 3}, part), metrics.ErrLength)
	require.ErrorContains(t, p.AddMask([]float32{1, 2, 3}, part), "3 scores, mask of 2 x 2")
	require.NoError(t, p.AddMask(nil, image.NewGray(image.Rectangle{})))
}

func TestPixelRefusals(t *testing.T) {
	nan := float32(math.NaN())
	for _, budget := range []int64{0, ample} {
		p := metrics.NewPixelAUROC(budget)
		_, err := p.Result()
		require.ErrorIs(t, err, metrics.ErrOneClass)
		require.NoError(t, p.Add([]float32{1, 2}, []bool{false, false}))
		_, err = p.Result()
		require.ErrorIs(t, err, metrics.ErrOneClass)
		require.ErrorContains(t, err, "0 of 2")
		_, _, err = p.F1Max()
		require.ErrorIs(t, err, metrics.ErrOneClass)

		require.ErrorIs(t, p.Add([]float32{3}, nil), metrics.ErrLength)
		err = p.Add([]float32{3, nan}, []bool{true, true})
		require.ErrorIs(t, err, metrics.ErrNaN)
		require.ErrorContains(t, err, "number 1 of 2")
		err = p.AddMask([]float32{-nan}, nil)
		require.ErrorIs(t, err, metrics.ErrNaN)

		// Nothing of what was refused was counted.
		require.NoError(t, p.Add([]float32{1}, []bool{true}))
		r, err := p.Result()
		require.NoError(t, err)
		require.Equal(t, int64(3), r.Pixels)
		require.Equal(t, int64(1), r.Positive)
		require.Equal(t, 0.25, r.AUROC)
	}
}

func BenchmarkPixelAUROC(b *testing.B) {
	const images, size = 64, 224
	rng := rand.New(rand.NewPCG(1, 1))
	var scores [8][]float32
	var masks [8]*image.Gray
	for i := range scores {
		scores[i], masks[i] = anomalyMap(size, size, rng)
	}
	for name, budget := range map[string]int64{"exact": 1 << 30, "bins": 0} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				p := metrics.NewPixelAUROC(budget)
				for i := range images {
					if err := p.AddMask(scores[i%8], masks[i%8]); err != nil {
						b.Fatal(err)
					}
				}
				if _, err := p.Result(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(images*float64(b.N)/b.Elapsed().Seconds(), "images/s")
		})
	}
}
