package downstream_test

import (
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/tensor"
)

// roundingTolerance is what float32 statistics, whitening and smoothing may
// differ from the same in float64, relative to the largest value of a map: a few
// hundred roundings of 6e-8.
const roundingTolerance = 1e-4

// slowFeatures are the channels of all layers at every position of the first
// layer's grid, computed with Go loops over the extractor's output.
func slowFeatures(t *testing.T, fe downstream.Extractor, cfg downstream.PaDiMConfig, img image.Image) (v [][]float64, gw, gh int) {
	for i, l := range slowLayers(t, fe, cfg.Layers, cfg.Transform, cfg.Normalize, img) {
		if i == 0 {
			gw, gh = l.w, l.h
			v = make([][]float64, gw*gh)
		}
		for y := range gh {
			for x := range gw {
				for k := range l.c {
					v[y*gw+x] = append(v[y*gw+x], float64(l.values[(k*l.h+y*l.h/gh)*l.w+x*l.w/gw]))
				}
			}
		}
	}
	return v, gw, gh
}

// slowMap is PaDiM with one Gaussian at a time: covariance by definition, a
// dense solve for the distance, interpolation and blur by definition.
func slowMap(t *testing.T, fe downstream.Extractor, cfg downstream.PaDiMConfig, good []image.Image, img image.Image) []float32 {
	var train [][][]float64
	for _, g := range good {
		v, _, _ := slowFeatures(t, fe, cfg, g)
		train = append(train, v)
	}
	x, gw, gh := slowFeatures(t, fe, cfg, img)
	dist := make([]float64, gw*gh)
	for p := range dist {
		c := len(x[p])
		m := make([]float64, c)
		for _, v := range train {
			for k := range c {
				m[k] += v[p][k] / float64(len(train))
			}
		}
		cov := mat.NewSymDense(c, nil)
		for a := range c {
			for b := a; b < c; b++ {
				sum := 0.0
				for _, v := range train {
					sum += (v[p][a] - m[a]) * (v[p][b] - m[b])
				}
				sum /= float64(len(train) - 1)
				if a == b {
					sum += cfg.Epsilon
				}
				cov.SetSym(a, b, sum)
			}
		}
		d := mat.NewVecDense(c, nil)
		for k := range c {
			d.SetVec(k, x[p][k]-m[k])
		}
		var chol mat.Cholesky
		require.True(t, chol.Factorize(cov))
		var y mat.VecDense
		require.NoError(t, chol.SolveVecTo(&y, d))
		dist[p] = math.Sqrt(mat.Dot(d, &y))
	}
	return slowSmoothed(dist, gw, gh, cfg.Sigma)
}

func TestPaDiMEqualsAGaussianPerPosition(t *testing.T) {
	noLeak(t)
	fe, cfg := &fake{scale: 1}, fakeConfig()
	good := textures(25, 1, 40)
	test := append(textures(2, 2, 40), scratched(good[0]))
	p := fitted(t, fe, cfg, good)
	got, err := p.Score(t.Context(), test...)
	require.NoError(t, err)
	for i, r := range got {
		want := slowMap(t, fe, cfg, good, test[i])
		require.Greater(t, slices.Max(want)-slices.Min(want), slices.Max(want)/10, "a flat map shows nothing")
		require.LessOrEqual(t, relative(t, want, r.Map.Data), roundingTolerance)
		require.Equal(t, float64(slices.Max(r.Map.Data)), r.Score)
		require.Equal(t, dataset.Rect{MaxX: 40, MaxY: 40}, r.Map.Rect)
	}
	require.Greater(t, got[2].Score, 1.5*got[0].Score, "the scratch must stand out")
	// A wrong epsilon must show, or the comparison proves nothing.
	wrong := cfg
	wrong.Epsilon *= 2
	require.Greater(t, relative(t, slowMap(t, fe, wrong, good, test[0]), got[0].Map.Data), 10*roundingTolerance)
}

