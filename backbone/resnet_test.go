package backbone_test

import (
	"bytes"
	"context"
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

func newRand() *rand.Rand { return rand.New(rand.NewPCG(1, 1)) }

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
		require.ErrorContains(t, err, "no ResNet is in it; it has 1 arrays, the first are patch_embed.proj.weight [4]")
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
	// What holds nothing is refused in both modes, before anything is folded for it.
	for _, mode := range []tensor.Mode{tensor.Evaluation, tensor.Training} {
		for name, x := range map[string]*tensor.Tensor{"nil": nil, "never made": {}} {
			err = tensor.Run(t.Context(), tensor.CPU, mode, func(s *tensor.Scope) error {
				for _, y := range m.Forward(s, x, backbone.Layer1, backbone.Pooled) {
					require.False(t, y.Valid())
				}
				return nil
			})
			require.ErrorIs(t, err, tensor.ErrReleased, "%s, %s", name, mode)
			err = tensor.Run(t.Context(), tensor.CPU, mode, func(s *tensor.Scope) error {
				require.False(t, m.Stage(s, x, backbone.Stem).Valid())
				return nil
			})
			require.ErrorIs(t, err, tensor.ErrReleased, "%s, %s", name, mode)
		}
	}
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
	got, err := backbone.ParseLayers("layer3", "pooled")
	require.NoError(t, err)
	require.Equal(t, []backbone.Layer{backbone.Layer3, backbone.Pooled}, got)
	got, err = backbone.ParseLayers()
	require.NoError(t, err)
	require.Nil(t, got)
	_, err = backbone.ParseLayers("layer1", "")
	require.ErrorIs(t, err, backbone.ErrLayer)
}

// A batch that passes in parts gives what its images give alone, at every layer that is asked for, twice too.
func TestLargeBatchesPassInParts(t *testing.T) {
	testutil.NoLeak(t)
	m, err := backbone.NewResNet18(tensor.CPU, newRand())
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		const n, side = 19, 300 // four at a time, and three
		rng := rand.New(rand.NewPCG(5, 6))
		v, err := tensor.Normal(rng, n*3*side*side, 1)
		require.NoError(t, err)
		x := s.FromFloats(v, n, 3, side, side)
		at := []backbone.Layer{backbone.Layer1, backbone.Layer2, backbone.Pooled, backbone.Layer2}
		all := m.Forward(s, x, at...)
		require.NoError(t, s.Err())
		for _, k := range []int64{0, 3, 4, 18} {
			for i, alone := range m.Forward(s, s.Narrow(x, 0, k, 1), at...) {
				want, err := s.Floats(alone)
				require.NoError(t, err)
				require.Equal(t, int64(n), all[i].Size(0))
				got, err := s.Floats(s.Narrow(all[i], 0, k, 1))
				require.NoError(t, err)
				largest := 0.0
				for _, v := range want {
					largest = max(largest, math.Abs(float64(v)))
				}
				require.InDeltaSlice(t, want, got, 1e-5*largest)
			}
		}
		return s.Err()
	}))
}
