package torchfile

import (
	"fmt"
	"math"
	"slices"
)

// view makes a tensor of the arguments of _rebuild_tensor(_v2): storage, offset,
// shape, stride and, of no interest here, whether it needs gradients. A view of a
// storage of unknown numbers is a placeholder.
func view(args tuple) (any, error) {
	if len(args) < 4 {
		return nil, fmt.Errorf("%w: a tensor of %d arguments", ErrFormat, len(args))
	}
	if o, ok := args[0].(*object); ok {
		return o, nil
	}
	s, ok1 := args[0].(storage)
	offset, ok2 := args[1].(int64)
	shape, ok3 := ints(args[2])
	stride, ok4 := ints(args[3])
	if !ok1 || !ok2 || !ok3 || !ok4 || offset < 0 || len(shape) != len(stride) {
		return nil, fmt.Errorf("%w: a tensor of %s, offset %v, shape %v, stride %v", ErrFormat, kind(args[0]), args[1], shape, stride)
	}
	return tensor{storage: s, offset: offset, shape: shape, stride: stride}, nil
}

// ints reads a tuple of integers that are not negative.
func ints(v any) ([]int64, bool) {
	t, ok := v.(tuple)
	if !ok {
		return nil, false
	}
	list := make([]int64, len(t))
	for i, x := range t {
		if list[i], ok = x.(int64); !ok || list[i] < 0 {
			return nil, false
		}
	}
	return list, true
}

// elements is the number of elements, after checking that all of them lie inside
// the storage.
func (t tensor) elements() (int64, error) {
	n, last := int64(1), t.offset
	for i, dim := range t.shape {
		if dim == 0 {
			return 0, nil
		}
		if n > math.MaxInt64/dim {
			return 0, fmt.Errorf("%w: shape %v has more than 2^63 elements", ErrFormat, t.shape)
		}
		n *= dim
		if t.stride[i] != 0 && dim-1 > (math.MaxInt64-last)/t.stride[i] {
			return 0, fmt.Errorf("%w: shape %v with stride %v reaches beyond 2^63", ErrFormat, t.shape, t.stride)
		}
		last += (dim - 1) * t.stride[i]
	}
	if last >= t.storage.count {
		return 0, fmt.Errorf("%w: shape %v with stride %v from element %d reaches element %d of a storage of %d", ErrFormat, t.shape, t.stride, t.offset, last, t.storage.count)
	}
	return n, nil
}

// cut returns the elements in row-major order. If the caller gives the storage away
// (own) it may become the result; otherwise the tensor gets bytes of its own.
// elements has checked that all indices are inside.
func (t tensor) cut(data []byte, own bool) []byte {
	size := t.storage.dtype.Size()
	n := int64(1)
	// Axes of one element say nothing, neighbours that lie in one piece are one:
	// what is left has the fewest and longest runs.
	var shape, stride []int64
	for i, dim := range t.shape {
		n *= dim
		if dim == 1 {
			continue
		}
		if k := len(shape) - 1; k >= 0 && stride[k] == dim*t.stride[i] {
			shape[k] *= dim
			stride[k] = t.stride[i]
			continue
		}
		shape, stride = append(shape, dim), append(stride, t.stride[i])
	}
	if n == 0 {
		return []byte{}
	}
	if len(shape) == 0 {
		shape, stride = []int64{1}, []int64{1}
	}
	inner := len(shape) - 1
	if inner == 0 && stride[0] == 1 {
		from, to := t.offset*size, (t.offset+n)*size
		if own && from == 0 && to == int64(len(data)) {
			return data
		}
		return slices.Clone(data[from:to])
	}
	out := make([]byte, 0, n*size)
	index := make([]int64, inner)
	base := t.offset
	for {
		if stride[inner] == 1 {
			out = append(out, data[base*size:(base+shape[inner])*size]...)
		} else {
			for j := range shape[inner] {
				at := (base + j*stride[inner]) * size
				out = append(out, data[at:at+size]...)
			}
		}
		k := inner - 1
		for ; k >= 0; k-- {
			index[k]++
			base += stride[k]
			if index[k] < shape[k] {
				break
			}
			base -= shape[k] * stride[k]
			index[k] = 0
		}
		if k < 0 {
			return out
		}
	}
}