func TestPaDiMChannels(t *testing.T) {
	noLeak(t)
	good, img := textures(12, 3, fakeSide), textures(1, 4, fakeSide)[0]
	fe := &fake{scale: 1}
	score := func(cfg downstream.PaDiMConfig, rng *rand.Rand) (float64, []int) {
		p, err := downstream.NewPaDiM(fe, cfg, rng)
		require.NoError(t, err)
		defer p.Close()
		require.NoError(t, p.Fit(t.Context(), memory(t, good)))
		r, err := p.Score(t.Context(), img)
		require.NoError(t, err)
		return r[0].Score, p.Config().Channels
	}
	cfg := fakeConfig()
	cfg.Channels = []int{14, 0, 5, 7}
	a, channels := score(cfg, nil)
	require.Equal(t, []int{0, 5, 7, 14}, channels)
	cfg.Channels = []int{0, 7, 14, 5}
	b, _ := score(cfg, nil)
	require.Equal(t, a, b, "the order of channels is irrelevant")
	cfg.Channels, cfg.Reduced = nil, 6
	_, x := score(cfg, rand.New(rand.NewPCG(1, 1)))
	_, y := score(cfg, rand.New(rand.NewPCG(1, 1)))
	_, z := score(cfg, rand.New(rand.NewPCG(2, 1)))
	require.Len(t, x, 6)
	require.Equal(t, x, y)
	require.NotEqual(t, x, z)
	cfg.Reduced = 0
	_, all := score(cfg, nil)
	require.Len(t, all, 15)
	cfg.Layers = []backbone.Layer{backbone.Layer2} // one layer, its own grid
	_, one := score(cfg, nil)
	require.Len(t, one, 6)
}

func TestPaDiMReferenceChannels(t *testing.T) {
	c := downstream.DefaultPaDiM().Channels
	require.Len(t, c, 100)
	// Counts and ends of CPython's random.sample(range(448), 100), seed 1024.
	require.Equal(t, []int{408, 9, 247}, c[:3])
	require.Equal(t, []int{318, 403, 48}, c[97:])
	var stages [3]int
	for _, v := range c {
		switch {
		case v < 64:
			stages[0]++
		case v < 192:
			stages[1]++
		default:
			stages[2]++
		}
	}
	require.Equal(t, [3]int{18, 23, 59}, stages)
	sum := 0
	for _, v := range slices.Compact(slices.Sorted(slices.Values(c))) {
		sum += v
	}
	require.Equal(t, 23181, sum)
}

func TestPaDiMBatchEqualsOneByOne(t *testing.T) {
	noLeak(t)
	p := fitted(t, &fake{scale: 1}, fakeConfig(), textures(20, 5, fakeSide))
	requireBatchEqualsOneByOne(t, p, textures(11, 6, 48))
}

func TestPaDiMConcurrentScoreFitAndClose(t *testing.T) {
	noLeak(t)
	requireConcurrent(t, subjects()["PaDiM"](t), memory(t, textures(12, 8, fakeSide)), memory(t, textures(9, 18, fakeSide)), textures(2, 9, fakeSide), textures(20, 10, fakeSide))
}

func TestPaDiMCancelledFitChangesNothing(t *testing.T) {
	noLeak(t)
	p := fitted(t, &fake{scale: 1}, fakeConfig(), textures(12, 11, fakeSide))
	requireCancelledFitChangesNothing(t, p, textures(1, 12, fakeSide)[0], textures(40, 13, fakeSide))
}

func TestPaDiMBreakEndsAllGoroutines(t *testing.T) {
	noLeak(t)
	p := fitted(t, &fake{scale: 1}, fakeConfig(), textures(6, 14, fakeSide))
	for _, err := range p.ScoreSet(t.Context(), memory(t, textures(3, 15, fakeSide))) { // warms libtorch's threads up
		require.NoError(t, err)
	}
	requireBreakEndsAllGoroutines(t, p, textures(30, 15, fakeSide))
}

