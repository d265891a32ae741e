// Package native is the floor of package tensor: the functions of libtorch that it
// needs, and nothing else. They stand on the C layer of gotch or, with the build tag
// gotab_libtorch, on libtorch's C++ interface itself (direct.cpp), which compiles
// against every libtorch from 2.1 on. Both have the same functions and results.
//
// A Handle is made by a function and released by Free. A function that returns an
// error returns no handle. Nothing here checks shapes, devices or lifetimes: that is
// tensor's part. Functions must be called on one thread for each Run, because
// libtorch keeps switches for each thread.
package native

/*
#include <stdlib.h>
#include "shim.h"

extern const char *tab_libtorch_version(void);
*/
import "C"

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"
)

// Handle is the address of a C++ at::Tensor; nil stands for none.
type Handle unsafe.Pointer

// ErrOutOfMemory reports that the device (or the host) could not allocate.
var ErrOutOfMemory = errors.New("out of memory")

// shimError takes ownership of a message of our own shim.
func shimError(p *C.char) error {
	if p == nil {
		return nil
	}
	msg := C.GoString(p)
	C.free(unsafe.Pointer(p))
	return failure(msg)
}

// failure turns libtorch's message into an error: the C++ stack below the first line
// is cut and an allocation failure is recognised.
func failure(msg string) error {
	for _, stack := range []string{"\nException raised from", "\nframe #0"} {
		msg, _, _ = strings.Cut(msg, stack)
	}
	msg = strings.TrimSpace(msg)
	low := strings.ToLower(msg)
	if strings.Contains(low, "out of memory") || strings.Contains(low, "can't allocate memory") || strings.Contains(low, "bad_alloc") {
		return fmt.Errorf("%w: %s", ErrOutOfMemory, msg)
	}
	return errors.New(msg)
}

// Version is libtorch's, of the headers that this was compiled with.
func Version() string { return C.GoString(C.tab_libtorch_version()) }

// TryThreads makes n threads, ends them and returns how many there could be.
func TryThreads(n int) int { return int(C.tab_try_threads(C.int(n))) }

// Setup applies what tensor.Settings says to the process.
func Setup(primitives int64, tf32, benchmark, deterministic bool) error {
	C.tab_pool_install()
	C.tab_no_idle_pool()
	return shimError(C.tab_setup(C.int64_t(primitives), cbool(tf32), cbool(benchmark), cbool(deterministic)))
}

// CEnvironment reads a variable as C code of this process sees it.
func CEnvironment(name string) string {
	n := C.CString(name)
	defer C.free(unsafe.Pointer(n))
	return C.GoString(C.getenv(n))
}

// Switches reads what Setup has set, as libtorch holds it.
func Switches() int { return int(C.tab_switches()) }

// UsePool decides where the calling thread's large allocations come from.
func UsePool(on bool) { C.tab_pool_use(cbool(on)) }

// SetDevice makes a CUDA device the calling thread's.
func SetDevice(index int) error { return shimError(C.tab_set_device(C.int(index))) }

// HasOneDNN reports whether this libtorch carries oneDNN, on which the packed
// convolutions of PackConv stand.
func HasOneDNN() bool { return C.tab_has_onednn() != 0 }

// HasBFloat16 reports whether PackConv takes weights in bfloat16: oneDNN is there and the
// processor has AVX512-BF16.
func HasBFloat16() bool { return C.tab_has_bfloat16() != 0 }

// HasAMX reports whether PackConv keeps convolutions in bfloat16 for kernels of ours, on the processor's AMX; oneDNN
// does what they do not serve.
func HasAMX() bool { return C.tab_has_amx() != 0 }

func hp(h Handle) unsafe.Pointer { return unsafe.Pointer(h) }

// shimOut runs a shim function that makes a tensor.
func shimOut(f func(out *unsafe.Pointer) *C.char) (Handle, error) {
	var p unsafe.Pointer
	if err := shimError(f(&p)); err != nil {
		return nil, err
	}
	return Handle(p), nil
}

func ChannelsLast(x Handle) (Handle, error) {
	return shimOut(func(o *unsafe.Pointer) *C.char { return C.tab_channels_last(o, hp(x)) })
}

func IsChannelsLast(x Handle) bool { return C.tab_is_channels_last(hp(x)) != 0 }

func ToDevice(x Handle, device int) (Handle, error) {
	return shimOut(func(o *unsafe.Pointer) *C.char { return C.tab_to_device(o, hp(x), C.int(device)) })
}

func GELU(x Handle) (Handle, error) {
	return shimOut(func(o *unsafe.Pointer) *C.char { return C.tab_gelu(o, hp(x)) })
}

func LeakyReLU(x Handle, slope float64) (Handle, error) {
	return shimOut(func(o *unsafe.Pointer) *C.char { return C.tab_leaky_relu(o, hp(x), C.double(slope)) })
}

// Mahalanobis returns |L (x-mean)| for x [n, P, C] and packed lower triangular L, [n, P].
func Mahalanobis(x, mean, factor Handle) (Handle, error) {
	return shimOut(func(o *unsafe.Pointer) *C.char { return C.tab_mahalanobis(o, hp(x), hp(mean), hp(factor)) })
}

