package downstream_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
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
			unfolded := make([][]float64, lw*lh)
			r := cfg.Neighbourhood / 2
			for y := range lh {
				for x := range lw {
					for k := range c {
						for dy := -r; dy <= r; dy++ {
							for dx := -r; dx <= r; dx++ {
								value := 0.0
								if y+dy >= 0 && y+dy < lh && x+dx >= 0 && x+dx < lw {
									value = float64(f[(k*lh+y+dy)*lw+x+dx])
								}
								unfolded[y*lw+x] = append(unfolded[y*lw+x], value)
							}
						}
					}
				}
			}
			size := c
			if cfg.Dim > 0 {
				size = cfg.Dim
			}
			for p, whole := range slowUpsample(unfolded, lw, lh, gw, gh) {
				v[p] = append(v[p], slowPool(whole, size)...)
			}
		}
		return nil
	}))
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

// slowUpsample interpolates vectors on a grid bilinearly.
func slowUpsample(v [][]float64, w, h, toW, toH int) [][]float64 {
	tap := func(i, in, out int) (a, b int, f float64) {
		u := math.Max((float64(i)+0.5)*float64(in)/float64(out)-0.5, 0)
		a = int(u)
		return a, min(a+1, in-1), u - float64(a)
	}
	out := make([][]float64, toW*toH)
	for y := range toH {
		for x := range toW {
			ya, yb, fy := tap(y, h, toH)
			xa, xb, fx := tap(x, w, toW)
			for k := range v[0] {
				top := (1-fx)*v[ya*w+xa][k] + fx*v[ya*w+xb][k]
				bottom := (1-fx)*v[yb*w+xa][k] + fx*v[yb*w+xb][k]
				out[y*toW+x] = append(out[y*toW+x], (1-fy)*top+fy*bottom)
			}
		}
	}
	return out
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
	dist := make([][]float64, len(x))
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
		dist[p] = []float64{best}
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
	flat := make([]float64, 0, fakeSide*fakeSide)
	for _, v := range slowUpsample(dist, gw, gh, fakeSide, fakeSide) {
		flat = append(flat, v[0])
	}
	return weight * score, slowBlur(flat, fakeSide, cfg.Sigma)
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
	before := runtime.NumGoroutine()
	for _, err := range p.ScoreSet(t.Context(), memory(t, imgs)) {
		require.NoError(t, err)
		break
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), before)
}

func TestPatchCoreConcurrentScoreFitAndClose(t *testing.T) {
	noLeak(t)
	good, img := textures(5, 37, fakeSide), textures(2, 38, fakeSide)
	p := fittedPatchCore(t, &fake{scale: 1}, patchConfig(), good)
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
	errs <- p.Fit(t.Context(), memory(t, good)) // the same bank again
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	n := 0
	for _, err := range p.ScoreSet(t.Context(), memory(t, textures(12, 39, fakeSide))) {
		require.NoError(t, err)
		if n == 0 {
			require.NoError(t, p.Close())
		}
		n++
	}
	require.Equal(t, 12, n)
	_, err = p.Score(t.Context(), img...)
	require.ErrorIs(t, err, downstream.ErrNotFitted)
}

