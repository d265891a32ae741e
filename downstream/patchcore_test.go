package downstream_test

import (
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/tensor"
)

func patchConfig() downstream.PatchCoreConfig {
	c := downstream.DefaultPatchCore()
	c.Layers = []backbone.Layer{backbone.Layer1, backbone.Layer2}
	c.Transform = dataset.Square(fakeSide)
	c.Batch = 3
	c.Projection = 4
	c.Share = 0.2
	return c
}

func patchRand() *rand.Rand { return rand.New(rand.NewPCG(9, 9)) }

func fittedPatchCore(t testing.TB, fe downstream.Extractor, cfg downstream.PatchCoreConfig, imgs []image.Image) *downstream.PatchCore {
	t.Helper()
	p, err := downstream.NewPatchCore(fe, cfg, patchRand())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	require.NoError(t, p.Fit(t.Context(), memory(t, imgs)))
	return p
}

// slowPatches are the patches of one image by the authors' steps: neighbourhoods
// unfolded on each layer's grid, interpolated, pooled layer by layer, then
// together.
func slowPatches(t *testing.T, fe downstream.Extractor, cfg downstream.PatchCoreConfig, img image.Image) (v [][]float64, gw, gh int) {
	for i, l := range slowLayers(t, fe, cfg.Layers, cfg.Transform, cfg.Normalize, img) {
		if i == 0 {
			gw, gh = l.w, l.h
			v = make([][]float64, gw*gh)
		}
		unfolded := make([][]float64, l.w*l.h)
		r := cfg.Neighbourhood / 2
		for y := range l.h {
			for x := range l.w {
				for k := range l.c {
					for dy := -r; dy <= r; dy++ {
						for dx := -r; dx <= r; dx++ {
							value := 0.0
							if y+dy >= 0 && y+dy < l.h && x+dx >= 0 && x+dx < l.w {
								value = float64(l.values[(k*l.h+y+dy)*l.w+x+dx])
							}
							unfolded[y*l.w+x] = append(unfolded[y*l.w+x], value)
						}
					}
				}
			}
		}
		size := l.c
		if cfg.Dim > 0 {
			size = cfg.Dim
		}
		for p, whole := range slowUpsample(unfolded, l.w, l.h, gw, gh) {
			v[p] = append(v[p], slowPool(whole, size)...)
		}
	}
	if cfg.Dim > 0 {
		for p := range v {
			v[p] = slowPool(v[p], cfg.Dim)
		}
	}
	return v, gw, gh
}

func slowPool(v []float64, out int) []float64 {
	pooled := make([]float64, out)
	for i := range pooled {
		lo := int(math.Floor(float64(i) * float64(len(v)) / float64(out)))
		hi := int(math.Ceil(float64(i+1) * float64(len(v)) / float64(out)))
		for _, x := range v[lo:hi] {
			pooled[i] += x / float64(hi-lo)
		}
	}
	return pooled
}

func slowDistance(a, b []float64) float64 {
	sum := 0.0
	for i := range a {
		sum += (a[i] - b[i]) * (a[i] - b[i])
	}
	return math.Sqrt(sum)
}

// slowPatchCore compares every patch with every patch of all good images.
func slowPatchCore(t *testing.T, fe downstream.Extractor, cfg downstream.PatchCoreConfig, good []image.Image, img image.Image) (float64, []float32) {
	var bank [][]float64
	for _, g := range good {
		v, _, _ := slowPatches(t, fe, cfg, g)
		bank = append(bank, v...)
	}
	x, gw, gh := slowPatches(t, fe, cfg, img)
	dist := make([]float64, len(x))
	score, worst, nearest := -1.0, 0, 0
	for p := range x {
		best, at := math.Inf(1), 0
		for i, m := range bank {
			if d := slowDistance(x[p], m); d < best {
				best, at = d, i
			}
		}
		if best > score {
			score, worst, nearest = best, p, at
		}
		if cfg.Squared {
			best *= best
		}
		dist[p] = best
	}
	weight := 1.0
	if cfg.Neighbours > 0 {
		order := make([]int, len(bank))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int {
			d := slowDistance(bank[a], bank[nearest]) - slowDistance(bank[b], bank[nearest])
			switch {
			case d < 0:
				return -1
			case d > 0:
				return 1
			}
			return 0
		})
		sum := 0.0
		for _, i := range order[:cfg.Neighbours] {
			sum += math.Exp(slowDistance(x[worst], bank[i]))
		}
		weight = 1 - math.Exp(score)/sum
	}
	if cfg.Squared {
		score *= score
	}
	return weight * score, slowSmoothed(dist, gw, gh, cfg.Sigma)
}

