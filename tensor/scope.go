package tensor

import (
	"context"
	"errors"
	"fmt"

	"github.com/gotab/gotab/tensor/internal/native"
)

// Scope owns the tensors that a function makes and frees them when the function
// returns. Its methods are the operations. It remembers the first failure; from
// then on operations do nothing and return tensors that hold nothing. A Scope
// lives on one thread and is not safe for concurrent use.
type Scope struct {
	st   *runState
	own  []*Tensor
	dead bool
}

// runState is what all scopes of one Run share.
type runState struct {
	ctx  context.Context
	dev  Device
	mode Mode
	err  error
	// noGrad counts the NoGrad calls that are going on.
	noGrad int
	// sync is not nil where batch norm goes over several processes.
	sync *synchronised
}

// Device returns the device that the Run was started for.
func (s *Scope) Device() Device { return s.st.dev }

// Mode returns the mode of the Run.
func (s *Scope) Mode() Mode { return s.st.mode }

// Err returns the first failure of an operation, or ctx's error, or nil. A loop
// asks once a round.
func (s *Scope) Err() error {
	if s.st.err == nil {
		if err := s.st.ctx.Err(); err != nil {
			s.st.err = err
		}
	}
	return s.st.err
}

// Fail records err as the scope's failure unless there is one already. It is for
// code that checks its arguments in the middle of a forward pass.
func (s *Scope) Fail(err error) {
	if s.st.err == nil && err != nil {
		s.st.err = err
	}
}

// Sub runs fn with a scope of its own and frees all tensors that fn made but the
// result, which moves to s. A stage of a network is a Sub: memory is then
// bounded by the largest stage. The result may also be a tensor from outside.
func (s *Scope) Sub(fn func(c *Scope) *Tensor) *Tensor {
	out := s.subN("Sub", func(c *Scope) []*Tensor { return []*Tensor{fn(c)} }, fn == nil)
	return out[0]
}

// SubN is Sub for several results.
func (s *Scope) SubN(fn func(c *Scope) []*Tensor) []*Tensor { return s.subN("SubN", fn, fn == nil) }

func (s *Scope) subN(op string, fn func(c *Scope) []*Tensor, absent bool) []*Tensor {
	if absent {
		s.fail(op, nil, errNoFunction)
		return []*Tensor{{dev: s.st.dev}}
	}
	c := &Scope{st: s.st, dead: s.dead} // a Sub of a scope that has ended can do nothing either
	defer c.release()
	out := fn(c)
	for i, t := range out {
		if t == nil {
			out[i] = &Tensor{dev: s.st.dev}
			continue
		}
		if c.disown(t) {
			s.own = append(s.own, t)
		}
	}
	return out
}

// NoGrad runs fn without recording for Backward.
func (s *Scope) NoGrad(fn func()) {
	if fn == nil {
		s.fail("NoGrad", nil, errNoFunction)
		return
	}
	if s.st.mode != Training || s.dead {
		fn()
		return
	}
	s.st.noGrad++
	native.SetGrad(false)
	defer func() {
		if s.st.noGrad--; s.st.noGrad == 0 { // the outermost of nested calls
			native.SetGrad(true)
		}
	}()
	fn()
}

var errNoFunction = errors.New("fn is nil")

// disown removes t from the scope without freeing it and says whether it was there.
func (s *Scope) disown(t *Tensor) bool {
	for i := len(s.own) - 1; i >= 0; i-- {
		if s.own[i] == t {
			s.own = append(s.own[:i], s.own[i+1:]...)
			return true
		}
	}
	return false
}

// Free releases tensors of this scope before its end, where a loop would
// otherwise pile them up. Tensors of other owners are left alone.
func (s *Scope) Free(ts ...*Tensor) {
	for _, t := range ts {
		if s.disown(t) {
			t.free()
		}
	}
}

func (s *Scope) release() {
	for _, t := range s.own {
		t.free()
	}
	s.own = nil
	s.dead = true
}

// usable returns an error for a scope that is none of a Run.
func (s *Scope) usable() error {
	if s == nil || s.st == nil {
		return fmt.Errorf("%w: the scope is none of a Run", ErrReleased)
	}
	return nil
}

// ready says whether an operation may go on: no failure so far and all operands
// alive and on one device.
func (s *Scope) ready(op string, in []*Tensor) bool {
	if s.st.err != nil {
		return false
	}
	if s.dead {
		s.fail(op, in, fmt.Errorf("%w: the scope has ended", ErrReleased))
		return false
	}
	for i, t := range in {
		if t == nil || isNull(t.h) {
			s.fail(op, in, fmt.Errorf("operand %d: %w", i+1, ErrReleased))
			return false
		}
		if t.packed && op != "ConvFused" && op != "ConvAddReLU" {
			s.fail(op, in, fmt.Errorf("%w: operand %d is a packed weight, which is only good for ConvFused and ConvAddReLU", ErrShape, i+1))
			return false
		}
		if t.dev != in[0].dev {
			s.fail(op, in, fmt.Errorf("%w: operand %d is on %s, operand 1 on %s", ErrDevice, i+1, t.dev, in[0].dev))
			return false
		}
	}
	return true
}

func (s *Scope) fail(op string, in []*Tensor, err error) {
	if s.st.err != nil {
		return
	}
	e := &OpError{Op: op, Err: err}
	for _, t := range in {
		e.In = append(e.In, t.Shape())
	}
	s.st.err = e
}

// op runs one call that makes one tensor.
func (s *Scope) op(name string, f func() (native.Handle, error), in ...*Tensor) *Tensor {
	return s.opOf(name, nil, f, in...)
}

// opOf is op for an operation whose result is as large as numbers among its
// arguments say; what names them in an error.
func (s *Scope) opOf(name string, what func() string, f func() (native.Handle, error), in ...*Tensor) *Tensor {
	if !s.ready(name, in) {
		return &Tensor{dev: s.st.dev}
	}
	dev := s.st.dev
	if len(in) > 0 {
		dev = in[0].dev
	}
	h, err := f()
	if err != nil {
		if what != nil {
			err = fmt.Errorf("%s: %w", what(), err)
		}
		s.fail(name, in, err)
		return &Tensor{dev: dev}
	}
	return s.keep(h, dev)
}

// effect runs a call that changes an operand and makes nothing.
func (s *Scope) effect(name string, f func() error, in ...*Tensor) {
	if !s.ready(name, in) {
		return
	}
	if err := f(); err != nil {
		s.fail(name, in, err)
	}
}

func (s *Scope) keep(h native.Handle, dev Device) *Tensor {
	t := adopt(h, dev)
	s.own = append(s.own, t)
	return t
}
