package torchfile

import (
	"fmt"
	"math"
	"slices"

	"github.com/gotab/gotab/internal/safetensors"
)

// view makes a tensor of the arguments of _rebuild_tensor(_v2): storage, offset,
// shape, stride and, of no interest here, whether it needs gradients.
func view(args tuple) (tensor, error) {
	if len(args) < 4 {
		return tensor{}, fmt.Errorf("%w: a tensor of %d arguments", ErrFormat, len(args))
	}
	s, ok1 := args[0].(storage)
	offset, ok2 := args[1].(int64)
	shape, ok3 := ints(args[2])
	stride, ok4 := ints(args[3])
	if !ok1 || !ok2 || !ok3 || !ok4 || offset < 0 || len(shape) != len(stride) {
		return tensor{}, fmt.Errorf("%w: a tensor of %s, offset %v, shape %v, stride %v", ErrFormat, kind(args[0]), args[1], shape, stride)
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

// tensors reads the storages and cuts the tensors out of them. All sizes are
// checked before the first storage is read.
func (a *archive) tensors(d *dict) ([]safetensors.Tensor, error) {
	uses := map[string]int{} // by storage key, so that a storage is let go after its last tensor
	limit := max(minTensors, maxGrowth*a.size)
	var total, stored int64
	for i, v := range d.values {
		name, ok := d.keys[i].(string)
		if !ok {
			return nil, fmt.Errorf("%w: a key is %s, not a string", ErrFormat, kind(d.keys[i]))
		}
		t, ok := v.(tensor)
		if !ok {
			return nil, fmt.Errorf("%w: %q is %s, not a tensor", ErrFormat, short(name), kind(v))
		}
		n, err := t.elements()
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", short(name), err)
		}
		size := t.storage.dtype.Size()
		if n > (limit-total)/size {
			return nil, fmt.Errorf("%w: up to tensor %q of shape %v the tensors take more than %d bytes, in a file of %d", ErrFormat, short(name), t.shape, limit, a.size)
		}
		total += n * size
		f, err := a.find("data/" + t.storage.key)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", short(name), err)
		}
		// Divided, not multiplied: the claim may be any number.
		if t.storage.count > int64(f.UncompressedSize64)/size {
			return nil, fmt.Errorf("%w: tensor %q: its storage claims %d elements of %d bytes, the archive has %d bytes", ErrFormat, short(name), t.storage.count, size, f.UncompressedSize64)
		}
		if uses[t.storage.key] == 0 {
			if stored += int64(f.UncompressedSize64); stored > a.size {
				return nil, fmt.Errorf("%w: up to tensor %q the storages take %d bytes, in a file of %d", ErrFormat, short(name), stored, a.size)
			}
		}
		uses[t.storage.key]++
	}

	loaded := map[string][]byte{}
	out := make([]safetensors.Tensor, len(d.values))
	for i, v := range d.values {
		t, key := v.(tensor), v.(tensor).storage.key
		data := loaded[key]
		if data == nil {
			var err error
			if data, err = a.read("data/"+key, a.size); err != nil {
				return nil, fmt.Errorf("tensor %q: %w", short(d.keys[i].(string)), err)
			}
			loaded[key] = data
		}
		uses[key]--
		if uses[key] == 0 {
			delete(loaded, key)
		}
		out[i] = safetensors.Tensor{
			Name:  d.keys[i].(string),
			DType: t.storage.dtype,
			Shape: t.shape,
			Data:  t.cut(data, uses[key] == 0),
		}
	}
	return out, nil
}

// cut returns the elements in row-major order. If the storage has no other user
// it may become the result; otherwise every tensor gets bytes of its own. elements
// has checked that all indices are inside.
func (t tensor) cut(data []byte, last bool) []byte {
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
		if last && from == 0 && to == int64(len(data)) {
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
