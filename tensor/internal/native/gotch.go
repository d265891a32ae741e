//go:build !gotab_libtorch

package native

/*
#cgo CXXFLAGS: -std=c++17 -O2
#include <stdlib.h>

// Compiled by gotch's C layer, which has no Go wrapper for them; that of the last
// reads eight bytes of an int.
extern int at_grad_set_enabled(int);
extern void at_set_num_threads(int);
extern int at_get_num_threads(void);
extern int at_device(void *);
*/
import "C"

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// Floor says what this package stands on.
const Floor = "gotch"

// absent is libtorch's undefined tensor, which stands for an optional operand
// that is not given. It is made once and never freed; it holds no memory.
var absent = libtch.AtNewTensor()

func given(h Handle) libtch.Ctensor {
	if h == nil {
		return absent
	}
	return ct(h)
}

func ct(h Handle) libtch.Ctensor { return libtch.Ctensor(h) }

// lastError reads and clears the message that libtorch left on this thread. It
// must be called on the thread of the failed call, which a worker guarantees.
func lastError() error {
	p := unsafe.Pointer(libtch.GetAndResetLastErr())
	if p == nil {
		return nil
	}
	msg := C.GoString((*C.char)(p))
	C.free(p)
	return failure(msg)
}

// Forget drops a message that a call without an error has left on this thread.
func Forget() { _ = lastError() }

func made(f func(out *libtch.Ctensor)) (Handle, error) {
	var h libtch.Ctensor
	f(&h)
	if err := lastError(); err != nil {
		return nil, err
	}
	return Handle(h), nil
}

// sized returns a shape as gotch wants it: it takes the address of the first
// element, so an empty list needs one that is not read.
func sized(s []int64) ([]int64, int) {
	if len(s) == 0 {
		return []int64{0}, 0
	}
	return s, len(s)
}

func flag(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

const reductionMean = int64(1) // libtorch's number

const keepType = int32(-1) // libtorch's "as the input"

func withScalar(v float64, f func(out *libtch.Ctensor, c libtch.Cscalar)) (Handle, error) {
	c := libtch.AtsFloat(v)
	defer libtch.AtsFree(c)
	return made(func(out *libtch.Ctensor) { f(out, c) })
}

// Free releases a handle.
func Free(h Handle) {
	libtch.AtFree(ct(h))
}

// Defined reports whether the handle is of a tensor, and not of libtorch's undefined one.
func Defined(h Handle) bool {
	return libtch.AtDefined(ct(h))
}

// Shape returns the sizes of the dimensions.
func Shape(h Handle) []int64 {
	n := int(libtch.AtDim(ct(h)))
	s := make([]int64, n, n+1)
	if n > 0 {
		libtch.AtShape(ct(h), unsafe.Pointer(&s[0]))
	}
	return s
}

// ScalarType returns libtorch's number of the element type.
func ScalarType(h Handle) int32 {
	return libtch.AtScalarType(ct(h))
}

// Data returns the address of the first element.
func Data(h Handle) unsafe.Pointer {
	return libtch.AtDataPtr(ct(h))
}

// Device returns -1 for the CPU, the index of a CUDA device, -99 for others.
func Device(h Handle) int {
	return int(C.at_device(unsafe.Pointer(h)))
}

// CUDADevices returns how many CUDA devices libtorch sees.
func CUDADevices() int {
	if !libtch.AtcCudaIsAvailable() {
		return 0
	}
	return int(libtch.AtcCudaDeviceCount())
}

// SetGrad decides whether the calling thread records for Backward.
func SetGrad(on bool) {
	C.at_grad_set_enabled(C.int(flag(on)))
}

// SetThreads sets the number of threads of the calling thread's operations.
func SetThreads(n int) {
	C.at_set_num_threads(C.int(n))
}

// Threads is the number of threads that the calling thread's operations use.
func Threads() int {
	return int(C.at_get_num_threads())
}

// Alias makes one more handle of the same memory.
func Alias(h Handle) (Handle, error) {
	p := libtch.AtShallowClone(ct(h))
	if err := lastError(); err != nil {
		return nil, err
	}
	return Handle(p), nil
}

// CopyInto overwrites dst's values with src's.
func CopyInto(dst, src Handle) error {
	libtch.AtCopy_(ct(dst), ct(src))
	return lastError()
}

// Backward computes the gradients of a scalar.
func Backward(h Handle) error {
	libtch.AtBackward(ct(h), 0, 0)
	return lastError()
}

// Grad returns a handle of what Backward left in a tensor, nil where it left nothing.
func Grad(h Handle) (Handle, error) {
	out, err := made(func(out *libtch.Ctensor) { libtch.AtgGrad(out, ct(h)) })
	if err == nil && !Defined(out) {
		Free(out)
		out = nil
	}
	return out, err
}

// SetRequiresGrad marks a tensor as one that Backward computes a gradient of, or not.
func SetRequiresGrad(h Handle, on bool) error {
	out, err := made(func(out *libtch.Ctensor) { libtch.AtgRequiresGrad_(out, ct(h), flag(on)) })
	if err == nil {
		Free(out) // the in-place form hands out one more handle of the same tensor
	}
	return err
}

// Empty makes a tensor without values.
func Empty(shape []int64, dtype int32, device int) (Handle, error) {
	s, n := sized(shape)
	return made(func(out *libtch.Ctensor) { libtch.AtgEmpty(out, s, n, dtype, int32(device)) })
}

// Full makes a tensor whose elements are all v.
func Full(shape []int64, v float64, dtype int32, device int) (Handle, error) {
	s, n := sized(shape)
	return withScalar(v, func(out *libtch.Ctensor, c libtch.Cscalar) { libtch.AtgFull(out, s, n, c, dtype, int32(device)) })
}

// Eye is the identity matrix.
func Eye(n int64, dtype int32, device int) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgEye(out, n, dtype, int32(device)) })
}

