package tensor

import (
	"fmt"
	"slices"

	"github.com/sugarme/gotch/libtch"
)

// broadcast reports whether two shapes fit elementwise operations.
func broadcast(a, b []int64) bool {
	for i, j := len(a)-1, len(b)-1; i >= 0 && j >= 0; i, j = i-1, j-1 {
		if a[i] != b[j] && a[i] != 1 && b[j] != 1 {
			return false
		}
	}
	return true
}

func (s *Scope) binary(name string, a, b *Tensor, f func(out *libtch.Ctensor, a, b libtch.Ctensor)) *Tensor {
	if a.Valid() && b.Valid() && !a.packed && !b.packed && !broadcast(a.Shape(), b.Shape()) {
		s.fail(name, []*Tensor{a, b}, ErrShape)
	}
	return s.op(name, func(out *libtch.Ctensor) { f(out, a.h, b.h) }, a, b)
}

func (s *Scope) unary(name string, x *Tensor, f func(out *libtch.Ctensor, x libtch.Ctensor)) *Tensor {
	return s.op(name, func(out *libtch.Ctensor) { f(out, x.h) }, x)
}

func (s *Scope) withScalar(name string, x *Tensor, v float64, f func(out *libtch.Ctensor, x libtch.Ctensor, c libtch.Cscalar)) *Tensor {
	var t *Tensor
	scalar(v, func(c libtch.Cscalar) {
		t = s.opOf(name, func() string { return fmt.Sprintf("v is %g", v) }, func(out *libtch.Ctensor) { f(out, x.h, c) }, x)
	})
	return t
}

// Add returns a + b, broadcast.
func (s *Scope) Add(a, b *Tensor) *Tensor { return s.binary("Add", a, b, libtch.AtgAdd) }

// Minus returns a - b, broadcast.
func (s *Scope) Minus(a, b *Tensor) *Tensor { return s.binary("Minus", a, b, libtch.AtgSub) }

// Mul returns the elementwise product a * b, broadcast.
func (s *Scope) Mul(a, b *Tensor) *Tensor { return s.binary("Mul", a, b, libtch.AtgMul) }

// Div returns the elementwise quotient a / b, broadcast.
func (s *Scope) Div(a, b *Tensor) *Tensor { return s.binary("Div", a, b, libtch.AtgDiv) }

// Maximum returns the elementwise maximum of a and b, broadcast.
func (s *Scope) Maximum(a, b *Tensor) *Tensor { return s.binary("Maximum", a, b, libtch.AtgMaximum) }

// Equal returns a bool tensor that is true where a equals b, broadcast.
func (s *Scope) Equal(a, b *Tensor) *Tensor { return s.binary("Equal", a, b, libtch.AtgEqTensor) }

// AddScalar returns x + v.
func (s *Scope) AddScalar(x *Tensor, v float64) *Tensor {
	return s.withScalar("AddScalar", x, v, libtch.AtgAddScalar)
}

// MulScalar returns x * v.
func (s *Scope) MulScalar(x *Tensor, v float64) *Tensor {
	return s.withScalar("MulScalar", x, v, libtch.AtgMulScalar)
}

// ClampMin returns max(x, v).
func (s *Scope) ClampMin(x *Tensor, v float64) *Tensor {
	return s.withScalar("ClampMin", x, v, libtch.AtgClampMin)
}

// Pow returns x to the power of v, elementwise.
func (s *Scope) Pow(x *Tensor, v float64) *Tensor {
	return s.withScalar("Pow", x, v, libtch.AtgPowTensorScalar)
}

// Neg returns -x.
func (s *Scope) Neg(x *Tensor) *Tensor { return s.unary("Neg", x, libtch.AtgNeg) }

// Abs returns |x|.
func (s *Scope) Abs(x *Tensor) *Tensor { return s.unary("Abs", x, libtch.AtgAbs) }

// Exp returns e to the power of x, elementwise.
func (s *Scope) Exp(x *Tensor) *Tensor { return s.unary("Exp", x, libtch.AtgExp) }

