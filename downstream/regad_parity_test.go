package downstream

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"image"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/regad"
	"github.com/gotab/gotab/downstream/internal/train"
	"github.com/gotab/gotab/tensor"
)

// sampled is some values of an array that another program computed.
type sampled struct {
	Shape []int64
	Index []int
	Value []float64
	Max   float64
}

// distance is the largest difference in units of the array's largest value.
func (r sampled) distance(t *testing.T, got []float32, shape []int64) (worst float64) {
	t.Helper()
	require.Equal(t, r.Shape, shape)
	for i, at := range r.Index {
		d := math.Abs(float64(got[at])-r.Value[i]) / r.Max
		if !(d <= worst) {
			worst = d
		}
	}
	return worst
}

// regadFixture is what testdata/parity/regad.py wrote.
type regadFixture struct {
	Side, Hidden, Queries, Shots int
	LR, Momentum, Epsilon, Sigma float64
	Names                        [][2]json.RawMessage
	Matrices                     [][]float64
	Features                     []sampled
	Distances, Scores, Maps      []float64
	Losses                       []float64
	Grads, After                 map[string]sampled
	weights                      []tensor.Array // by the formula, once
}

// hashed is the formula of regad.py, for a name's checksum.
func hashed(sum uint32, i int) uint64 {
	h := (uint64(i)*2654435761 + uint64(sum)) & 0xffffffff
	h = ((h ^ h>>15) * 2246822519) & 0xffffffff
	return ((h ^ h>>13) * 3266489917) & 0xffffffff
}

func regadWeight(name string, shape []int64) tensor.Array {
	if strings.HasSuffix(name, "num_batches_tracked") {
		return tensor.IntArray(name, []int64{0}, shape...)
	}
	n, fan := int64(1), 1.0
	for i, d := range shape {
		n *= d
		if i > 0 {
			fan *= float64(d)
		}
	}
	parts := strings.Split(name, ".")
	before := parts[max(0, len(parts)-2)]
	scale := float32(math.Pow(2, math.RoundToEven(math.Log2(math.Sqrt(3/fan)))))
	if strings.HasSuffix(name, "fc2.weight") {
		scale /= 32
	}
	sum := crc32.ChecksumIEEE([]byte(name))
	out := make([]float32, n)
	for i := range out {
		u := float32(int64(hashed(sum, i)>>16)-32768) / 32768
		switch {
		case len(shape) > 1:
			u *= scale
		case strings.HasSuffix(name, "running_var"):
			u = 1 + u*0.5
		case strings.HasSuffix(name, "fc2.bias"):
			u = []float32{0, 1, 1}[i] + u*0.125
		case strings.HasSuffix(name, "weight"):
			u = 1 + u*0.25
		default:
			u *= 0.125
			bias := strings.HasSuffix(name, ".bias")
			switch {
			case bias && (before == "1" && strings.Contains(name, "downsample") || before == "bn2" && strings.Contains(name, "layer")):
				u += 2
			case bias && strings.HasPrefix(before, "bn"):
				u += float32(3 - 6*(i%2))
			}
		}
		out[i] = u
	}
	return tensor.FloatArray(name, out, shape...)
}

// picture is a picture by the formula.
func (f *regadFixture) picture(name string) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, f.Side, f.Side))
	sum := crc32.ChecksumIEEE([]byte(name))
	for y := range f.Side {
		for x := range f.Side {
			at := img.Pix[img.PixOffset(x, y):]
			for c := range 3 {
				at[c] = uint8(int(hashed(sum, (y*f.Side+x)*3+c)>>26) + (7*x+5*y*(1+c)+int(sum%97))%128)
			}
			at[3] = 255
		}
	}
	return img
}

func (f *regadFixture) set(t *testing.T, class string, names ...string) dataset.Dataset {
	var samples []dataset.Sample
	for _, n := range names {
		samples = append(samples, dataset.Sample{Item: dataset.Item{Name: n, Class: class, Label: dataset.LabelGood}, Image: f.picture(n)})
	}
	ds, err := dataset.NewMemory(samples)
	require.NoError(t, err)
	return ds
}

// detector returns a RegAD with weights by the formula and its network.
func (f *regadFixture) detector(t *testing.T, change func(c *RegADConfig)) (*RegAD, *regad.Network) {
	cfg := DefaultRegAD()
	cfg.Hidden, cfg.Shots, cfg.Queries, cfg.Momentum, cfg.Epsilon, cfg.Sigma = f.Hidden, f.Shots, f.Queries, f.Momentum, f.Epsilon, f.Sigma
	cfg.Transform = dataset.Transform{}
	change(&cfg)
	if f.weights == nil {
		for _, e := range f.Names {
			var name string
			var shape []int64
			require.NoError(t, json.Unmarshal(e[0], &name))
			require.NoError(t, json.Unmarshal(e[1], &shape))
			f.weights = append(f.weights, regadWeight(name, shape))
		}
	}
	r := newRegAD(f.weights, growResNet(backbone.ArchResNet18, backbone.Layer3, tensor.CPU), "resnet18", tensor.CPU, cfg, [2]uint64{})
	n, err := r.build(t.Context(), f.weights, image.Pt(f.Side, f.Side))
	require.NoError(t, err)
	return r, n
}

