package tensor

/*
#cgo CXXFLAGS: -std=c++17 -O2
#include <stdlib.h>
#include "shim.h"

// Compiled by gotch's C layer, which has no Go wrapper for them; that of the last
// reads eight bytes of an int.
extern int at_grad_set_enabled(int);
extern void at_set_num_threads(int);
extern int at_get_num_threads(void);
extern int at_device(void *);
*/
import "C"

import (
	"errors"
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// lastError reads and clears the message that libtorch left on this thread. It
// must be called on the thread of the failed call, which a worker guarantees.
func lastError() error {
	p := unsafe.Pointer(libtch.GetAndResetLastErr())
	if p == nil {
		return nil
	}
	msg := C.GoString((*C.char)(p))
	C.free(p)
	return nativeError(msg)
}

// shimError takes ownership of a message of our own shim.
func shimError(p *C.char) error {
	if p == nil {
		return nil
	}
	msg := C.GoString(p)
	C.free(unsafe.Pointer(p))
	return nativeError(msg)
}

func setGrad(on bool) {
	v := C.int(0)
	if on {
		v = 1
	}
	C.at_grad_set_enabled(v)
}

func setOpThreads(n int) { C.at_set_num_threads(C.int(n)) }

// opThreads is the number of threads that the calling thread's operations use.
func opThreads() int { return int(C.at_get_num_threads()) }

// tryThreads makes n threads, ends them and returns how many there could be.
func tryThreads(n int) int { return int(C.tab_try_threads(C.int(n))) }

// setup applies settings to the process.
func setup(c Settings) error {
	C.tab_pool_install()
	C.tab_no_idle_pool()
	return shimError(C.tab_setup(C.int64_t(c.Primitives), cbool(c.TF32), cbool(c.CuDNNBenchmark), cbool(!c.CuDNNNondeterministic)))
}

// cEnvironment reads a variable as C code of this process sees it.
func cEnvironment(name string) string {
	n := C.CString(name)
	defer C.free(unsafe.Pointer(n))
	return C.GoString(C.getenv(n))
}

// switches reads what setup has set, as libtorch holds it.
func switches() int { return int(C.tab_switches()) }

// usePool decides where the calling thread's large allocations come from.
func usePool(on bool) { C.tab_pool_use(cbool(on)) }

func setDevice(d Device) error {
	if !d.cuda {
		return nil
	}
	if err := d.check(); err != nil {
		return err
	}
	if err := shimError(C.tab_set_device(C.int(d.index))); err != nil {
		return errors.Join(ErrDevice, err)
	}
	return nil
}

// HasOneDNN reports whether this libtorch carries oneDNN, on which the packed
// convolutions of [Scope.PackConv] stand.
func HasOneDNN() bool { return C.tab_has_onednn() != 0 }

// nativeDevice is gotch's number of a tensor's device: -1 for the CPU, the index
// of a CUDA device, -99 for others.
func nativeDevice(h libtch.Ctensor) int { return int(C.at_device(hp(h))) }

func hp(h libtch.Ctensor) unsafe.Pointer { return unsafe.Pointer(h) }

// shimOut runs a shim function that makes a tensor.
func shimOut(out *libtch.Ctensor, f func(out *unsafe.Pointer) *C.char) error {
	var p unsafe.Pointer
	if err := shimError(f(&p)); err != nil {
		return err
	}
	*out = libtch.Ctensor(p)
	return nil
}

func nativeChannelsLast(out *libtch.Ctensor, x libtch.Ctensor) error {
	return shimOut(out, func(o *unsafe.Pointer) *C.char { return C.tab_channels_last(o, hp(x)) })
}

func nativeIsChannelsLast(x libtch.Ctensor) bool { return C.tab_is_channels_last(hp(x)) != 0 }

func nativeToDevice(out *libtch.Ctensor, x libtch.Ctensor, d Device) error {
	return shimOut(out, func(o *unsafe.Pointer) *C.char { return C.tab_to_device(o, hp(x), C.int(d.code())) })
}

func nativeGELU(out *libtch.Ctensor, x libtch.Ctensor) error {
	return shimOut(out, func(o *unsafe.Pointer) *C.char { return C.tab_gelu(o, hp(x)) })
}

func nativeLeakyReLU(out *libtch.Ctensor, x libtch.Ctensor, slope float64) error {
	return shimOut(out, func(o *unsafe.Pointer) *C.char { return C.tab_leaky_relu(o, hp(x), C.double(slope)) })
}

func nativeGridSample(out *libtch.Ctensor, x, grid libtch.Ctensor) error {
	return shimOut(out, func(o *unsafe.Pointer) *C.char { return C.tab_grid_sample(o, hp(x), hp(grid)) })
}

func nativeNorm(out *libtch.Ctensor, x libtch.Ctensor, dim int64) error {
	return shimOut(out, func(o *unsafe.Pointer) *C.char { return C.tab_norm(o, hp(x), C.int64_t(dim)) })
}

func nativeAxpy(y, x libtch.Ctensor, alpha float64) error {
	return shimError(C.tab_axpy(hp(y), hp(x), C.double(alpha)))
}

func nativeScale(x libtch.Ctensor, alpha float64) error {
	return shimError(C.tab_scale(hp(x), C.double(alpha)))
}

func nativeSumSquares(x libtch.Ctensor) (sum float64, finite bool, err error) {
	var s C.double
	var ok C.int
	err = shimError(C.tab_sum_squares(hp(x), &s, &ok))
	return float64(s), ok != 0, err
}

// nativeSGD moves p, and buf where there is momentum. scratch may be null where
// there is neither decay nor Nesterov's step, buf and momentum where there is none.
func nativeSGD(p, grad, buf, scratch, momentum libtch.Ctensor, first bool, lr float64, c SGDConfig) error {
	return shimError(C.tab_sgd(hp(p), hp(grad), hp(buf), hp(scratch), hp(momentum), cbool(first), C.double(lr),
		C.double(c.Momentum), C.double(c.Dampening), C.double(c.WeightDecay), cbool(c.Nesterov)))
}

// nativeAdam moves p, m and v; keep is null for Adam with coupled decay.
func nativeAdam(p, grad, m, v, scratch, keep, beta2, root, eps libtch.Ctensor, step, lr float64, c AdamWConfig) error {
	return shimError(C.tab_adam(hp(p), hp(grad), hp(m), hp(v), hp(scratch), hp(keep), hp(beta2), hp(root), hp(eps),
		C.double(step), C.double(lr), C.double(c.Beta1), C.double(c.Beta2), C.double(c.WeightDecay)))
}

func nativeScalar(out *libtch.Ctensor, like libtch.Ctensor, v float64) error {
	return shimOut(out, func(o *unsafe.Pointer) *C.char { return C.tab_scalar(o, hp(like), C.double(v)) })
}

func nativeViewAs(out *libtch.Ctensor, bytes, like libtch.Ctensor) error {
	return shimOut(out, func(o *unsafe.Pointer) *C.char { return C.tab_view_as(o, hp(bytes), hp(like)) })
}

func nativeSameLayout(x, like libtch.Ctensor) bool { return C.tab_same_layout(hp(x), hp(like)) != 0 }

func nativePackConv(out *libtch.Ctensor, w libtch.Ctensor, c Conv, input []int64) error {
	return shimOut(out, func(o *unsafe.Pointer) *C.char {
		return C.tab_pack_conv(o, hp(w), C.int64_t(c.Stride), C.int64_t(c.Padding), C.int64_t(c.Groups),
			(*C.int64_t)(unsafe.Pointer(&input[0])))
	})
}

func nativeConvFused(out *libtch.Ctensor, x, w, b libtch.Ctensor, c Conv, relu bool) error {
	return shimOut(out, func(o *unsafe.Pointer) *C.char {
		return C.tab_conv_fused(o, hp(x), hp(w), hp(b), C.int64_t(c.Stride), C.int64_t(c.Padding), C.int64_t(c.Groups), cbool(relu))
	})
}

func nativeConvAddReLU(other, x, w, b libtch.Ctensor, c Conv) error {
	return shimError(C.tab_conv_add_relu(hp(other), hp(x), hp(w), hp(b), C.int64_t(c.Stride), C.int64_t(c.Padding), C.int64_t(c.Groups)))
}

// convPacks is how often a weight was packed in this process, convShapes for how
// many problems oneDNN was asked for a layout.
func convPacks() int64 { return int64(C.tab_conv_packs()) }

func convShapes() int64 { return int64(C.tab_conv_shapes()) }

// convLayouts is how many layouts a packed weight has.
func convLayouts(w libtch.Ctensor) (int64, error) {
	var n C.int64_t
	err := shimError(C.tab_conv_layouts(&n, hp(w)))
	return int64(n), err
}

// convKeep sets how many layouts a weight keeps and returns how many it was.
func convKeep(n int64) int64 { return int64(C.tab_conv_keep(C.int64_t(n))) }

func nativeBaddbmm(acc, a, b libtch.Ctensor, beta float64) error {
	return shimError(C.tab_baddbmm_into(hp(acc), hp(a), hp(b), C.double(beta)))
}

func cbool(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

func nativeClearGrad(x libtch.Ctensor) error { return shimError(C.tab_clear_grad(hp(x))) }

func nativeIncrement(x libtch.Ctensor) error { return shimError(C.tab_increment(hp(x))) }

func nativeReLUInto(x libtch.Ctensor) error { return shimError(C.tab_relu_into(hp(x))) }

func nativeLeakyReLUInto(x libtch.Ctensor, slope float64) error {
	return shimError(C.tab_leaky_relu_into(hp(x), C.double(slope)))
}

func nativeAddInto(x, y libtch.Ctensor) error { return shimError(C.tab_add_into(hp(x), hp(y))) }

func poolKept() int64 { return int64(C.tab_pool_kept()) }

func poolClear() { C.tab_pool_clear() }

func watchAllocations(from int64) { C.tab_watch_allocations(1, C.int64_t(from)) }

func stopAllocations() int64 {
	n := int64(C.tab_allocations_seen())
	C.tab_watch_allocations(0, 0)
	return n
}