// Log returns the natural logarithm of x, elementwise.
func (s *Scope) Log(x *Tensor) *Tensor { return s.unary("Log", x, libtch.AtgLog) }

// Sqrt returns the square root of x, elementwise.
func (s *Scope) Sqrt(x *Tensor) *Tensor { return s.unary("Sqrt", x, libtch.AtgSqrt) }

// Rsqrt returns 1/sqrt(x), elementwise.
func (s *Scope) Rsqrt(x *Tensor) *Tensor { return s.unary("Rsqrt", x, libtch.AtgRsqrt) }

// Sin returns the sine elementwise, x in radians.
func (s *Scope) Sin(x *Tensor) *Tensor { return s.unary("Sin", x, libtch.AtgSin) }

// Cos returns the cosine elementwise, x in radians.
func (s *Scope) Cos(x *Tensor) *Tensor { return s.unary("Cos", x, libtch.AtgCos) }

// Square returns x * x, elementwise.
func (s *Scope) Square(x *Tensor) *Tensor { return s.unary("Square", x, libtch.AtgSquare) }

// Sigmoid returns 1/(1+exp(-x)), elementwise.
func (s *Scope) Sigmoid(x *Tensor) *Tensor { return s.unary("Sigmoid", x, libtch.AtgSigmoid) }

// Tanh returns the hyperbolic tangent of x, elementwise.
func (s *Scope) Tanh(x *Tensor) *Tensor { return s.unary("Tanh", x, libtch.AtgTanh) }

// ReLU returns max(x, 0).
func (s *Scope) ReLU(x *Tensor) *Tensor { return s.unary("ReLU", x, libtch.AtgRelu) }

// ReLUInto changes x to max(x, 0) and returns x. Unlike the other operations with
// Into in their name it is recorded for Backward; x must not be the operand of an
// operation whose gradient needs its old value (batch norm's output is fine).
func (s *Scope) ReLUInto(x *Tensor) *Tensor {
	s.effect("ReLUInto", func() error { return nativeReLUInto(x.h) }, x)
	return x
}

// PlusInto changes a to a + b, of a's shape, and returns a. It is recorded for
// Backward, with the same condition on a as ReLUInto.
func (s *Scope) PlusInto(a, b *Tensor) *Tensor {
	if a.Valid() && b.Valid() && !a.packed && !b.packed && !slices.Equal(a.Shape(), b.Shape()) {
		s.fail("PlusInto", []*Tensor{a, b}, ErrShape)
	}
	s.effect("PlusInto", func() error { return nativeAddInto(a.h, b.h) }, a, b)
	return a
}

// LeakyReLU returns x where it is positive and slope*x elsewhere.
func (s *Scope) LeakyReLU(x *Tensor, slope float64) *Tensor {
	s.check("LeakyReLU", []*Tensor{x}, finite("slope", slope))
	return s.shim("LeakyReLU", func(out *libtch.Ctensor) error { return numbered("slope", slope, nativeLeakyReLU(out, x.h, slope)) }, x)
}

// LeakyReLUInto changes x to LeakyReLU of it, with a slope that is not negative,
// and returns x. It is recorded for Backward, with the same condition on x as
// ReLUInto.
func (s *Scope) LeakyReLUInto(x *Tensor, slope float64) *Tensor {
	s.check("LeakyReLUInto", []*Tensor{x}, positive("slope", slope))
	s.effect("LeakyReLUInto", func() error { return numbered("slope", slope, nativeLeakyReLUInto(x.h, slope)) }, x)
	return x
}

// GELU returns x * Phi(x) with the exact normal distribution function Phi.
func (s *Scope) GELU(x *Tensor) *Tensor {
	return s.shim("GELU", func(out *libtch.Ctensor) error { return nativeGELU(out, x.h) }, x)
}

// QuickGELU returns x * sigmoid(1.702 x), the activation of OpenAI's CLIP.
func (s *Scope) QuickGELU(x *Tensor) *Tensor {
	s.ready("QuickGELU", []*Tensor{x})
	return s.Sub(func(s *Scope) *Tensor { return s.Mul(x, s.Sigmoid(s.MulScalar(x, 1.702))) })
}

