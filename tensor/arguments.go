package tensor

import (
	"fmt"
	"math"
)

// The numbers that operations are given are checked here and not by libtorch,
// which trusts some of them, takes others for something else, and counts in 32
// bits in places.

// maxStep bounds the steps, margins and windows of convolutions and pooling:
// kernels count in 32 bits what these are multiplied with.
const maxStep = 1<<16 - 1

// maxSide bounds the sides of a picture that is asked for.
const maxSide = math.MaxInt32

// maxPacked bounds the sizes that a convolution is packed for: oneDNN divides by zero
// where one is near the end of its integers.
const maxPacked = 1 << 20

// within returns an error that wraps ErrShape and names the number unless it is lo to hi.
func within(name string, v, lo, hi int64) error {
	if v >= lo && v <= hi {
		return nil
	}
	return fmt.Errorf("%w: %s is %d, want %d to %d", ErrShape, name, v, lo, hi)
}

// check records the first of some errors as that of an operation and says whether
// there was none. An operand that is not there is for the operation to report.
func (s *Scope) check(op string, in []*Tensor, errs ...error) bool {
	for _, err := range errs {
		if err != nil {
			s.fail(op, in, err)
			return false
		}
	}
	return true
}

// positive returns an error that names the number unless it is finite and not negative.
func positive(name string, v float64) error {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return fmt.Errorf("%s is %g: %w", name, v, ErrNotFinite)
	case v < 0 || v > math.MaxFloat32:
		return fmt.Errorf("%s is %g, want a float32 from 0 on", name, v)
	}
	return nil
}

// finite returns an error that names the number unless it is finite.
func finite(name string, v float64) error {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Errorf("%s is %g: %w", name, v, ErrNotFinite)
	}
	return nil
}

// dims checks dimensions of x, which are each there and, where there are several,
// each another one. name is that of the parameter.
func (s *Scope) dims(op string, x *Tensor, name string, dims ...int64) bool {
	if !x.Valid() {
		return true
	}
	n := int64(x.Dim())
	for i, d := range dims {
		if d < -n || d >= n {
			s.fail(op, []*Tensor{x}, fmt.Errorf("%w: %s has %d, and there is no such dimension", ErrShape, name, d))
			return false
		}
		for _, before := range dims[:i] { // at most n of them
			if (d-before)%n == 0 {
				s.fail(op, []*Tensor{x}, fmt.Errorf("%w: %s has dimension %d twice", ErrShape, name, d))
				return false
			}
		}
	}
	return true
}

// numbered adds a number's name to an error of libtorch, which converts it.
func numbered(name string, v float64, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s is %g: %w", name, v, err)
}

// holds reports whether a result of the shape could be held at all.
func holds(what string, shape ...int64) error {
	if _, err := elements(shape); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