func TestPatchCoreCancelledFitChangesNothing(t *testing.T) {
	noLeak(t)
	p := fittedPatchCore(t, &fake{scale: 1}, patchConfig(), textures(5, 40, fakeSide))
	img := textures(1, 41, fakeSide)[0]
	before, err := p.Score(t.Context(), img)
	require.NoError(t, err)
	inside := tensor.Live()
	for _, after := range []int{0, 1, 10} {
		ctx, cancel := context.WithCancel(t.Context())
		if after == 0 {
			cancel()
		}
		err = p.Fit(ctx, &interrupting{Dataset: memory(t, textures(20, 42, fakeSide)), after: after, cancel: cancel})
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

func TestPatchCoreRefuses(t *testing.T) {
	noLeak(t)
	fe := &fake{scale: 1}
	good := textures(3, 43, fakeSide)
	for name, f := range map[string]func(c *downstream.PatchCoreConfig){
		"Layers":        func(c *downstream.PatchCoreConfig) { c.Layers = nil },
		"Neighbourhood": func(c *downstream.PatchCoreConfig) { c.Neighbourhood = 2 },
		"Dim":           func(c *downstream.PatchCoreConfig) { c.Dim = 7 },
		"Share":         func(c *downstream.PatchCoreConfig) { c.Share = 0 },
		"Projection":    func(c *downstream.PatchCoreConfig) { c.Projection = -1 },
		"Starts":        func(c *downstream.PatchCoreConfig) { c.Starts = 0 },
		"Neighbours":    func(c *downstream.PatchCoreConfig) { c.Neighbours = 1 },
		"Sigma":         func(c *downstream.PatchCoreConfig) { c.Sigma = math.NaN() },
		"Batch":         func(c *downstream.PatchCoreConfig) { c.Batch = 257 },
		"Transform":     func(c *downstream.PatchCoreConfig) { c.Transform = dataset.Transform{Shorter: -1} },
		"Normalize":     func(c *downstream.PatchCoreConfig) { c.Normalize.Std[1] = 0 },
	} {
		cfg := patchConfig()
		f(&cfg)
		_, err := downstream.NewPatchCore(fe, cfg, patchRand())
		require.ErrorIs(t, err, downstream.ErrConfig, name)
		require.ErrorContains(t, err, name)
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
	_, err = p.Score(t.Context(), good[0])
	require.ErrorIs(t, err, downstream.ErrNotFitted)
	for _, err := range p.ScoreSet(t.Context(), memory(t, good)) {
		require.ErrorIs(t, err, downstream.ErrNotFitted)
	}
	require.ErrorIs(t, p.Save(t.TempDir()+"/x"), downstream.ErrNotFitted)
	require.ErrorIs(t, p.Fit(t.Context(), nil), downstream.ErrTooFewImages)
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

	bad, err := dataset.NewMemory([]dataset.Sample{
		{Item: dataset.Item{Name: "a"}, Image: good[0].(*image.RGBA)},
		{Item: dataset.Item{Name: "b", Defect: "hole", Anomalous: true}, Image: good[1].(*image.RGBA)},
	})
	require.NoError(t, err)
	err = p.Fit(t.Context(), bad)
	require.ErrorIs(t, err, downstream.ErrNotNormal)
	require.ErrorContains(t, err, `sample b is labelled "hole"`)
	fe.bad.Store(2)
	require.ErrorIs(t, p.Fit(t.Context(), memory(t, good)), downstream.ErrNotFinite)
	fe.bad.Store(0)
	require.NoError(t, p.Fit(t.Context(), memory(t, good)))
	fe.bad.Store(2)
	_, err = p.Score(t.Context(), good[0])
	require.ErrorIs(t, err, downstream.ErrNotFinite)
	require.ErrorContains(t, err, "image 0")
	fe.bad.Store(0)
	_, err = p.Score(t.Context(), good[0], nil)
	require.ErrorIs(t, err, downstream.ErrImage)
	require.NoError(t, p.Close())
	require.NoError(t, p.Close())

	cfg.Transform = dataset.Transform{} // leaves the size, which then must be one
	q, err = downstream.NewPatchCore(fe, cfg, patchRand())
	require.NoError(t, err)
	require.ErrorIs(t, q.Fit(t.Context(), memory(t, append(good, textures(1, 1, 48)...))), downstream.ErrImage)
}

func TestPatchCoreSavedAndOpenedScoresTheSameBits(t *testing.T) {
	noLeak(t)
	cfg := patchConfig()
	cfg.Neighbours, cfg.Squared, cfg.Dim, cfg.Sigma, cfg.Normalize.Mean[0] = 4, false, 6, 1.5, 0.3
	good := textures(4, 44, 40)
	p := fittedPatchCore(t, &fake{scale: 1}, cfg, good)
	imgs := textures(4, 45, 40)
	want, err := p.Score(t.Context(), imgs...)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "patchcore.safetensors")
	require.NoError(t, p.Save(path))
	q, err := downstream.OpenPatchCore(t.Context(), path, &fake{scale: 1})
	require.NoError(t, err)
	defer q.Close()
	got, err := q.Score(t.Context(), imgs...)
	require.NoError(t, err)
	require.Equal(t, want, got)
	a, b := p.Config(), q.Config()
	require.Equal(t, a.Transform.String(), b.Transform.String())
	a.Transform = b.Transform // each remembers weight tables of its own
	require.Equal(t, a, b)

	// Written again, and fitted again, it is the same file.
	first, err := os.ReadFile(path)
	require.NoError(t, err)
	for range 2 {
		var second bytes.Buffer
		n, err := q.WriteTo(&second)
		require.NoError(t, err)
		require.Equal(t, int64(second.Len()), n)
		require.True(t, bytes.Equal(first, second.Bytes()))
		require.NoError(t, q.Fit(t.Context(), memory(t, good)))
	}
	_, err = downstream.OpenPatchCore(t.Context(), path, &fake{scale: 1.01})
	require.ErrorIs(t, err, downstream.ErrExtractor)
	_, err = downstream.OpenPatchCore(t.Context(), path+"x", &fake{scale: 1})
	require.ErrorIs(t, err, os.ErrNotExist)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = downstream.OpenPatchCore(ctx, path, &fake{scale: 1})
	require.ErrorIs(t, err, context.Canceled)
}

func TestReadPatchCoreRefusesDamage(t *testing.T) {
	noLeak(t)
	good := savedPatchCore(t, patchConfig())
	read := func(b []byte) error {
		p, err := downstream.ReadPatchCore(t.Context(), bytes.NewReader(b), &fake{scale: 1})
		if err == nil {
			require.NoError(t, p.Close())
		}
		return err
	}
	require.NoError(t, read(good))
	require.ErrorIs(t, read(nil), downstream.ErrFile)
	require.ErrorIs(t, read(good[:len(good)-1]), downstream.ErrFile)
	type arrays = []tensor.Array
	setting := func(old, replaced string) func(map[string]string, arrays) arrays {
		return func(m map[string]string, a arrays) arrays {
			require.Contains(t, m["settings"], old)
			m["settings"] = strings.Replace(m["settings"], old, replaced, 1)
			return a
		}
	}
	for name, f := range map[string]func(map[string]string, arrays) arrays{
		"kind":    func(m map[string]string, a arrays) arrays { m["kind"] = "gotab.padim.1"; return a },
		"no json": func(m map[string]string, a arrays) arrays { m["settings"] = "{"; return a },
		"missing": func(_ map[string]string, a arrays) arrays { return a[:2] },
		"shape": func(_ map[string]string, a arrays) arrays {
			a[0].Shape = []int64{a[0].Shape[0] * a[0].Shape[1]}
			return a
		},
		"rows": func(_ map[string]string, a arrays) arrays {
			a[0].Shape = []int64{a[0].Shape[1], a[0].Shape[0]}
			return a
		},
		"not a number": func(_ map[string]string, a arrays) arrays {
			copy(a[0].Data[8:], []byte{0, 0, 0xc0, 0x7f})
			return a
		},
		"large grid":   setting(`"grid":[8,8]`, `"grid":[1000000,1000000]`),
		"another grid": setting(`"grid":[8,8]`, `"grid":[8,9]`),
		"share":        setting(`"share":0.2`, `"share":-1`),
		"neighbours":   setting(`"neighbours":0`, `"neighbours":900`),
		"filter":       setting("lanczos", "best"),
		"layer":        setting("layer2", "layer9"),
	} {
		w, err := tensor.ReadWeights(bytes.NewReader(good))
		require.NoError(t, err)
		changed := f(w.Metadata, w.Arrays)
		var buf bytes.Buffer
		_, err = tensor.WriteWeights(&buf, w.Metadata, changed)
		require.NoError(t, err)
		require.ErrorIs(t, read(buf.Bytes()), downstream.ErrFile, name)
	}
}

// savedPatchCore returns a small fitted detector as bytes.
func savedPatchCore(t testing.TB, cfg downstream.PatchCoreConfig) []byte {
	p := fittedPatchCore(t, &fake{scale: 1}, cfg, textures(2, 46, fakeSide))
	var buf bytes.Buffer
	_, err := p.WriteTo(&buf)
	require.NoError(t, err)
	return buf.Bytes()
}

func FuzzReadPatchCore(f *testing.F) {
	cfg := patchConfig()
	cfg.Share, cfg.Transform = 0.1, dataset.Square(16)
	good := savedPatchCore(f, cfg)
	f.Add(good)
	f.Add(good[:100])
	f.Add(bytes.Replace(good, []byte(`\"grid\":[4,4]`), []byte(`\"grid\":[9,9]`), 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := tensor.Live()
		p, err := downstream.ReadPatchCore(context.Background(), bytes.NewReader(b), &fake{scale: 1})
		if err == nil {
			require.NoError(t, p.Close())
		}
		require.Equal(t, before, tensor.Live())
	})
}

func TestEstimatePatchCore(t *testing.T) {
	cfg := downstream.DefaultPatchCore()
	fitted, fitting := downstream.EstimatePatchCore(200, 28*28, 384, cfg, 2)
	require.Equal(t, int64(4*15680*385), fitted)
	require.InDelta(t, 135e6, float64(fitting), 1e6)
	cfg.Share = 1
	fitted, fitting = downstream.EstimatePatchCore(200, 28*28, 384, cfg, 2)
	require.Equal(t, int64(4*156800*385), fitted)
	require.Greater(t, fitting, 2*fitted)
}