func TestPatchCoreEqualsEveryDistance(t *testing.T) {
	noLeak(t)
	fe := &fake{scale: 1}
	good := textures(4, 31, 40)
	test := []image.Image{textures(1, 32, 40)[0], scratched(good[0])}
	for name, f := range map[string]func(c *downstream.PatchCoreConfig){
		"default":    func(*downstream.PatchCoreConfig) {},
		"article":    func(c *downstream.PatchCoreConfig) { c.Neighbours, c.Squared = 9, false },
		"pooled":     func(c *downstream.PatchCoreConfig) { c.Dim = 8 },
		"stretched":  func(c *downstream.PatchCoreConfig) { c.Dim, c.Neighbourhood = 64, 5 },
		"one layer":  func(c *downstream.PatchCoreConfig) { c.Layers, c.Neighbourhood = c.Layers[1:], 1 },
		"one pooled": func(c *downstream.PatchCoreConfig) { c.Layers, c.Dim = c.Layers[:1], 7 },
		"three": func(c *downstream.PatchCoreConfig) {
			c.Layers, c.Dim, c.Sigma = append(slices.Clone(c.Layers), backbone.Layer3), 12, 1.5
		},
	} {
		cfg := patchConfig()
		cfg.Share = 1
		f(&cfg)
		p := fittedPatchCore(t, fe, cfg, good)
		got, err := p.Score(t.Context(), test...)
		require.NoError(t, err)
		for i, r := range got {
			score, m := slowPatchCore(t, fe, cfg, good, test[i])
			require.InEpsilon(t, score, r.Score, roundingTolerance, name)
			require.LessOrEqual(t, relative(t, m, r.Map.Data), roundingTolerance, name)
			require.Equal(t, dataset.Rect{MaxX: 40, MaxY: 40}, r.Map.Rect)
		}
		require.Greater(t, got[1].Score, got[0].Score, "%s: the scratch must stand out", name)
	}
	// Another neighbourhood must show, or the comparison proves nothing.
	cfg := patchConfig()
	cfg.Share = 1
	p := fittedPatchCore(t, fe, cfg, good)
	got, err := p.Score(t.Context(), test[0])
	require.NoError(t, err)
	cfg.Neighbourhood = 1
	_, m := slowPatchCore(t, fe, cfg, good, test[0])
	require.Greater(t, relative(t, m, got[0].Map.Data), 10*roundingTolerance)
	// A good image finds itself: the distances are exact, not what cancellation leaves.
	self, err := p.Score(t.Context(), good[0])
	require.NoError(t, err)
	require.Less(t, self[0].Score, 1e-9*got[0].Score)
}

func TestPatchCoreSeeds(t *testing.T) {
	noLeak(t)
	good, imgs := textures(6, 33, fakeSide), textures(2, 34, fakeSide)
	score := func(seed uint64, fits int) []downstream.Result {
		p, err := downstream.NewPatchCore(&fake{scale: 1}, patchConfig(), rand.New(rand.NewPCG(seed, 1)))
		require.NoError(t, err)
		defer p.Close()
		for range fits {
			require.NoError(t, p.Fit(t.Context(), memory(t, good)))
		}
		r, err := p.Score(t.Context(), imgs...)
		require.NoError(t, err)
		return r
	}
	a := score(1, 1)
	require.Equal(t, a, score(1, 2))
	require.NotEqual(t, a, score(2, 1))
}

func TestPatchCoreBatchEqualsOneByOne(t *testing.T) {
	noLeak(t)
	p := fittedPatchCore(t, &fake{scale: 1}, patchConfig(), textures(8, 35, fakeSide))
	imgs := textures(11, 36, 48)
	requireBatchEqualsOneByOne(t, p, imgs)
	requireBreakEndsAllGoroutines(t, p, imgs)
}

func TestPatchCoreConcurrentScoreFitAndClose(t *testing.T) {
	noLeak(t)
	requireConcurrent(t, subjects()["PatchCore"](t), memory(t, textures(5, 37, fakeSide)), memory(t, textures(6, 47, fakeSide)), textures(2, 38, fakeSide), textures(12, 39, fakeSide))
}

func TestPatchCoreCancelledFitChangesNothing(t *testing.T) {
	noLeak(t)
	p := fittedPatchCore(t, &fake{scale: 1}, patchConfig(), textures(5, 40, fakeSide))
	requireCancelledFitChangesNothing(t, p, textures(1, 41, fakeSide)[0], textures(20, 42, fakeSide))
}

