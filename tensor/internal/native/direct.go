//go:build gotab_libtorch

package native

/*
#include <stdlib.h>
#include "direct.h"
*/
import "C"

import "unsafe"

// Floor says what this package stands on.
const Floor = "libtorch"

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
	C.tab_free(hp(h))
}

// Defined reports whether the handle is of a tensor, and not of libtorch's undefined one.
func Defined(h Handle) bool {
	return C.tab_defined(hp(h)) != 0
}

// Shape returns the sizes of the dimensions.
func Shape(h Handle) []int64 {
	n := int(C.tab_dim(hp(h)))
	s := make([]int64, n)
	if n > 0 {
		C.tab_shape(hp(h), (*C.int64_t)(unsafe.Pointer(&s[0])))
	}
	return s
}

// ScalarType returns libtorch's number of the element type.
func ScalarType(h Handle) int32 {
	return int32(C.tab_scalar_type(hp(h)))
}

// Data returns the address of the first element.
func Data(h Handle) unsafe.Pointer {
	return C.tab_data(hp(h))
}

// Device returns -1 for the CPU, the index of a CUDA device, -99 for others.
func Device(h Handle) int {
	return int(C.tab_device(hp(h)))
}

// CUDADevices returns how many CUDA devices libtorch sees.
func CUDADevices() int {
	return int(C.tab_cuda_devices())
}

// SetGrad decides whether the calling thread records for Backward.
func SetGrad(on bool) {
	C.tab_grad_mode(cbool(on))
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
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_shallow_clone(out, hp(h)) })
}

// CopyInto overwrites dst's values with src's.
func CopyInto(dst, src Handle) error {
	return shimError(C.tab_copy_into(hp(dst), hp(src)))
}

// Backward computes the gradients of a scalar.
func Backward(h Handle) error {
	return shimError(C.tab_backward(hp(h)))
}

// Grad returns a handle of what Backward left in a tensor, nil where it left nothing.
func Grad(h Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_grad(out, hp(h)) })
}

// SetRequiresGrad marks a tensor as one that Backward computes a gradient of, or not.
func SetRequiresGrad(h Handle, on bool) error {
	return shimError(C.tab_requires_grad(hp(h), cbool(on)))
}

// Empty makes a tensor without values.
func Empty(shape []int64, dtype int32, device int) (Handle, error) {
	s, n := list(shape)
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_empty(out, s, n, C.int(dtype), C.int(device)) })
}

// Full makes a tensor whose elements are all v.
func Full(shape []int64, v float64, dtype int32, device int) (Handle, error) {
	s, n := list(shape)
	return shimOut(func(out *unsafe.Pointer) *C.char {
		return C.tab_full(out, s, n, C.double(v), C.int(dtype), C.int(device))
	})
}

// Eye is the identity matrix.
func Eye(n int64, dtype int32, device int) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_eye(out, C.int64_t(n), C.int(dtype), C.int(device)) })
}

// ToDType converts the element type; copy makes new memory in any case.
func ToDType(x Handle, dtype int32, copy bool) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_to_dtype(out, hp(x), C.int(dtype), cbool(copy)) })
}

func Neg(x Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 0, hp(x)) })
}

func Abs(x Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 1, hp(x)) })
}

func Exp(x Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 2, hp(x)) })
}

func Log(x Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 3, hp(x)) })
}

func Sqrt(x Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 4, hp(x)) })
}

func Rsqrt(x Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 5, hp(x)) })
}

func Sin(x Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 6, hp(x)) })
}

func Cos(x Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 7, hp(x)) })
}

func Square(x Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 8, hp(x)) })
}

func Sigmoid(x Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 9, hp(x)) })
}

func Tanh(x Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 10, hp(x)) })
}

func ReLU(x Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 11, hp(x)) })
}

func Detach(x Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 12, hp(x)) })
}

func Contiguous(x Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 13, hp(x)) })
}

func Cholesky(x Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_unary(out, 14, hp(x)) })
}

