package downstream_test

import (
	"context"
	"errors"
	"image"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
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
	px, err := cfg.Transform.Image(img)
	require.NoError(t, err)
	w, h := px.Rect.Dx(), px.Rect.Dy()
	packed := make([]float32, 3*w*h)
	require.NoError(t, cfg.Normalize.Pack(packed, px))
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		for i, m := range fe.Forward(s, s.FromNHWC(packed, 1, h, w, 3), cfg.Layers...) {
			f, err := s.Floats(m)
			if err != nil {
				return err
			}
			c, lh, lw := int(m.Size(1)), int(m.Size(2)), int(m.Size(3))
			if i == 0 {
				gw, gh = lw, lh
				v = make([][]float64, gw*gh)
			}
			for y := range gh {
				for x := range gw {
					for k := range c {
						v[y*gw+x] = append(v[y*gw+x], float64(f[(k*lh+y*lh/gh)*lw+x*lw/gw]))
					}
				}
			}
		}
		return nil
	}))
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
	side := fakeSide
	up := make([]float64, side*side)
	tap := func(i, in int) (a, b int, f float64) {
		u := math.Max((float64(i)+0.5)*float64(in)/float64(side)-0.5, 0)
		a = int(u)
		return a, min(a+1, in-1), u - float64(a)
	}
	for y := range side {
		for x := range side {
			ya, yb, fy := tap(y, gh)
			xa, xb, fx := tap(x, gw)
			up[y*side+x] = (1-fy)*((1-fx)*dist[ya*gw+xa]+fx*dist[ya*gw+xb]) + fy*((1-fx)*dist[yb*gw+xa]+fx*dist[yb*gw+xb])
		}
	}
	return slowBlur(up, side, cfg.Sigma)
}

// slowBlur is the definition: a product of two Gaussians over the mirrored map.
func slowBlur(v []float64, side int, sigma float64) []float32 {
	r := int(4*sigma + 0.5)
	fold := func(i int) int {
		for i < 0 || i >= side {
			if i < 0 {
				i = -1 - i
			} else {
				i = 2*side - 1 - i
			}
		}
		return i
	}
	out := make([]float32, len(v))
	for y := range side {
		for x := range side {
			sum, weight := 0.0, 0.0
			for dy := -r; dy <= r; dy++ {
				for dx := -r; dx <= r; dx++ {
					w := math.Exp(-float64(dx*dx+dy*dy) / (2 * sigma * sigma))
					sum += w * v[fold(y+dy)*side+fold(x+dx)]
					weight += w
				}
			}
			out[y*side+x] = float32(sum / weight)
		}
	}
	return out
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

// batchTolerance allows for libtorch's products of other shapes, which add in
// another order.
const batchTolerance = 1e-5

func TestPaDiMBatchEqualsOneByOne(t *testing.T) {
	noLeak(t)
	p := fitted(t, &fake{scale: 1}, fakeConfig(), textures(20, 5, fakeSide))
	imgs := textures(11, 6, 48)
	all, err := p.Score(t.Context(), imgs...)
	require.NoError(t, err)
	require.Len(t, all, len(imgs))
	for i, img := range imgs {
		one, err := p.Score(t.Context(), img)
		require.NoError(t, err)
		require.LessOrEqual(t, relative(t, one[0].Map.Data, all[i].Map.Data), batchTolerance)
		require.InEpsilon(t, one[0].Score, all[i].Score, batchTolerance)
	}
	i := 0
	for sc, err := range p.ScoreSet(t.Context(), memory(t, imgs)) {
		require.NoError(t, err)
		require.Equal(t, all[i], sc.Result)
		i++
	}
	require.Equal(t, len(imgs), i)
	none, err := p.Score(t.Context())
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestPaDiMConcurrentScoreFitAndClose(t *testing.T) {
	noLeak(t)
	fe := &fake{scale: 1}
	good := textures(12, 8, fakeSide)
	p := fitted(t, fe, fakeConfig(), good)
	img := textures(2, 9, fakeSide)
	want, err := p.Score(t.Context(), img...)
	require.NoError(t, err)
	var wg sync.WaitGroup
	errs := make(chan error, 64)
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 4 {
				got, err := p.Score(t.Context(), img...)
				if err == nil && relative(t, want[1].Map.Data, got[1].Map.Data) > batchTolerance {
					err = errors.New("another map")
				}
				errs <- err
			}
		}()
	}
	errs <- p.Fit(t.Context(), memory(t, good)) // the same statistics again
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	// Close in the middle of an iteration takes nothing away from it.
	n := 0
	for _, err := range p.ScoreSet(t.Context(), memory(t, textures(20, 10, fakeSide))) {
		require.NoError(t, err)
		if n == 0 {
			require.NoError(t, p.Close())
		}
		n++
	}
	require.Equal(t, 20, n)
	_, err = p.Score(t.Context(), img...)
	require.ErrorIs(t, err, downstream.ErrNotFitted)
}

