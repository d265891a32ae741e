package tab

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// The sizes of testdata/parity/dense.py.
const (
	denseB, denseN, denseT, denseSide = 3, 2, 5, 64
	// denseTol is the bar; both sides compute in float32 and differ by some
	// 1e-6 of the largest value.
	denseTol = 1e-4
)

var (
	denseChannels = []int{2, 3, 4}
	denseGrid     = []int{16, 8, 4}
	denseClass    = []int64{1, 0, 1}
)

type denseCase struct {
	Name             string
	Loss, Right      float64
	Normal, Abnormal [][]float64 // inner cells of each layer, [B, C, inner]
	Heads            [][]float64 // weights of three layers, then biases
}

type denseFixture struct {
	Cases  []denseCase
	Metric [][][][]float64 // full and diagonal, product, layer, values
	Mix    denseCase
}

func loadDense(t *testing.T, name string) (f denseFixture) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "parity", name))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &f))
	return f
}

// wave is the fixture's formula.
func wave(k, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		x := float64(i)
		v[i] = float32(math.Sin(0.7*float64(k) + 1.3*x + 0.01*x*x))
	}
	return v
}

// denseTrial holds the fixture's inputs on the device.
type denseTrial struct {
	leaves, head *tensor.Params
	metric       *Metric
	tied         []bool // pairs of tied classes; nil for none
}

func layerOf(l int) backbone.Layer { return backbone.Layer1 + backbone.Layer(l) }

func featureWave(s *tensor.Scope, l, k, n int) *tensor.Tensor {
	g := denseGrid[l]
	return s.FromFloats(wave(10*l+k, n*denseChannels[l]*g*g), int64(n), int64(denseChannels[l]), int64(g), int64(g))
}

// wavy is a network whose features of image i are those of a fixture's image i; the
// image's one pixel holds its number.
type wavy struct {
	params *tensor.Params
	of     map[backbone.Layer][]float32 // [6, C, g, g]
}

func (w wavy) Params() *tensor.Params        { return w.params }
func (w wavy) Device() tensor.Device         { return w.params.Device() }
func (w wavy) Channels(l backbone.Layer) int { return denseChannels[l-backbone.Layer1] }
func (w wavy) Forward(s *tensor.Scope, x *tensor.Tensor, at ...backbone.Layer) []*tensor.Tensor {
	number, err := s.Floats(x)
	if err != nil {
		s.Fail(err)
		return make([]*tensor.Tensor, len(at))
	}
	out := make([]*tensor.Tensor, len(at))
	for k, l := range at {
		c, g := denseChannels[l-backbone.Layer1], denseGrid[l-backbone.Layer1]
		var v []float32
		for i := 0; i < len(number); i += 3 {
			v = append(v, w.of[l][int(number[i])*c*g*g:][:c*g*g]...)
		}
		out[k] = s.FromFloats(v, x.Size(0), int64(c), int64(g), int64(g))
	}
	return out
}

// denseStages measures the fixture's two products.
func denseStages(t *testing.T, diagonal bool) map[backbone.Layer][]partSpread {
	t.Helper()
	stages := map[backbone.Layer][]partSpread{}
	var layers []backbone.Layer
	for l := range denseGrid {
		layers = append(layers, layerOf(l))
	}
	for k := range denseN {
		net := wavy{tensor.NewParams(tensor.CPU), map[backbone.Layer][]float32{}}
		for l, g := range denseGrid {
			c := denseChannels[l]
			v := wave(10*l+5+k, 6*c*g*g)
			for i := range v {
				if k == 1 {
					v[i] *= 1 - 0.8*float32(i/(g*g)%c)/float32(c-1)
				}
			}
			net.of[layerOf(l)] = v
		}
		measured, err := measureSpread(t.Context(), net, 6, 1, 1, func(_ context.Context, i int, dst []float32) error {
			dst[0], dst[1], dst[2] = float32(i), float32(i), float32(i)
			return nil
		}, spreadConfig{Layers: layers, Ridge: 0.1, Batch: 4, Workers: 2, Diagonal: func(backbone.Layer) bool { return diagonal }})
		require.NoError(t, err)
		for _, sp := range measured {
			stages[sp.Layer] = append(stages[sp.Layer], sp.part(diagonal))
		}
		require.NoError(t, net.params.Close())
	}
	return stages
}

