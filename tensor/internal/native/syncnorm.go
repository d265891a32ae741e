package native

/*
#include <stdlib.h>
#include <string.h>
#include "shim.h"

extern char *gotabSums(uintptr_t handle, int64_t layer, double *v, int64_t n);
*/
import "C"

import (
	"fmt"
	"runtime/cgo"
	"unsafe"
)

// Sums replaces v by the sum over all processes, for batch norm number layer of a
// backward pass. Backward calls it, on a thread of its choice.
type Sums func(layer int, v []float64) error

// SumsHandle is how C code knows a Sums. Delete it when no Backward can call it any more.
type SumsHandle = cgo.Handle

// NewSums makes a handle.
func NewSums(f Sums) SumsHandle { return cgo.NewHandle(f) }

//export gotabSums
func gotabSums(handle C.uintptr_t, layer C.int64_t, v *C.double, n C.int64_t) (message *C.char) {
	defer func() {
		if r := recover(); r != nil { // nothing may unwind through C++
			message = C.CString(fmt.Sprint("batch norm of several processes: ", r))
		}
	}()
	f := cgo.Handle(handle).Value().(Sums)
	if err := f(int(layer), unsafe.Slice((*float64)(unsafe.Pointer(v)), int(n))); err != nil {
		return C.CString(err.Error())
	}
	return nil
}

// BatchSums returns, of x [N, C, ...], how many values a channel has, the sums of the channels, and the sums of squares.
func BatchSums(x Handle, channels int64) ([]float64, error) {
	out := make([]float64, 1+2*channels)
	return out, shimError(C.tab_batch_sums(hp(x), (*C.double)(unsafe.Pointer(&out[0]))))
}

// SyncNorm normalises x by mean and variance of count values a channel, and moves the running
// statistics. Backward asks h for sums. The token is 0 and belongs into the loss of every process, so
// that Backward comes to the layer on all of them.
func SyncNorm(x, weight, bias, runningMean, runningVar Handle, mean, variance []float64, count, momentum, eps float64, h SumsHandle, layer int) (out, token Handle, err error) {
	var o, t unsafe.Pointer
	err = shimError(C.tab_sync_norm(&o, &t, hp(x), hp(weight), hp(bias), hp(runningMean), hp(runningVar), (*C.double)(unsafe.Pointer(&mean[0])), (*C.double)(unsafe.Pointer(&variance[0])),
		C.double(count), C.double(momentum), C.double(eps), C.tab_sums(C.gotabSums), C.uintptr_t(h), C.int64_t(layer)))
	return Handle(o), Handle(t), err
}
