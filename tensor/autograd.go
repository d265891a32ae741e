package tensor

import (
	"fmt"

	"github.com/gotab/gotab/tensor/internal/native"
)

// Detach returns a second handle of x's memory that Backward does not see.
func (s *Scope) Detach(x *Tensor) *Tensor {
	return s.op("Detach", func() (native.Handle, error) { return native.Detach(x.h) }, x)
}

// Backward computes the gradients of loss, a scalar, with respect to all
// trainable parameters that it depends on and adds them to what these hold.
// It needs the mode Training.
func (s *Scope) Backward(loss *Tensor) {
	if s.st.err == nil && s.st.mode != Training {
		s.fail("Backward", []*Tensor{loss}, fmt.Errorf("the Run is in mode %s, which records nothing", s.st.mode))
	}
	s.effect("Backward", func() error {
		return native.Backward(loss.h)
	}, loss)
}

// Grad returns a handle of the gradient that Backward left in a parameter, or
// nil where it left none.
func (s *Scope) Grad(x *Tensor) *Tensor {
	if !s.ready("Grad", []*Tensor{x}) {
		return nil
	}
	h, err := native.Grad(x.h)
	if err != nil {
		s.fail("Grad", []*Tensor{x}, err)
		return nil
	}
	if h == nil {
		return nil
	}
	return s.keep(h, x.dev)
}

// setRequiresGrad marks a long-lived tensor as trainable or not.
func setRequiresGrad(t *Tensor, on bool) error { return native.SetRequiresGrad(t.h, on) }

// CopyInto overwrites dst's values with src's, which may have another layout,
// type or device. It records nothing for Backward.
func (s *Scope) CopyInto(dst, src *Tensor) {
	for _, t := range []*Tensor{dst, src} { // one by one: they may be on two devices
		if !s.ready("CopyInto", []*Tensor{t}) {
			return
		}
	}
	if !broadcast(dst.Shape(), src.Shape()) {
		s.fail("CopyInto", []*Tensor{dst, src}, ErrShape)
		return
	}
	s.NoGrad(func() {
		if err := native.CopyInto(dst.h, src.h); err != nil {
			s.fail("CopyInto", []*Tensor{dst, src}, err)
		}
	})
}

// AddInto changes dst to dst + alpha*x. It records nothing for Backward.
func (s *Scope) AddInto(dst, x *Tensor, alpha float64) {
	s.effect("AddInto", func() error { return numbered("alpha", alpha, native.Axpy(dst.h, x.h, alpha)) }, dst, x)
}

// ScaleInto changes dst to alpha*dst. It records nothing for Backward.
func (s *Scope) ScaleInto(dst *Tensor, alpha float64) {
	s.effect("ScaleInto", func() error { return numbered("alpha", alpha, native.Scale(dst.h, alpha)) }, dst)
}

// IncrementInto adds 1 to every element of dst: a counter kept with the weights.
func (s *Scope) IncrementInto(dst *Tensor) {
	s.effect("IncrementInto", func() error { return native.Increment(dst.h) }, dst)
}