// denseMetric puts what was measured on the device.
func denseMetric(t *testing.T, s *tensor.Scope, stages map[backbone.Layer][]partSpread) *Metric {
	t.Helper()
	layers := []backbone.Layer{backbone.Layer1, backbone.Layer2, backbone.Layer3}
	m, err := newMetric(s, layers, func(l backbone.Layer) int { return denseChannels[l-backbone.Layer1] }, denseN, stages)
	require.NoError(t, err)
	return m
}

// run evaluates an objective on the fixture's inputs, computes gradients and, with
// an optimizer, updates what it trains; the case holds gradients, or the values
// after the update.
func (d *denseTrial) run(t *testing.T, o Objective, opt tensor.Optimizer) (c denseCase) {
	t.Helper()
	d.leaves, d.head = tensor.NewParams(tensor.CPU), tensor.NewParams(tensor.CPU)
	defer func() { require.NoError(t, d.leaves.Close()); require.NoError(t, d.head.Close()) }()
	stages := denseStages(t, false)
	err := tensor.Run(t.Context(), tensor.CPU, tensor.Training, func(s *tensor.Scope) error {
		s.NoGrad(func() { d.metric = denseMetric(t, s, stages) })
		defer func() { require.NoError(t, d.metric.close()) }()
		v := View{Class: s.FromInts(denseClass, denseB), Metric: d.metric, Params: d.head,
			NormalText:   s.Normalize(s.FromFloats(wave(80, denseN*denseT), denseN, denseT), 1, 1e-12),
			AbnormalText: s.Normalize(s.FromFloats(wave(81, denseN*denseT), denseN, denseT), 1, 1e-12)}
		for _, f := range []*Features{&v.Normal, &v.Abnormal, &v.NormalStart, &v.AbnormalStart} {
			f.Stages = map[backbone.Layer]*tensor.Tensor{}
		}
		dims := Dims{Classes: denseN, Text: denseT, Channels: map[backbone.Layer]int{}}
		for l := range denseGrid {
			tn := featureWave(s, l, 1, denseB)
			ta := s.Add(tn, s.MulScalar(s.Pow(featureWave(s, l, 2, denseB), 5), 1.1))
			fn := s.Add(tn, s.MulScalar(s.Pow(featureWave(s, l, 3, denseB), 3), 0.9))
			fa := s.Add(ta, s.MulScalar(s.Pow(featureWave(s, l, 4, denseB), 3), 1.6))
			require.NoError(t, d.leaves.Put(s, fmt.Sprint("normal", l), fn))
			require.NoError(t, d.leaves.Put(s, fmt.Sprint("abnormal", l), fa))
			v.NormalStart.Stages[layerOf(l)], v.AbnormalStart.Stages[layerOf(l)] = tn, ta
			v.Normal.Stages[layerOf(l)], v.Abnormal.Stages[layerOf(l)] = fn, fa
			dims.Channels[layerOf(l)] = denseChannels[l]
		}
		v.Cells = cells(s, Batch{H: denseSide, W: denseSide, Class: []int{1, 0, 1}, Masks: denseMasks()}, d.tied, v.Normal.Stages)
		if d.tied != nil {
			v.Tied = ones(s, d.tied)
		}
		require.NoError(t, s.Err())
		if o.Needs().WithinSpread {
			setApart(s, &v, o.Needs().Stages)
		}
		require.NoError(t, o.Setup(s, d.head, dims, rand.New(rand.NewPCG(1, 1))))
		for l, ch := range denseChannels {
			if w := d.head.Get(denseName(layerOf(l)) + ".weight"); w != nil {
				s.CopyInto(w, s.FromFloats(wave(60+l, denseT*ch), denseT, int64(ch)))
				s.CopyInto(d.head.Get(denseName(layerOf(l))+".bias"), s.FromFloats(wave(70+l, denseT), denseT))
			}
		}
		loss, right := o.Loss(s, v)
		s.Backward(loss)
		var err error
		c.Loss, err = s.Float(loss)
		require.NoError(t, err)
		c.Right, err = s.Float(right)
		require.NoError(t, err)
		read := func(x *tensor.Tensor) []float64 { // the gradient, or the value after an update
			if opt == nil {
				if x = s.Grad(x); x == nil {
					return nil
				}
			}
			f, err := s.Floats(x)
			require.NoError(t, err)
			out := make([]float64, len(f))
			for i := range out {
				out[i] = float64(f[i])
			}
			return out
		}
		if opt != nil {
			rate := func(string) float64 { return 1e-2 }
			require.NoError(t, opt.Step(s, d.leaves, rate))
			require.NoError(t, opt.Step(s, d.head, rate))
		}
		for l := range denseGrid {
			c.Normal = append(c.Normal, read(d.leaves.Get(fmt.Sprint("normal", l))))
			c.Abnormal = append(c.Abnormal, read(d.leaves.Get(fmt.Sprint("abnormal", l))))
		}
		for _, what := range []string{".weight", ".bias"} {
			for l := range denseGrid {
				if w := d.head.Get(denseName(layerOf(l)) + what); w != nil {
					c.Heads = append(c.Heads, read(w))
				}
			}
		}
		return s.Err()
	})
	require.NoError(t, err)
	return c
}