// ToDType converts the element type; copy makes new memory in any case.
func ToDType(x Handle, dtype int32, copy bool) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgToDtype(out, ct(x), dtype, 0, flag(copy)) })
}

func Neg(x Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgNeg(out, ct(x)) })
}

func Abs(x Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgAbs(out, ct(x)) })
}

func Exp(x Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgExp(out, ct(x)) })
}

func Log(x Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgLog(out, ct(x)) })
}

func Sqrt(x Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgSqrt(out, ct(x)) })
}

func Rsqrt(x Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgRsqrt(out, ct(x)) })
}

func Sin(x Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgSin(out, ct(x)) })
}

func Cos(x Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgCos(out, ct(x)) })
}

func Square(x Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgSquare(out, ct(x)) })
}

func Sigmoid(x Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgSigmoid(out, ct(x)) })
}

func Tanh(x Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgTanh(out, ct(x)) })
}

func ReLU(x Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgRelu(out, ct(x)) })
}

func Detach(x Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgDetach(out, ct(x)) })
}

func Contiguous(x Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgContiguous(out, ct(x)) })
}

func Cholesky(x Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgLinalgCholesky(out, ct(x), 0) })
}

func Add(a, b Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgAdd(out, ct(a), ct(b)) })
}

func Sub(a, b Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgSub(out, ct(a), ct(b)) })
}

func Mul(a, b Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgMul(out, ct(a), ct(b)) })
}

func Div(a, b Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgDiv(out, ct(a), ct(b)) })
}

func Maximum(a, b Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgMaximum(out, ct(a), ct(b)) })
}

func Equal(a, b Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgEqTensor(out, ct(a), ct(b)) })
}

func MatMul(a, b Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgMatmul(out, ct(a), ct(b)) })
}

func Bmm(a, b Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgBmm(out, ct(a), ct(b)) })
}

func AddScalar(x Handle, v float64) (Handle, error) {
	return withScalar(v, func(out *libtch.Ctensor, c libtch.Cscalar) { libtch.AtgAddScalar(out, ct(x), c) })
}

func MulScalar(x Handle, v float64) (Handle, error) {
	return withScalar(v, func(out *libtch.Ctensor, c libtch.Cscalar) { libtch.AtgMulScalar(out, ct(x), c) })
}