func readRegADFixture(t *testing.T) *regadFixture {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "parity", "regad.json"))
	require.NoError(t, err)
	f := &regadFixture{}
	require.NoError(t, json.Unmarshal(raw, f))
	require.GreaterOrEqual(t, len(f.Losses), 4)
	require.GreaterOrEqual(t, len(f.Grads), 60)
	return f
}

// regadTolerance is relative to the largest value. PyTorch in float32 differs from
// PyTorch in float64 by 1e-5 here, in features and gradients, through 30 layers.
const regadTolerance = 1e-4

// lossTolerance is absolute, of losses between -1 and 1: the rounding of means of
// cosines, which in PyTorch is 1e-8 here.
const lossTolerance = 1e-6

// TestRegADTrainsAsPyTorch compares names, the losses of four steps, all gradients
// of the first and what gradient descent makes of the weights.
func TestRegADTrainsAsPyTorch(t *testing.T) {
	live := tensor.Live()
	f := readRegADFixture(t)
	r, n := f.detector(t, func(*RegADConfig) {})
	got, err := n.Arrays(t.Context())
	require.NoError(t, err)
	var names []string
	for _, a := range got {
		names = append(names, a.Name)
	}
	for _, e := range f.Names {
		var name string
		require.NoError(t, json.Unmarshal(e[0], &name))
		require.Contains(t, names, name)
	}
	require.Len(t, names, len(f.Names))

	worst := map[string]float64{}
	learners, err := r.learners(n)
	require.NoError(t, err)
	for i := range learners {
		learners[i].Optimizer = &watched{Optimizer: learners[i].Optimizer, t: t, want: f.Grads, worst: worst, own: i == 1}
		learners[i].Rate = train.Always(f.LR)
	}
	for step, want := range f.Losses {
		got, err := r.step(t.Context(), n, f.batch(t, r, step), learners)
		require.NoError(t, err)
		require.InDelta(t, want, got.Loss, lossTolerance, "loss of step %d", step)
		if step > 0 {
			continue
		}
		arrays, err := n.Arrays(t.Context())
		require.NoError(t, err)
		for _, a := range arrays {
			if w, ok := f.After[a.Name]; ok {
				v, err := a.Floats()
				require.NoError(t, err)
				worst["after a step"] = max(worst["after a step"], w.distance(t, v, a.Shape))
				delete(f.After, a.Name)
			}
		}
		require.Empty(t, f.After)
	}
	require.Empty(t, f.Grads, "gradients that nobody asked for")
	t.Logf("largest differences: %v", worst)
	for kind, v := range worst {
		require.LessOrEqual(t, v, regadTolerance, kind)
	}
	for _, l := range learners {
		require.NoError(t, l.Optimizer.Close())
	}
	require.NoError(t, n.Free())
	require.Equal(t, live, tensor.Live())
}

// watched compares the gradients of the first step with the fixture's.
type watched struct {
	tensor.Optimizer
	t     *testing.T
	want  map[string]sampled
	worst map[string]float64
	own   bool // the parameters are not the trunk's
}

func (w *watched) Prepare(s *tensor.Scope, p *tensor.Params, rate func(name string) float64) (func() error, error) {
	for _, name := range p.Names() {
		full := name
		if !w.own {
			full = regad.TrunkPrefix + name
		}
		want, ok := w.want[full]
		if !ok {
			continue
		}
		g := s.Grad(p.Get(name))
		v, err := s.Floats(g)
		require.NoError(w.t, err)
		w.worst["gradients"] = max(w.worst["gradients"], want.distance(w.t, v, g.Shape()))
		delete(w.want, full)
	}
	return w.Optimizer.Prepare(s, p, rate)
}

// batch returns the images of a training step.
func (f *regadFixture) batch(t *testing.T, r *RegAD, step int) *regad.Batch {
	var names []string
	for i := range f.Queries {
		names = append(names, fmt.Sprintf("query %d %d", step, i))
	}
	for i := range f.Queries {
		for k := range f.Shots {
			names = append(names, fmt.Sprintf("support %d %d %d", step, i, k))
		}
	}
	at := make([]int, len(names))
	for i := range at {
		at[i] = i
	}
	from, err := feed.GoodImages(f.set(t, "c", names...), dataset.Transform{})
	require.NoError(t, err)
	b, err := regad.ReadBatch(t.Context(), &r.core.In, from, at, image.Pt(f.Side, f.Side))
	require.NoError(t, err)
	return b
}

