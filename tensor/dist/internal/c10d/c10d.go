//go:build gotab_dist

package c10d

/*
#cgo CXXFLAGS: -O2 -DUSE_C10D_GLOO
#cgo !gotab_libtorch CXXFLAGS: -std=c++17
#cgo LDFLAGS: -lstdc++ -lc10 -ltorch_cpu
#include <stdlib.h>
#include "c10d.h"
*/
import "C"

import (
	"errors"
	"runtime"
	"strings"
	"time"
	"unsafe"
)

// Built says whether the engine is compiled in.
const Built = true

// failed takes a message over.
func failed(p *C.char) error {
	if p == nil {
		return nil
	}
	msg := C.GoString(p)
	C.free(unsafe.Pointer(p))
	for _, stack := range []string{"\nException raised from", "\nframe #0"} {
		msg, _, _ = strings.Cut(msg, stack)
	}
	return errors.New(strings.TrimSpace(msg))
}

// Store is a table that all ranks see. It is safe for concurrent use; Close must be the
// last call.
type Store struct{ p unsafe.Pointer }

// OpenStore connects to the store at an address, which is this process's own where it
// is the server. It tries for connect, and what is asked of the store later waits for timeout.
func OpenStore(host string, port int, server bool, connect, timeout time.Duration, prefix string) (*Store, error) {
	h, pre := C.CString(host), C.CString(prefix)
	defer C.free(unsafe.Pointer(h))
	defer C.free(unsafe.Pointer(pre))
	var p unsafe.Pointer
	is := C.int(0)
	if server {
		is = 1
	}
	if err := failed(C.dist_store_open(&p, h, C.int(port), is, C.int64_t(connect.Milliseconds()), C.int64_t(timeout.Milliseconds()), pre)); err != nil {
		return nil, err
	}
	return &Store{p}, nil
}

// Set writes a value.
func (s *Store) Set(key string, v []byte) error {
	k := C.CString(key)
	defer C.free(unsafe.Pointer(k))
	err := failed(C.dist_store_set(s.p, k, unsafe.Pointer(unsafe.SliceData(v)), C.int64_t(len(v))))
	runtime.KeepAlive(v)
	return err
}

// Get returns a value, nil where there is none; it does not wait for one.
func (s *Store) Get(key string) ([]byte, error) {
	k := C.CString(key)
	defer C.free(unsafe.Pointer(k))
	var data unsafe.Pointer
	var n C.int64_t
	if err := failed(C.dist_store_get(s.p, k, &data, &n)); err != nil || data == nil {
		return nil, err
	}
	defer C.free(data)
	return append([]byte{}, unsafe.Slice((*byte)(data), int(n))...), nil
}

// Close ends the connection, and the server where this process is it.
func (s *Store) Close() {
	C.dist_store_close(s.p)
	s.p = nil
}

// Group is this rank's side of a group over gloo.
type Group struct {
	p    unsafe.Pointer
	size int
}

// OpenGroup meets the other ranks through a store. address is one of this machine, or
// the name of a network interface.
func OpenGroup(s *Store, rank, size int, address string, isInterface bool, timeout time.Duration) (*Group, error) {
	a := C.CString(address)
	defer C.free(unsafe.Pointer(a))
	var p unsafe.Pointer
	is := C.int(0)
	if isInterface {
		is = 1
	}
	if err := failed(C.dist_group_open(&p, s.p, C.int(rank), C.int(size), a, is, C.int64_t(timeout.Milliseconds()))); err != nil {
		return nil, err
	}
	return &Group{p, size}, nil
}

// Close waits for what is under way, which its timeout bounds.
func (g *Group) Close() {
	C.dist_group_close(g.p)
	g.p = nil
}

// Work is what has been begun.
type Work struct{ p unsafe.Pointer }

// Sum begins to add v up over all ranks.
func (g *Group) Sum(v []float32) (*Work, error) {
	w := &Work{}
	err := failed(C.dist_sum(&w.p, g.p, (*C.float)(unsafe.Pointer(unsafe.SliceData(v))), C.int64_t(len(v))))
	runtime.KeepAlive(v)
	return w, err
}

// Gather begins to bring together what all ranks give, equally many bytes.
func (g *Group) Gather(v []byte) (*Work, error) {
	w := &Work{}
	err := failed(C.dist_gather(&w.p, g.p, C.int(g.size), unsafe.Pointer(unsafe.SliceData(v)), C.int64_t(len(v))))
	runtime.KeepAlive(v)
	return w, err
}

// Broadcast begins to give the bytes of one rank to all.
func (g *Group) Broadcast(from int, v []byte) (*Work, error) {
	w := &Work{}
	err := failed(C.dist_broadcast(&w.p, g.p, C.int(from), unsafe.Pointer(unsafe.SliceData(v)), C.int64_t(len(v))))
	runtime.KeepAlive(v)
	return w, err
}

// Wait waits for a time; the error is that of the work.
func (w *Work) Wait(d time.Duration) (done bool, err error) {
	var is C.int
	err = failed(C.dist_wait(w.p, C.int64_t(max(1, d.Milliseconds())), &is))
	return is != 0, err
}

// Floats copies the result of a Sum.
func (w *Work) Floats(v []float32) error {
	return failed(C.dist_result(w.p, unsafe.Pointer(unsafe.SliceData(v)), C.int64_t(4*len(v))))
}

// Bytes copies the result of a Gather, rank by rank, or of a Broadcast.
func (w *Work) Bytes(v []byte) error {
	return failed(C.dist_result(w.p, unsafe.Pointer(unsafe.SliceData(v)), C.int64_t(len(v))))
}

// Free lets go of the memory, or leaves it to the engine until the work is over.
func (w *Work) Free() {
	if w.p != nil {
		C.dist_free(w.p)
	}
	w.p = nil
}