// denseMasks are the fixture's: large damage, small damage, none.
func denseMasks() []uint8 {
	m := make([]uint8, denseB*denseSide*denseSide)
	fill := func(i, y0, y1, x0, x1 int) {
		for y := y0; y < y1; y++ {
			for x := x0; x < x1; x++ {
				m[(i*denseSide+y)*denseSide+x] = 255
			}
		}
	}
	fill(0, 14, 36, 12, 30)
	fill(1, 46, 49, 44, 46)
	return m
}

// equalInside compares all of got [B, C, h, w] with the inner cells of want; what
// lies outside must be zero where zero is set.
func equalInside(t *testing.T, l int, want, got []float64, zero bool, what string) {
	t.Helper()
	g := denseGrid[l]
	border := g / 4
	largest := 0.0
	for _, w := range want {
		largest = max(largest, math.Abs(w))
	}
	at := 0
	for i, x := range got {
		r, c := i/g%g, i%g
		if r < border || r >= g-border || c < border || c >= g-border {
			if zero {
				require.Zero(t, x, what)
			}
			continue
		}
		w := 0.0
		if len(want) > 0 {
			w = want[at]
		}
		at++
		require.LessOrEqual(t, math.Abs(x-w), denseTol*largest, "%s, layer %d, value %d: %g, want %g", what, l+1, i, x, w)
	}
	if len(want) > 0 {
		require.Equal(t, len(want), at, what)
	}
}

func TestDenseObjectivesEqualPyTorch(t *testing.T) {
	testutil.NoLeak(t)
	focal := DefaultDense()
	focal.Count = DenseFocal
	amplify := DefaultAmplify()
	amplify.WithinSpread = true
	within := Mix{{1, amplify}, {0.3, DefaultDense()}, {2, DefaultKeep()}}
	objectives := map[string]Objective{"within": within, "keep": DefaultKeep(), "amplify": DefaultAmplify(), "balanced": DefaultDense(), "focal": focal}
	held := DefaultKeep()
	held.TiedWeight = 3
	objectives["tied"] = Mix{{1, DefaultAmplify()}, {0.3, DefaultDense()}, {2, held}}
	for _, want := range slices.Concat(loadDense(t, "amplify.json").Cases, loadDense(t, "dense.json").Cases, loadDense(t, "tied.json").Cases) {
		trial := &denseTrial{}
		if want.Name == "tied" {
			trial.tied = []bool{true, false, false}
		}
		c := trial.run(t, objectives[want.Name], nil)
		require.InEpsilon(t, want.Loss, c.Loss, denseTol, want.Name)
		require.InDelta(t, want.Right, c.Right, denseTol, want.Name)
		for l := range denseGrid {
			equalInside(t, l, want.Normal[l], c.Normal[l], true, want.Name+" normal")
			equalInside(t, l, want.Abnormal[l], c.Abnormal[l], true, want.Name+" abnormal")
		}
		for i, h := range c.Heads {
			for j, x := range h {
				require.InDelta(t, want.Heads[i][j], x, denseTol, "%s head %d", want.Name, i)
			}
		}
	}
}

func TestMixStepEqualsPyTorch(t *testing.T) {
	testutil.NoLeak(t)
	want := loadDense(t, "amplify.json").Mix
	opt, err := tensor.NewAdamW(tensor.AdamWConfig{Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8}, tensor.CPU)
	require.NoError(t, err)
	defer opt.Close()
	mix := Mix{{1, DefaultAmplify()}, {0.3, DefaultDense()}, {2, DefaultKeep()}}
	require.NoError(t, mix.Validate())
	c := new(denseTrial).run(t, mix, opt)
	require.InEpsilon(t, want.Loss, c.Loss, denseTol)
	require.InDelta(t, want.Right, c.Right, denseTol)
	for l := 1; l < 3; l++ {
		equalInside(t, l, want.Normal[l-1], c.Normal[l], false, "normal")
		equalInside(t, l, want.Abnormal[l-1], c.Abnormal[l], false, "abnormal")
	}
	require.Len(t, c.Heads, 6)
	for i, h := range c.Heads {
		for j, x := range h {
			require.InDelta(t, want.Heads[i][j], x, denseTol)
		}
	}
}

