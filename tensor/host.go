package tensor

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/gotab/gotab/tensor/internal/native"
)

// number is what Go slices and tensors exchange without conversion.
type number interface {
	~float32 | ~float64 | ~int64 | ~uint8
}

func from[T number](s *Scope, op string, dt DType, data []T, shape []int64) *Tensor {
	if !s.ready(op, nil) {
		return &Tensor{dev: s.st.dev}
	}
	n, err := elements(shape)
	if err != nil {
		s.fail(op, nil, err)
		return &Tensor{dev: s.st.dev}
	}
	if n != int64(len(data)) {
		s.fail(op, nil, fmt.Errorf("%w: %d values for shape %s, which needs %d", ErrShape, len(data), shapeString(shape), n))
		return &Tensor{dev: s.st.dev}
	}
	host := s.op(op, func() (native.Handle, error) { return native.Empty(shape, int32(dt), CPU.code()) })
	if !host.Valid() {
		return host
	}
	host.dev = CPU
	if len(data) > 0 {
		copy(unsafe.Slice((*T)(native.Data(host.h)), len(data)), data)
	}
	return s.moved(host)
}

// moved brings a host tensor of this scope to the scope's device.
func (s *Scope) moved(host *Tensor) *Tensor {
	if s.st.dev == CPU || !host.Valid() {
		return host
	}
	out := s.To(host, s.st.dev)
	s.Free(host)
	return out
}

// FromFloats copies values in row-major order to a new float32 tensor of the
// given shape on the scope's device.
func (s *Scope) FromFloats(data []float32, shape ...int64) *Tensor {
	return from(s, "FromFloats", Float32, data, shape)
}

// FromFloat64s is FromFloats in double precision.
func (s *Scope) FromFloat64s(data []float64, shape ...int64) *Tensor {
	return from(s, "FromFloat64s", Float64, data, shape)
}

// FromInts copies values to a new int64 tensor: indices and class labels.
func (s *Scope) FromInts(data []int64, shape ...int64) *Tensor {
	return from(s, "FromInts", Int64, data, shape)
}

// FromBytes copies values to a new uint8 tensor.
func (s *Scope) FromBytes(data []uint8, shape ...int64) *Tensor {
	return from(s, "FromBytes", Uint8, data, shape)
}

// Filled returns a float32 tensor of the given shape on the scope's device whose values, in row-major order, fill has written. On the CPU
// they are written where they stay, so that a large table which is drawn or computed does not lie in Go's memory too. v is fill's for the
// time of the call only, and its values are undefined before; fill must write them all. It may use other goroutines that end with it.
func (s *Scope) Filled(fill func(v []float32), shape ...int64) *Tensor {
	none := &Tensor{dev: s.st.dev}
	if !s.ready("Filled", nil) {
		return none
	}
	n, err := elements(shape)
	if err == nil && fill == nil {
		err = errors.New("fill is nil")
	}
	if err != nil {
		s.fail("Filled", nil, err)
		return none
	}
	what := func() string { return "shape " + shapeString(shape) }
	host := s.opOf("Filled", what, func() (native.Handle, error) { return native.Empty(shape, int32(Float32), CPU.code()) })
	if !host.Valid() {
		return host
	}
	host.dev = CPU
	if n > 0 {
		fill(unsafe.Slice((*float32)(native.Data(host.h)), n))
	}
	return s.moved(host)
}

// FromNHWC copies a packed batch of images, in the order in which Go's images
// hold their pixels (n, row, column, channel), to a float32 tensor of shape
// [n, c, h, w] that lies channels-last in memory, without re-ordering a value.
func (s *Scope) FromNHWC(data []float32, n, h, w, c int) *Tensor {
	if err := holds(fmt.Sprintf("n is %d, h %d, w %d, c %d", n, h, w, c), int64(n), int64(h), int64(w), int64(c)); err != nil {
		s.fail("FromNHWC", nil, err)
	} else if want := int64(n) * int64(h) * int64(w) * int64(c); int64(len(data)) != want {
		s.fail("FromNHWC", nil, fmt.Errorf("%w: data has %d values, n is %d, h %d, w %d and c %d, which need %d", ErrShape, len(data), n, h, w, c, want))
	}
	return s.Sub(func(s *Scope) *Tensor {
		x := from(s, "FromNHWC", Float32, data, []int64{int64(n), int64(h), int64(w), int64(c)})
		return s.Permute(x, 0, 3, 1, 2)
	})
}

func read[T number](s *Scope, op string, dt DType, x *Tensor) ([]T, error) {
	var out []T
	ok := s.Sub(func(s *Scope) *Tensor {
		if !s.ready(op, []*Tensor{x}) {
			return nil
		}
		if !x.DType().real() { // a conversion would drop the imaginary part in silence
			s.fail(op, []*Tensor{x}, fmt.Errorf("%w: %s is no real number", ErrDType, x.DType()))
			return nil
		}
		host := s.Contiguous(s.Cast(s.To(s.Detach(x), CPU), dt))
		if !host.Valid() {
			return nil
		}
		n := host.Len()
		out = make([]T, n)
		if n > 0 {
			copy(out, unsafe.Slice((*T)(native.Data(host.h)), n))
		}
		return x
	})
	if !ok.Valid() {
		return nil, s.st.err
	}
	return out, nil
}

