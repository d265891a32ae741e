package tensor

import (
	"fmt"

	"github.com/gotab/gotab/tensor/internal/native"
)

// MatMul multiplies matrices; leading dimensions are batches and broadcast:
// [.., m, k] and [.., k, n] give [.., m, n].
func (s *Scope) MatMul(a, b *Tensor) *Tensor {
	if a.Valid() && b.Valid() && (a.Dim() < 1 || b.Dim() < 1 || a.Size(-1) != b.Size(max(-2, -b.Dim()))) {
		s.fail("MatMul", []*Tensor{a, b}, ErrShape)
	}
	return s.op("MatMul", func() (native.Handle, error) { return native.MatMul(a.h, b.h) }, a, b)
}

// Bmm multiplies batches of matrices: [b, m, k] and [b, k, n] give [b, m, n].
func (s *Scope) Bmm(a, b *Tensor) *Tensor {
	if a.Valid() && b.Valid() && (a.Dim() != 3 || b.Dim() != 3 || a.Size(0) != b.Size(0) || a.Size(2) != b.Size(1)) {
		s.fail("Bmm", []*Tensor{a, b}, ErrShape)
	}
	return s.op("Bmm", func() (native.Handle, error) { return native.Bmm(a.h, b.h) }, a, b)
}

// AddBmmInto changes acc to beta*acc + a*b for batches of matrices: acc
// [b, m, n], a [b, m, k], b [b, k, n]. It records nothing for Backward.
func (s *Scope) AddBmmInto(acc, a, b *Tensor, beta float64) {
	s.effect("AddBmmInto", func() error { return numbered("beta", beta, native.Baddbmm(acc.h, a.h, b.h, beta)) }, acc, a, b)
}

// Cholesky returns the lower triangular L with A = L L^T for symmetric positive
// definite A [.., n, n]; another A is an error.
func (s *Scope) Cholesky(a *Tensor) *Tensor {
	if a.Valid() && (a.Dim() < 2 || a.Size(-1) != a.Size(-2)) {
		s.fail("Cholesky", []*Tensor{a}, fmt.Errorf("%w: want square matrices", ErrShape))
	}
	return s.op("Cholesky", func() (native.Handle, error) { return native.Cholesky(a.h) }, a)
}

// SolveLower returns X with L X = B for lower triangular L [.., n, n] and B
// [.., n, k].
func (s *Scope) SolveLower(l, b *Tensor) *Tensor {
	return s.op("SolveLower", func() (native.Handle, error) { return native.SolveLower(l.h, b.h) }, l, b)
}

// Eye returns the float32 identity matrix [n, n].
func (s *Scope) Eye(n int64) *Tensor {
	what := fmt.Sprintf("n is %d", n)
	s.check("Eye", nil, holds(what, n, n))
	return s.opOf("Eye", func() string { return what }, func() (native.Handle, error) { return native.Eye(n, int32(Float32), s.st.dev.code()) })
}

// Linear returns x W^T + b: x [.., in], w [out, in], b [out] or nil.
func (s *Scope) Linear(x, w, b *Tensor) *Tensor {
	in := []*Tensor{x, w}
	if b != nil {
		in = append(in, b)
	}
	if x.Valid() && w.Valid() && (w.Dim() != 2 || x.Size(-1) != w.Size(1)) {
		s.fail("Linear", in, ErrShape)
	}
	return s.op("Linear", func() (native.Handle, error) { return native.Linear(x.h, w.h, optional(b)) }, in...)
}