func TestPatchCoreRefuses(t *testing.T) {
	noLeak(t)
	fe := &fake{scale: 1}
	good := textures(3, 43, fakeSide)
	for name, f := range map[string]func(c *downstream.PatchCoreConfig){
		"Layers":               func(c *downstream.PatchCoreConfig) { c.Layers = nil },
		"Neighbourhood":        func(c *downstream.PatchCoreConfig) { c.Neighbourhood = 2 },
		"Neighbourhood, below": func(c *downstream.PatchCoreConfig) { c.Neighbourhood = -1 },
		"Neighbourhood, above": func(c *downstream.PatchCoreConfig) { c.Neighbourhood = 11 },
		"Dim":                  func(c *downstream.PatchCoreConfig) { c.Dim = 7 },
		"Dim, below":           func(c *downstream.PatchCoreConfig) { c.Dim = -len(c.Layers) },
		"Dim, above":           func(c *downstream.PatchCoreConfig) { c.Dim = 1 << 20 * len(c.Layers) },
		"Share, above":         func(c *downstream.PatchCoreConfig) { c.Share = 1.5 },
		"Share, NaN":           func(c *downstream.PatchCoreConfig) { c.Share = math.NaN() },
		"Projection, above":    func(c *downstream.PatchCoreConfig) { c.Projection = 1 << 20 },
		"Starts, above":        func(c *downstream.PatchCoreConfig) { c.Starts = 1 << 40 },
		"Sigma, above":         func(c *downstream.PatchCoreConfig) { c.Sigma = 65 },
		"Batch, below":         func(c *downstream.PatchCoreConfig) { c.Batch = 0 },
		"Share":                func(c *downstream.PatchCoreConfig) { c.Share = 0 },
		"Projection":           func(c *downstream.PatchCoreConfig) { c.Projection = -1 },
		"Starts":               func(c *downstream.PatchCoreConfig) { c.Starts = 0 },
		"Neighbours":           func(c *downstream.PatchCoreConfig) { c.Neighbours = 1 },
		"Sigma":                func(c *downstream.PatchCoreConfig) { c.Sigma = math.NaN() },
		"Batch":                func(c *downstream.PatchCoreConfig) { c.Batch = 257 },
		"Transform":            func(c *downstream.PatchCoreConfig) { c.Transform = dataset.Transform{Shorter: -1} },
		"Normalize":            func(c *downstream.PatchCoreConfig) { c.Normalize.Std[1] = 0 },
	} {
		cfg := patchConfig()
		f(&cfg)
		_, err := downstream.NewPatchCore(fe, cfg, patchRand())
		require.ErrorIs(t, err, downstream.ErrConfig, name)
		setting, _, _ := strings.Cut(name, ",")
		require.ErrorContains(t, err, setting, name)
	}
	cfg := patchConfig()
	_, err := downstream.NewPatchCore(fe, cfg, nil)
	require.ErrorIs(t, err, downstream.ErrConfig)
	require.ErrorContains(t, err, "generator")
	_, err = downstream.NewPatchCore(nil, cfg, patchRand())
	require.ErrorIs(t, err, downstream.ErrConfig)
	for _, l := range []backbone.Layer{backbone.Layer4, backbone.Pooled, backbone.Layer1} {
		cfg := patchConfig()
		cfg.Layers = []backbone.Layer{backbone.Layer1, l}
		_, err = downstream.NewPatchCore(fe, cfg, patchRand())
		require.ErrorIs(t, err, downstream.ErrLayers)
	}

	p, err := downstream.NewPatchCore(fe, cfg, patchRand())
	require.NoError(t, err)
	requireNotFitted(t, p, good)
	none := dataset.Filter(memory(t, good), func(dataset.Item) bool { return false })
	require.ErrorIs(t, p.Fit(t.Context(), none), downstream.ErrTooFewImages)
	small := patchConfig()
	small.Share = 0.001
	q, err := downstream.NewPatchCore(fe, small, patchRand())
	require.NoError(t, err)
	require.ErrorIs(t, q.Fit(t.Context(), memory(t, good)), downstream.ErrTooFewImages)
	small.Share, small.Neighbours = 0.1, 50
	q, err = downstream.NewPatchCore(fe, small, patchRand())
	require.NoError(t, err)
	require.ErrorIs(t, q.Fit(t.Context(), memory(t, good)), downstream.ErrTooFewImages)
	requireRefusesBadImages(t, p, fe, 2, good)

	cfg.Transform = dataset.Transform{} // leaves the size, which then must be one
	q, err = downstream.NewPatchCore(fe, cfg, patchRand())
	require.NoError(t, err)
	require.ErrorIs(t, q.Fit(t.Context(), memory(t, append(good, textures(1, 1, 48)...))), downstream.ErrImage)
}

func TestEstimatePatchCore(t *testing.T) {
	cfg := downstream.DefaultPatchCore()
	fitted, fitting := downstream.EstimatePatchCore(tensor.CPU, 200, 28*28, 384, cfg, 2)
	require.Equal(t, int64(4*(15680*(385+129)+384*128)), fitted)
	require.InDelta(t, 143e6, float64(fitting), 1e6)
	cfg.Share = 1
	fitted, fitting = downstream.EstimatePatchCore(tensor.CPU, 200, 28*28, 384, cfg, 2)
	require.Equal(t, int64(4*(156800*(385+129)+384*128)), fitted)
	require.Greater(t, fitting, 2*fitted)
}