func Add(a, b Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_binary(out, 0, hp(a), hp(b)) })
}

func Sub(a, b Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_binary(out, 1, hp(a), hp(b)) })
}

func Mul(a, b Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_binary(out, 2, hp(a), hp(b)) })
}

func Div(a, b Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_binary(out, 3, hp(a), hp(b)) })
}

func Maximum(a, b Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_binary(out, 4, hp(a), hp(b)) })
}

func Equal(a, b Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_binary(out, 5, hp(a), hp(b)) })
}

func MatMul(a, b Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_binary(out, 6, hp(a), hp(b)) })
}

func Bmm(a, b Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_binary(out, 7, hp(a), hp(b)) })
}

func AddScalar(x Handle, v float64) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_with_scalar(out, 0, hp(x), C.double(v)) })
}

func MulScalar(x Handle, v float64) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_with_scalar(out, 1, hp(x), C.double(v)) })
}

func ClampMin(x Handle, v float64) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_with_scalar(out, 2, hp(x), C.double(v)) })
}

func Pow(x Handle, v float64) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_with_scalar(out, 3, hp(x), C.double(v)) })
}

func Sum(x Handle, dims []int64, keep bool) (Handle, error) {
	s, n := list(dims)
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_sum(out, hp(x), s, n, cbool(keep)) })
}

func Mean(x Handle, dims []int64, keep bool) (Handle, error) {
	s, n := list(dims)
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_mean(out, hp(x), s, n, cbool(keep)) })
}

func Amax(x Handle, dims []int64, keep bool) (Handle, error) {
	s, n := list(dims)
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_amax(out, hp(x), s, n, cbool(keep)) })
}

func ArgMax(x Handle, dim int64) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_argmax(out, hp(x), C.int64_t(dim)) })
}

func Softmax(x Handle, dim int64) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_softmax(out, hp(x), C.int64_t(dim)) })
}

func LogSoftmax(x Handle, dim int64) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_log_softmax(out, hp(x), C.int64_t(dim)) })
}

func CosineSimilarity(a, b Handle, dim int64, eps float64) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char {
		return C.tab_cosine_similarity(out, hp(a), hp(b), C.int64_t(dim), C.double(eps))
	})
}

// TopK returns the k largest or smallest values along dim, sorted, and their indices.
func TopK(x Handle, k, dim int64, largest bool) (values, indices Handle, err error) {
	var v, i unsafe.Pointer
	if err := shimError(C.tab_topk(&v, &i, hp(x), C.int64_t(k), C.int64_t(dim), cbool(largest))); err != nil {
		return nil, nil, err
	}
	return Handle(v), Handle(i), nil
}

func Reshape(x Handle, shape []int64) (Handle, error) {
	s, n := list(shape)
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_reshape(out, hp(x), s, n) })
}

func Permute(x Handle, dims []int64) (Handle, error) {
	s, n := list(dims)
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_permute(out, hp(x), s, n) })
}

func Transpose(x Handle, a, b int64) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_transpose(out, hp(x), C.int64_t(a), C.int64_t(b)) })
}

func Expand(x Handle, shape []int64) (Handle, error) {
	s, n := list(shape)
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_expand(out, hp(x), s, n) })
}

func Narrow(x Handle, dim, start, length int64) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char {
		return C.tab_narrow(out, hp(x), C.int64_t(dim), C.int64_t(start), C.int64_t(length))
	})
}

func Select(x Handle, dim, i int64) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_select(out, hp(x), C.int64_t(dim), C.int64_t(i)) })
}

func Unsqueeze(x Handle, dim int64) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_unsqueeze(out, hp(x), C.int64_t(dim)) })
}

// Cat joins tensors, of which there is at least one, along dim.
func Cat(xs []Handle, dim int64) (Handle, error) {
	hs := make([]unsafe.Pointer, len(xs))
	for i, x := range xs {
		hs[i] = hp(x)
	}
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_cat(out, &hs[0], C.int(len(hs)), C.int64_t(dim)) })
}

