package tensor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/gotab/gotab/tensor/internal/native"
)

// Params owns named tensors that outlive a Run: weights, running statistics,
// optimizer state. The order is the order of Put and never changes. Names of
// networks in this module equal torchvision's and OpenAI CLIP's. Reading from
// several Runs at once is safe while nothing changes a value; Close must not be
// called while a Run uses the tensors.
type Params struct {
	dev     Device
	names   []string
	entries map[string]*entry
	version atomic.Uint64
	closed  bool
}

type entry struct {
	t         *Tensor
	buffer    bool
	trainable bool
}

// NewParams returns an empty set for the given device.
func NewParams(dev Device) *Params {
	return &Params{dev: dev, entries: map[string]*entry{}}
}

// Device returns where the tensors live.
func (p *Params) Device() Device { return p.dev }

// Put moves t out of its scope and keeps it under name as a trainable weight.
func (p *Params) Put(s *Scope, name string, t *Tensor) error { return p.put(s, name, t, false) }

// PutBuffer moves t out of its scope and keeps it under name as a buffer: it is
// saved and loaded with the weights and never gets a gradient.
func (p *Params) PutBuffer(s *Scope, name string, t *Tensor) error { return p.put(s, name, t, true) }

func (p *Params) put(s *Scope, name string, t *Tensor, buffer bool) error {
	if err := s.usable(); err != nil {
		return fmt.Errorf("tensor: put %q: %w", name, err)
	}
	if err := s.st.err; err != nil {
		return err
	}
	switch {
	case p.closed:
		return closedError(fmt.Sprintf("put %q", name))
	case name == "":
		return fmt.Errorf("tensor: put: %w is empty", ErrName)
	case p.entries[name] != nil:
		return fmt.Errorf("tensor: put: %w %q is taken", ErrName, name)
	case !t.Valid():
		return fmt.Errorf("tensor: put %q: %w", name, ErrReleased)
	case t.dev != p.dev:
		return fmt.Errorf("tensor: put %q: %w: it is on %s, the parameters are on %s", name, ErrDevice, t.dev, p.dev)
	}
	if !s.disown(t) {
		return fmt.Errorf("tensor: put %q: the scope does not own the tensor", name)
	}
	e := &entry{t: t, buffer: buffer}
	if !buffer && !t.packed {
		if err := setRequiresGrad(t, true); err != nil {
			t.free()
			return fmt.Errorf("tensor: put %q: %w", name, err)
		}
		e.trainable = true
	}
	if p.entries == nil {
		p.entries = map[string]*entry{}
	}
	t.Shape() // remembered now, so that Runs that only read never write to it
	p.names = append(p.names, name)
	p.entries[name] = e
	p.version.Add(1)
	return nil
}

// Get returns the tensor of that name, or nil. It stays the same tensor for the
// life of p: loading and training change its values.
func (p *Params) Get(name string) *Tensor {
	if e := p.entries[name]; e != nil {
		return e.t
	}
	return nil
}

// Names returns all names in the order of Put.
func (p *Params) Names() []string { return append([]string(nil), p.names...) }

// IsBuffer reports whether the name is that of a buffer.
func (p *Params) IsBuffer(name string) bool { e := p.entries[name]; return e != nil && e.buffer }

// IsTrainable reports whether the name is that of a weight that gets gradients.
func (p *Params) IsTrainable(name string) bool { e := p.entries[name]; return e != nil && e.trainable }

// SetTrainable decides for every weight whether it gets gradients. Buffers never
// do. It must not be called while a Run uses the tensors.
func (p *Params) SetTrainable(want func(name string) bool) error {
	if p.closed {
		return closedError("set trainable")
	}
	if want == nil {
		return fmt.Errorf("tensor: set trainable: want is nil")
	}
	for _, n := range p.names {
		e := p.entries[n]
		if e.buffer || e.t.packed || e.trainable == want(n) {
			continue
		}
		if err := setRequiresGrad(e.t, !e.trainable); err != nil {
			return fmt.Errorf("tensor: set trainable %q: %w", n, err)
		}
		e.trainable = !e.trainable
	}
	return nil
}

