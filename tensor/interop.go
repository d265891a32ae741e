package tensor

import (
	"fmt"
	"unsafe"

	"github.com/gotab/gotab/tensor/internal/native"
)

// Handle returns the address of a new native handle (a C++ torch::Tensor*) of
// x's memory, for code that speaks to libtorch itself. The handle belongs to the
// caller: it is not counted by [Live], stays good after the scope and x are gone,
// and must be given back once, to libtorch's at_free, to [Scope.Adopt] or to
// whoever takes it over. Both handles see one memory, so a value changed through
// one is changed for the other.
func (s *Scope) Handle(x *Tensor) (unsafe.Pointer, error) {
	if !s.ready("Handle", []*Tensor{x}) {
		return nil, s.st.err
	}
	h, err := native.Alias(x.h)
	if err != nil {
		s.fail("Handle", []*Tensor{x}, err)
		return nil, s.st.err
	}
	return unsafe.Pointer(h), nil
}

// Adopt takes a native handle (a C++ torch::Tensor*) over: from now on it belongs
// to the scope and is freed with it, so p must be a handle of the caller's own
// and not be used again. The memory behind it may be shared with other handles.
// The device is that of the tensor. Where Adopt fails, which the scope remembers
// as of any operation, p still belongs to the caller. A p that is no such handle
// takes the process down: nothing can check it.
func (s *Scope) Adopt(p unsafe.Pointer) *Tensor {
	if !s.ready("Adopt", nil) {
		return &Tensor{dev: s.st.dev}
	}
	refuse := func(err error) *Tensor {
		s.fail("Adopt", nil, err)
		return &Tensor{dev: s.st.dev}
	}
	if p == nil {
		return refuse(fmt.Errorf("%w: the handle is nil", ErrReleased))
	}
	h := native.Handle(p)
	if !native.Defined(h) {
		return refuse(fmt.Errorf("%w: the handle is of libtorch's undefined tensor", ErrReleased))
	}
	switch code := native.Device(h); {
	case code == -1:
		return s.keep(h, CPU)
	case code >= 0:
		return s.keep(h, CUDA(code))
	}
	return refuse(fmt.Errorf("%w: the tensor is neither on the CPU nor on a CUDA device", ErrDevice))
}