func TestPaDiMRefuses(t *testing.T) {
	noLeak(t)
	fe := &fake{scale: 1}
	cfg := fakeConfig()
	good := textures(6, 16, fakeSide)

	with := func(f func(c *downstream.PaDiMConfig)) error {
		c := fakeConfig()
		f(&c)
		_, err := downstream.NewPaDiM(fe, c, nil)
		return err
	}
	for name, f := range map[string]func(c *downstream.PaDiMConfig){
		"Layers":   func(c *downstream.PaDiMConfig) { c.Layers = nil },
		"Channels": func(c *downstream.PaDiMConfig) { c.Channels = []int{} },
		"Reduced":  func(c *downstream.PaDiMConfig) { c.Reduced = -1 },
		"Epsilon":  func(c *downstream.PaDiMConfig) { c.Epsilon = 0 },
		"Sigma":    func(c *downstream.PaDiMConfig) { c.Sigma = math.NaN() },
		"Batch":    func(c *downstream.PaDiMConfig) { c.Batch = 0 },
		"Transform": func(c *downstream.PaDiMConfig) {
			c.Transform = dataset.Transform{Shorter: -1}
		},
		"Normalize": func(c *downstream.PaDiMConfig) { c.Normalize.Std[1] = 0 },
		"generator": func(c *downstream.PaDiMConfig) { c.Reduced = 3 },
	} {
		err := with(f)
		require.ErrorIs(t, err, downstream.ErrConfig, name)
		require.ErrorContains(t, err, name)
	}
	require.ErrorIs(t, with(func(c *downstream.PaDiMConfig) { c.Layers = []backbone.Layer{backbone.Layer4} }), downstream.ErrLayers)
	require.ErrorIs(t, with(func(c *downstream.PaDiMConfig) { c.Layers = []backbone.Layer{backbone.Pooled} }), downstream.ErrLayers)
	require.ErrorIs(t, with(func(c *downstream.PaDiMConfig) { c.Layers = append(c.Layers, backbone.Layer1) }), downstream.ErrLayers)
	require.ErrorIs(t, with(func(c *downstream.PaDiMConfig) { c.Channels = []int{1, 15} }), downstream.ErrChannels)
	require.ErrorIs(t, with(func(c *downstream.PaDiMConfig) { c.Channels = []int{1, 1} }), downstream.ErrChannels)
	require.ErrorIs(t, with(func(c *downstream.PaDiMConfig) { c.Reduced = 16 }), downstream.ErrChannels)
	_, err := downstream.NewPaDiM(nil, cfg, nil)
	require.ErrorIs(t, err, downstream.ErrConfig)

	p, err := downstream.NewPaDiM(fe, cfg, nil)
	require.NoError(t, err)
	requireNotFitted(t, p, good)
	require.ErrorIs(t, p.Fit(t.Context(), memory(t, good[:1])), downstream.ErrTooFewImages)
	requireRefusesBadImages(t, p, fe, 3, good)

	cfg.Transform = dataset.Transform{} // leaves the size, which then must be one
	q, err := downstream.NewPaDiM(fe, cfg, nil)
	require.NoError(t, err)
	require.ErrorIs(t, q.Fit(t.Context(), memory(t, append(good, textures(1, 1, 48)...))), downstream.ErrImage)
}

func TestEstimatePaDiM(t *testing.T) {
	fitted, fitting := downstream.EstimatePaDiM(tensor.CPU, 56*56, 100, 8, 2)
	require.Equal(t, int64(4*3136*(100+104*112/2)), fitted)
	require.InDelta(t, 126e6, float64(fitting), 1e6)
}

func TestProgress(t *testing.T) {
	noLeak(t)
	var seen []downstream.Progress
	watch := downstream.WithProgress(func(p downstream.Progress) { seen = append(seen, p) })
	p, err := downstream.NewPaDiM(&fake{scale: 1}, fakeConfig(), nil, watch)
	require.NoError(t, err)
	defer p.Close()
	require.NoError(t, p.Fit(t.Context(), memory(t, textures(7, 1, fakeSide))))
	_, err = p.Score(t.Context(), textures(2, 2, fakeSide)...)
	require.NoError(t, err)
	require.Equal(t, downstream.Progress{Detector: "PaDiM", Stage: "fit", Done: 7, Total: 7}, seen[2])
	require.Equal(t, downstream.Progress{Detector: "PaDiM", Stage: "score", Done: 2, Total: 2}, seen[len(seen)-1])

	seen = nil
	c, err := downstream.NewPatchCore(&fake{scale: 1}, patchConfig(), rand.New(rand.NewPCG(1, 1)), watch)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Fit(t.Context(), memory(t, textures(7, 1, fakeSide))))
	require.Equal(t, downstream.Progress{Detector: "PatchCore", Stage: "keep patches", Done: 7, Total: 7}, seen[len(seen)-1])
	require.Equal(t, "choose patches", seen[0].Stage)
	require.True(t, slices.ContainsFunc(seen, func(p downstream.Progress) bool {
		return p.Stage == "choose" && p.Total > 0 && p.Done == p.Total
	}))
}