// Floats copies x to the host in row-major order, converted to float32.
func (s *Scope) Floats(x *Tensor) ([]float32, error) { return read[float32](s, "Floats", Float32, x) }

// Float64s copies x to the host in row-major order, converted to float64.
func (s *Scope) Float64s(x *Tensor) ([]float64, error) {
	return read[float64](s, "Float64s", Float64, x)
}

// Ints copies x to the host in row-major order, converted to int64.
func (s *Scope) Ints(x *Tensor) ([]int64, error) { return read[int64](s, "Ints", Int64, x) }

// Float returns the value of a tensor with one element.
func (s *Scope) Float(x *Tensor) (float64, error) {
	v, err := read[float64](s, "Float", Float64, x)
	if err != nil {
		return 0, err
	}
	if len(v) != 1 {
		s.fail("Float", []*Tensor{x}, fmt.Errorf("%w: want one element", ErrShape))
		return 0, s.st.err
	}
	return v[0], nil
}

// FloatsInto copies x, which must be float32, to dst without allocating; dst
// must have x's length.
func (s *Scope) FloatsInto(dst []float32, x *Tensor) error {
	s.Sub(func(s *Scope) *Tensor {
		if !s.ready("FloatsInto", []*Tensor{x}) {
			return nil
		}
		if int64(len(dst)) != x.Len() || x.DType() != Float32 {
			s.fail("FloatsInto", []*Tensor{x}, fmt.Errorf("%w: %d places for %s", ErrShape, len(dst), x))
			return nil
		}
		host := s.Contiguous(s.To(s.Detach(x), CPU))
		if host.Valid() && len(dst) > 0 {
			copy(dst, unsafe.Slice((*float32)(native.Data(host.h)), len(dst)))
		}
		return nil
	})
	return s.st.err
}

// Zeros returns a float32 tensor of zeros.
func (s *Scope) Zeros(shape ...int64) *Tensor { return s.full("Zeros", 0, Float32, shape) }

// Full returns a tensor whose elements are all v, of a type that is one of the
// constants. A shape of negative sizes, or of more elements than could be
// addressed, is ErrShape.
func (s *Scope) Full(v float64, dt DType, shape ...int64) *Tensor {
	return s.full("Full", v, dt, shape)
}

func (s *Scope) full(op string, v float64, dt DType, shape []int64) *Tensor {
	none := &Tensor{dev: s.st.dev}
	if !s.ready(op, nil) {
		return none
	}
	_, err := dt.size()
	if err == nil {
		_, err = elements(shape)
	}
	if err != nil {
		s.fail(op, nil, err)
		return none
	}
	what := func() string { return fmt.Sprintf("v is %g, shape %s of %s", v, shapeString(shape), dt) }
	return s.opOf(op, what, func() (native.Handle, error) { return native.Full(shape, v, int32(dt), s.st.dev.code()) })
}

// To copies x to a device; on the same device it returns a second handle of the
// same memory.
func (s *Scope) To(x *Tensor, d Device) *Tensor {
	if x != nil && x.dev == d {
		return s.alias("To", x)
	}
	if err := d.check(); err != nil {
		s.fail("To", []*Tensor{x}, err)
	}
	t := s.op("To", func() (native.Handle, error) { return native.ToDevice(x.h, d.code()) }, x)
	t.dev = d
	return t
}

// Cast converts the element type; with the same type it returns a second handle
// of the same memory. The type is one of the constants, else Cast is ErrDType.
func (s *Scope) Cast(x *Tensor, dt DType) *Tensor {
	if x.Valid() && x.DType() == dt {
		return s.alias("Cast", x)
	}
	if s.ready("Cast", []*Tensor{x}) {
		if _, err := dt.size(); err != nil {
			s.fail("Cast", []*Tensor{x}, err)
		}
	}
	return s.op("Cast", func() (native.Handle, error) { return native.ToDType(x.h, int32(dt), false) }, x)
}

func (s *Scope) alias(op string, x *Tensor) *Tensor {
	return s.op(op, func() (native.Handle, error) { return native.Alias(x.h) }, x)
}

// Clone copies x's values to new memory.
func (s *Scope) Clone(x *Tensor) *Tensor {
	return s.op("Clone", func() (native.Handle, error) { return native.ToDType(x.h, int32(x.DType()), true) }, x)
}

// Contiguous returns x in row-major order.
func (s *Scope) Contiguous(x *Tensor) *Tensor {
	return s.op("Contiguous", func() (native.Handle, error) { return native.Contiguous(x.h) }, x)
}

// ChannelsLast returns a tensor [N, C, H, W] whose channels are next to each
// other in memory, which is the fast layout of convolutions.
func (s *Scope) ChannelsLast(x *Tensor) *Tensor {
	if x.Valid() && x.Dim() != 4 {
		s.fail("ChannelsLast", []*Tensor{x}, fmt.Errorf("%w: want [N C H W]", ErrShape))
	}
	return s.op("ChannelsLast", func() (native.Handle, error) { return native.ChannelsLast(x.h) }, x)
}
