package tensor

import (
	"fmt"

	"github.com/gotab/gotab/tensor/internal/native"
)

// Reshape returns x's elements in another shape; one size may be -1.
func (s *Scope) Reshape(x *Tensor, shape ...int64) *Tensor {
	if x.Valid() {
		s.check("Reshape", []*Tensor{x}, reshaped(x.Len(), shape))
	}
	return s.op("Reshape", func() (native.Handle, error) { return native.Reshape(x.h, shape) }, x)
}

// reshaped checks the shape that n values are to have. libtorch multiplies its
// sizes without a bound.
func reshaped(n int64, shape []int64) error {
	known, open := make([]int64, 0, len(shape)), 0
	for _, d := range shape {
		if d == -1 {
			open++
			continue
		}
		known = append(known, d)
	}
	got, err := elements(known)
	switch {
	case err != nil:
		return err
	case open > 1, open == 0 && got != n, open == 1 && (got == 0 || n%got != 0):
		return fmt.Errorf("shape %s for %d values: %w", shapeString(shape), n, ErrShape)
	}
	return nil
}

// Permute re-orders the dimensions without moving a value.
func (s *Scope) Permute(x *Tensor, dims ...int64) *Tensor {
	if x.Valid() && len(dims) != x.Dim() {
		s.fail("Permute", []*Tensor{x}, fmt.Errorf("%w: dims names %d dimensions", ErrShape, len(dims)))
	}
	s.dims("Permute", x, "dims", dims...)
	return s.op("Permute", func() (native.Handle, error) { return native.Permute(x.h, dims) }, x)
}

// Transpose exchanges two dimensions without moving a value.
func (s *Scope) Transpose(x *Tensor, a, b int64) *Tensor {
	_ = s.dims("Transpose", x, "a", a) && s.dims("Transpose", x, "b", b)
	return s.op("Transpose", func() (native.Handle, error) { return native.Transpose(x.h, a, b) }, x)
}

// Expand repeats dimensions of size 1 without copying. A size of -1 stays as it is.
func (s *Scope) Expand(x *Tensor, shape ...int64) *Tensor {
	if x.Valid() && !x.packed {
		s.check("Expand", []*Tensor{x}, expanded(x.Shape(), shape))
	}
	return s.op("Expand", func() (native.Handle, error) { return native.Expand(x.h, shape) }, x)
}

// expanded checks the shape that a tensor of shape old is repeated to.
func expanded(old, shape []int64) error {
	bad := fmt.Errorf("shape %s for %s: %w", shapeString(shape), shapeString(old), ErrShape)
	first := len(shape) - len(old)
	if first < 0 {
		return bad
	}
	full := make([]int64, len(shape))
	for i, d := range shape {
		was := int64(1)
		if i >= first {
			was = old[i-first]
		}
		switch {
		case d == -1 && i >= first:
			d = was
		case d != was && was != 1:
			return bad
		}
		full[i] = d
	}
	_, err := elements(full)
	return err
}

// Narrow returns length entries of dimension dim from start on, without copying.
func (s *Scope) Narrow(x *Tensor, dim, start, length int64) *Tensor {
	if s.dims("Narrow", x, "dim", dim) && x.Valid() {
		n := x.Size(int(dim))
		_ = s.check("Narrow", []*Tensor{x}, within("start", start, 0, n)) && s.check("Narrow", []*Tensor{x}, within("length", length, 0, n-start))
	}
	return s.op("Narrow", func() (native.Handle, error) { return native.Narrow(x.h, dim, start, length) }, x)
}

// Select returns entry i of dimension dim, which disappears, without copying.
func (s *Scope) Select(x *Tensor, dim, i int64) *Tensor {
	if s.dims("Select", x, "dim", dim) && x.Valid() {
		n := x.Size(int(dim))
		s.check("Select", []*Tensor{x}, within("i", i, -n, n-1))
	}
	return s.op("Select", func() (native.Handle, error) { return native.Select(x.h, dim, i) }, x)
}

// Unsqueeze adds a dimension of size 1 before dimension dim.
func (s *Scope) Unsqueeze(x *Tensor, dim int64) *Tensor {
	if n := int64(x.Dim()); x.Valid() {
		s.check("Unsqueeze", []*Tensor{x}, within("dim", dim, -n-1, n))
	}
	return s.op("Unsqueeze", func() (native.Handle, error) { return native.Unsqueeze(x.h, dim) }, x)
}

// Cat joins tensors along dimension dim.
func (s *Scope) Cat(dim int64, xs ...*Tensor) *Tensor {
	if len(xs) == 0 {
		s.fail("Cat", nil, fmt.Errorf("%w: nothing to join", ErrShape))
		return &Tensor{dev: s.st.dev}
	}
	if s.ready("Cat", xs) {
		s.dims("Cat", xs[0], "dim", dim)
	}
	return s.op("Cat", func() (native.Handle, error) {
		hs := make([]native.Handle, len(xs))
		for i, x := range xs {
			hs[i] = x.h
		}
		return native.Cat(hs, dim)
	}, xs...)
}

// IndexSelect picks entries of dimension dim; index is an int64 tensor [K].
func (s *Scope) IndexSelect(x *Tensor, dim int64, index *Tensor) *Tensor {
	s.dims("IndexSelect", x, "dim", dim)
	return s.op("IndexSelect", func() (native.Handle, error) { return native.IndexSelect(x.h, dim, index.h) }, x, index)
}

// Gather picks x[i][index[i][j]] (for dim 1): one value per entry of index,
// which has x's number of dimensions.
func (s *Scope) Gather(x *Tensor, dim int64, index *Tensor) *Tensor {
	s.dims("Gather", x, "dim", dim)
	return s.op("Gather", func() (native.Handle, error) { return native.Gather(x.h, dim, index.h) }, x, index)
}

// TopK returns the k largest (or smallest) values along dimension dim, sorted,
// and their indices.
func (s *Scope) TopK(x *Tensor, k, dim int64, largest bool) (values, indices *Tensor) {
	none := &Tensor{dev: s.st.dev}
	if !s.dims("TopK", x, "dim", dim) || !s.ready("TopK", []*Tensor{x}) {
		return none, none
	}
	if !s.check("TopK", []*Tensor{x}, within("k", k, 1, x.Size(int(dim)))) {
		return none, none
	}
	v, i, err := native.TopK(x.h, k, dim, largest)
	if err != nil {
		s.fail("TopK", []*Tensor{x}, err)
		return none, none
	}
	return s.keep(v, x.dev), s.keep(i, x.dev)
}
