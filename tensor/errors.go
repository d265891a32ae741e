package tensor

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gotab/gotab/tensor/internal/native"
)

// Sentinel errors; test for them with errors.Is.
var (
	// ErrShape reports operands whose shapes do not fit the operation.
	ErrShape = errors.New("shapes do not fit")
	// ErrOutOfMemory reports that the device (or the host) could not allocate.
	ErrOutOfMemory = native.ErrOutOfMemory
	// ErrReleased reports the use of a tensor after its owner freed it, or of a
	// tensor that was never made because an earlier operation failed.
	ErrReleased = errors.New("tensor has been released")
	// ErrClosed reports the use of something after its Close: of [Params], and of all
	// in this module that owns native memory.
	ErrClosed = errors.New("it is closed")
	// ErrNested reports a Run that was started on a libtorch thread, that is from
	// inside the function of another Run, where it would wait for itself.
	ErrNested = errors.New("Run inside a Run")
	// ErrThreads reports that the system does not let this process make the threads
	// that it needs.
	ErrThreads = errors.New("too few threads are allowed")
	// ErrDType reports an element type that the operation cannot take, such as one
	// that is none of the constants of [DType].
	ErrDType = errors.New("element type does not fit")
	// ErrDevice reports a device that this machine or this build does not have.
	ErrDevice = errors.New("device is not available")
	// ErrName reports a parameter name that is missing or taken.
	ErrName = errors.New("parameter name")
	// ErrWeightFile reports a file that holds no weights.
	ErrWeightFile = errors.New("not a weight file")
	// ErrWeights reports weights that do not fit the network they are read into.
	ErrWeights = errors.New("weights do not fit")
	// ErrNotFinite reports NaN or infinite values where only numbers make sense.
	ErrNotFinite = errors.New("value is not finite")
)

// OpError is the failure of one operation: its name, the shapes of its operands
// and the cause, which errors.Is and errors.As can see through.
type OpError struct {
	Op  string
	In  [][]int64
	Err error
}

func (e *OpError) Error() string {
	var b strings.Builder
	b.WriteString("tensor: ")
	b.WriteString(e.Op)
	for i, s := range e.In {
		if i == 0 {
			b.WriteString(" of ")
		} else {
			b.WriteString(" and ")
		}
		b.WriteString(shapeString(s))
	}
	b.WriteString(": ")
	fmt.Fprint(&b, e.Err)
	return b.String()
}

// Unwrap returns the cause.
func (e *OpError) Unwrap() error { return e.Err }

func shapeString(s []int64) string {
	if s == nil {
		return "[?]"
	}
	return strings.ReplaceAll(fmt.Sprint(s), ",", " ")
}
