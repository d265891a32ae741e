package safetensors

import (
	"encoding/binary"
	"fmt"
	"math"
)

// DType is the element type of a tensor, spelled as in the header.
type DType string

// The element types that this package knows. Numbers are little-endian, BOOL is
// one byte of 0 or 1.
const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"  // IEEE 754 binary16
	BF16 DType = "BF16" // the upper half of a float32
	I64  DType = "I64"
	I32  DType = "I32"
	I16  DType = "I16"
	I8   DType = "I8"
	U8   DType = "U8"
	BOOL DType = "BOOL"
)

// Size is the number of bytes of one element, 0 for a type that is not known.
func (d DType) Size() int64 {
	switch d {
	case F64, I64:
		return 8
	case F32, I32:
		return 4
	case F16, BF16, I16:
		return 2
	case I8, U8, BOOL:
		return 1
	}
	return 0
}

// float says whether Float32 converts the type.
func (d DType) float() bool {
	return d == F64 || d == F32 || d == F16 || d == BF16
}

// toFloat32 converts the elements of src into dst, which has one place for each.
// The type must be one of the float types.
func toFloat32(dst []float32, d DType, src []byte) {
	le := binary.LittleEndian
	switch d {
	case F32:
		for i := range dst {
			dst[i] = math.Float32frombits(le.Uint32(src[4*i:]))
		}
	case F16:
		for i := range dst {
			dst[i] = float16(le.Uint16(src[2*i:]))
		}
	case BF16:
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(le.Uint16(src[2*i:])) << 16)
		}
	case F64:
		for i := range dst {
			dst[i] = float32(math.Float64frombits(le.Uint64(src[8*i:])))
		}
	}
}

// float16 widens an IEEE 754 binary16 number. Every such number is a float32, so
// the conversion is exact, subnormals included; a NaN keeps its sign and payload.
func float16(h uint16) float32 {
	const (
		mantissaBits = 10
		rebias       = 127 - 15
	)
	sign := uint32(h&0x8000) << 16
	exp := uint32(h>>mantissaBits) & 0x1f
	frac := uint32(h) & 0x3ff
	switch {
	case exp == 0x1f: // infinity or NaN
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	case exp != 0:
		return math.Float32frombits(sign | (exp+rebias)<<23 | frac<<13)
	}
	// Zero or subnormal: frac x 2^-24. The product is exact because frac has at
	// most 10 bits and the scale is a power of two.
	return math.Float32frombits(sign | math.Float32bits(float32(frac)*0x1p-24))
}

// Float32Bytes is the little-endian form of x, four bytes a number: the Data of
// an F32 tensor.
func Float32Bytes(x []float32) []byte {
	b := make([]byte, 4*len(x))
	for i, v := range x {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(v))
	}
	return b
}

// Tensor is a named tensor in memory.
type Tensor struct {
	Name  string
	DType DType
	Shape []int64 // outermost first; empty for a scalar
	Data  []byte  // little-endian, row-major, no padding: product(Shape) x DType.Size() bytes
}

// Float32 returns the elements as float32: exactly for F32, F16 and BF16,
// subnormals, infinities and NaN included; rounded to the nearest for F64, where
// what exceeds the range becomes an infinity. Integer types are ErrDType. The
// slice is the caller's.
func (t Tensor) Float32() ([]float32, error) {
	if !t.DType.float() {
		return nil, fmt.Errorf("safetensors: read %s as float32: %w: %s", t.Name, ErrDType, t.DType)
	}
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("safetensors: read %s as float32: %w", t.Name, err)
	}
	x := make([]float32, int64(len(t.Data))/t.DType.Size())
	toFloat32(x, t.DType, t.Data)
	return x, nil
}

// check holds Data against DType and Shape.
func (t Tensor) check() error {
	want, err := byteSize(t.DType, t.Shape)
	if err != nil {
		return err
	}
	if int64(len(t.Data)) != want {
		return fmt.Errorf("%w: %s %v takes %d bytes, Data has %d", ErrTensor, t.DType, t.Shape, want, len(t.Data))
	}
	return nil
}

// byteSize is product(shape) x size of an element, or an error if a dimension is
// negative, the product does not fit, or the type is not known.
func byteSize(d DType, shape []int64) (int64, error) {
	size := d.Size()
	if size == 0 {
		return 0, fmt.Errorf("%w: element type %q is not one of F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL", ErrDType, string(d))
	}
	n := size
	// The product of the others must fit even where one dimension is 0: readers
	// that multiply in another order would overflow.
	zero := false
	for _, dim := range shape {
		if dim < 0 {
			return 0, fmt.Errorf("%w: shape %v has a negative dimension", ErrTensor, shape)
		}
		if dim == 0 {
			zero = true
			continue
		}
		if n > math.MaxInt64/dim {
			return 0, fmt.Errorf("%w: %s %v has more than 2^63 bytes", ErrTensor, d, shape)
		}
		n *= dim
	}
	if zero {
		return 0, nil
	}
	return n, nil
}