func ClampMin(x Handle, v float64) (Handle, error) {
	return withScalar(v, func(out *libtch.Ctensor, c libtch.Cscalar) { libtch.AtgClampMin(out, ct(x), c) })
}

func Pow(x Handle, v float64) (Handle, error) {
	return withScalar(v, func(out *libtch.Ctensor, c libtch.Cscalar) { libtch.AtgPowTensorScalar(out, ct(x), c) })
}

func Sum(x Handle, dims []int64, keep bool) (Handle, error) {
	s, n := sized(dims)
	return made(func(out *libtch.Ctensor) { libtch.AtgSumDimIntlist(out, ct(x), s, n, flag(keep), keepType) })
}

func Mean(x Handle, dims []int64, keep bool) (Handle, error) {
	s, n := sized(dims)
	return made(func(out *libtch.Ctensor) { libtch.AtgMeanDim(out, ct(x), s, n, flag(keep), keepType) })
}

func Amax(x Handle, dims []int64, keep bool) (Handle, error) {
	s, n := sized(dims)
	return made(func(out *libtch.Ctensor) { libtch.AtgAmax(out, ct(x), s, n, flag(keep)) })
}

func ArgMax(x Handle, dim int64) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgArgmax(out, ct(x), dim, 0, 0) })
}

func Softmax(x Handle, dim int64) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgSoftmax(out, ct(x), dim, keepType) })
}

func LogSoftmax(x Handle, dim int64) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgLogSoftmax(out, ct(x), dim, keepType) })
}

func CosineSimilarity(a, b Handle, dim int64, eps float64) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgCosineSimilarity(out, ct(a), ct(b), dim, eps) })
}

// TopK returns the k largest or smallest values along dim, sorted, and their indices.
func TopK(x Handle, k, dim int64, largest bool) (values, indices Handle, err error) {
	var h [2]libtch.Ctensor // the C function writes one handle per result, one after the other
	libtch.AtgTopk(&h[0], ct(x), k, dim, flag(largest), 1)
	if err := lastError(); err != nil {
		return nil, nil, err
	}
	return Handle(h[0]), Handle(h[1]), nil
}

func Reshape(x Handle, shape []int64) (Handle, error) {
	s, n := sized(shape)
	return made(func(out *libtch.Ctensor) { libtch.AtgReshape(out, ct(x), s, n) })
}

func Permute(x Handle, dims []int64) (Handle, error) {
	s, n := sized(dims)
	return made(func(out *libtch.Ctensor) { libtch.AtgPermute(out, ct(x), s, n) })
}

func Transpose(x Handle, a, b int64) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgTranspose(out, ct(x), a, b) })
}

func Expand(x Handle, shape []int64) (Handle, error) {
	s, n := sized(shape)
	return made(func(out *libtch.Ctensor) { libtch.AtgExpand(out, ct(x), s, n, 0) })
}

func Narrow(x Handle, dim, start, length int64) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgNarrow(out, ct(x), dim, start, length) })
}

func Select(x Handle, dim, i int64) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgSelect(out, ct(x), dim, i) })
}

func Unsqueeze(x Handle, dim int64) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgUnsqueeze(out, ct(x), dim) })
}

// Cat joins tensors, of which there is at least one, along dim.
func Cat(xs []Handle, dim int64) (Handle, error) {
	hs := make([]libtch.Ctensor, len(xs))
	for i, x := range xs {
		hs[i] = ct(x)
	}
	return made(func(out *libtch.Ctensor) { libtch.AtgCat(out, hs, len(hs), dim) })
}

func IndexSelect(x Handle, dim int64, index Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgIndexSelect(out, ct(x), dim, ct(index)) })
}

func Gather(x Handle, dim int64, index Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgGather(out, ct(x), dim, ct(index), 0) })
}

func Flip(x Handle, dims []int64) (Handle, error) {
	s, n := sized(dims)
	return made(func(out *libtch.Ctensor) { libtch.AtgFlip(out, ct(x), s, n) })
}

func Rot90(x Handle, k, from, to int64) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgRot90(out, ct(x), k, []int64{from, to}, 2) })
}

