package backbone

import (
	"errors"
	"fmt"

	"github.com/gotab/gotab/tensor"
)

// ErrPrecision reports a precision that there is not, or that a network's device or
// the processor does not compute in.
var ErrPrecision = errors.New("no such precision here")

// Precision says in which numbers a network is evaluated.
type Precision int

const (
	// Float32 is single precision, the default.
	Float32 Precision = iota
	// BFloat16 keeps the range of single precision and 8 of its 24 significant bits.
	// Products are summed in single precision, activations are rounded after each
	// convolution. Processors with AVX512-BF16 or AMX are two to three times as fast in it.
	BFloat16
)

var precisionNames = [...]string{"float32", "bfloat16"}

func (p Precision) String() string {
	if p < 0 || int(p) >= len(precisionNames) {
		return fmt.Sprintf("Precision(%d)", int(p))
	}
	return precisionNames[p]
}

// ParsePrecision reads what String writes, and the short forms f32 and bf16. Anything
// else is an error that wraps [ErrPrecision].
func ParsePrecision(s string) (Precision, error) {
	switch s {
	case "float32", "f32":
		return Float32, nil
	case "bfloat16", "bf16":
		return BFloat16, nil
	}
	return 0, fmt.Errorf("backbone: %w: %q, want one of %v", ErrPrecision, s, precisionNames)
}

// MarshalText writes what String does; a precision that there is not is an error that
// wraps [ErrPrecision].
func (p Precision) MarshalText() ([]byte, error) {
	if p != Float32 && p != BFloat16 {
		return nil, fmt.Errorf("backbone: %w: %s", ErrPrecision, p)
	}
	return []byte(p.String()), nil
}

// UnmarshalText reads what [ParsePrecision] reads.
func (p *Precision) UnmarshalText(b []byte) (err error) {
	*p, err = ParsePrecision(string(b))
	return err
}

// dtype returns the type of activations.
func (p Precision) dtype() tensor.DType {
	if p == BFloat16 {
		return tensor.BFloat16
	}
	return tensor.Float32
}

// check refuses a precision that there is not, and one that a network cannot compute in.
func (p Precision) check(doing string, m *ResNet) error {
	switch {
	case p != Float32 && p != BFloat16:
		return fmt.Errorf("backbone: %s: %w: %s", doing, ErrPrecision, p)
	case m.params.Closed():
		return fmt.Errorf("backbone: %s: %w", doing, ErrClosed)
	case p == BFloat16 && !m.Device().IsCUDA() && !tensor.HasBFloat16():
		return fmt.Errorf("backbone: %s: %w: this processor has no AVX512-BF16, or this libtorch no oneDNN; leave it at float32", doing, ErrPrecision)
	}
	return nil
}

// SetPrecision says in which precision Forward and Stage compute in evaluation.
// Images go in and features come out in float32 with either; the weights and
// what is saved of them stay in float32 throughout. On the CPU BFloat16 takes a processor for
// which [tensor.HasBFloat16] holds, else SetPrecision returns an error
// that wraps [ErrPrecision] and changes nothing. Features in bfloat16 differ from those in
// float32 by some thousandths of the largest, so detectors are fitted, calibrated and used in one
// precision; their files say in which. Like training it needs the network for itself.
// [ResNet.Clone] has the default.
func (m *ResNet) SetPrecision(p Precision) error {
	if err := p.check("set precision", m); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.precision != p {
		m.precision = p
		m.params.Touch() // who remembers features must forget them
	}
	return nil
}

// Precision returns the precision of evaluation.
func (m *ResNet) Precision() Precision {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.precision
}

// SetTrainingPrecision says in which precision Forward and Stage convolve in training. With
// BFloat16 each convolution rounds its input and a copy of its weight; batch norm computes in
// float32, and weights, gradients of weights and statistics are kept in it, so that no loss needs scaling. Features come
// out in float32. Activations take half the memory. Errors are those of SetPrecision. It needs the network for
// itself; [ResNet.Clone] has the default.
func (m *ResNet) SetTrainingPrecision(p Precision) error {
	if err := p.check("set training precision", m); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.training = p
	return nil
}

// TrainingPrecision returns the precision of convolutions in training.
func (m *ResNet) TrainingPrecision() Precision {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.training
}
