package backbone_test

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// parityTol is relative to the reference's largest value: both sides compute in
// float32 with other orders of summation, which leaves some 1e-6 after 18 layers.
const parityTol = 1e-4

func newRand() *rand.Rand { return rand.New(rand.NewPCG(1, 1)) }

type reference struct {
	Shape []int64
	Index []int
	Value []float64
	Max   float64
}

type fixture struct {
	Eval []struct {
		N, H, W  int64
		Features map[string]reference
	}
	Train struct {
		Loss                   float64
		Features, Grads, Stats map[string]reference
		Seen                   int64
	}
}

func load(t *testing.T) fixture {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "parity", "resnet18.json"))
	require.NoError(t, err)
	var f fixture
	require.NoError(t, json.Unmarshal(b, &f))
	return f
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

func TestFeaturesEqualTorchvision(t *testing.T) {
	testutil.NoLeak(t)
	m, err := backbone.FromWeights(&tensor.Weights{Arrays: formulaArrays(t)}, tensor.CPU)
	require.NoError(t, err)
	defer m.Close()
	for _, c := range load(t).Eval {
		x := draw(inputName(c.N, c.H, c.W), c.N*3*c.H*c.W)
		for _, ask := range [][]backbone.Layer{all, {backbone.Layer3, backbone.Layer1, backbone.Layer3}, {backbone.Pooled}, {backbone.Layer2, backbone.Stem}} {
			err = tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
				fs := m.Forward(s, s.FromFloats(x, c.N, 3, c.H, c.W), ask...)
				for i, l := range ask {
					v, err := s.Floats(fs[i])
					if err != nil {
						return err
					}
					require.Less(t, c.Features[l.String()].distance(t, v, fs[i].Shape()), parityTol, "%s of %v", l, ask)
				}
				return nil
			})
			require.NoError(t, err)
		}
	}
}

func inputName(n, h, w int64) string {
	return "input " + strings.Join([]string{itoa(n), itoa(h), itoa(w)}, " ")
}

func itoa(n int64) string { b, _ := json.Marshal(n); return string(b) }

func TestTrainingStepEqualsPyTorch(t *testing.T) {
	testutil.NoLeak(t)
	ref := load(t).Train
	m, err := backbone.FromWeights(&tensor.Weights{Arrays: formulaArrays(t)}, tensor.CPU)
	require.NoError(t, err)
	defer m.Close()
	before := m.Params().Version()
	err = tensor.Run(t.Context(), tensor.CPU, tensor.Training, func(s *tensor.Scope) error {
		fs := m.Forward(s, s.FromFloats(draw(inputName(4, 64, 64), 4*3*64*64), 4, 3, 64, 64), all...)
		for i, l := range all {
			v, err := s.Floats(fs[i])
			if err != nil {
				return err
			}
			require.Less(t, ref.Features[l.String()].distance(t, v, fs[i].Shape()), parityTol, l)
		}
		loss := s.MulScalar(s.Mean(s.Square(fs[5]), false), 100)
		s.Backward(loss)
		got, err := s.Float(loss)
		require.InEpsilon(t, ref.Loss, got, parityTol)
		for name, r := range ref.Grads {
			g := s.Grad(m.Params().Get(name))
			v, gerr := s.Floats(g)
			require.NoError(t, gerr)
			// Through eighteen batch norms of four images rounding grows tenfold.
			require.Less(t, r.distance(t, v, g.Shape()), 10*parityTol, name)
		}
		for name, r := range ref.Stats {
			p := m.Params().Get(name)
			v, gerr := s.Floats(p)
			require.NoError(t, gerr)
			require.Less(t, r.distance(t, v, p.Shape()), parityTol, name)
		}
		seen, err := s.Ints(m.Params().Get("bn1.num_batches_tracked"))
		require.Equal(t, []int64{ref.Seen}, seen)
		return err
	})
	require.NoError(t, err)
	require.Greater(t, m.Params().Version(), before)
}

func pooled(t testing.TB, m *backbone.ResNet18, mode tensor.Mode, x []float32, n, size int64) []float32 {
	var out []float32
	require.NoError(t, tensor.Run(context.Background(), m.Device(), mode, func(s *tensor.Scope) (err error) {
		out, err = s.Floats(m.Forward(s, s.FromFloats(x, n, 3, size, size), backbone.Pooled)[0])
		return err
	}))
	return out
}