func TestPaDiMCancelledFitChangesNothing(t *testing.T) {
	noLeak(t)
	fe := &fake{scale: 1}
	p := fitted(t, fe, fakeConfig(), textures(12, 11, fakeSide))
	img := textures(1, 12, fakeSide)[0]
	before, err := p.Score(t.Context(), img)
	require.NoError(t, err)
	inside := tensor.Live()

	for _, after := range []int{0, 1, 10} {
		ctx, cancel := context.WithCancel(t.Context())
		if after == 0 {
			cancel()
		}
		err = p.Fit(ctx, &interrupting{Dataset: memory(t, textures(40, 13, fakeSide)), after: after, cancel: cancel})
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, inside, tensor.Live())
		cancel()
	}
	again, err := p.Score(t.Context(), img)
	require.NoError(t, err)
	require.Equal(t, before, again)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.Score(ctx, img)
	require.ErrorIs(t, err, context.Canceled)
}

// interrupting cancels when sample after is read.
type interrupting struct {
	dataset.Dataset
	after  int
	cancel func()
}

func (d *interrupting) Sample(ctx context.Context, i int) (dataset.Sample, error) {
	if i == d.after {
		d.cancel()
	}
	return d.Dataset.Sample(ctx, i)
}

func TestPaDiMBreakEndsAllGoroutines(t *testing.T) {
	noLeak(t)
	p := fitted(t, &fake{scale: 1}, fakeConfig(), textures(6, 14, fakeSide))
	for _, err := range p.ScoreSet(t.Context(), memory(t, textures(3, 15, fakeSide))) { // warms libtorch's threads up
		require.NoError(t, err)
	}
	before := runtime.NumGoroutine()
	for _, err := range p.ScoreSet(t.Context(), memory(t, textures(30, 15, fakeSide))) {
		require.NoError(t, err)
		break
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), before)
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
	_, err = p.Score(t.Context(), good[0])
	require.ErrorIs(t, err, downstream.ErrNotFitted)
	for _, err := range p.ScoreSet(t.Context(), memory(t, good)) {
		require.ErrorIs(t, err, downstream.ErrNotFitted)
	}
	require.ErrorIs(t, p.Save(t.TempDir()+"/x"), downstream.ErrNotFitted)
	require.ErrorIs(t, p.Fit(t.Context(), nil), downstream.ErrTooFewImages)
	require.ErrorIs(t, p.Fit(t.Context(), memory(t, good[:1])), downstream.ErrTooFewImages)

	bad, err := dataset.NewMemory([]dataset.Sample{
		{Item: dataset.Item{Name: "a"}, Image: good[0].(*image.RGBA)},
		{Item: dataset.Item{Name: "b", Defect: "hole", Anomalous: true}, Image: good[1].(*image.RGBA)},
	})
	require.NoError(t, err)
	err = p.Fit(t.Context(), bad)
	require.ErrorIs(t, err, downstream.ErrNotNormal)
	require.ErrorContains(t, err, `sample b is labelled "hole"`)

	fe.bad.Store(3)
	err = p.Fit(t.Context(), memory(t, good))
	require.ErrorIs(t, err, downstream.ErrNotFinite)
	fe.bad.Store(0)
	require.NoError(t, p.Fit(t.Context(), memory(t, good)))
	fe.bad.Store(3)
	_, err = p.Score(t.Context(), good[0])
	require.ErrorIs(t, err, downstream.ErrNotFinite)
	require.ErrorContains(t, err, "image 0")
	fe.bad.Store(0)
	_, err = p.Score(t.Context(), good[0], nil)
	require.ErrorIs(t, err, downstream.ErrImage)
	require.NoError(t, p.Close())
	require.NoError(t, p.Close())

	cfg.Transform = dataset.Transform{} // leaves the size, which then must be one
	q, err := downstream.NewPaDiM(fe, cfg, nil)
	require.NoError(t, err)
	require.ErrorIs(t, q.Fit(t.Context(), memory(t, append(good, textures(1, 1, 48)...))), downstream.ErrImage)
}

func TestEstimatePaDiM(t *testing.T) {
	fitted, fitting := downstream.EstimatePaDiM(56*56, 100, 8, 2)
	require.Equal(t, int64(4*3136*100*101), fitted)
	require.InDelta(t, 178e6, float64(fitting), 1e6)
}