const keepType = int32(-1) // libtorch's "as the input"

func flag(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

// Sum adds along the dimensions, which stay with size 1 where keep is true. No
// dimension means all of them.
func (s *Scope) Sum(x *Tensor, keep bool, dims ...int64) *Tensor {
	s.dims("Sum", x, "dims", dims...)
	d, n := sized(dims)
	return s.op("Sum", func(out *libtch.Ctensor) { libtch.AtgSumDimIntlist(out, x.h, d, n, flag(keep), keepType) }, x)
}

// Mean averages along the dimensions, which stay with size 1 where keep is true.
// No dimension means all of them.
func (s *Scope) Mean(x *Tensor, keep bool, dims ...int64) *Tensor {
	s.dims("Mean", x, "dims", dims...)
	d, n := sized(dims)
	return s.op("Mean", func(out *libtch.Ctensor) { libtch.AtgMeanDim(out, x.h, d, n, flag(keep), keepType) }, x)
}

// Max returns the largest values along the dimensions. No dimension means all.
func (s *Scope) Max(x *Tensor, keep bool, dims ...int64) *Tensor {
	s.dims("Max", x, "dims", dims...)
	d, n := sized(dims)
	return s.op("Max", func(out *libtch.Ctensor) { libtch.AtgAmax(out, x.h, d, n, flag(keep)) }, x)
}

// ArgMax returns the int64 index of the largest value along dimension dim.
func (s *Scope) ArgMax(x *Tensor, dim int64) *Tensor {
	s.dims("ArgMax", x, "dim", dim)
	return s.op("ArgMax", func(out *libtch.Ctensor) { libtch.AtgArgmax(out, x.h, dim, 0, 0) }, x)
}

// Softmax returns exp(x) / sum exp(x) along dimension dim.
func (s *Scope) Softmax(x *Tensor, dim int64) *Tensor {
	s.dims("Softmax", x, "dim", dim)
	return s.op("Softmax", func(out *libtch.Ctensor) { libtch.AtgSoftmax(out, x.h, dim, keepType) }, x)
}

// LogSoftmax returns log softmax(x) along dimension dim.
func (s *Scope) LogSoftmax(x *Tensor, dim int64) *Tensor {
	s.dims("LogSoftmax", x, "dim", dim)
	return s.op("LogSoftmax", func(out *libtch.Ctensor) { libtch.AtgLogSoftmax(out, x.h, dim, keepType) }, x)
}

// Normalize divides by the Euclidean length along dimension dim, which is taken
// as at least eps, as PyTorch's F.normalize does (its eps is 1e-12).
func (s *Scope) Normalize(x *Tensor, dim int64, eps float64) *Tensor {
	if s.ready("Normalize", []*Tensor{x}) {
		_ = s.dims("Normalize", x, "dim", dim) && s.check("Normalize", []*Tensor{x}, positive("eps", eps))
	}
	return s.Sub(func(s *Scope) *Tensor {
		return s.Div(x, s.ClampMin(s.Sqrt(s.Sum(s.Square(x), true, dim)), eps))
	})
}

// CosineSimilarity returns a.b / (max(|a|, eps) max(|b|, eps)) along dimension
// dim, which disappears; PyTorch's eps is 1e-8.
func (s *Scope) CosineSimilarity(a, b *Tensor, dim int64, eps float64) *Tensor {
	_ = s.dims("CosineSimilarity", a, "dim", dim) && s.check("CosineSimilarity", []*Tensor{a, b}, positive("eps", eps))
	return s.binary("CosineSimilarity", a, b, func(out *libtch.Ctensor, a, b libtch.Ctensor) {
		libtch.AtgCosineSimilarity(out, a, b, dim, eps)
	})
}

// Norm returns the Euclidean length along dimension dim, which disappears.
func (s *Scope) Norm(x *Tensor, dim int64) *Tensor {
	s.dims("Norm", x, "dim", dim)
	return s.shim("Norm", func(out *libtch.Ctensor) error { return nativeNorm(out, x.h, dim) }, x)
}
