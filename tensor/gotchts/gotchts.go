package gotchts

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/sugarme/gotch/libtch"
	"github.com/sugarme/gotch/ts"

	"github.com/gotab/gotab/tensor"
)

// ErrNil reports a ts tensor that is nil or has been dropped.
var ErrNil = errors.New("the ts tensor is nil or dropped")

// ToGotch returns a ts tensor on x's memory. It belongs to the caller, who calls
// its Drop; it stays good after x's owner is gone. Shape, type, device and
// strides are x's.
func ToGotch(s *tensor.Scope, x *tensor.Tensor) (*ts.Tensor, error) {
	p, err := s.Handle(x)
	if err != nil {
		return nil, fmt.Errorf("gotchts: to gotch: %w", err)
	}
	return ts.FromCtensor(p), nil
}

// FromGotch returns a tensor of the scope on x's memory. x still belongs to the
// caller and may be dropped at once. A failure is remembered by the scope, as
// that of any operation: the result then holds nothing.
func FromGotch(s *tensor.Scope, x *ts.Tensor) *tensor.Tensor {
	none := &tensor.Tensor{}
	if s.Err() != nil {
		return none
	}
	if x == nil || x.Ctensor() == nil {
		s.Fail(fmt.Errorf("gotchts: from gotch: %w", ErrNil))
		return none
	}
	h := libtch.AtShallowClone(libtch.Ctensor(x.Ctensor()))
	runtime.KeepAlive(x) // its finalizer must not free the handle during the call
	y := s.Adopt(unsafe.Pointer(h))
	if !y.Valid() {
		libtch.AtFree(h)
	}
	return y
}
