package backbone_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

const (
	// parityTol is relative to the reference's largest value: both sides compute in
	// float32 with other orders of summation, which leaves some 1e-6 after 18
	// layers and some 1e-5 after 53.
	parityTol = 1e-4
	// gradientTol is for gradients where many values lie near the kink of a ReLU:
	// rounding grows tenfold on the way back through batch norms over four small
	// images. Where the fixture is steadied, parityTol holds for them too.
	gradientTol = 1e-3
)

type reference struct {
	Shape []int64
	Index []int
	Value []float64
	Max   float64
}

// fixture is what testdata/parity/resnet.py wrote for one architecture.
type fixture struct {
	State [][2]json.RawMessage // name and shape
	Eval  []struct {
		N, H, W  int64
		Features map[string]reference
	}
	Train []struct {
		Steady                 bool
		Loss                   float64
		Features, Grads, Stats map[string]reference
		Seen                   int64
		LR                     float64
		After                  reference
	}
}

func load(t testing.TB, arch backbone.Arch) fixture {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "parity", arch.String()+".json"))
	require.NoError(t, err)
	var f fixture
	require.NoError(t, json.Unmarshal(b, &f))
	return f
}

// arrays returns torchvision's whole state dict by formula, in its order.
func (f fixture) arrays(t testing.TB) []tensor.Array {
	t.Helper()
	var out []tensor.Array
	for _, e := range f.State {
		var a tensor.Array
		require.NoError(t, json.Unmarshal(e[0], &a.Name))
		require.NoError(t, json.Unmarshal(e[1], &a.Shape))
		out = append(out, fill(a))
	}
	return out
}

// distance is the largest difference relative to the reference's largest value.
func (r reference) distance(t *testing.T, got []float32, shape []int64) float64 {
	t.Helper()
	require.Equal(t, r.Shape, shape)
	lo, hi, worst := math.Inf(1), math.Inf(-1), 0.0
	for i, at := range r.Index {
		d := math.Abs(float64(got[at])-r.Value[i]) / r.Max
		if !(d <= worst) {
			worst = d
		}
		lo, hi = min(lo, r.Value[i]), max(hi, r.Value[i])
	}
	require.Greater(t, hi-lo, 0.1*math.Min(r.Max, 1), "the fixture says nothing")
	return worst
}

var all = []backbone.Layer{backbone.Stem, backbone.Layer1, backbone.Layer2, backbone.Layer3, backbone.Layer4, backbone.Pooled}

func inputs(n, h, w int64) []float32 { return draw(fmt.Sprintf("input %d %d %d", n, h, w), n*3*h*w) }

// TestEqualsTorchvision builds each network once and compares it with
// torchvision: names, evaluation, one training step, evaluation after it.
func TestEqualsTorchvision(t *testing.T) {
	for _, arch := range backbone.Archs() {
		t.Run(arch.String(), func(t *testing.T) {
			testutil.NoLeak(t)
			ref := load(t, arch)
			arrays := ref.arrays(t)
			m, err := backbone.FromWeights(&tensor.Weights{Arrays: arrays}, tensor.CPU)
			require.NoError(t, err)
			defer m.Close()
			require.Equal(t, arch, m.Arch())
			var names []string
			for _, a := range arrays {
				names = append(names, a.Name)
			}
			require.Equal(t, names, m.Params().Names())
			arrays = nil // the largest takes a quarter of a gigabyte
			runtime.GC()
			t.Run("evaluation", func(t *testing.T) { evaluationEquals(t, m, ref) })
			for i := range ref.Train {
				t.Run(fmt.Sprintf("training step, steady %v", ref.Train[i].Steady), func(t *testing.T) { trainingStepEquals(t, m, ref, i) })
			}
		})
	}
}

// steady does to arrays what steadied of resnet.py does: it moves the biases of
// batch norm away from the kinks of the ReLUs.
func steady(t *testing.T, arrays []tensor.Array) {
	last := ".bn2.bias"
	for _, a := range arrays {
		if strings.HasSuffix(a.Name, ".bn3.bias") {
			last = ".bn3.bias"
		}
	}
	for i, a := range arrays {
		sum := strings.HasSuffix(a.Name, "downsample.1.bias") || strings.HasSuffix(a.Name, last)
		if !sum && !(strings.Contains(a.Name, "bn") && strings.HasSuffix(a.Name, ".bias")) {
			continue
		}
		v, err := a.Floats()
		require.NoError(t, err)
		for c := range v {
			switch {
			case sum:
				v[c] += 2
			case c%2 == 0:
				v[c] += 3
			default:
				v[c] -= 3
			}
		}
		arrays[i] = tensor.FloatArray(a.Name, v, a.Shape...)
	}
}

