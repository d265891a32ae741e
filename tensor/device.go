package tensor

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/gotab/gotab/tensor/internal/native"
)

// Device says where a tensor lives. The zero value is the CPU. Devices are
// comparable with ==.
type Device struct {
	cuda  bool
	index int
}

// CPU is the host's memory and processors.
var CPU = Device{}

// CUDA returns the CUDA device with the given index. Whether it exists is
// checked by Run and by [ParseDevice].
func CUDA(index int) Device { return Device{cuda: true, index: index} }

// IsCUDA reports whether d is a CUDA device.
func (d Device) IsCUDA() bool { return d.cuda }

// Index returns the CUDA index, 0 for the CPU.
func (d Device) Index() int { return d.index }

func (d Device) String() string {
	if d.cuda {
		return "cuda:" + strconv.Itoa(d.index)
	}
	return "cpu"
}

// code is package native's number of the device.
func (d Device) code() int {
	if d.cuda {
		return d.index
	}
	return -1
}

// CUDADevices returns how many CUDA devices libtorch sees: 0 on a machine
// without one, and 0 in a program that was linked for the CPU only.
func CUDADevices() int { return native.CUDADevices() }

// check returns ErrDevice for a device that is not there. libtorch keeps a device's
// number in eight bits and would take another one.
func (d Device) check() error {
	if have := CUDADevices(); d.cuda && (d.index < 0 || d.index >= have) {
		return fmt.Errorf("%w: libtorch sees %d CUDA devices and not %s", ErrDevice, have, d)
	}
	return nil
}

// setDevice makes d the calling thread's.
func setDevice(d Device) error {
	if !d.cuda {
		return nil
	}
	if err := d.check(); err != nil {
		return err
	}
	if err := native.SetDevice(d.index); err != nil {
		return errors.Join(ErrDevice, err)
	}
	return nil
}

// HasOneDNN reports whether this libtorch carries oneDNN, on which the packed
// convolutions of [Scope.PackConv] stand.
func HasOneDNN() bool { return native.HasOneDNN() }

// HasBFloat16 reports whether the packed convolutions of [Scope.PackConv] compute in
// bfloat16 too: this libtorch carries oneDNN, and the processor multiplies bfloat16
// itself (AVX512-BF16, and AMX where it has that). Others could only imitate it, slower
// than they compute in float32.
func HasBFloat16() bool { return native.HasBFloat16() }

// ParseDevice reads the value of a -device flag: "auto" (the first CUDA device
// where there is one, else the CPU), "cpu", "cuda" or "cuda:N". A device that is
// not there is an error that wraps [ErrDevice] and says what to do.
func ParseDevice(s string) (Device, error) {
	name := strings.ToLower(strings.TrimSpace(s))
	switch {
	case name == "cpu":
		return CPU, nil
	case name == "auto" || name == "":
		if CUDADevices() > 0 {
			return CUDA(0), nil
		}
		return CPU, nil
	case name == "cuda":
		return checkCUDA(0)
	case strings.HasPrefix(name, "cuda:"):
		n, err := strconv.Atoi(name[len("cuda:"):])
		if err != nil || n < 0 {
			return Device{}, fmt.Errorf("tensor: device %q: want cuda:N with a whole number N from 0 on", s)
		}
		return checkCUDA(n)
	}
	return Device{}, fmt.Errorf("tensor: device %q: want auto, cpu, cuda or cuda:N", s)
}

func checkCUDA(n int) (Device, error) {
	have := CUDADevices()
	if have == 0 {
		return Device{}, fmt.Errorf("tensor: cuda:%d: %w: libtorch sees no CUDA device; a program for the GPU is built with "+
			"the environment of 'go run github.com/gotab/gotab/tensor/libtorch env -cuda' on a machine with an NVIDIA driver", n, ErrDevice)
	}
	if n >= have {
		return Device{}, fmt.Errorf("tensor: cuda:%d: %w: this machine has cuda:0 to cuda:%d", n, ErrDevice, have-1)
	}
	return CUDA(n), nil
}

// DType is the element type of a tensor: one of the constants, or libtorch's
// number of another type, which a tensor taken over by [Scope.Adopt] may have.
// What needs the size of an element refuses other types with [ErrDType].
type DType int32

// NoDType is the element type of a tensor that holds nothing.
const NoDType DType = -1

// The element types in use, with libtorch's numbers.
const (
	Uint8    DType = 0
	Int64    DType = 4
	Float16  DType = 5
	Float32  DType = 6
	Float64  DType = 7
	Bool     DType = 11
	BFloat16 DType = 15
)

func (d DType) String() string {
	switch d {
	case Uint8:
		return "uint8"
	case Int64:
		return "int64"
	case Float16:
		return "float16"
	case Float32:
		return "float32"
	case Float64:
		return "float64"
	case Bool:
		return "bool"
	case BFloat16:
		return "bfloat16"
	case NoDType:
		return "no type"
	}
	return "dtype(" + strconv.Itoa(int(d)) + ")"
}

// size returns the bytes of an element, or an error for a type that is none of
// the constants: a guess would read or write past an allocation.
func (d DType) size() (int64, error) {
	switch d {
	case Uint8, Bool:
		return 1, nil
	case Float16, BFloat16:
		return 2, nil
	case Float32:
		return 4, nil
	case Int64, Float64:
		return 8, nil
	}
	return 0, fmt.Errorf("elements of %s: %w: its size is not known; Cast converts to one of the types of package tensor", d, ErrDType)
}

// real reports whether an element of the type is one real number, as libtorch's
// smaller integers are also; complex and quantized numbers are not.
func (d DType) real() bool {
	const int8, float64 = 1, 7
	return d == Uint8 || d >= int8 && d <= float64 || d == Bool || d == BFloat16
}

// Mode says what a Run is for. It decides whether operations are recorded for
// Backward and which statistics batch normalisation uses.
type Mode int

const (
	// Evaluation records nothing; batch norm uses its running statistics.
	Evaluation Mode = iota
	// Training records for Backward; batch norm uses and updates batch statistics.
	Training
)

func (m Mode) String() string {
	if m == Training {
		return "training"
	}
	return "evaluation"
}
