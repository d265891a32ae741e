package tensor_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// parityTolerance is relative to the largest value of the reference. Sums are
// taken in another order by another build of the same kernels: a few units of
// float32's 6e-8 on sums of up to some hundred terms.
const parityTolerance = 3e-6

type (
	scope = tensor.Scope
	ten   = tensor.Tensor
)

// parityCases maps "Method/variant" to what the fixture of the same name holds.
func parityCases() map[string]map[string]func(s *scope) *ten {
	type table = map[string]func(s *scope) *ten
	spd := func(s *scope) *ten { // a a^T + 1, in double
		a := s.Cast(x(s, 11, 2, 5, 5), tensor.Float64)
		return s.Add(s.Bmm(a, s.Transpose(a, 1, 2)), s.Cast(s.Eye(5), tensor.Float64))
	}
	u := func(s *scope) *ten { return triple(s, 3, 3, 7) }
	p := func(s *scope) *ten { return pos(s, 4, 3, 7) }
	q := func(s *scope) *ten { return x(s, 5, 2, 3, 4, 5) }
	r := func(s *scope) *ten { return x(s, 6, 2, 3, 4, 5) }
	m := func(s *scope) *ten { return x(s, 7, 3, 4) }
	img := func(s *scope) *ten { return x(s, 20, 2, 4, 9, 7) }
	w := func(s *scope) *ten { return x(s, 21, 6, 4, 3, 3) }
	b := func(s *scope) *ten { return x(s, 22, 6) }
	corner := func(s *scope, y *ten) *ten { return s.Narrow(s.Narrow(y, 2, 0, 4), 3, 0, 4) }
	// norm runs batch norm and returns its output and the statistics after it.
	norm := func(s *scope, y *ten, train bool, momentum, eps float64) []*ten {
		mean, variance := x(s, 25, 4), pos(s, 26, 4)
		return []*ten{s.BatchNorm(y, pos(s, 23, 4), x(s, 24, 4), mean, variance, train, momentum, eps), mean, variance}
	}
	top := func(s *scope, k, dim int64, largest bool, which int) *ten {
		v, i := s.TopK(x(s, 8, 3, 9), k, dim, largest)
		return []*ten{v, i}[which]
	}
	return map[string]table{
		"elementwise": {
			"Add/same":          func(s *scope) *ten { return s.Add(x(s, 1, 2, 3, 4), x(s, 2, 2, 3, 4)) },
			"Add/broadcast":     func(s *scope) *ten { return s.Add(x(s, 1, 2, 3, 4), x(s, 2, 3, 1)) },
			"Minus/broadcast":   func(s *scope) *ten { return s.Minus(x(s, 2, 3, 1), x(s, 1, 2, 3, 4)) },
			"Mul/broadcast":     func(s *scope) *ten { return s.Mul(x(s, 1, 2, 3, 4), x(s, 2, 3, 1)) },
			"Div/broadcast":     func(s *scope) *ten { return s.Div(x(s, 1, 2, 3, 4), pos(s, 2, 3, 1)) },
			"Maximum/broadcast": func(s *scope) *ten { return s.Maximum(x(s, 1, 2, 3, 4), x(s, 2, 3, 1)) },
			"Equal/broadcast":   func(s *scope) *ten { return s.Equal(ints(s, 1, 3, 4, 5), ints(s, 2, 3, 5)) },
			"AddScalar":         func(s *scope) *ten { return s.AddScalar(u(s), 0.7) },
			"MulScalar":         func(s *scope) *ten { return s.MulScalar(u(s), -1.3) },
			"ClampMin":          func(s *scope) *ten { return s.ClampMin(u(s), 0.25) },
			"Pow/whole":         func(s *scope) *ten { return s.Pow(u(s), 3) },
			"Pow/fraction":      func(s *scope) *ten { return s.Pow(p(s), 1.5) },
			"Neg":               func(s *scope) *ten { return s.Neg(u(s)) },
			"Abs":               func(s *scope) *ten { return s.Abs(u(s)) },
			"Exp":               func(s *scope) *ten { return s.Exp(u(s)) },
			"Log":               func(s *scope) *ten { return s.Log(p(s)) },
			"Sqrt":              func(s *scope) *ten { return s.Sqrt(p(s)) },
			"Rsqrt":             func(s *scope) *ten { return s.Rsqrt(p(s)) },
			"Square":            func(s *scope) *ten { return s.Square(u(s)) },
			"Sigmoid":           func(s *scope) *ten { return s.Sigmoid(u(s)) },
			"Tanh":              func(s *scope) *ten { return s.Tanh(u(s)) },
			"ReLU":              func(s *scope) *ten { return s.ReLU(u(s)) },
			"Sin":               func(s *scope) *ten { return s.Sin(u(s)) },
			"Cos":               func(s *scope) *ten { return s.Cos(u(s)) },
			"LeakyReLU":         func(s *scope) *ten { return s.LeakyReLU(u(s), 0.2) },
			"GELU":              func(s *scope) *ten { return s.GELU(u(s)) },
			"QuickGELU":         func(s *scope) *ten { return s.QuickGELU(u(s)) },
		},
		"reduce": {
			"Sum/all":        func(s *scope) *ten { return s.Sum(pos(s, 5, 2, 3, 4, 5), false) },
			"Sum/dims":       func(s *scope) *ten { return s.Sum(q(s), false, 1, 3) },
			"Sum/keep":       func(s *scope) *ten { return s.Sum(q(s), true, -1) },
			"Mean/all":       func(s *scope) *ten { return s.Mean(pos(s, 5, 2, 3, 4, 5), false) },
			"Mean/dims":      func(s *scope) *ten { return s.Mean(q(s), false, 0, 2) },
			"Mean/keep":      func(s *scope) *ten { return s.Mean(q(s), true, -1, 1) },
			"Max/all":        func(s *scope) *ten { return s.Max(q(s), false) },
			"Max/dims":       func(s *scope) *ten { return s.Max(s.Narrow(s.Narrow(q(s), 2, 0, 2), 3, 0, 2), false, 2, 3) },
			"Max/keep":       func(s *scope) *ten { return s.Max(q(s), true, 1) },
			"ArgMax/middle":  func(s *scope) *ten { return s.ArgMax(q(s), 1) },
			"ArgMax/last":    func(s *scope) *ten { return s.ArgMax(q(s), -1) },
			"Softmax/last":   func(s *scope) *ten { return s.Softmax(triple(s, 5, 2, 3, 4, 5), -1) },
			"Softmax/first":  func(s *scope) *ten { return s.Softmax(triple(s, 5, 2, 3, 4, 5), 0) },
			"LogSoftmax":     func(s *scope) *ten { return s.LogSoftmax(triple(s, 5, 2, 3, 4, 5), 1) },
			"Normalize/rows": func(s *scope) *ten { return s.Normalize(q(s), -1, 1e-12) },
			"Normalize/eps":  func(s *scope) *ten { return s.Normalize(q(s), 1, 1.1) },

			"CosineSimilarity/channels": func(s *scope) *ten { return s.CosineSimilarity(q(s), r(s), 1, 1e-8) },
			"CosineSimilarity/eps":      func(s *scope) *ten { return s.CosineSimilarity(q(s), r(s), -1, 1.1) },
		},
		"shape": {
			"Reshape":     func(s *scope) *ten { return s.Reshape(r(s), 6, -1) },
			"Permute":     func(s *scope) *ten { return s.Permute(r(s), 0, 3, 1, 2) },
			"Transpose":   func(s *scope) *ten { return s.Transpose(r(s), 1, -1) },
			"Expand":      func(s *scope) *ten { return s.Expand(x(s, 10, 3, 1), 2, 3, 4) },
			"Narrow":      func(s *scope) *ten { return s.Narrow(r(s), 2, 1, 2) },
			"Select/last": func(s *scope) *ten { return s.Select(r(s), -1, -2) },
			"Unsqueeze":   func(s *scope) *ten { return s.Unsqueeze(m(s), -1) },
			"Cat/first":   func(s *scope) *ten { return s.Cat(0, m(s), x(s, 10, 2, 4)) },
			"Cat/last":    func(s *scope) *ten { return s.Cat(-1, m(s), x(s, 10, 3, 2), m(s)) },
			"IndexSelect": func(s *scope) *ten { return s.IndexSelect(r(s), 2, s.FromInts([]int64{3, 0, 3}, 3)) },
			"Gather":      func(s *scope) *ten { return s.Gather(m(s), 1, ints(s, 3, 4, 3, 6)) },

			"TopK/values":           func(s *scope) *ten { return top(s, 4, -1, true, 0) },
			"TopK/indices":          func(s *scope) *ten { return top(s, 4, -1, true, 1) },
			"TopK/smallest":         func(s *scope) *ten { return top(s, 2, 0, false, 0) },
			"TopK/smallest-indices": func(s *scope) *ten { return top(s, 2, 0, false, 1) },

			"Cast/integer": func(s *scope) *ten { return s.Cast(triple(s, 6, 2, 3, 4, 5), tensor.Int64) },
			"Cast/double":  func(s *scope) *ten { return s.Cast(r(s), tensor.Float64) },
			"Contiguous":   func(s *scope) *ten { return s.Contiguous(s.Permute(r(s), 3, 1, 0, 2)) },
			"ChannelsLast": func(s *scope) *ten { return s.ChannelsLast(r(s)) },
			"Clone":        func(s *scope) *ten { return s.Clone(r(s)) },
			"Detach":       func(s *scope) *ten { return s.Detach(r(s)) },
			"To":           func(s *scope) *ten { return s.To(r(s), tensor.CPU) },
			"CopyInto/broadcast": func(s *scope) *ten {
				y := s.Zeros(3, 4)
				s.CopyInto(y, s.Select(m(s), 0, 1))
				return y
			},
			"AddInto/broadcast": func(s *scope) *ten { y := m(s); s.AddInto(y, x(s, 10, 4), 0.3); return y },
			"ScaleInto":         func(s *scope) *ten { y := m(s); s.ScaleInto(y, -2.5); return y },
			"IncrementInto":     func(s *scope) *ten { y := m(s); s.IncrementInto(y); return y },
			"FromNHWC":          func(s *scope) *ten { return s.FromNHWC(values(9, 2, 3, 4, 3), 2, 3, 4, 3) },
			"FromFloats":        func(s *scope) *ten { return m(s) },
			"FromFloat64s": func(s *scope) *ten {
				var v []float64
				for _, f := range values(7, 3, 4) {
					v = append(v, float64(f))
				}
				return s.FromFloat64s(v, 3, 4)
			},
			"FromInts": func(s *scope) *ten { return ints(s, 3, 7, 3, 4) },
			"FromBytes": func(s *scope) *ten {
				var v []uint8
				for _, i := range integers(3, 200, 3, 4) {
					v = append(v, uint8(i))
				}
				return s.FromBytes(v, 3, 4)
			},
			"FromArray": func(s *scope) *ten { return s.FromArray(tensor.FloatArray("m", values(7, 3, 4), 3, 4)) },
			"Eye":       func(s *scope) *ten { return s.Eye(4) },
		},
		"losses": lossCases(),
		"linalg": {
			"MatMul/matrices":  func(s *scope) *ten { return s.MatMul(x(s, 12, 3, 4), x(s, 13, 4, 5)) },
			"MatMul/broadcast": func(s *scope) *ten { return s.MatMul(x(s, 12, 2, 1, 3, 4), x(s, 13, 6, 4, 2)) },
			"MatMul/vector":    func(s *scope) *ten { return s.MatMul(x(s, 12, 3, 4), x(s, 13, 4)) },
			"Bmm":              func(s *scope) *ten { return s.Bmm(x(s, 12, 2, 3, 4), x(s, 13, 2, 4, 5)) },
			"AddBmmInto": func(s *scope) *ten {
				y := x(s, 14, 2, 3, 5)
				s.AddBmmInto(y, x(s, 12, 2, 3, 4), x(s, 13, 2, 4, 5), 0.9)
				return y
			},
			"Cholesky/double": func(s *scope) *ten { return s.Cholesky(spd(s)) },
			"Cholesky/single": func(s *scope) *ten { return s.Cholesky(s.Cast(spd(s), tensor.Float32)) },
			"SolveLower": func(s *scope) *ten {
				return s.SolveLower(s.Cholesky(spd(s)), s.Cast(x(s, 14, 2, 5, 3), tensor.Float64))
			},
			"Linear/bias":  func(s *scope) *ten { return s.Linear(x(s, 12, 2, 3, 4), x(s, 13, 6, 4), x(s, 14, 6)) },
			"Linear/plain": func(s *scope) *ten { return s.Linear(x(s, 12, 3, 4), x(s, 13, 6, 4), nil) },
		},
		"conv": {
			"Conv2d/plain":  func(s *scope) *ten { return s.Conv2d(img(s), w(s), nil, tensor.Conv{}) },
			"Conv2d/bias":   func(s *scope) *ten { return s.Conv2d(img(s), w(s), b(s), tensor.Conv{Padding: 1}) },
			"Conv2d/stride": func(s *scope) *ten { return s.Conv2d(img(s), w(s), nil, tensor.Conv{Stride: 2, Padding: 1}) },
			"Conv2d/groups": func(s *scope) *ten {
				return s.Conv2d(img(s), x(s, 21, 6, 2, 3, 3), b(s), tensor.Conv{Padding: 1, Groups: 2})
			},
			"Conv2d/depthwise": func(s *scope) *ten {
				return s.Conv2d(img(s), x(s, 21, 4, 1, 3, 3), nil, tensor.Conv{Padding: 1, Groups: 4})
			},
			"Conv2d/dilation": func(s *scope) *ten {
				return s.Conv2d(img(s), w(s), b(s), tensor.Conv{Padding: 2, Dilation: 2})
			},
			"Conv2d/pointwise": func(s *scope) *ten { return s.Conv2d(img(s), x(s, 21, 3, 4, 1, 1), nil, tensor.Conv{Stride: 2}) },
			"Conv2d/channels-last": func(s *scope) *ten {
				return s.Conv2d(s.ChannelsLast(img(s)), s.ChannelsLast(w(s)), b(s), tensor.Conv{Stride: 2, Padding: 1})
			},
		},
		"warp": {
			"AffineGrid": func(s *scope) *ten { return s.AffineGrid(x(s, 40, 2, 2, 3), 3, 4) },
			"GridSample/reflection": func(s *scope) *ten {
				return s.GridSample(img(s), s.MulScalar(x(s, 41, 2, 5, 3, 2), 1.7))
			},
			"GridSample/channels-last": func(s *scope) *ten {
				return s.GridSample(s.ChannelsLast(img(s)), s.MulScalar(x(s, 41, 2, 5, 3, 2), 1.7))
			},
			"GridSample/affine": func(s *scope) *ten {
				return corner(s, s.GridSample(img(s), s.AffineGrid(x(s, 40, 2, 2, 3), 9, 7)))
			},
			"ConvTranspose2d/double": func(s *scope) *ten {
				return s.ConvTranspose2d(x(s, 20, 2, 4, 4, 3), x(s, 21, 4, 5, 2, 2), nil, tensor.Conv{Stride: 2})
			},
			"ConvTranspose2d/bias": func(s *scope) *ten {
				return s.ConvTranspose2d(x(s, 20, 2, 4, 4, 3), x(s, 21, 4, 3, 3, 3), b(s), tensor.Conv{Padding: 1, Groups: 2})
			},
			"Flip":  func(s *scope) *ten { return s.Flip(r(s), -1, 1) },
			"Rot90": func(s *scope) *ten { return s.Rot90(r(s), 3, 2, 3) },
		},
		"nn": {
			"BatchNorm/evaluation":        func(s *scope) *ten { return norm(s, corner(s, img(s)), false, 0.1, 1e-5)[0] },
			"BatchNorm/training":          func(s *scope) *ten { return corner(s, norm(s, img(s), true, 0.1, 1e-5)[0]) },
			"BatchNorm/training-mean":     func(s *scope) *ten { return norm(s, img(s), true, 0.1, 1e-5)[1] },
			"BatchNorm/training-variance": func(s *scope) *ten { return norm(s, s.ChannelsLast(img(s)), true, 0.1, 1e-5)[2] },
			"BatchNorm/flat":              func(s *scope) *ten { return norm(s, x(s, 27, 5, 4), true, 0.3, 1e-3)[0] },
			"BatchNorm/flat-mean":         func(s *scope) *ten { return norm(s, x(s, 27, 5, 4), true, 0.3, 1e-3)[1] },
			"BatchNorm/flat-variance":     func(s *scope) *ten { return norm(s, x(s, 27, 5, 4), true, 0.3, 1e-3)[2] },

			"LayerNorm":           func(s *scope) *ten { return s.LayerNorm(x(s, 28, 3, 4, 6), pos(s, 29, 6), x(s, 30, 6), 1e-5) },
			"Embedding":           func(s *scope) *ten { return s.Embedding(x(s, 32, 7, 3), ints(s, 31, 7, 2, 5)) },
			"MaxPool2d":           func(s *scope) *ten { return s.MaxPool2d(img(s), 3, 2, 1) },
			"AvgPool2d/padding":   func(s *scope) *ten { return s.AvgPool2d(img(s), 3, 2, 1) },
			"AvgPool2d/smoothing": func(s *scope) *ten { return corner(s, s.AvgPool2d(img(s), 3, 1, 1)) },
			"GlobalAvgPool":       func(s *scope) *ten { return s.GlobalAvgPool(img(s)) },
			"UpsampleBilinear/up": func(s *scope) *ten { return s.UpsampleBilinear(x(s, 33, 1, 2, 3, 4), 7, 9) },
			"UpsampleBilinear/down": func(s *scope) *ten {
				return s.UpsampleBilinear(s.ChannelsLast(img(s)), 4, 5)
			},
			"UpsampleNearest":   func(s *scope) *ten { return s.UpsampleNearest(x(s, 33, 1, 2, 3, 4), 7, 9) },
			"CrossEntropy/rows": func(s *scope) *ten { return s.CrossEntropy(triple(s, 34, 6, 5), ints(s, 35, 5, 6)) },
			"CrossEntropy/positions": func(s *scope) *ten {
				return s.CrossEntropy(triple(s, 34, 2, 5, 3, 4), ints(s, 35, 5, 2, 3, 4))
			},
			"BCEWithLogits": func(s *scope) *ten {
				return s.BCEWithLogits(triple(s, 34, 4, 5), s.Cast(ints(s, 36, 2, 4, 5), tensor.Float32))
			},
		},
	}
}