// SolveLower returns X with L X = B for lower triangular L.
func SolveLower(l, b Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgLinalgSolveTriangular(out, ct(l), ct(b), 0, 1, 0) })
}

// Linear is x W^T + b; b may be nil.
func Linear(x, w, b Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgLinear(out, ct(x), ct(w), given(b)) })
}

// conv2d is libtorch's convolution.
func conv2d(x, w, b Handle, stride, padding, dilation, groups int64) (Handle, error) {
	st, pd, dl := []int64{stride, stride}, []int64{padding, padding}, []int64{dilation, dilation}
	return made(func(out *libtch.Ctensor) {
		libtch.AtgConv2d(out, ct(x), ct(w), given(b), st, 2, pd, 2, dl, 2, groups)
	})
}

// ConvTranspose2d is the transpose of Conv2d; b may be nil.
func ConvTranspose2d(x, w, b Handle, stride, padding, dilation, groups int64) (Handle, error) {
	st, pd, dl := []int64{stride, stride}, []int64{padding, padding}, []int64{dilation, dilation}
	return made(func(out *libtch.Ctensor) {
		libtch.AtgConvTranspose2d(out, ct(x), ct(w), given(b), st, 2, pd, 2, []int64{0, 0}, 2, groups, dl, 2)
	})
}

// BatchNorm normalises each channel of x.
func BatchNorm(x, weight, bias, mean, variance Handle, train bool, momentum, eps float64) (Handle, error) {
	return made(func(out *libtch.Ctensor) {
		libtch.AtgBatchNorm(out, ct(x), ct(weight), ct(bias), ct(mean), ct(variance), flag(train), momentum, eps, 1)
	})
}

// LayerNorm normalises the last dimension, of n.
func LayerNorm(x, weight, bias Handle, n int64, eps float64) (Handle, error) {
	return made(func(out *libtch.Ctensor) {
		libtch.AtgLayerNorm(out, ct(x), []int64{n}, 1, ct(weight), ct(bias), eps, 1)
	})
}

func Embedding(weight, ids Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgEmbedding(out, ct(weight), ct(ids), -1, 0, 0) })
}

func maxPool2d(x Handle, k, stride, padding int64) (Handle, error) {
	return made(func(out *libtch.Ctensor) {
		libtch.AtgMaxPool2d(out, ct(x), []int64{k, k}, 2, []int64{stride, stride}, 2, []int64{padding, padding}, 2, []int64{1, 1}, 2, 0)
	})
}

// AvgPool2d counts the padding.
func AvgPool2d(x Handle, k, stride, padding int64) (Handle, error) {
	return made(func(out *libtch.Ctensor) {
		libtch.AtgAvgPool2d(out, ct(x), []int64{k, k}, 2, []int64{stride, stride}, 2, []int64{padding, padding}, 2, 0, 1, 1, 1)
	})
}

func UpsampleBilinear(x Handle, h, w int64) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgUpsampleBilinear2d(out, ct(x), []int64{h, w}, 2, 0, 0, 1, 0, 1) })
}

func UpsampleNearest(x Handle, h, w int64) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgUpsampleNearest2d(out, ct(x), []int64{h, w}, 2, 0, 1, 0, 1) })
}

// CrossEntropy is the mean over the batch; weight of the classes may be nil.
func CrossEntropy(logits, target, weight Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) {
		libtch.AtgCrossEntropyLoss(out, ct(logits), ct(target), given(weight), reductionMean, -100, 0)
	})
}

// BCEWithLogits is the mean over all entries; positive may be nil.
func BCEWithLogits(logits, target, positive Handle) (Handle, error) {
	return made(func(out *libtch.Ctensor) {
		libtch.AtgBinaryCrossEntropyWithLogits(out, ct(logits), ct(target), absent, given(positive), reductionMean)
	})
}

// AffineGrid is for n pictures of h x w.
func AffineGrid(theta Handle, n, h, w int64) (Handle, error) {
	return made(func(out *libtch.Ctensor) { libtch.AtgAffineGridGenerator(out, ct(theta), []int64{n, 1, h, w}, 4, 0) })
}
