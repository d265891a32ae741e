//go:build gotab_libtorch

package native

/*
#cgo CXXFLAGS: -O2
#cgo LDFLAGS: -lstdc++ -lc10 -ltorch_cpu
#include <stdlib.h>
#include "direct.h"
*/
import "C"

import "unsafe"

// Floor says what this package stands on.
const Floor = "libtorch"

func made(f func(out *unsafe.Pointer) *C.char) (Handle, error) {
	var p unsafe.Pointer
	if err := shimError(f(&p)); err != nil {
		return nil, err
	}
	return Handle(p), nil
}

func up(h Handle) unsafe.Pointer { return unsafe.Pointer(h) }

func cflag(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

// list passes a list of numbers on; C code does not read the address of an empty one.
func list(v []int64) (*C.int64_t, C.int) {
	if len(v) == 0 {
		return nil, 0
	}
	return (*C.int64_t)(unsafe.Pointer(&v[0])), C.int(len(v))
}

// Forget is there for gotch's floor, which may leave a message behind.
func Forget() {}

// Free releases a handle.
func Free(h Handle) {
	C.tab_free(up(h))
}

// Defined reports whether the handle is of a tensor, and not of libtorch's undefined one.
func Defined(h Handle) bool {
	return C.tab_defined(up(h)) != 0
}

// Shape returns the sizes of the dimensions.
func Shape(h Handle) []int64 {
	n := int(C.tab_dim(up(h)))
	s := make([]int64, n)
	if n > 0 {
		C.tab_shape(up(h), (*C.int64_t)(unsafe.Pointer(&s[0])))
	}
	return s
}

// ScalarType returns libtorch's number of the element type.
func ScalarType(h Handle) int32 {
	return int32(C.tab_scalar_type(up(h)))
}

// Data returns the address of the first element.
func Data(h Handle) unsafe.Pointer {
	return C.tab_data(up(h))
}

// Device returns -1 for the CPU, the index of a CUDA device, -99 for others.
func Device(h Handle) int {
	return int(C.tab_device(up(h)))
}

// CUDADevices returns how many CUDA devices libtorch sees.
func CUDADevices() int {
	return int(C.tab_cuda_devices())
}

// SetGrad decides whether the calling thread records for Backward.
func SetGrad(on bool) {
	C.tab_grad_mode(cflag(on))
}

// SetThreads sets the number of threads of the calling thread's operations.
func SetThreads(n int) {
	C.tab_set_threads(C.int(n))
}

// Threads is the number of threads that the calling thread's operations use.
func Threads() int {
	return int(C.tab_get_threads())
}

// Alias makes one more handle of the same memory.
func Alias(h Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_shallow_clone(out, up(h)) })
}

// CopyInto overwrites dst's values with src's.
func CopyInto(dst, src Handle) error {
	return shimError(C.tab_copy_into(up(dst), up(src)))
}

// Backward computes the gradients of a scalar.
func Backward(h Handle) error {
	return shimError(C.tab_backward(up(h)))
}

// Grad returns a handle of what Backward left in a tensor, nil where it left nothing.
func Grad(h Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_grad(out, up(h)) })
}

// SetRequiresGrad marks a tensor as one that Backward computes a gradient of, or not.
func SetRequiresGrad(h Handle, on bool) error {
	return shimError(C.tab_requires_grad(up(h), cflag(on)))
}

// Empty makes a tensor without values.
func Empty(shape []int64, dtype int32, device int) (Handle, error) {
	s, n := list(shape)
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_empty(out, s, n, C.int(dtype), C.int(device)) })
}

// Full makes a tensor whose elements are all v.
func Full(shape []int64, v float64, dtype int32, device int) (Handle, error) {
	s, n := list(shape)
	return made(func(out *unsafe.Pointer) *C.char {
		return C.tab_full(out, s, n, C.double(v), C.int(dtype), C.int(device))
	})
}

// Eye is the identity matrix.
func Eye(n int64, dtype int32, device int) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_eye(out, C.int64_t(n), C.int(dtype), C.int(device)) })
}

// ToDType converts the element type; copy makes new memory in any case.
func ToDType(x Handle, dtype int32, copy bool) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_to_dtype(out, up(x), C.int(dtype), cflag(copy)) })
}

