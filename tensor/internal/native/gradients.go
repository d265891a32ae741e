package native

/*
#include "shim.h"
*/
import "C"

import (
	"runtime"
	"unsafe"
)

// addresses passes a list of handles on; C code does not read that of an empty one.
func addresses(h []Handle) *unsafe.Pointer {
	if len(h) == 0 {
		return nil
	}
	return (*unsafe.Pointer)(unsafe.Pointer(&h[0]))
}

// Reached says to which of the weights, which are leaves, Backward from loss comes.
func Reached(loss Handle, weights []Handle) ([]bool, error) {
	out := make([]uint8, len(weights)+1)
	err := shimError(C.tab_reached(hp(loss), addresses(weights), C.int(len(weights)), (*C.uint8_t)(unsafe.Pointer(&out[0]))))
	if err != nil {
		return nil, err
	}
	return bools(out[:len(weights)]), nil
}

func bools(b []uint8) []bool {
	out := make([]bool, len(b))
	for i, x := range b {
		out[i] = x != 0
	}
	return out
}

// Gradients brings the gradients of weights to host memory while Backward computes
// them. Wait may be called on another goroutine.
type Gradients struct {
	p   unsafe.Pointer
	n   int
	pin runtime.Pinner
}

// WatchGradients begins: the gradient of weight i, in row-major order, goes to values from
// offset[i] on, and belongs to a bucket. Finish must follow, then Free.
func WatchGradients(values []float32, weights []Handle, offset []int64, bucket []int32, buckets int) (*Gradients, error) {
	g := &Gradients{n: len(weights)}
	var v *C.float
	var o *C.int64_t
	var b *C.int
	if len(weights) > 0 {
		g.pin.Pin(&values[0])
		v, o, b = (*C.float)(unsafe.Pointer(&values[0])), (*C.int64_t)(unsafe.Pointer(&offset[0])), (*C.int)(unsafe.Pointer(&bucket[0]))
	}
	if err := shimError(C.tab_gradients_watch(&g.p, v, addresses(weights), o, b, C.int(len(weights)), C.int(buckets))); err != nil {
		g.pin.Unpin()
		return nil, err
	}
	return g, nil
}

// Wait returns when a bucket and those before it are complete, or Finish was called.
func (g *Gradients) Wait(bucket int) { C.tab_gradients_wait(g.p, C.int(bucket)) }

// Finish ends the watch and says which weights had a gradient. Of the others the values are zero then.
func (g *Gradients) Finish() []bool {
	out := make([]uint8, g.n+1)
	C.tab_gradients_finish(g.p, (*C.uint8_t)(unsafe.Pointer(&out[0])))
	g.pin.Unpin()
	return bools(out[:g.n])
}

// Free lets go of the memory. No Wait may be going on.
func (g *Gradients) Free() { C.tab_gradients_free(g.p) }

// PutGradient makes v, in row-major order, the gradient of a weight.
func PutGradient(w Handle, v []float32) error {
	return shimError(C.tab_put_gradient(hp(w), (*C.float)(unsafe.Pointer(unsafe.SliceData(v)))))
}
