package backbone_test

import (
	"math"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

func needBFloat16(t testing.TB) {
	t.Helper()
	if !tensor.HasBFloat16() {
		t.Skip("this processor has no AVX512-BF16")
	}
}

func TestPrecisionsHaveNames(t *testing.T) {
	for _, p := range []backbone.Precision{backbone.Float32, backbone.BFloat16} {
		got, err := backbone.ParsePrecision(p.String())
		require.NoError(t, err)
		require.Equal(t, p, got)
	}
	got, err := backbone.ParsePrecision("bf16")
	require.NoError(t, err)
	require.Equal(t, backbone.BFloat16, got)
	_, err = backbone.ParsePrecision("half")
	require.ErrorIs(t, err, backbone.ErrPrecision)
	require.ErrorContains(t, err, `"half", want one of [float32 bfloat16]`)
	require.Equal(t, "Precision(7)", backbone.Precision(7).String())
}

func TestSetPrecisionRefuses(t *testing.T) {
	testutil.NoLeak(t)
	m, err := backbone.NewResNet18(tensor.CPU, newRand())
	require.NoError(t, err)
	require.ErrorIs(t, m.SetPrecision(9), backbone.ErrPrecision)
	if !tensor.HasBFloat16() {
		require.ErrorIs(t, m.SetPrecision(backbone.BFloat16), backbone.ErrPrecision)
	}
	require.Equal(t, backbone.Float32, m.Precision())
	require.NoError(t, m.Close())
	require.ErrorIs(t, m.SetPrecision(backbone.Float32), backbone.ErrClosed)
}

// layersOf returns the features of some images at all layers.
func layersOf(t testing.TB, m *backbone.ResNet18, x []float32, n, h, w int64) (out [][]float32) {
	t.Helper()
	require.NoError(t, tensor.Run(t.Context(), m.Device(), tensor.Evaluation, func(s *tensor.Scope) error {
		for _, y := range m.Forward(s, s.FromFloats(x, n, 3, h, w), all...) {
			if y.Valid() {
				require.Equal(t, tensor.Float32, y.DType())
			}
			f, err := s.Floats(y)
			if err != nil {
				return err
			}
			out = append(out, f)
		}
		return nil
	}))
	return out
}

// A rounding moves a value by at most 2^-9 of itself. Through the 17 convolutions of a
// ResNet-18, each of whose sums averages thousands of roundings, some thousandths of the largest value
// are left of that; a wrong layout or bias is off in the first digit.
func TestBFloat16IsCloseToFloat32(t *testing.T) {
	needBFloat16(t)
	testutil.NoLeak(t)
	for _, arch := range []backbone.Arch{backbone.ArchResNet18, backbone.ArchResNet50} {
		m := network(t, arch, backbone.Pooled)
		x := inputs(3, 64, 96)
		want := layersOf(t, m, x, 3, 64, 96)
		require.NoError(t, m.SetPrecision(backbone.BFloat16))
		got := layersOf(t, m, x, 3, 64, 96)
		for l := range want {
			top, squares := 0.0, 0.0
			for i, v := range want[l] {
				top = max(top, math.Abs(float64(v)))
				squares += math.Pow(float64(v-got[l][i]), 2)
			}
			off := math.Sqrt(squares/float64(len(want[l]))) / top
			require.Less(t, off, 0.01, "%s %s", arch, all[l])
			require.Greater(t, off, 0.0, "%s %s: nothing was rounded", arch, all[l])
		}
		require.NoError(t, m.SetPrecision(backbone.Float32))
		require.Equal(t, want, layersOf(t, m, x, 3, 64, 96), "float32 is what it was")
	}
}

// A number in bfloat16 is one in float32, so that a stage loses nothing on its way out and in.
func TestStagesEqualForwardInBFloat16(t *testing.T) {
	needBFloat16(t)
	testutil.NoLeak(t)
	m := network(t, backbone.ArchResNet18, backbone.Pooled)
	require.NoError(t, m.SetPrecision(backbone.BFloat16))
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		x := s.FromFloats(inputs(2, 64, 64), 2, 3, 64, 64)
		want := m.Forward(s, x, all[:5]...)
		alone := m.Forward(s, x, backbone.Layer3)[0] // layers that nobody asks for may be written over
		for i, l := range all[:5] {
			in, err := s.Floats(x)
			require.NoError(t, err)
			y := m.Stage(s, x, l)
			require.Equal(t, tensor.Float32, y.DType())
			after, err := s.Floats(x)
			require.NoError(t, err)
			require.Equal(t, in, after, "the input of %s was changed", l)
			got, err := s.Floats(y)
			require.NoError(t, err)
			expected, err := s.Floats(want[i])
			require.NoError(t, err)
			require.Equal(t, expected, got, l)
			if l == backbone.Layer3 {
				expected, err = s.Floats(alone)
				require.NoError(t, err)
				require.Equal(t, expected, got)
			}
			x = y
		}
		return s.Err()
	}))
}

// Training, what is saved and copies know nothing of it.
func TestBFloat16IsForEvaluationOnly(t *testing.T) {
	needBFloat16(t)
	testutil.NoLeak(t)
	plain, half := network(t, backbone.ArchResNet18, backbone.Pooled), network(t, backbone.ArchResNet18, backbone.Pooled)
	require.NoError(t, half.SetPrecision(backbone.BFloat16))
	x := inputs(2, 64, 64)
	require.Equal(t, pooled(t, plain, tensor.Training, x, 2, 64), pooled(t, half, tensor.Training, x, 2, 64))
	want, err := plain.Params().Arrays(t.Context())
	require.NoError(t, err)
	got, err := half.Params().Arrays(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, got)
	c, err := half.Clone(t.Context())
	require.NoError(t, err)
	defer c.Close()
	require.Equal(t, backbone.Float32, c.Precision())
	require.Equal(t, pooled(t, plain, tensor.Evaluation, x, 2, 64), pooled(t, c, tensor.Evaluation, x, 2, 64))
}