// compare runs one case and holds it against its reference.
func compare(t *testing.T, ref testutil.Reference, f func(s *scope) *ten) error {
	t.Helper()
	return compareOn(t, tensor.CPU, parityTolerance, ref, f)
}

func compareOn(t *testing.T, dev tensor.Device, tol float64, ref testutil.Reference, f func(s *scope) *ten) error {
	t.Helper()
	var diff error
	require.NoError(t, tensor.Run(t.Context(), dev, tensor.Evaluation, func(s *scope) error {
		y := f(s)
		v, err := s.Floats(y)
		if err == nil {
			diff = ref.Compare(y.Shape(), v, tol)
		}
		return err
	}))
	return diff
}

// cudaTolerance: the GPU's kernels sum in trees and have their own exp and log.
const cudaTolerance = 1e-5

func TestOperationsOnCUDA(t *testing.T) {
	if tensor.CUDADevices() == 0 {
		t.Skip("no CUDA device")
	}
	testutil.NoLeak(t)
	for file, cases := range parityCases() {
		refs := fixture(t, file)
		for name, f := range cases {
			require.NoError(t, compareOn(t, tensor.CUDA(0), cudaTolerance, refs[name], f), name)
		}
	}
}

// What a GPU has no room for is an error, on the device as on the host, and what comes after works.
func TestOutOfMemoryOnCUDA(t *testing.T) {
	if tensor.CUDADevices() == 0 {
		t.Skip("no CUDA device")
	}
	testutil.NoLeak(t)
	for range 3 {
		err := tensor.Run(t.Context(), tensor.CUDA(0), tensor.Evaluation, func(s *scope) error {
			s.Zeros(1<<20, 1<<20) // four terabytes
			return nil
		})
		require.ErrorIs(t, err, tensor.ErrOutOfMemory)
		require.NoError(t, tensor.Run(t.Context(), tensor.CUDA(0), tensor.Evaluation, func(s *scope) error {
			v, err := s.Float(s.Sum(s.Full(1, tensor.Float32, 1000), false))
			require.Equal(t, 1000.0, v)
			return err
		}))
	}
}