// MahalanobisMaps is Mahalanobis of the channels of maps [n, C_k, H_k, W_k], one list for each.
func MahalanobisMaps(maps []Handle, channels [][]int64, mean, factor Handle) (Handle, error) {
	hs := make([]unsafe.Pointer, len(maps))
	counts := make([]C.int64_t, len(maps))
	var all []C.int64_t
	for i, m := range maps {
		hs[i], counts[i] = hp(m), C.int64_t(len(channels[i]))
		for _, c := range channels[i] {
			all = append(all, C.int64_t(c))
		}
	}
	return shimOut(func(o *unsafe.Pointer) *C.char {
		return C.tab_mahalanobis_maps(o, &hs[0], C.int(len(hs)), &all[0], &counts[0], hp(mean), hp(factor))
	})
}

// MaxPool2d takes the kernel of pool.cpp where that serves, and libtorch's elsewhere.
func MaxPool2d(x Handle, k, stride, padding int64) (Handle, error) {
	out, err := shimOut(func(o *unsafe.Pointer) *C.char {
		return C.tab_max_pool_last(o, hp(x), C.int64_t(k), C.int64_t(stride), C.int64_t(padding))
	})
	if err != nil || out != nil {
		return out, err
	}
	return maxPool2d(x, k, stride, padding)
}

// ScatterLower adds the lower halves of x_p x_p^T, x [n, P, C], to packed sums.
func ScatterLower(sums, x Handle) error { return shimError(C.tab_scatter_lower(hp(sums), hp(x))) }

// Halve parts the values of x [P, R] into halves, which take their place: [P, 2, R] bfloat16.
func Halve(x Handle) (Handle, error) {
	return shimOut(func(o *unsafe.Pointer) *C.char { return C.tab_halve(o, hp(x)) })
}

// Join makes values of halves.
func Join(x Handle) (Handle, error) {
	return shimOut(func(o *unsafe.Pointer) *C.char { return C.tab_join(o, hp(x)) })
}

// PackLower packs float32 triangles of k rows into to. rows has as many as to has positions, at least one; nothing here checks that.
func PackLower(to Handle, rows []byte, k int) error {
	return shimError(C.tab_pack_lower(hp(to), unsafe.Pointer(&rows[0]), C.int64_t(k)))
}

// RowLeads is how many values of a row Lower wants in leads too, for eight rows side by side.
const RowLeads = 16

// Lower brings a squared distance of x down to that of the nearest of rows from to n-1 of k values, k of RowLeads or more, and
// returns how far it came before that was below enough. rows and leads are as long as n says; nothing here checks that.
func Lower(x, rows, leads []float32, k, from, n int, bound, enough float32) (float32, int) {
	at := C.int64_t(from)
	bound = float32(C.tab_lower((*C.float)(&x[0]), (*C.float)(&rows[0]), (*C.float)(&leads[0]), C.int64_t(k), &at, C.int64_t(n), C.float(bound), C.float(enough)))
	return bound, int(at)
}

// Nearest returns the squared distances of rows of q to their nearest rows of bank, and which these are.
func Nearest(q, bank, axes, low, half Handle, exact bool) (dist, at Handle, err error) {
	var d, a unsafe.Pointer
	if err := shimError(C.tab_nearest(&d, &a, hp(q), hp(bank), hp(axes), hp(low), hp(half), cbool(exact))); err != nil {
		return nil, nil, err
	}
	return Handle(d), Handle(a), nil
}

func GridSample(x, grid Handle) (Handle, error) {
	return shimOut(func(o *unsafe.Pointer) *C.char { return C.tab_grid_sample(o, hp(x), hp(grid)) })
}

func Norm(x Handle, dim int64) (Handle, error) {
	return shimOut(func(o *unsafe.Pointer) *C.char { return C.tab_norm(o, hp(x), C.int64_t(dim)) })
}

func Axpy(y, x Handle, alpha float64) error {
	return shimError(C.tab_axpy(hp(y), hp(x), C.double(alpha)))
}

func Scale(x Handle, alpha float64) error {
	return shimError(C.tab_scale(hp(x), C.double(alpha)))
}

func SumSquares(x Handle) (sum float64, finite bool, err error) {
	var s C.double
	var ok C.int
	err = shimError(C.tab_sum_squares(hp(x), &s, &ok))
	return float64(s), ok != 0, err
}

// SGD moves p, and buf where there is momentum. scratch may be null where
// there is neither decay nor Nesterov's step, buf and momentum where there is none.
func SGD(p, grad, buf, scratch, momentum Handle, first bool, lr, m, dampening, decay float64, nesterov bool) error {
	return shimError(C.tab_sgd(hp(p), hp(grad), hp(buf), hp(scratch), hp(momentum), cbool(first), C.double(lr),
		C.double(m), C.double(dampening), C.double(decay), cbool(nesterov)))
}

