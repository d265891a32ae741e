package metrics_test

import (
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/metrics"
)

type aupro struct {
	Limits  []float64
	Samples []int
	Cases   []struct {
		Name                      string
		Width, Height, Components int
		Maps                      [][]float32
		Masks                     []string
		All                       []float64
		Sampled                   [][]float64
	}
}

func TestAUPROEqualToItsDefinition(t *testing.T) {
	var f aupro
	readParity(t, "aupro_parity.json", &f)
	require.Len(t, f.Cases, 6)
	for _, c := range f.Cases {
		t.Run(c.Name, func(t *testing.T) {
			a := metrics.NewAUPRO(ample)
			for i, m := range c.Maps {
				mask := image.NewGray(image.Rect(0, 0, c.Width, c.Height))
				for j, v := range c.Masks[i] {
					if v == '#' {
						mask.Pix[j] = 255
					}
				}
				require.NoError(t, a.AddMask(m, mask))
			}
			for i, limit := range f.Limits {
				r, err := a.Result(limit)
				require.NoError(t, err)
				require.InDelta(t, c.All[i], r.AUPRO, parityTol, "limit %g", limit)
				require.True(t, r.Exact)
				require.Zero(t, r.Bound)
				require.Equal(t, limit, r.Limit)
				require.EqualValues(t, c.Components, r.Components)
				require.EqualValues(t, c.Width*c.Height*len(c.Maps), r.Pixels)
				for j, n := range f.Samples {
					s, err := a.Sampled(limit, n)
					require.NoError(t, err)
					require.InDelta(t, c.Sampled[j][i], s.AUPRO, parityTol, "limit %g, %d thresholds", limit, n)
				}
			}
		})
	}
}

// slowAUPRO applies every threshold to every pixel; components are found by giving
// each pixel the smallest number among its neighbours until nothing changes.
func slowAUPRO(maps [][]float32, masks []*image.Gray, limit float64) float64 {
	var parts [][]float32
	var good []float32
	for i, m := range masks {
		w, h := m.Rect.Dx(), m.Rect.Dy()
		label := make([]int, w*h)
		for j, v := range m.Pix {
			label[j] = -1
			if v >= 128 {
				label[j] = j
			} else {
				good = append(good, maps[i][j])
			}
		}
		for changed := true; changed; {
			changed = false
			for a := range label {
				for b := range label {
					near := max(a%w-b%w, b%w-a%w) <= 1 && max(a/w-b/w, b/w-a/w) <= 1
					if near && label[a] >= 0 && label[b] >= 0 && label[b] < label[a] {
						label[a], changed = label[b], true
					}
				}
			}
		}
		for l := range label {
			var part []float32
			for j, v := range label {
				if v == l {
					part = append(part, maps[i][j])
				}
			}
			if part != nil {
				parts = append(parts, part)
			}
		}
	}
	above := func(scores []float32, t float32) float64 {
		n := 0
		for _, s := range scores {
			if s > t {
				n++
			}
		}
		return float64(n) / float64(len(scores))
	}
	thresholds := slices.Clone(good)
	slices.Sort(thresholds)
	slices.Reverse(thresholds)
	var xs, ys []float64
	for _, t := range slices.Compact(thresholds) {
		y := 0.0
		for _, p := range parts {
			y += above(p, t) / float64(len(parts))
		}
		xs, ys = append(xs, above(good, t)), append(ys, y)
	}
	xs, ys = append(xs, 1), append(ys, 1)
	area := 0.0
	for i := 1; i < len(xs) && xs[i-1] < limit; i++ {
		x, y := xs[i], ys[i]
		if x > limit {
			x, y = limit, ys[i-1]+(y-ys[i-1])*(limit-xs[i-1])/(x-xs[i-1])
		}
		area += (x - xs[i-1]) * (y + ys[i-1]) / 2
	}
	return area / limit
}

// scatter makes maps with masks of many small, touching shapes.
func scatter(n, w, h int, rng *rand.Rand) ([][]float32, []*image.Gray) {
	var maps [][]float32
	var masks []*image.Gray
	density := rng.Float64()*0.5 + 0.02
	for range n {
		m, s := image.NewGray(image.Rect(0, 0, w, h)), make([]float32, w*h)
		for i := range s {
			s[i] = float32(12 + 3*rng.NormFloat64())
			if rng.Float64() < density {
				m.Pix[i] = 255
				s[i] += 3
			}
		}
		maps, masks = append(maps, s), append(masks, m)
	}
	masks[0].Pix[0], masks[0].Pix[1] = 0, 255
	return maps, masks
}