// A fault in what is trained must show.
func TestRegADTrainingParitySeesFaults(t *testing.T) {
	f := readRegADFixture(t)
	for name, fault := range map[string]struct {
		config func(c *RegADConfig)
		change func(n *regad.Network, b *regad.Batch) error
	}{
		"support images of another query": {change: func(_ *regad.Network, b *regad.Batch) error {
			b.At[f.Queries], b.At[f.Queries+f.Shots] = b.At[f.Queries+f.Shots], b.At[f.Queries]
			return nil
		}},
		"warp": {config: func(c *RegADConfig) { c.Warp = WarpRotationTranslation }}, // of as many numbers
		"encoder": {change: func(n *regad.Network, _ *regad.Batch) error {
			return tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
				s.ScaleInto(n.Params.Get("encoder.bn2.weight"), -1)
				return s.Err()
			})
		}},
	} {
		r, n := f.detector(t, func(c *RegADConfig) {
			if fault.config != nil {
				fault.config(c)
			}
		})
		b := f.batch(t, r, 0)
		if fault.change != nil {
			require.NoError(t, fault.change(n, b))
		}
		learners, err := r.learners(n)
		require.NoError(t, err)
		for i := range learners {
			learners[i].Rate = train.Always(0)
		}
		got, err := r.step(t.Context(), n, b, learners)
		require.NoError(t, err, name)
		require.Greater(t, math.Abs(got.Loss-f.Losses[0]), 2*lossTolerance, name)
		for _, l := range learners {
			require.NoError(t, l.Optimizer.Close())
		}
		require.NoError(t, n.Free())
	}
}

// TestRegADScoresAsPyTorch compares matrices, features, distances and maps of two
// images and a support set of two with a program that inverts the covariances in
// double precision.
func TestRegADScoresAsPyTorch(t *testing.T) {
	live := tensor.Live()
	f := readRegADFixture(t)
	r, n := f.detector(t, func(*RegADConfig) {})
	require.NoError(t, n.Settle(t.Context(), tensor.CPU))
	n.Classes = []string{"others"}
	require.NoError(t, r.trained.Install(n))
	test := f.set(t, "c", "test 0", "test 1")
	from, err := feed.GoodImages(test, dataset.Transform{})
	require.NoError(t, err)
	b, err := r.core.In.Pack(t.Context(), from, 0, 2, n.Size)
	require.NoError(t, err)
	support := f.set(t, "c", "shot 0", "shot 1")
	require.NoError(t, r.Fit(t.Context(), support))
	g, ok := r.core.Current.Hold()
	require.True(t, ok)
	require.True(t, g.stats.LowRank())

	worst := map[string]float64{}
	differ := func(kind string, want []float64, got []float32) {
		require.Len(t, got, len(want))
		top := slices.Max(want)
		for i, v := range got {
			worst[kind] = max(worst[kind], math.Abs(float64(v)-want[i])/top)
		}
	}
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		x := s.FromNHWC(b.Pixels, 2, f.Side, f.Side, 3)
		n.Align(s, x, func(s *tensor.Scope, layer int, _, theta *tensor.Tensor) {
			v, err := s.Floats(theta)
			require.NoError(t, err)
			differ("matrices", f.Matrices[layer], v)
		})
		maps := n.Features(s, x)
		for i, m := range maps {
			v, err := s.Floats(m)
			require.NoError(t, err)
			worst["features"] = max(worst["features"], f.Features[i].distance(t, v, m.Shape()))
		}
		v, err := s.Floats(s.Transpose(g.stats.Distances(s, maps), 0, 1))
		differ("distances", f.Distances, v)
		return err
	}))
	i := 0
	for sc, err := range r.ScoreSet(t.Context(), test) {
		require.NoError(t, err)
		var v []float32
		for y := 0; y < f.Side; y += 8 {
			for x := 0; x < f.Side; x += 8 {
				v = append(v, sc.Map.At(x, y))
			}
		}
		differ("maps", f.Maps[i*len(v):][:len(v)], v)
		require.InEpsilon(t, f.Scores[i], sc.Score, regadTolerance)
		i++
	}
	require.Len(t, f.Scores, i)
	t.Logf("largest differences: %v", worst)
	for kind, v := range worst {
		require.LessOrEqual(t, v, regadTolerance, kind)
	}
	r.core.Release(g)
	require.NoError(t, r.Close())

	// Another epsilon must show.
	wrong, m := f.detector(t, func(c *RegADConfig) { c.Epsilon *= 1.01 })
	require.NoError(t, m.Settle(t.Context(), tensor.CPU))
	require.NoError(t, wrong.trained.Install(m))
	require.NoError(t, wrong.Fit(t.Context(), support))
	res, err := wrong.Score(t.Context(), f.picture("test 0"))
	require.NoError(t, err)
	require.Greater(t, math.Abs(res[0].Score/f.Scores[0]-1), 5*regadTolerance)
	require.NoError(t, wrong.Close())
	require.Equal(t, live, tensor.Live())
}