func TestFoldedWeightsFollowTheCurrentOnes(t *testing.T) {
	testutil.NoLeak(t)
	m, err := backbone.NewResNet18(tensor.CPU, newRand())
	require.NoError(t, err)
	defer m.Close()
	x := draw("x", 2*3*64*64)
	a := pooled(t, m, tensor.Evaluation, x, 2, 64)
	require.Equal(t, a, pooled(t, m, tensor.Evaluation, x, 2, 64), "evaluation changed something")
	require.NotEqual(t, a, pooled(t, m, tensor.Training, x, 2, 64), "batch statistics are running statistics")
	require.NotEqual(t, a, pooled(t, m, tensor.Evaluation, x, 2, 64), "training did not move the running statistics")

	require.NoError(t, m.Params().SetArrays(t.Context(), formulaArrays(t), nil))
	b := pooled(t, m, tensor.Evaluation, x, 2, 64)
	n, err := backbone.FromWeights(&tensor.Weights{Arrays: formulaArrays(t)}, tensor.CPU)
	require.NoError(t, err)
	defer n.Close()
	require.Equal(t, pooled(t, n, tensor.Evaluation, x, 2, 64), b)
}

func TestFrozenStatistics(t *testing.T) {
	testutil.NoLeak(t)
	m, err := backbone.NewResNet18(tensor.CPU, newRand())
	require.NoError(t, err)
	defer m.Close()
	m.FreezeStatistics(func(l backbone.Layer) bool { return l <= backbone.Layer3 })
	pooled(t, m, tensor.Training, draw("x", 2*3*64*64), 2, 64)
	arrays, err := m.Params().Arrays(t.Context())
	require.NoError(t, err)
	for _, a := range arrays {
		if !strings.HasSuffix(a.Name, "running_mean") {
			continue
		}
		v, err := a.Floats()
		require.NoError(t, err)
		zero := true
		for _, x := range v {
			zero = zero && x == 0
		}
		require.Equal(t, !strings.HasPrefix(a.Name, "layer4"), zero, a.Name)
	}
}