func TestMetricEqualsPyTorch(t *testing.T) {
	testutil.NoLeak(t)
	f := loadDense(t, "amplify.json")
	forms := []map[backbone.Layer][]partSpread{denseStages(t, false), denseStages(t, true)}
	err := tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		for form, products := range f.Metric {
			m := denseMetric(t, s, forms[form])
			defer func() { require.NoError(t, m.close()) }()
			for k, layers := range products {
				for l, want := range layers {
					class := s.FromInts([]int64{int64(k)}, 1)
					q, err := s.Floats(m.Square(s, layerOf(l), featureWave(s, l, 7, 1), class))
					require.NoError(t, err)
					q95, q99 := m.Quantiles(s, layerOf(l), class)
					var got []float32
					g := denseGrid[l]
					for r := 0; r < g; r += 3 {
						for c := 0; c < g; c += 3 {
							got = append(got, q[r*g+c])
						}
					}
					for _, x := range []*tensor.Tensor{q95, q99} {
						v, err := s.Float(x)
						require.NoError(t, err)
						got = append(got, float32(v))
					}
					require.Len(t, got, len(want))
					for i := range want {
						require.InEpsilon(t, want[i], float64(got[i]), denseTol, "form %d, product %d, layer %d", form, k, l+1)
					}
				}
			}
		}
		return s.Err()
	})
	require.NoError(t, err)
}

// The definition, cell by cell and pixel by pixel.
func TestCellsEqualTheirDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for range 40 {
		hh, ww := 48+rng.IntN(80), 48+rng.IntN(80)
		h, w := 3+rng.IntN(14), 3+rng.IntN(14)
		reach := rng.IntN(30)
		masks := make([]uint8, 2*hh*ww)
		for i := range 2 {
			y, x := rng.IntN(hh), rng.IntN(ww)
			for dy := range min(hh-y, 1+rng.IntN(30)) {
				for dx := range min(ww-x, 1+rng.IntN(30)) {
					masks[(i*hh+y+dy)*ww+x+dx] = uint8(1 + rng.IntN(255))
				}
			}
		}
		g, err := gridOf(masks, 2, hh, ww, h, w, reach)
		if err != nil {
			require.ErrorIs(t, err, ErrConfig)
			continue
		}
		count := func(i, y0, y1, x0, x1 int) (n, all int) {
			for y := max(0, y0); y < min(hh, y1); y++ {
				for x := max(0, x0); x < min(ww, x1); x++ {
					all++
					if masks[(i*hh+y)*ww+x] != 0 {
						n++
					}
				}
			}
			return n, all
		}
		for i := range 2 {
			share := func(r, c int) float64 {
				n, all := count(i, r*hh/h, int(math.Ceil(float64((r+1)*hh)/float64(h))), c*ww/w, int(math.Ceil(float64((c+1)*ww)/float64(w))))
				return float64(n) / float64(all)
			}
			most := 0.0
			for r := range h {
				for c := range w {
					most = max(most, share(r, c))
				}
			}
			bad, clean := 0, 0
			for r := range h {
				for c := range w {
					at := r*w + c
					inner := g.inner[at] == 1
					near, _ := count(i, r*hh/h-reach, int(math.Ceil(float64((r+1)*hh)/float64(h)))+reach, c*ww/w-reach, int(math.Ceil(float64((c+1)*ww)/float64(w)))+reach)
					isBad := inner && (share(r, c) >= 0.3 || most > 0 && share(r, c) >= 0.999*most)
					isClean := inner && near == 0
					require.Equal(t, isBad, g.anomalous[i*h*w+at] == 1)
					require.Equal(t, isClean, g.clean[i*h*w+at] == 1)
					require.False(t, isBad && isClean)
					if isBad {
						bad++
					}
					if isClean {
						clean++
					}
				}
			}
			require.Equal(t, bad, g.counts.AnomalousCount[i])
			require.Equal(t, clean, g.counts.CleanCount[i])
		}
	}
	_, err := gridOf(make([]uint8, 32*32), 1, 32, 32, 8, 8, 24)
	require.ErrorIs(t, err, ErrConfig)
	require.ErrorContains(t, err, "larger images")
}