func TestConcurrentEvaluationInBFloat16(t *testing.T) {
	needBFloat16(t)
	testutil.NoLeak(t)
	m := network(t, backbone.ArchResNet18, backbone.Pooled)
	require.NoError(t, m.SetPrecision(backbone.BFloat16))
	sizes := []int64{64, 96, 33}
	var want [][][]float32
	for _, n := range sizes {
		want = append(want, layersOf(t, m, inputs(1, n, n), 1, n, n))
	}
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for k := range sizes {
				k = (k + i) % len(sizes)
				ctx := tensor.WithThreads(t.Context(), 1+i%2)
				err := tensor.Run(ctx, tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
					y := m.Forward(s, s.FromFloats(inputs(1, sizes[k], sizes[k]), 1, 3, sizes[k], sizes[k]), backbone.Pooled)[0]
					got, err := s.Floats(y)
					if err == nil {
						for j, v := range want[k][5] {
							if math.Abs(float64(v-got[j])) > 0.02*(1+math.Abs(float64(v))) { // other threads, other order of sums
								t.Errorf("size %d: value %d is %v, alone %v", sizes[k], j, got[j], v)
								break
							}
						}
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		}()
	}
	wg.Wait()
}

func BenchmarkPrecision(b *testing.B) {
	for _, p := range []backbone.Precision{backbone.Float32, backbone.BFloat16} {
		for _, n := range []int64{1, 32} {
			b.Run(p.String()+"/"+map[int64]string{1: "1", 32: "32"}[n], func(b *testing.B) {
				if p == backbone.BFloat16 {
					needBFloat16(b)
				}
				m, err := backbone.NewResNet18(tensor.CPU, newRand())
				require.NoError(b, err)
				defer m.Close()
				require.NoError(b, m.SetPrecision(p))
				x := draw("x", n*3*224*224)
				for b.Loop() {
					require.NoError(b, tensor.Run(b.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
						m.Forward(s, s.FromFloats(x, n, 3, 224, 224), backbone.Pooled)
						return s.Err()
					}))
				}
				b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "images/s")
			})
		}
	}
}

// trained returns features of a training pass, and the gradients that a sum of their squares gives.
func trained(t *testing.T, m *backbone.ResNet) (features []float32, gradients map[string][]float32) {
	t.Helper()
	gradients = map[string][]float32{}
	require.NoError(t, m.Params().SetTrainable(func(string) bool { return true }))
	require.NoError(t, tensor.Run(t.Context(), m.Device(), tensor.Training, func(s *tensor.Scope) (err error) {
		f := m.Forward(s, s.FromFloats(inputs(4, 64, 64), 4, 3, 64, 64), backbone.Layer3)[0]
		require.Equal(t, tensor.Float32, f.DType())
		if features, err = s.Floats(f); err != nil {
			return err
		}
		s.Backward(s.Mean(s.Mul(f, f), false, 0, 1, 2, 3))
		for _, n := range m.Params().Names() {
			g := s.Grad(m.Params().Get(n))
			if !g.Valid() {
				continue
			}
			require.Equal(t, tensor.Float32, g.DType(), n)
			if gradients[n], err = s.Floats(g); err != nil {
				return err
			}
		}
		return s.Err()
	}))
	require.NoError(t, m.Params().ZeroGrad())
	return features, gradients
}

// offBy is the root mean square of the differences as a share of that of the values.
func offBy(want, got []float32) float64 {
	sum, squares := 0.0, 0.0
	for i, v := range want {
		sum += math.Pow(float64(v-got[i]), 2)
		squares += math.Pow(float64(v), 2)
	}
	return math.Sqrt(sum / squares)
}

// Gradients pass thirteen rounded convolutions twice, there and back, and those of batch norm are small sums
// of large numbers: PyTorch's autocast is off by 0.3 of their norm on such a network. What is not passed on, or
// twice, is off by 1.
func TestTrainingInBFloat16(t *testing.T) {
	needBFloat16(t)
	testutil.NoLeak(t)
	single, half := network(t, backbone.ArchResNet18, backbone.Pooled), network(t, backbone.ArchResNet18, backbone.Pooled)
	require.NoError(t, half.SetTrainingPrecision(backbone.BFloat16))
	require.Equal(t, backbone.BFloat16, half.TrainingPrecision())
	require.Equal(t, backbone.Float32, half.Precision(), "evaluation has a precision of its own")
	for _, frozen := range []bool{false, true} {
		for _, m := range []*backbone.ResNet{single, half} {
			m.FreezeStatistics(func(backbone.Layer) bool { return frozen })
		}
		want, wantGradients := trained(t, single)
		got, gotGradients := trained(t, half)
		require.Less(t, offBy(want, got), 0.05)
		require.NotEqual(t, want, got)
		require.Len(t, gotGradients, len(wantGradients))
		for n, g := range wantGradients {
			require.Less(t, offBy(g, gotGradients[n]), 0.5, n)
		}
	}
	c, err := half.Clone(t.Context())
	require.NoError(t, err)
	defer c.Close()
	require.Equal(t, backbone.Float32, c.TrainingPrecision())
	require.NoError(t, half.SetTrainingPrecision(backbone.Float32))
	for _, m := range []*backbone.ResNet{single, half} {
		a, err := m.Params().Arrays(t.Context())
		require.NoError(t, err)
		for _, x := range a {
			require.Contains(t, []tensor.DType{tensor.Float32, tensor.Int64}, x.DType, x.Name)
		}
	}
}