// evaluationEquals compares features in evaluation. Asking for other layers
// decides which tensors the fused sums may overwrite, so several askings are made.
func evaluationEquals(t *testing.T, m *backbone.ResNet, ref fixture) {
	worst := 0.0
	for _, c := range ref.Eval {
		x := inputs(c.N, c.H, c.W)
		for _, ask := range [][]backbone.Layer{all, {backbone.Layer3, backbone.Layer1, backbone.Layer3}, {backbone.Pooled},
			{backbone.Layer2, backbone.Stem}, {backbone.Layer4, backbone.Layer2}} {
			err := tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
				in := s.FromFloats(x, c.N, 3, c.H, c.W)
				fs := m.Forward(s, in, ask...)
				for i, l := range ask {
					v, err := s.Floats(fs[i])
					if err != nil {
						return err
					}
					require.EqualValues(t, m.Channels(l), fs[i].Size(1))
					d := c.Features[l.String()].distance(t, v, fs[i].Shape())
					require.Less(t, d, parityTol, "%s of %v", l, ask)
					worst = max(worst, d)
				}
				v, err := s.Floats(in)
				require.Equal(t, x, v, "the caller's input was changed")
				return err
			})
			require.NoError(t, err)
		}
	}
	t.Logf("largest relative difference %.1e", worst)
}

func trainingStepEquals(t *testing.T, m *backbone.ResNet, fix fixture, i int) {
	ref, gradients := fix.Train[i], gradientTol
	start := fix.arrays(t)
	if ref.Steady {
		gradients = parityTol
		steady(t, start)
	}
	require.NoError(t, m.Params().SetArrays(t.Context(), start, nil))
	opt, err := tensor.NewSGD(tensor.DefaultSGD(), tensor.CPU)
	require.NoError(t, err)
	defer opt.Close()
	before := m.Params().Version()
	worst := map[string]float64{}
	check := func(kind string, r reference, v []float32, shape []int64, tol float64, name any) {
		t.Helper()
		d := r.distance(t, v, shape)
		require.Less(t, d, tol, "%s of %s", kind, name)
		worst[kind] = max(worst[kind], d)
	}
	err = tensor.Run(t.Context(), tensor.CPU, tensor.Training, func(s *tensor.Scope) error {
		fs := m.Forward(s, s.FromFloats(inputs(4, 64, 64), 4, 3, 64, 64), all...)
		for i, l := range all {
			v, err := s.Floats(fs[i])
			if err != nil {
				return err
			}
			check("features", ref.Features[l.String()], v, fs[i].Shape(), parityTol, l)
		}
		loss := s.MulScalar(s.Mean(s.Square(fs[5]), false), 100)
		s.Backward(loss)
		got, err := s.Float(loss)
		require.NoError(t, err)
		require.InEpsilon(t, ref.Loss, got, parityTol)
		require.GreaterOrEqual(t, len(ref.Grads), 5)
		for name, r := range ref.Grads {
			g := s.Grad(m.Params().Get(name))
			v, err := s.Floats(g)
			require.NoError(t, err)
			check("gradients", r, v, g.Shape(), gradients, name)
		}
		for name, r := range ref.Stats {
			p := m.Params().Get(name)
			v, err := s.Floats(p)
			require.NoError(t, err)
			check("statistics", r, v, p.Shape(), parityTol, name)
		}
		seen, err := s.Ints(m.Params().Get("bn1.num_batches_tracked"))
		require.NoError(t, err)
		require.Equal(t, []int64{ref.Seen}, seen)
		return opt.Step(s, m.Params(), func(string) float64 { return ref.LR })
	})
	require.NoError(t, err)
	require.Greater(t, m.Params().Version(), before)
	require.NoError(t, m.Params().ZeroGrad())
	check("after", ref.After, pooled(t, m, tensor.Evaluation, inputs(2, 64, 64), 2, 64),
		[]int64{2, int64(m.Channels(backbone.Pooled))}, parityTol, "a step")
	t.Logf("largest relative differences %v", worst)
}