func TestOperationsEqualPyTorch(t *testing.T) {
	testutil.NoLeak(t)
	for file, cases := range parityCases() {
		refs := fixture(t, file)
		for name := range refs {
			require.Contains(t, cases, name, "the fixture %s has a case that no test runs", file)
		}
		for name, f := range cases {
			t.Run(name, func(t *testing.T) {
				ref, ok := refs[name]
				require.True(t, ok, "testdata/parity/%s.json has no such case", file)
				require.NoError(t, compare(t, ref, f))
			})
		}
	}
}

// notComputed are the methods that return no values of their own making, with
// the test that has them.
var notComputed = map[string]string{
	"Device": "TestRunTellsDeviceAndMode", "Mode": "TestRunTellsDeviceAndMode",
	"Err": "TestFail", "Fail": "TestFail", "Sub": "TestSubN", "SubN": "TestSubN", "NoGrad": "TestNoGrad", "Free": "TestFree",
	"Floats": "TestRoundTrips", "Float64s": "TestRoundTrips", "Ints": "TestRoundTrips", "Float": "TestRoundTrips",
	"FloatsInto": "TestRoundTrips", "Filled": "TestRoundTrips", "Zeros": "TestRoundTrips", "Full": "TestRoundTrips",
	"Backward": "TestGradientsEqualPyTorch", "Grad": "TestGradientsEqualPyTorch",
	"Mahalanobis": "TestMahalanobis", "ScatterInto": "TestMahalanobis", "MahalanobisMaps": "TestMahalanobisMaps", "Nearest": "TestNearest",
	"HalvesInto": "TestHalves", "JoinHalves": "TestHalves", "PackLowerInto": "TestPackLower",
	"PackConv": "TestFusedConvolutions", "ConvFused": "TestFusedConvolutions", "ConvAddReLU": "TestFusedConvolutions",
	"Norm": "TestNorm", "ReLUInto": "TestInPlaceEqualsOutOfPlace", "PlusInto": "TestInPlaceEqualsOutOfPlace", "LeakyReLUInto": "TestInPlaceEqualsOutOfPlace",
	"Handle": "TestHandleAndAdopt", "Adopt": "TestHandleAndAdopt",
}

