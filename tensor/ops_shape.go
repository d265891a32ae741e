package tensor

import (
	"fmt"

	"github.com/sugarme/gotch/libtch"
)

// Reshape returns x's elements in another shape; one size may be -1.
func (s *Scope) Reshape(x *Tensor, shape ...int64) *Tensor {
	sz, n := sized(shape)
	return s.op("Reshape", func(out *libtch.Ctensor) { libtch.AtgReshape(out, x.h, sz, n) }, x)
}

// Permute re-orders the dimensions without moving a value.
func (s *Scope) Permute(x *Tensor, dims ...int64) *Tensor {
	if x.Valid() && len(dims) != x.Dim() {
		s.fail("Permute", []*Tensor{x}, fmt.Errorf("%w: %d dimensions named", ErrShape, len(dims)))
	}
	sz, n := sized(dims)
	return s.op("Permute", func(out *libtch.Ctensor) { libtch.AtgPermute(out, x.h, sz, n) }, x)
}

// Transpose exchanges two dimensions without moving a value.
func (s *Scope) Transpose(x *Tensor, a, b int64) *Tensor {
	s.dims("Transpose", x, []int64{a, b})
	return s.op("Transpose", func(out *libtch.Ctensor) { libtch.AtgTranspose(out, x.h, a, b) }, x)
}

// Expand repeats dimensions of size 1 without copying.
func (s *Scope) Expand(x *Tensor, shape ...int64) *Tensor {
	sz, n := sized(shape)
	return s.op("Expand", func(out *libtch.Ctensor) { libtch.AtgExpand(out, x.h, sz, n, 0) }, x)
}

// Narrow returns length entries of dimension dim from start on, without copying.
func (s *Scope) Narrow(x *Tensor, dim, start, length int64) *Tensor {
	if s.dims("Narrow", x, []int64{dim}) && x.Valid() {
		if start < 0 || length < 0 || start+length > x.Size(int(dim)) {
			s.fail("Narrow", []*Tensor{x}, fmt.Errorf("%w: entries %d to %d of dimension %d", ErrShape, start, start+length, dim))
		}
	}
	return s.op("Narrow", func(out *libtch.Ctensor) { libtch.AtgNarrow(out, x.h, dim, start, length) }, x)
}

// Select returns entry i of dimension dim, which disappears, without copying.
func (s *Scope) Select(x *Tensor, dim, i int64) *Tensor {
	s.dims("Select", x, []int64{dim})
	return s.op("Select", func(out *libtch.Ctensor) { libtch.AtgSelect(out, x.h, dim, i) }, x)
}

// Unsqueeze adds a dimension of size 1 before dimension dim.
func (s *Scope) Unsqueeze(x *Tensor, dim int64) *Tensor {
	return s.op("Unsqueeze", func(out *libtch.Ctensor) { libtch.AtgUnsqueeze(out, x.h, dim) }, x)
}

// Cat joins tensors along dimension dim.
func (s *Scope) Cat(dim int64, xs ...*Tensor) *Tensor {
	if len(xs) == 0 {
		s.fail("Cat", nil, fmt.Errorf("%w: nothing to join", ErrShape))
		return &Tensor{dev: s.st.dev}
	}
	return s.op("Cat", func(out *libtch.Ctensor) {
		hs := make([]libtch.Ctensor, len(xs))
		for i, x := range xs {
			hs[i] = x.h
		}
		libtch.AtgCat(out, hs, len(hs), dim)
	}, xs...)
}

// IndexSelect picks entries of dimension dim; index is an int64 tensor [K].
func (s *Scope) IndexSelect(x *Tensor, dim int64, index *Tensor) *Tensor {
	s.dims("IndexSelect", x, []int64{dim})
	return s.op("IndexSelect", func(out *libtch.Ctensor) { libtch.AtgIndexSelect(out, x.h, dim, index.h) }, x, index)
}

// Gather picks x[i][index[i][j]] (for dim 1): one value per entry of index,
// which has x's number of dimensions.
func (s *Scope) Gather(x *Tensor, dim int64, index *Tensor) *Tensor {
	s.dims("Gather", x, []int64{dim})
	return s.op("Gather", func(out *libtch.Ctensor) { libtch.AtgGather(out, x.h, dim, index.h, 0) }, x, index)
}

// TopK returns the k largest (or smallest) values along dimension dim, sorted,
// and their indices.
func (s *Scope) TopK(x *Tensor, k, dim int64, largest bool) (values, indices *Tensor) {
	none := &Tensor{dev: s.st.dev}
	if !s.dims("TopK", x, []int64{dim}) || !s.ready("TopK", []*Tensor{x}) {
		return none, none
	}
	if k < 1 || k > x.Size(int(dim)) {
		s.fail("TopK", []*Tensor{x}, fmt.Errorf("%w: k = %d", ErrShape, k))
		return none, none
	}
	// The C function writes one handle per result, one after the other.
	var h [2]libtch.Ctensor
	libtch.AtgTopk(&h[0], x.h, k, dim, flag(largest), 1)
	if err := lastError(); err != nil {
		s.fail("TopK", []*Tensor{x}, err)
		return none, none
	}
	return s.keep(h[0], x.dev), s.keep(h[1], x.dev)
}