func Neg(x Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 0, up(x)) })
}

func Abs(x Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 1, up(x)) })
}

func Exp(x Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 2, up(x)) })
}

func Log(x Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 3, up(x)) })
}

func Sqrt(x Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 4, up(x)) })
}

func Rsqrt(x Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 5, up(x)) })
}

func Sin(x Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 6, up(x)) })
}

func Cos(x Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 7, up(x)) })
}

func Square(x Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 8, up(x)) })
}

func Sigmoid(x Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 9, up(x)) })
}

func Tanh(x Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 10, up(x)) })
}

func ReLU(x Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 11, up(x)) })
}

func Detach(x Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 12, up(x)) })
}

func Contiguous(x Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 13, up(x)) })
}

func Cholesky(x Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 14, up(x)) })
}

func Add(a, b Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_binary(out, 0, up(a), up(b)) })
}

func Sub(a, b Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_binary(out, 1, up(a), up(b)) })
}

func Mul(a, b Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_binary(out, 2, up(a), up(b)) })
}

func Div(a, b Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_binary(out, 3, up(a), up(b)) })
}

func Maximum(a, b Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_binary(out, 4, up(a), up(b)) })
}

func Equal(a, b Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_binary(out, 5, up(a), up(b)) })
}

func MatMul(a, b Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_binary(out, 6, up(a), up(b)) })
}

func Bmm(a, b Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_binary(out, 7, up(a), up(b)) })
}

func AddScalar(x Handle, v float64) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_with_scalar(out, 0, up(x), C.double(v)) })
}

func MulScalar(x Handle, v float64) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_with_scalar(out, 1, up(x), C.double(v)) })
}

func ClampMin(x Handle, v float64) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_with_scalar(out, 2, up(x), C.double(v)) })
}

func Pow(x Handle, v float64) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_with_scalar(out, 3, up(x), C.double(v)) })
}

func Sum(x Handle, dims []int64, keep bool) (Handle, error) {
	s, n := list(dims)
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_sum(out, up(x), s, n, cflag(keep)) })
}

func Mean(x Handle, dims []int64, keep bool) (Handle, error) {
	s, n := list(dims)
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_mean(out, up(x), s, n, cflag(keep)) })
}

func Amax(x Handle, dims []int64, keep bool) (Handle, error) {
	s, n := list(dims)
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_amax(out, up(x), s, n, cflag(keep)) })
}

func ArgMax(x Handle, dim int64) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_argmax(out, up(x), C.int64_t(dim)) })
}

func Softmax(x Handle, dim int64) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_softmax(out, up(x), C.int64_t(dim)) })
}

func LogSoftmax(x Handle, dim int64) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_log_softmax(out, up(x), C.int64_t(dim)) })
}

func CosineSimilarity(a, b Handle, dim int64, eps float64) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char {
		return C.tab_cosine_similarity(out, up(a), up(b), C.int64_t(dim), C.double(eps))
	})
}

// TopK returns the k largest or smallest values along dim, sorted, and their indices.
func TopK(x Handle, k, dim int64, largest bool) (values, indices Handle, err error) {
	var v, i unsafe.Pointer
	if err := shimError(C.tab_topk(&v, &i, up(x), C.int64_t(k), C.int64_t(dim), cflag(largest))); err != nil {
		return nil, nil, err
	}
	return Handle(v), Handle(i), nil
}

func Reshape(x Handle, shape []int64) (Handle, error) {
	s, n := list(shape)
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_reshape(out, up(x), s, n) })
}

func Permute(x Handle, dims []int64) (Handle, error) {
	s, n := list(dims)
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_permute(out, up(x), s, n) })
}

func Transpose(x Handle, a, b int64) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_transpose(out, up(x), C.int64_t(a), C.int64_t(b)) })
}

func Expand(x Handle, shape []int64) (Handle, error) {
	s, n := list(shape)
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_expand(out, up(x), s, n) })
}

func Narrow(x Handle, dim, start, length int64) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char {
		return C.tab_narrow(out, up(x), C.int64_t(dim), C.int64_t(start), C.int64_t(length))
	})
}

func Select(x Handle, dim, i int64) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_select(out, up(x), C.int64_t(dim), C.int64_t(i)) })
}