func TestAUPROAgainstSlowTwin(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 40 {
		maps, masks := scatter(1+rng.IntN(3), 1+rng.IntN(9)+1, 1+rng.IntN(9), rng)
		if rng.IntN(2) == 0 {
			for _, m := range maps {
				for i, v := range m {
					m[i] = float32(math.Round(float64(v)))
				}
			}
		}
		maps[0][0] = float32(math.Inf(1 - 2*rng.IntN(2)))
		exact, stream := metrics.NewAUPRO(ample), metrics.NewAUPRO(0)
		for i := range maps {
			require.NoError(t, exact.AddMask(maps[i], masks[i]))
			require.NoError(t, stream.AddMask(maps[i], masks[i]))
		}
		for _, limit := range []float64{metrics.LimitMVTecAD2, metrics.LimitMVTec, 0.77, 1} {
			want := slowAUPRO(maps, masks, limit)
			e, err := exact.Result(limit)
			require.NoError(t, err)
			require.InDelta(t, want, e.AUPRO, parityTol)
			s, err := stream.Result(limit)
			require.NoError(t, err)
			require.False(t, s.Exact)
			require.LessOrEqual(t, math.Abs(want-s.AUPRO), s.Bound+parityTol)
		}
	}
}

func TestAUPROProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	maps, masks := scatter(4, 30, 20, rng)
	value := func(f func(float32) float32, order []int) float64 {
		a := metrics.NewAUPRO(ample)
		for _, i := range order {
			m := slices.Clone(maps[i])
			for j, v := range m {
				m[j] = f(v)
			}
			require.NoError(t, a.AddMask(m, masks[i]))
		}
		r, err := a.Result(metrics.LimitMVTec)
		require.NoError(t, err)
		return r.AUPRO
	}
	same := func(v float32) float32 { return v }
	want := value(same, []int{0, 1, 2, 3})
	require.Equal(t, want, value(same, []int{2, 0, 3, 1}), "order of images")
	require.Equal(t, want, value(func(v float32) float32 { return v * 0x1p-40 }, []int{0, 1, 2, 3}), "a rising map that rounds nothing")
	require.InDelta(t, want, value(same, []int{0, 1, 2, 3, 3, 2, 1, 0}), parityTol, "every image twice")
	// With each defect one pixel, PRO is the rate of true positives and the area to 1 is the AUROC, as
	// scores are distinct.
	a, p := metrics.NewAUPRO(ample), metrics.NewPixelAUROC(ample)
	mask, scores := image.NewGray(image.Rect(0, 0, 31, 31)), make([]float32, 31*31)
	for i := range scores {
		scores[i] = float32(rng.NormFloat64())
		if i%31%2 == 0 && i/31%2 == 0 {
			mask.Pix[i] = 255
			scores[i]++
		}
	}
	require.NoError(t, a.AddMask(scores, mask))
	require.NoError(t, p.AddMask(scores, mask))
	r, err := a.Result(1)
	require.NoError(t, err)
	require.EqualValues(t, 256, r.Components)
	roc, err := p.Result()
	require.NoError(t, err)
	// The straight lines between thresholds at good pixels differ from the steps of ROC
	// by half of one good pixel's width.
	require.InDelta(t, roc.AUROC, r.AUPRO, 0.5/float64(31*31-256)+parityTol)
}