// Version grows with every change of a value that goes through this package or
// is announced by Touch; what is derived from the values (folded or packed
// weights) is stale when it differs.
func (p *Params) Version() uint64 { return p.version.Load() }

// Touch announces that values were changed by operations with Into in their
// name, or by batch norm in training.
func (p *Params) Touch() { p.version.Add(1) }

// Len returns the number of values in all tensors.
func (p *Params) Len() int64 {
	var n int64
	for _, e := range p.entries {
		n += e.t.Len()
	}
	return n
}

// Closed reports whether p has been closed.
func (p *Params) Closed() bool { return p.closed }

// closedError says that a set is closed, and its tensors released with it.
func closedError(doing string) error {
	return fmt.Errorf("tensor: %s: %w: %w", doing, ErrClosed, ErrReleased)
}

// Close frees all tensors; what returns an error wraps [ErrClosed] from then on.
// Closing twice is harmless.
func (p *Params) Close() error {
	if p == nil {
		return nil
	}
	for _, n := range p.names {
		p.entries[n].t.free()
	}
	p.closed = true
	return nil
}

// ZeroGrad forgets all gradients.
func (p *Params) ZeroGrad() error {
	if p.closed {
		return closedError("forget gradients")
	}
	for _, n := range p.names {
		if e := p.entries[n]; e.trainable && e.t.Valid() {
			if err := native.ClearGrad(e.t.h); err != nil {
				return fmt.Errorf("tensor: forget the gradient of %q: %w", n, err)
			}
		}
	}
	return nil
}

// GradNorm returns the Euclidean norm of all gradients together: each one's in
// float32, their squares summed in float64 in the order of the names. A norm that is not finite is an
// error that wraps [ErrNotFinite] and names the first parameter at fault.
func (p *Params) GradNorm(s *Scope) (float64, error) {
	if p.closed {
		return 0, closedError("norm of the gradients")
	}
	if err := s.usable(); err != nil {
		return 0, fmt.Errorf("tensor: norm of the gradients: %w", err)
	}
	sum := 0.0
	for _, n := range p.names {
		e := p.entries[n]
		if !e.trainable {
			continue
		}
		g := s.Grad(e.t)
		if g == nil {
			continue
		}
		sq, finite, err := native.SumSquares(g.h)
		s.Free(g)
		if err != nil {
			return 0, fmt.Errorf("tensor: gradient of %q: %w", n, err)
		}
		if !finite {
			return 0, fmt.Errorf("tensor: gradient of %q: %w", n, ErrNotFinite)
		}
		sum += sq
	}
	return math.Sqrt(sum), s.st.err
}

// ScaleGrads multiplies all gradients by f, a finite number, as clipping does.
func (p *Params) ScaleGrads(s *Scope, f float64) error {
	if p.closed {
		return closedError("scale gradients")
	}
	if err := errors.Join(s.usable(), finite("f", f)); err != nil {
		return fmt.Errorf("tensor: scale gradients: %w", err)
	}
	for _, n := range p.names {
		if e := p.entries[n]; e.trainable {
			if g := s.Grad(e.t); g != nil {
				s.ScaleInto(g, f)
				s.Free(g)
			}
		}
	}
	return s.st.err
}

// ClipGrads scales the gradients of all sets down together where their common norm
// is above limit, 0 or more, as PyTorch's clip_grad_norm_ does; a limit of 0 leaves them. It
// returns the norm before. One that is not finite is an error that wraps
// [ErrNotFinite], and nothing is scaled then.
func ClipGrads(s *Scope, limit float64, sets ...*Params) (norm float64, err error) {
	if !(limit >= 0) {
		return 0, fmt.Errorf("tensor: clip gradients: limit is %g, want 0 or more", limit)
	}
	for i, p := range sets {
		if p == nil {
			return 0, fmt.Errorf("tensor: clip gradients: set %d is nil", i)
		}
		n, err := p.GradNorm(s)
		if err != nil {
			return 0, err
		}
		norm = math.Hypot(norm, n)
	}
	if limit == 0 || norm <= limit {
		return norm, nil
	}
	for _, p := range sets {
		if err := p.ScaleGrads(s, limit/(norm+1e-6)); err != nil { // PyTorch's guard against division by zero
			return norm, err
		}
	}
	return norm, nil
}