func Unsqueeze(x Handle, dim int64) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_unsqueeze(out, up(x), C.int64_t(dim)) })
}

// Cat joins tensors, of which there is at least one, along dim.
func Cat(xs []Handle, dim int64) (Handle, error) {
	hs := make([]unsafe.Pointer, len(xs))
	for i, x := range xs {
		hs[i] = up(x)
	}
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_cat(out, &hs[0], C.int(len(hs)), C.int64_t(dim)) })
}

func IndexSelect(x Handle, dim int64, index Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_index_select(out, up(x), C.int64_t(dim), up(index)) })
}

func Gather(x Handle, dim int64, index Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_gather(out, up(x), C.int64_t(dim), up(index)) })
}

func Flip(x Handle, dims []int64) (Handle, error) {
	s, n := list(dims)
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_flip(out, up(x), s, n) })
}

func Rot90(x Handle, k, from, to int64) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char {
		return C.tab_rot90(out, up(x), C.int64_t(k), C.int64_t(from), C.int64_t(to))
	})
}

// SolveLower returns X with L X = B for lower triangular L.
func SolveLower(l, b Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_solve_lower(out, up(l), up(b)) })
}

// Linear is x W^T + b; b may be nil.
func Linear(x, w, b Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_linear(out, up(x), up(w), up(b)) })
}

// Conv2d convolves x with w and adds b, which may be nil.
func Conv2d(x, w, b Handle, stride, padding, dilation, groups int64) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char {
		return C.tab_conv2d(out, up(x), up(w), up(b), C.int64_t(stride), C.int64_t(padding), C.int64_t(dilation), C.int64_t(groups))
	})
}

// ConvTranspose2d is the transpose of Conv2d; b may be nil.
func ConvTranspose2d(x, w, b Handle, stride, padding, dilation, groups int64) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char {
		return C.tab_conv_transpose2d(out, up(x), up(w), up(b), C.int64_t(stride), C.int64_t(padding), C.int64_t(dilation), C.int64_t(groups))
	})
}

// BatchNorm normalises each channel of x.
func BatchNorm(x, weight, bias, mean, variance Handle, train bool, momentum, eps float64) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char {
		return C.tab_batch_norm(out, up(x), up(weight), up(bias), up(mean), up(variance), cflag(train), C.double(momentum), C.double(eps))
	})
}

// LayerNorm normalises the last dimension, of n.
func LayerNorm(x, weight, bias Handle, n int64, eps float64) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char {
		return C.tab_layer_norm(out, up(x), up(weight), up(bias), C.int64_t(n), C.double(eps))
	})
}

func Embedding(weight, ids Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_embedding(out, up(weight), up(ids)) })
}

func MaxPool2d(x Handle, k, stride, padding int64) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char {
		return C.tab_max_pool2d(out, up(x), C.int64_t(k), C.int64_t(stride), C.int64_t(padding))
	})
}

// AvgPool2d counts the padding.
func AvgPool2d(x Handle, k, stride, padding int64) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char {
		return C.tab_avg_pool2d(out, up(x), C.int64_t(k), C.int64_t(stride), C.int64_t(padding))
	})
}

func UpsampleBilinear(x Handle, h, w int64) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char {
		return C.tab_upsample_bilinear(out, up(x), C.int64_t(h), C.int64_t(w))
	})
}

func UpsampleNearest(x Handle, h, w int64) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char {
		return C.tab_upsample_nearest(out, up(x), C.int64_t(h), C.int64_t(w))
	})
}

// CrossEntropy is the mean over the batch; weight of the classes may be nil.
func CrossEntropy(logits, target, weight Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.tab_cross_entropy(out, up(logits), up(target), up(weight)) })
}

// BCEWithLogits is the mean over all entries; positive may be nil.
func BCEWithLogits(logits, target, positive Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char {
		return C.tab_bce_with_logits(out, up(logits), up(target), up(positive))
	})
}

// AffineGrid is for n pictures of h x w.
func AffineGrid(theta Handle, n, h, w int64) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char {
		return C.tab_affine_grid(out, up(theta), C.int64_t(n), C.int64_t(h), C.int64_t(w))
	})
}