func TestEveryOperationIsCompared(t *testing.T) {
	have := map[string]bool{}
	for _, cases := range parityCases() {
		for name := range cases {
			method, _, _ := strings.Cut(name, "/")
			have[method] = true
		}
	}
	typ := reflect.TypeFor[*tensor.Scope]()
	for i := range typ.NumMethod() {
		name := typ.Method(i).Name
		if notComputed[name] == "" && !have[name] {
			t.Errorf("Scope.%s has no case in testdata/parity/make.py", name)
		}
	}
}

// What the fixtures must be able to tell apart.
func TestWrongSettingsAreSeen(t *testing.T) {
	conv, nn, reduce, elementwise := fixture(t, "conv"), fixture(t, "nn"), fixture(t, "reduce"), fixture(t, "elementwise")
	img := func(s *scope) *ten { return x(s, 20, 2, 4, 9, 7) }
	w := func(s *scope) *ten { return x(s, 21, 6, 4, 3, 3) }
	for name, c := range map[string]struct {
		ref testutil.Reference
		f   func(s *scope) *ten
	}{
		"stride": {conv["Conv2d/stride"], func(s *scope) *ten {
			return s.Conv2d(img(s), w(s), nil, tensor.Conv{Stride: 1, Padding: 1})
		}},
		"no bias": {conv["Conv2d/bias"], func(s *scope) *ten { return s.Conv2d(img(s), w(s), nil, tensor.Conv{Padding: 1}) }},
		"dilation": {conv["Conv2d/dilation"], func(s *scope) *ten {
			return s.Conv2d(img(s), w(s), x(s, 22, 6), tensor.Conv{Padding: 1})
		}},
		"batch norm eps": {nn["BatchNorm/flat"], func(s *scope) *ten {
			return s.BatchNorm(x(s, 27, 5, 4), pos(s, 23, 4), x(s, 24, 4), x(s, 25, 4), pos(s, 26, 4), true, 0.3, 1e-5)
		}},
		"layer norm eps": {nn["LayerNorm"], func(s *scope) *ten {
			return s.LayerNorm(x(s, 28, 3, 4, 6), pos(s, 29, 6), x(s, 30, 6), 1e-4)
		}},
		"momentum": {nn["BatchNorm/flat-mean"], func(s *scope) *ten {
			mean := x(s, 25, 4)
			s.BatchNorm(x(s, 27, 5, 4), pos(s, 23, 4), x(s, 24, 4), mean, pos(s, 26, 4), true, 0.31, 1e-3)
			return mean
		}},
		"normalize eps": {reduce["Normalize/eps"], func(s *scope) *ten { return s.Normalize(x(s, 5, 2, 3, 4, 5), 1, 1e-12) }},
		"the other GELU": {elementwise["GELU"], func(s *scope) *ten {
			return s.QuickGELU(triple(s, 3, 3, 7))
		}},
		"softmax axis": {reduce["Softmax/last"], func(s *scope) *ten { return s.Softmax(triple(s, 5, 2, 3, 4, 5), -2) }},
	} {
		require.Error(t, compare(t, c.ref, c.f), name)
	}
}