// Adam moves p, m and v; keep is null for Adam with coupled decay.
func Adam(p, grad, m, v, scratch, keep, beta2, root, eps Handle, step, lr, b1, b2, decay float64) error {
	return shimError(C.tab_adam(hp(p), hp(grad), hp(m), hp(v), hp(scratch), hp(keep), hp(beta2), hp(root), hp(eps),
		C.double(step), C.double(lr), C.double(b1), C.double(b2), C.double(decay)))
}

func Scalar(like Handle, v float64) (Handle, error) {
	return shimOut(func(o *unsafe.Pointer) *C.char { return C.tab_scalar(o, hp(like), C.double(v)) })
}

func ViewAs(bytes, like Handle) (Handle, error) {
	return shimOut(func(o *unsafe.Pointer) *C.char { return C.tab_view_as(o, hp(bytes), hp(like)) })
}

func SameLayout(x, like Handle) bool { return C.tab_same_layout(hp(x), hp(like)) != 0 }

func PackConv(w Handle, stride, padding, groups int64, input [4]int64) (Handle, error) {
	return shimOut(func(o *unsafe.Pointer) *C.char {
		return C.tab_pack_conv(o, hp(w), C.int64_t(stride), C.int64_t(padding), C.int64_t(groups),
			(*C.int64_t)(unsafe.Pointer(&input[0])))
	})
}

func ConvFused(x, w, b Handle, stride, padding, groups int64, relu bool) (Handle, error) {
	return shimOut(func(o *unsafe.Pointer) *C.char {
		return C.tab_conv_fused(o, hp(x), hp(w), hp(b), C.int64_t(stride), C.int64_t(padding), C.int64_t(groups), cbool(relu))
	})
}

func ConvAddReLU(other, x, w, b Handle, stride, padding, groups int64) error {
	return shimError(C.tab_conv_add_relu(hp(other), hp(x), hp(w), hp(b), C.int64_t(stride), C.int64_t(padding), C.int64_t(groups)))
}

// Conv2d convolves x with w and adds b, which may be nil: by a kernel of ours where that serves the convolution, else by libtorch's.
func Conv2d(x, w, b Handle, stride, padding, dilation, groups int64) (Handle, error) {
	if b == nil {
		var out unsafe.Pointer
		err := shimError(C.tab_conv_filtered(&out, hp(x), hp(w), C.int64_t(stride), C.int64_t(padding), C.int64_t(dilation), C.int64_t(groups)))
		if err != nil || out != nil {
			return Handle(out), err
		}
	}
	return conv2d(x, w, b, stride, padding, dilation, groups)
}

// ConvFiltered is how often a kernel of ours served Conv2d in this process.
func ConvFiltered() int64 { return int64(C.tab_conv_filtered_count()) }

// ConvPacks is how often a weight was packed in this process, ConvShapes for how
// many problems oneDNN was asked for a layout.
func ConvPacks() int64 { return int64(C.tab_conv_packs()) }

func ConvShapes() int64 { return int64(C.tab_conv_shapes()) }

// ConvLayouts is how many layouts a packed weight has.
func ConvLayouts(w Handle) (int64, error) {
	var n C.int64_t
	err := shimError(C.tab_conv_layouts(&n, hp(w)))
	return int64(n), err
}

// ConvKeep sets how many layouts a weight keeps and returns how many it was.
func ConvKeep(n int64) int64 { return int64(C.tab_conv_keep(C.int64_t(n))) }

// ConvOwn reports whether a kernel of this package serves a packed weight, and not oneDNN's.
func ConvOwn(w Handle) (bool, error) {
	var own C.int
	err := shimError(C.tab_conv_own(&own, hp(w)))
	return own != 0, err
}

// ConvLanes sets the most floats in a register that this package's kernels take, 0 for no kernel, and returns how many
// they were. A weight that was packed for them cannot be used while there is none. It is for tests.
func ConvLanes(most int) int { return int(C.tab_conv_lanes(C.int(most))) }

func Baddbmm(acc, a, b Handle, beta float64) error {
	return shimError(C.tab_baddbmm_into(hp(acc), hp(a), hp(b), C.double(beta)))
}

func cbool(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

func ClearGrad(x Handle) error { return shimError(C.tab_clear_grad(hp(x))) }

func Increment(x Handle) error { return shimError(C.tab_increment(hp(x))) }

func ReLUInto(x Handle) error { return shimError(C.tab_relu_into(hp(x))) }

func LeakyReLUInto(x Handle, slope float64) error {
	return shimError(C.tab_leaky_relu_into(hp(x), C.double(slope)))
}

func AddInto(x, y Handle) error { return shimError(C.tab_add_into(hp(x), hp(y))) }

func PoolKept() int64 { return int64(C.tab_pool_kept()) }

func PoolClear() { C.tab_pool_clear() }

func WatchAllocations(from int64) { C.tab_watch_allocations(1, C.int64_t(from)) }

func StopAllocations() int64 {
	n := int64(C.tab_allocations_seen())
	C.tab_watch_allocations(0, 0)
	return n
}
