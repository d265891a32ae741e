package tensor

import (
	"fmt"
	"slices"

	"github.com/gotab/gotab/tensor/internal/native"
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

func (s *Scope) binary(name string, a, b *Tensor, f func(a, b native.Handle) (native.Handle, error)) *Tensor {
	if a.Valid() && b.Valid() && !a.packed && !b.packed && !broadcast(a.Shape(), b.Shape()) {
		s.fail(name, []*Tensor{a, b}, ErrShape)
	}
	return s.op(name, func() (native.Handle, error) { return f(a.h, b.h) }, a, b)
}

func (s *Scope) unary(name string, x *Tensor, f func(x native.Handle) (native.Handle, error)) *Tensor {
	return s.op(name, func() (native.Handle, error) { return f(x.h) }, x)
}

func (s *Scope) withScalar(name string, x *Tensor, v float64, f func(x native.Handle, v float64) (native.Handle, error)) *Tensor {
	return s.opOf(name, func() string { return fmt.Sprintf("v is %g", v) }, func() (native.Handle, error) { return f(x.h, v) }, x)
}

// Add returns a + b, broadcast.
func (s *Scope) Add(a, b *Tensor) *Tensor { return s.binary("Add", a, b, native.Add) }

// Minus returns a - b, broadcast.
func (s *Scope) Minus(a, b *Tensor) *Tensor { return s.binary("Minus", a, b, native.Sub) }

// Mul returns the elementwise product a * b, broadcast.
func (s *Scope) Mul(a, b *Tensor) *Tensor { return s.binary("Mul", a, b, native.Mul) }

// Div returns the elementwise quotient a / b, broadcast.
func (s *Scope) Div(a, b *Tensor) *Tensor { return s.binary("Div", a, b, native.Div) }

// Maximum returns the elementwise maximum of a and b, broadcast.
func (s *Scope) Maximum(a, b *Tensor) *Tensor { return s.binary("Maximum", a, b, native.Maximum) }

// Equal returns a bool tensor that is true where a equals b, broadcast.
func (s *Scope) Equal(a, b *Tensor) *Tensor { return s.binary("Equal", a, b, native.Equal) }

// AddScalar returns x + v.
func (s *Scope) AddScalar(x *Tensor, v float64) *Tensor {
	return s.withScalar("AddScalar", x, v, native.AddScalar)
}

// MulScalar returns x * v.
func (s *Scope) MulScalar(x *Tensor, v float64) *Tensor {
	return s.withScalar("MulScalar", x, v, native.MulScalar)
}

// ClampMin returns max(x, v).
func (s *Scope) ClampMin(x *Tensor, v float64) *Tensor {
	return s.withScalar("ClampMin", x, v, native.ClampMin)
}

// Pow returns x to the power of v, elementwise.
func (s *Scope) Pow(x *Tensor, v float64) *Tensor {
	return s.withScalar("Pow", x, v, native.Pow)
}

// Neg returns -x.
func (s *Scope) Neg(x *Tensor) *Tensor { return s.unary("Neg", x, native.Neg) }

// Abs returns |x|.
func (s *Scope) Abs(x *Tensor) *Tensor { return s.unary("Abs", x, native.Abs) }

// Exp returns e to the power of x, elementwise.
func (s *Scope) Exp(x *Tensor) *Tensor { return s.unary("Exp", x, native.Exp) }

// Log returns the natural logarithm of x, elementwise.
func (s *Scope) Log(x *Tensor) *Tensor { return s.unary("Log", x, native.Log) }

// Sqrt returns the square root of x, elementwise.
func (s *Scope) Sqrt(x *Tensor) *Tensor { return s.unary("Sqrt", x, native.Sqrt) }

// Rsqrt returns 1/sqrt(x), elementwise.
func (s *Scope) Rsqrt(x *Tensor) *Tensor { return s.unary("Rsqrt", x, native.Rsqrt) }

// Sin returns the sine elementwise, x in radians.
func (s *Scope) Sin(x *Tensor) *Tensor { return s.unary("Sin", x, native.Sin) }

// Cos returns the cosine elementwise, x in radians.
func (s *Scope) Cos(x *Tensor) *Tensor { return s.unary("Cos", x, native.Cos) }

// Square returns x * x, elementwise.
func (s *Scope) Square(x *Tensor) *Tensor { return s.unary("Square", x, native.Square) }

// Sigmoid returns 1/(1+exp(-x)), elementwise.
func (s *Scope) Sigmoid(x *Tensor) *Tensor { return s.unary("Sigmoid", x, native.Sigmoid) }

// Tanh returns the hyperbolic tangent of x, elementwise.
func (s *Scope) Tanh(x *Tensor) *Tensor { return s.unary("Tanh", x, native.Tanh) }

// ReLU returns max(x, 0).
func (s *Scope) ReLU(x *Tensor) *Tensor { return s.unary("ReLU", x, native.ReLU) }

// ReLUInto changes x to max(x, 0) and returns x. Unlike the other operations with
// Into in their name it is recorded for Backward; x must not be the operand of an
// operation whose gradient needs its old value (batch norm's output is fine).
func (s *Scope) ReLUInto(x *Tensor) *Tensor {
	s.effect("ReLUInto", func() error { return native.ReLUInto(x.h) }, x)
	return x
}

// PlusInto changes a to a + b, of a's shape, and returns a. It is recorded for
// Backward, with the same condition on a as ReLUInto.
func (s *Scope) PlusInto(a, b *Tensor) *Tensor {
	if a.Valid() && b.Valid() && !a.packed && !b.packed && !slices.Equal(a.Shape(), b.Shape()) {
		s.fail("PlusInto", []*Tensor{a, b}, ErrShape)
	}
	s.effect("PlusInto", func() error { return native.AddInto(a.h, b.h) }, a, b)
	return a
}

// LeakyReLU returns x where it is positive and slope*x elsewhere.
func (s *Scope) LeakyReLU(x *Tensor, slope float64) *Tensor {
	s.check("LeakyReLU", []*Tensor{x}, finite("slope", slope))
	return s.opOf("LeakyReLU", func() string { return fmt.Sprintf("slope is %g", slope) }, func() (native.Handle, error) { return native.LeakyReLU(x.h, slope) }, x)
}

// LeakyReLUInto changes x to LeakyReLU of it, with a slope that is not negative,
// and returns x. It is recorded for Backward, with the same condition on x as
// ReLUInto.
func (s *Scope) LeakyReLUInto(x *Tensor, slope float64) *Tensor {
	s.check("LeakyReLUInto", []*Tensor{x}, positive("slope", slope))
	s.effect("LeakyReLUInto", func() error { return numbered("slope", slope, native.LeakyReLUInto(x.h, slope)) }, x)
	return x
}

// GELU returns x * Phi(x) with the exact normal distribution function Phi.
func (s *Scope) GELU(x *Tensor) *Tensor {
	return s.op("GELU", func() (native.Handle, error) { return native.GELU(x.h) }, x)
}

// QuickGELU returns x * sigmoid(1.702 x), the activation of OpenAI's CLIP.
func (s *Scope) QuickGELU(x *Tensor) *Tensor {
	s.ready("QuickGELU", []*Tensor{x})
	return s.Sub(func(s *Scope) *Tensor { return s.Mul(x, s.Sigmoid(s.MulScalar(x, 1.702))) })
}

// Sum adds along the dimensions, which stay with size 1 where keep is true. No
// dimension means all of them.
func (s *Scope) Sum(x *Tensor, keep bool, dims ...int64) *Tensor {
	s.dims("Sum", x, "dims", dims...)
	return s.op("Sum", func() (native.Handle, error) { return native.Sum(x.h, dims, keep) }, x)
}

// Mean averages along the dimensions, which stay with size 1 where keep is true.
// No dimension means all of them.
func (s *Scope) Mean(x *Tensor, keep bool, dims ...int64) *Tensor {
	s.dims("Mean", x, "dims", dims...)
	return s.op("Mean", func() (native.Handle, error) { return native.Mean(x.h, dims, keep) }, x)
}

// Max returns the largest values along the dimensions. No dimension means all.
func (s *Scope) Max(x *Tensor, keep bool, dims ...int64) *Tensor {
	s.dims("Max", x, "dims", dims...)
	return s.op("Max", func() (native.Handle, error) { return native.Amax(x.h, dims, keep) }, x)
}

// ArgMax returns the int64 index of the largest value along dimension dim.
func (s *Scope) ArgMax(x *Tensor, dim int64) *Tensor {
	s.dims("ArgMax", x, "dim", dim)
	return s.op("ArgMax", func() (native.Handle, error) { return native.ArgMax(x.h, dim) }, x)
}

// Softmax returns exp(x) / sum exp(x) along dimension dim.
func (s *Scope) Softmax(x *Tensor, dim int64) *Tensor {
	s.dims("Softmax", x, "dim", dim)
	return s.op("Softmax", func() (native.Handle, error) { return native.Softmax(x.h, dim) }, x)
}

// LogSoftmax returns log softmax(x) along dimension dim.
func (s *Scope) LogSoftmax(x *Tensor, dim int64) *Tensor {
	s.dims("LogSoftmax", x, "dim", dim)
	return s.op("LogSoftmax", func() (native.Handle, error) { return native.LogSoftmax(x.h, dim) }, x)
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
	return s.binary("CosineSimilarity", a, b, func(a, b native.Handle) (native.Handle, error) {
		return native.CosineSimilarity(a, b, dim, eps)
	})
}

// Norm returns the Euclidean length along dimension dim, which disappears.
func (s *Scope) Norm(x *Tensor, dim int64) *Tensor {
	s.dims("Norm", x, "dim", dim)
	return s.op("Norm", func() (native.Handle, error) { return native.Norm(x.h, dim) }, x)
}