// fusedTolerance: oneDNN sums in blocks, libtorch's own convolution otherwise.
const fusedTolerance = 1e-5

func TestFusedConvolutions(t *testing.T) {
	if !tensor.HasOneDNN() {
		t.Skip("this libtorch has no oneDNN")
	}
	testutil.NoLeak(t)
	refs := fixture(t, "fused")
	run(t, tensor.Evaluation, func(s *scope) error {
		c := tensor.Conv{Stride: 2, Padding: 1}
		img, w, b := s.ChannelsLast(x(s, 50, 2, 8, 9, 7)), x(s, 51, 16, 8, 3, 3), x(s, 52, 16)
		packed := s.PackConv(w, c, [4]int64{2, 8, 9, 7})
		require.Equal(t, []int64{16, 8, 3, 3}, packed.Shape())
		check := func(name string, got *ten) {
			t.Helper()
			require.NoError(t, refs[name].Compare(got.Shape(), floats(t, s, got), fusedTolerance), name)
		}
		check("none", s.ConvFused(img, packed, b, c, false))
		check("relu", s.ConvFused(img, packed, b, c, true))
		sum := s.ChannelsLast(x(s, 53, 2, 16, 5, 4))
		s.ConvAddReLU(sum, img, packed, b, c)
		check("add", sum)

		// In any memory layout, if not as fast.
		for _, in := range []*ten{img, s.Contiguous(img)} {
			check("relu", s.ConvFused(in, packed, b, c, true))
			row := x(s, 53, 2, 16, 5, 4)
			view := s.Narrow(s.Zeros(2, 16, 9, 4), 2, 3, 5)
			s.CopyInto(view, row)
			for _, dst := range []*ten{row, view} {
				s.ConvAddReLU(dst, in, packed, b, c)
				check("add", dst)
			}
		}

		// The same layers from the plain operations.
		plain := s.Conv2d(img, w, b, c)
		check("relu", s.ReLU(plain))
		check("add", s.ReLU(s.Add(plain, x(s, 53, 2, 16, 5, 4))))

		g := tensor.Conv{Padding: 1, Groups: 2}
		pg := s.PackConv(x(s, 51, 16, 4, 3, 3), g, [4]int64{2, 8, 9, 7})
		check("groups", s.Narrow(s.Narrow(s.ConvFused(img, pg, b, g, false), 2, 2, 4), 3, 2, 4))

		// Another input shape than the one that was packed for.
		big := s.ChannelsLast(x(s, 54, 3, 8, 14, 11))
		got, want := s.ConvFused(big, packed, b, c, false), s.Conv2d(big, w, b, c)
		require.Equal(t, want.Shape(), got.Shape())
		require.InDeltaSlice(t, floats(t, s, want), floats(t, s, got), 1e-4)
		return s.Err()
	})
}

