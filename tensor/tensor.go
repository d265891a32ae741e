package tensor

import (
	"fmt"
	"sync/atomic"

	"github.com/gotab/gotab/tensor/internal/native"
)

// live counts native tensor handles that exist. It is process-wide because the
// native memory is.
var live atomic.Int64

// Live returns the number of native tensor handles that exist in this process.
// A program that frees what it makes returns to its starting value.
func Live() int64 { return live.Load() }

// Tensor is an n-dimensional array that libtorch holds. It belongs to the Scope
// or the Params that made it and must not be used after its owner is gone; doing
// so is ErrReleased, not a crash. A Tensor is read-only for its users: what
// changes a value in place says so in its name. Tensors are not safe for use
// from several goroutines, except that tensors of a Params may be read by
// several Runs at once while nothing writes to them.
type Tensor struct {
	h     native.Handle
	dev   Device
	shape []int64
	// packed marks a oneDNN weight, whose shape libtorch does not tell.
	packed bool
}

func isNull(h native.Handle) bool { return h == nil }

// adopt takes ownership of a fresh native handle.
func adopt(h native.Handle, dev Device) *Tensor {
	live.Add(1)
	return &Tensor{h: h, dev: dev}
}

// free releases the handle. Freeing twice is harmless.
func (t *Tensor) free() {
	if t == nil || isNull(t.h) {
		return
	}
	native.Free(t.h)
	t.h = nil
	t.shape, t.packed = nil, false
	live.Add(-1)
}

// Valid reports whether the tensor still holds memory.
func (t *Tensor) Valid() bool { return t != nil && !isNull(t.h) }

// Shape returns the sizes of the dimensions; an empty slice for a scalar, nil
// for a released tensor. The caller must not change it.
func (t *Tensor) Shape() []int64 {
	if !t.Valid() {
		return nil
	}
	if t.shape == nil {
		t.shape = native.Shape(t.h)
	}
	return t.shape
}

// Dim returns the number of dimensions, 0 for a released tensor.
func (t *Tensor) Dim() int { return len(t.Shape()) }

// Size returns the size of dimension d; negative d counts from the end. It is 0
// where there is no such dimension.
func (t *Tensor) Size(d int) int64 {
	s := t.Shape()
	if d < 0 {
		d += len(s)
	}
	if d < 0 || d >= len(s) {
		return 0
	}
	return s[d]
}

// Len returns the number of elements.
func (t *Tensor) Len() int64 {
	if !t.Valid() {
		return 0
	}
	return count(t.Shape())
}

// Device returns where the tensor lives or, after its release, lived.
func (t *Tensor) Device() Device {
	if t == nil {
		return CPU
	}
	return t.dev
}

// DType returns the element type, [NoDType] for a released tensor.
func (t *Tensor) DType() DType {
	if !t.Valid() {
		return NoDType
	}
	return DType(native.ScalarType(t.h))
}

func (t *Tensor) String() string {
	if !t.Valid() {
		return "tensor (released)"
	}
	return fmt.Sprintf("tensor %s %s on %s", t.DType(), shapeString(t.Shape()), t.dev)
}

// count returns the number of elements of an existing tensor's shape.
func count(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

// maxElements bounds what a shape may ask for, so that no type's bytes overflow.
const maxElements = 1 << 60

// elements returns the number of elements of a shape that comes from outside. A
// negative size and a product beyond maxElements are errors that wrap ErrShape;
// so is the latter beside a size of 0, since libtorch's strides would overflow.
func elements(shape []int64) (int64, error) {
	product, n := int64(1), int64(1)
	for _, d := range shape {
		switch {
		case d < 0:
			return 0, fmt.Errorf("shape %s with a negative size: %w", shapeString(shape), ErrShape)
		case d > maxElements/product:
			return 0, fmt.Errorf("shape %s with more elements than memory can hold: %w", shapeString(shape), ErrShape)
		}
		n *= d
		product *= max(d, 1)
	}
	return n, nil
}