// Whenever the budget is met, the result is that of having counted in bins all along.
func TestAUPROTurningToBinsIsSeamless(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	maps, masks := scatter(6, 200, 150, rng)
	run := func(budget int64) metrics.AUPROResult {
		a := metrics.NewAUPRO(budget)
		for i := range maps {
			require.NoError(t, a.AddMask(maps[i], masks[i]))
			if i == 2 {
				_, err := a.Result(0.3)
				require.NoError(t, err)
			}
		}
		r, err := a.Result(0.3)
		require.NoError(t, err)
		return r
	}
	streamed := run(0)
	require.Less(t, streamed.Bound, 0.1)
	exact := run(18*6*200*150 + 2<<20)
	require.True(t, exact.Exact, "the bytes that the documentation names suffice")
	require.InDelta(t, exact.AUPRO, streamed.AUPRO, streamed.Bound+parityTol)
	// From budgets that no image fits into to those that several fit into.
	const least = 4 * 6 * 200 * 150
	budgets := []int64{least / 2, least * 3 / 4, least - 1}
	for budget := int64(1); budget < least; budget = budget*5 + 1 {
		budgets = append(budgets, budget)
	}
	turned := 0
	for _, budget := range budgets {
		r := run(budget)
		require.False(t, r.Exact)
		require.InDelta(t, streamed.AUPRO, r.AUPRO, parityTol)
		require.InDelta(t, streamed.Bound, r.Bound, parityTol)
		require.Equal(t, streamed.Components, r.Components)
		turned++
	}
	require.Greater(t, turned, 5)
}

func TestAUPRORefusals(t *testing.T) {
	nan := float32(math.NaN())
	mask := image.NewGray(image.Rect(3, 4, 5, 6))
	for _, budget := range []int64{0, ample} {
		a := metrics.NewAUPRO(budget)
		_, err := a.Result(0.3)
		require.ErrorIs(t, err, metrics.ErrOneClass)
		require.NoError(t, a.AddMask([]float32{1, 2}, nil))
		require.NoError(t, a.AddMask([]float32{1, 2, 3, 4}, mask))
		_, err = a.Result(0.3)
		require.ErrorIs(t, err, metrics.ErrOneClass)
		require.ErrorContains(t, err, "0 of 6")

		err = a.AddMask([]float32{1, 2, 3}, mask)
		require.ErrorIs(t, err, metrics.ErrSize)
		require.ErrorIs(t, err, metrics.ErrLength)
		require.ErrorContains(t, err, "3 scores, mask of 2 x 2")
		err = a.AddMask([]float32{1, nan}, nil)
		require.ErrorIs(t, err, metrics.ErrNaN)
		require.ErrorContains(t, err, "number 1 of 2")

		for _, limit := range []float64{0, -1, 1.01, math.NaN(), math.Inf(1)} {
			_, err = a.Result(limit)
			require.ErrorIs(t, err, metrics.ErrRange)
			_, err = a.Sampled(limit, 100)
			require.ErrorIs(t, err, metrics.ErrRange)
		}
		bad := image.NewGray(image.Rect(0, 0, 1, 1))
		bad.Pix[0] = 128
		require.NoError(t, a.AddMask([]float32{9}, bad))
		_, err = a.Sampled(0.3, 1)
		require.ErrorIs(t, err, metrics.ErrRange)
		r, err := a.Result(0.3)
		require.NoError(t, err)
		require.Equal(t, metrics.AUPROResult{AUPRO: 1, Limit: 0.3, Exact: budget > 0, Pixels: 7, Positive: 1, Components: 1}, r)
		_, err = a.Sampled(0.3, 100)
		if budget > 0 {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, metrics.ErrRange)
		}
	}
	// Every pixel a defect: there is no rate of false positives.
	a := metrics.NewAUPRO(ample)
	full := image.NewGray(image.Rect(0, 0, 1, 1))
	full.Pix[0] = 255
	require.NoError(t, a.AddMask([]float32{1}, full))
	_, err := a.Result(0.3)
	require.ErrorIs(t, err, metrics.ErrOneClass)
}

func BenchmarkAUPRO(b *testing.B) {
	const images, size = 64, 224
	rng := rand.New(rand.NewPCG(1, 1))
	var scores [8][]float32
	var masks [8]*image.Gray
	for i := range scores {
		scores[i], masks[i] = anomalyMap(size, size, rng)
	}
	for _, budget := range []int64{1 << 30, 0} {
		name := map[bool]string{true: "exact", false: "bins"}[budget > 0]
		b.Run(fmt.Sprintf("%s/%dx%dx%d", name, images, size, size), func(b *testing.B) {
			for b.Loop() {
				a := metrics.NewAUPRO(budget)
				for i := range images {
					if err := a.AddMask(scores[i%8], masks[i%8]); err != nil {
						b.Fatal(err)
					}
				}
				if _, err := a.Result(metrics.LimitMVTec); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(images*float64(b.N)/b.Elapsed().Seconds(), "images/s")
		})
	}
}