// Wrong operands of the fused convolutions must not reach oneDNN, which trusts
// its caller.
func TestFusedConvolutionsRefuse(t *testing.T) {
	if !tensor.HasOneDNN() {
		t.Skip("this libtorch has no oneDNN")
	}
	testutil.NoLeak(t)
	c := tensor.Conv{Padding: 1}
	type operands struct{ dst, img, packed, b *ten }
	good := func(s *scope) operands {
		return operands{s.ChannelsLast(s.Zeros(1, 16, 6, 6)), s.ChannelsLast(s.Zeros(1, 8, 6, 6)),
			s.PackConv(s.Zeros(16, 8, 3, 3), c, [4]int64{1, 8, 6, 6}), s.Zeros(16)}
	}
	run(t, tensor.Evaluation, func(s *scope) error {
		o := good(s)
		s.ConvFused(o.img, o.packed, o.b, c, true)
		s.ConvAddReLU(o.dst, o.img, o.packed, o.b, c)
		return s.Err()
	})
	for name, spoil := range map[string]func(s *scope, o *operands){
		"channels":        func(s *scope, o *operands) { o.img = s.ChannelsLast(s.Zeros(1, 4, 6, 6)) },
		"dimensions":      func(s *scope, o *operands) { o.img = s.Zeros(8, 6, 6) },
		"image too small": func(s *scope, o *operands) { o.img = s.Zeros(1, 8, 0, 0) },
		"bias":            func(s *scope, o *operands) { o.b = s.Zeros(8) },
		"bias dimensions": func(s *scope, o *operands) { o.b = s.Zeros(4, 4) },
		"double":          func(s *scope, o *operands) { o.img = s.Cast(o.img, tensor.Float64) },
		"not packed":      func(s *scope, o *operands) { o.packed = s.Zeros(16, 8, 3, 3) },
	} {
		err := failure(t, tensor.Evaluation, func(s *scope) { o := good(s); spoil(s, &o); s.ConvFused(o.img, o.packed, o.b, c, true) })
		require.ErrorIs(t, err, tensor.ErrShape, name)
		err = failure(t, tensor.Evaluation, func(s *scope) {
			o := good(s)
			spoil(s, &o)
			s.ConvAddReLU(o.dst, o.img, o.packed, o.b, c)
		})
		require.ErrorIs(t, err, tensor.ErrShape, name)
	}
	err := failure(t, tensor.Evaluation, func(s *scope) {
		o := good(s)
		s.ConvAddReLU(s.ChannelsLast(s.Zeros(1, 16, 5, 6)), o.img, o.packed, o.b, c)
	})
	require.ErrorIs(t, err, tensor.ErrShape)
	err = failure(t, tensor.Evaluation, func(s *scope) { s.PackConv(s.Zeros(16, 8, 3), c, [4]int64{1, 8, 6, 6}) })
	require.ErrorIs(t, err, tensor.ErrShape)
	err = failure(t, tensor.Evaluation, func(s *scope) { s.PackConv(s.Zeros(16, 8, 3, 3), c, [4]int64{1, 4, 6, 6}) })
	require.ErrorIs(t, err, tensor.ErrShape)
}