func IndexSelect(x Handle, dim int64, index Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_index_select(out, hp(x), C.int64_t(dim), hp(index)) })
}

func Gather(x Handle, dim int64, index Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_gather(out, hp(x), C.int64_t(dim), hp(index)) })
}

func Flip(x Handle, dims []int64) (Handle, error) {
	s, n := list(dims)
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_flip(out, hp(x), s, n) })
}

func Rot90(x Handle, k, from, to int64) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char {
		return C.tab_rot90(out, hp(x), C.int64_t(k), C.int64_t(from), C.int64_t(to))
	})
}

// SolveLower returns X with L X = B for lower triangular L.
func SolveLower(l, b Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_solve_lower(out, hp(l), hp(b)) })
}

// Linear is x W^T + b; b may be nil.
func Linear(x, w, b Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_linear(out, hp(x), hp(w), hp(b)) })
}

// conv2d is libtorch's convolution.
func conv2d(x, w, b Handle, stride, padding, dilation, groups int64) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char {
		return C.tab_conv2d(out, hp(x), hp(w), hp(b), C.int64_t(stride), C.int64_t(padding), C.int64_t(dilation), C.int64_t(groups))
	})
}

// ConvTranspose2d is the transpose of Conv2d; b may be nil.
func ConvTranspose2d(x, w, b Handle, stride, padding, dilation, groups int64) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char {
		return C.tab_conv_transpose2d(out, hp(x), hp(w), hp(b), C.int64_t(stride), C.int64_t(padding), C.int64_t(dilation), C.int64_t(groups))
	})
}

// BatchNorm normalises each channel of x.
func BatchNorm(x, weight, bias, mean, variance Handle, train bool, momentum, eps float64) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char {
		return C.tab_batch_norm(out, hp(x), hp(weight), hp(bias), hp(mean), hp(variance), cbool(train), C.double(momentum), C.double(eps))
	})
}

// LayerNorm normalises the last dimension, of n.
func LayerNorm(x, weight, bias Handle, n int64, eps float64) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char {
		return C.tab_layer_norm(out, hp(x), hp(weight), hp(bias), C.int64_t(n), C.double(eps))
	})
}

func Embedding(weight, ids Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_embedding(out, hp(weight), hp(ids)) })
}

func maxPool2d(x Handle, k, stride, padding int64) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char {
		return C.tab_max_pool2d(out, hp(x), C.int64_t(k), C.int64_t(stride), C.int64_t(padding))
	})
}

// AvgPool2d counts the padding.
func AvgPool2d(x Handle, k, stride, padding int64) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char {
		return C.tab_avg_pool2d(out, hp(x), C.int64_t(k), C.int64_t(stride), C.int64_t(padding))
	})
}

func UpsampleBilinear(x Handle, h, w int64) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char {
		return C.tab_upsample_bilinear(out, hp(x), C.int64_t(h), C.int64_t(w))
	})
}

func UpsampleNearest(x Handle, h, w int64) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char {
		return C.tab_upsample_nearest(out, hp(x), C.int64_t(h), C.int64_t(w))
	})
}

// CrossEntropy is the mean over the batch; weight of the classes may be nil.
func CrossEntropy(logits, target, weight Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char { return C.tab_cross_entropy(out, hp(logits), hp(target), hp(weight)) })
}

// BCEWithLogits is the mean over all entries; positive may be nil.
func BCEWithLogits(logits, target, positive Handle) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char {
		return C.tab_bce_with_logits(out, hp(logits), hp(target), hp(positive))
	})
}

// AffineGrid is for n pictures of h x w.
func AffineGrid(theta Handle, n, h, w int64) (Handle, error) {
	return shimOut(func(out *unsafe.Pointer) *C.char {
		return C.tab_affine_grid(out, hp(theta), C.int64_t(n), C.int64_t(h), C.int64_t(w))
	})
}