// Array is a tensor on the host: little-endian values in row-major order.
type Array struct {
	Name  string
	DType DType
	Shape []int64
	Data  []byte
}

// Floats returns the values of a float32 array.
func (a Array) Floats() ([]float32, error) {
	if a.DType != Float32 || len(a.Data)%4 != 0 {
		return nil, fmt.Errorf("tensor: array %q is %s, want float32", a.Name, a.DType)
	}
	out := make([]float32, len(a.Data)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(a.Data[4*i:]))
	}
	return out, nil
}

// FloatArray makes a float32 array of Go values.
func FloatArray(name string, v []float32, shape ...int64) Array {
	b := make([]byte, 4*len(v))
	for i, x := range v {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(x))
	}
	return Array{Name: name, DType: Float32, Shape: shape, Data: b}
}

// IntArray makes an int64 array of Go values.
func IntArray(name string, v []int64, shape ...int64) Array {
	b := make([]byte, 8*len(v))
	for i, x := range v {
		binary.LittleEndian.PutUint64(b[8*i:], uint64(x))
	}
	return Array{Name: name, DType: Int64, Shape: shape, Data: b}
}

// Arrays copies all tensors to the host, in order, each with its own type. It
// returns [ErrDType] for a type that is none of the constants.
func (p *Params) Arrays(ctx context.Context) ([]Array, error) {
	if p.closed {
		return nil, closedError("copy parameters")
	}
	out := make([]Array, 0, len(p.names))
	err := Run(ctx, p.dev, Evaluation, func(s *Scope) error {
		for _, n := range p.names {
			t := p.entries[n].t
			a := Array{Name: n, DType: t.DType(), Shape: append([]int64{}, t.Shape()...)}
			size, err := a.DType.size()
			if err != nil {
				return fmt.Errorf("%q: %w", n, err)
			}
			s.Sub(func(s *Scope) *Tensor {
				host := s.Contiguous(s.To(s.Detach(t), CPU))
				if host.Valid() {
					a.Data = make([]byte, host.Len()*size)
					if len(a.Data) > 0 {
						copy(a.Data, unsafe.Slice((*byte)(native.Data(host.h)), len(a.Data)))
					}
				}
				return nil
			})
			if err := s.Err(); err != nil {
				return err
			}
			out = append(out, a)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("tensor: copy parameters to the host: %w", err)
	}
	return out, nil
}

// check compares the bytes of a with its type and shape: it returns [ErrDType]
// for a type that is none of the constants, else [ErrShape].
func (a Array) check() error {
	size, err := a.DType.size()
	if err != nil {
		return err
	}
	n, err := elements(a.Shape)
	if err != nil {
		return err
	}
	if int64(len(a.Data)) != n*size {
		return fmt.Errorf("%d bytes for %s %s: %w", len(a.Data), a.DType, shapeString(a.Shape), ErrShape)
	}
	return nil
}

// FromArray copies a host array to the scope's device. A type that is none of
// the constants is [ErrDType]; sizes that do not fit the bytes are [ErrShape].
func (s *Scope) FromArray(a Array) *Tensor {
	if !s.ready("FromArray", nil) {
		return &Tensor{dev: s.st.dev}
	}
	if err := a.check(); err != nil {
		s.fail("FromArray", nil, fmt.Errorf("array %q has %w", a.Name, err))
		return &Tensor{dev: s.st.dev}
	}
	host := s.op("FromArray", func() (native.Handle, error) { return native.Empty(a.Shape, int32(a.DType), CPU.code()) })
	if !host.Valid() {
		return host
	}
	host.dev = CPU
	if len(a.Data) > 0 {
		copy(unsafe.Slice((*byte)(native.Data(host.h)), len(a.Data)), a.Data)
	}
	return s.moved(host)
}

// SetArrays overwrites values by name. Every array must have a tensor of its
// name and shape and, unless optional says so, every tensor an array; all that
// does not fit is reported at once in an error that wraps [ErrWeights], and
// nothing is changed then. Values that are not finite are refused likewise.
func (p *Params) SetArrays(ctx context.Context, arrays []Array, optional func(name string) bool) error {
	if p.closed {
		return closedError("set parameters")
	}
	var faults []error
	seen := map[string]bool{}
	for _, a := range arrays {
		e := p.entries[a.Name]
		switch {
		case seen[a.Name]:
			faults = append(faults, fmt.Errorf("%s comes twice", a.Name))
		case e == nil:
			faults = append(faults, fmt.Errorf("%s %s is not expected", a.Name, shapeString(a.Shape)))
		case !slices.Equal(e.t.Shape(), a.Shape):
			faults = append(faults, fmt.Errorf("%s is %s, file has %s", a.Name, shapeString(e.t.Shape()), shapeString(a.Shape)))
		case a.check() != nil:
			faults = append(faults, fmt.Errorf("%s has %w", a.Name, a.check()))
		case !a.finite():
			faults = append(faults, fmt.Errorf("%s: %w", a.Name, ErrNotFinite))
		}
		seen[a.Name] = true
	}
	for _, n := range p.names {
		if !seen[n] && (optional == nil || !optional(n)) {
			faults = append(faults, fmt.Errorf("%s %s is missing", n, shapeString(p.entries[n].t.Shape())))
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("tensor: %w: %w", ErrWeights, joinLines(faults))
	}
	err := Run(ctx, p.dev, Evaluation, func(s *Scope) error {
		for _, a := range arrays {
			s.Sub(func(s *Scope) *Tensor {
				s.CopyInto(p.entries[a.Name].t, s.FromArray(a))
				return nil
			})
		}
		return nil
	})
	p.version.Add(1)
	return err
}

// finite reports whether a float array holds no NaN and no infinity: none whose exponent is all ones. One added to
// such an exponent carries into the sign's place, which is masked before.
func (a Array) finite() bool {
	d, carried := a.Data, uint64(0)
	switch a.DType {
	case Float32:
		const exponent, one, sign = 0x7f8000007f800000, 0x0080000000800000, 0x8000000080000000
		for ; len(d) >= 32; d = d[32:] {
			carried |= binary.LittleEndian.Uint64(d)&exponent + one
			carried |= binary.LittleEndian.Uint64(d[8:])&exponent + one
			carried |= binary.LittleEndian.Uint64(d[16:])&exponent + one
			carried |= binary.LittleEndian.Uint64(d[24:])&exponent + one
		}
		for ; len(d) >= 4; d = d[4:] {
			carried |= uint64(binary.LittleEndian.Uint32(d))&exponent + one
		}
		return carried&sign == 0
	case Float64:
		const exponent, one, sign = 0x7ff0000000000000, 0x0010000000000000, 0x8000000000000000
		for ; len(d) >= 8; d = d[8:] {
			carried |= binary.LittleEndian.Uint64(d)&exponent + one
		}
		return carried&sign == 0
	}
	return true
}

// CheckFinite returns an error that wraps [ErrNotFinite] where a float array
// holds NaN or an infinity.
func (a Array) CheckFinite() error {
	if a.finite() {
		return nil
	}
	return fmt.Errorf("%s: %w", a.Name, ErrNotFinite)
}

// joinLines joins faults into one error, at most twelve of them spelled out.
func joinLines(faults []error) error {
	const most = 12
	if len(faults) > most {
		rest := len(faults) - most
		faults = append(append([]error{}, faults[:most]...), fmt.Errorf("and %d more", rest))
	}
	return errors.Join(faults...)
}