func TestConcurrentEvaluation(t *testing.T) {
	testutil.NoLeak(t)
	m, err := backbone.NewResNet18(tensor.CPU, newRand())
	require.NoError(t, err)
	defer m.Close()
	x := draw("x", 3*64*64)
	out := make([][]float32, 8)
	var wg sync.WaitGroup
	for i := range out {
		wg.Add(1)
		go func() {
			defer wg.Done()
			err := tensor.Run(tensor.WithThreads(context.Background(), 1), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) (err error) {
				out[i], err = s.Floats(m.Forward(s, s.FromFloats(x, 1, 3, 64, 64), backbone.Pooled)[0])
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	for i := range out {
		require.Equal(t, out[0], out[i])
	}
}

func TestWriteAndReadBack(t *testing.T) {
	testutil.NoLeak(t)
	m, err := backbone.NewResNet18(tensor.CPU, newRand())
	require.NoError(t, err)
	defer m.Close()
	var buf bytes.Buffer
	n, err := m.WriteTo(&buf)
	require.NoError(t, err)
	require.EqualValues(t, buf.Len(), n)
	back, err := backbone.ReadResNet18(bytes.NewReader(buf.Bytes()), tensor.CPU)
	require.NoError(t, err)
	defer back.Close()
	x := draw("x", 2*3*64*64)
	require.Equal(t, pooled(t, m, tensor.Evaluation, x, 2, 64), pooled(t, back, tensor.Evaluation, x, 2, 64))

	path := filepath.Join(t.TempDir(), "net.safetensors")
	require.NoError(t, m.Save(path))
	onDisk, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, bytes.Equal(buf.Bytes(), onDisk))
}

func TestSameSeedSameWeights(t *testing.T) {
	testutil.NoLeak(t)
	a, err := backbone.NewResNet18(tensor.CPU, newRand())
	require.NoError(t, err)
	defer a.Close()
	b, err := backbone.NewResNet18(tensor.CPU, newRand())
	require.NoError(t, err)
	defer b.Close()
	x, err := a.Params().Arrays(t.Context())
	require.NoError(t, err)
	y, err := b.Params().Arrays(t.Context())
	require.NoError(t, err)
	require.Equal(t, x, y)
	_, err = backbone.NewResNet18(tensor.CPU, nil)
	require.ErrorContains(t, err, "random generator is nil")
}

func TestWeightsThatDoNotFit(t *testing.T) {
	testutil.NoLeak(t)
	arrays := formulaArrays(t)
	change := func(f func(a []tensor.Array) []tensor.Array) *tensor.Weights {
		return &tensor.Weights{Arrays: f(append([]tensor.Array(nil), arrays...))}
	}
	t.Run("missing, extra and misshapen at once", func(t *testing.T) {
		_, err := backbone.FromWeights(change(func(a []tensor.Array) []tensor.Array {
			a[0] = tensor.FloatArray("conv1.weight", make([]float32, 64*3*3*3), 64, 3, 3, 3)
			a[1].Name = "bn1.scale"
			return a
		}), tensor.CPU)
		require.ErrorIs(t, err, backbone.ErrWeights)
		require.ErrorContains(t, err, "conv1.weight is [64 3 7 7], file has [64 3 3 3]")
		require.ErrorContains(t, err, "bn1.scale [64] is not expected")
		require.ErrorContains(t, err, "bn1.weight [64] is missing")
	})
	t.Run("NaN", func(t *testing.T) {
		_, err := backbone.FromWeights(change(func(a []tensor.Array) []tensor.Array {
			v, err := a[1].Floats()
			require.NoError(t, err)
			v[3] = float32(math.NaN())
			a[1] = tensor.FloatArray(a[1].Name, v, a[1].Shape...)
			return a
		}), tensor.CPU)
		require.ErrorIs(t, err, tensor.ErrNotFinite)
		require.ErrorContains(t, err, "bn1.weight")
	})
	t.Run("another network", func(t *testing.T) {
		_, err := backbone.FromWeights(&tensor.Weights{Arrays: []tensor.Array{tensor.FloatArray("patch_embed.proj.weight", make([]float32, 4), 4)}}, tensor.CPU)
		require.ErrorIs(t, err, backbone.ErrWeights)
		require.ErrorContains(t, err, "more")
	})
	t.Run("accepted forms", func(t *testing.T) {
		for name, f := range map[string]func(a []tensor.Array) []tensor.Array{
			"prefix": func(a []tensor.Array) []tensor.Array {
				for i := range a {
					a[i].Name = "module.backbone." + a[i].Name
				}
				return a
			},
			"no fc, no counters": func(a []tensor.Array) (out []tensor.Array) {
				for _, x := range a {
					if !strings.HasPrefix(x.Name, "fc.") && !strings.HasSuffix(x.Name, "tracked") {
						out = append(out, x)
					}
				}
				return out
			},
			"fc of ten classes, projection": func(a []tensor.Array) []tensor.Array {
				a[len(a)-2] = tensor.FloatArray("fc.weight", make([]float32, 5120), 10, 512)
				a[len(a)-1] = tensor.FloatArray("fc.bias", make([]float32, 10), 10)
				return append(a, tensor.FloatArray("projection.weight", make([]float32, 384*512), 384, 512))
			},
		} {
			m, err := backbone.FromWeights(change(f), tensor.CPU)
			require.NoError(t, err, name)
			require.NoError(t, m.Close())
		}
	})
}

func TestForwardRefusesWrongInput(t *testing.T) {
	testutil.NoLeak(t)
	m, err := backbone.NewResNet18(tensor.CPU, newRand())
	require.NoError(t, err)
	defer m.Close()
	for _, shape := range [][]int64{{1, 1, 64, 64}, {3, 64, 64}, {1, 3, 16, 64}} {
		err := tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
			m.Forward(s, s.Zeros(shape...), backbone.Layer1)
			return nil
		})
		require.ErrorIs(t, err, tensor.ErrShape)
	}
	err = tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		m.Forward(s, s.Zeros(1, 3, 64, 64), backbone.Layer(9))
		return nil
	})
	require.ErrorIs(t, err, backbone.ErrLayer)
}

func TestSharedWeights(t *testing.T) {
	path := filepath.Join("..", "..", "shared", "weights", "resnet18-imagenet.safetensors")
	if _, err := os.Stat(path); err != nil {
		t.Skip("the measurement weights are not here: ", err)
	}
	testutil.NoLeak(t)
	m, err := backbone.OpenResNet18(path, tensor.CPU)
	require.NoError(t, err)
	require.NoError(t, m.Close())
}

func TestLayerNames(t *testing.T) {
	for _, l := range all {
		got, err := backbone.ParseLayer(l.String())
		require.NoError(t, err)
		require.Equal(t, l, got)
	}
	_, err := backbone.ParseLayer("layer9")
	require.ErrorContains(t, err, "layer1")
}
