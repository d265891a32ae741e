package scalars

import (
	"errors"
	"fmt"
	"iter"
	"unicode"
	"unicode/utf8"
)

var (
	// ErrName says that the name of a value is empty, longer than 1,024 bytes, there
	// twice, or holds what is no printable UTF-8; or that there are too many names.
	ErrName = errors.New("name cannot be logged")
	// ErrStep says that a step is negative, or that none comes after it.
	ErrStep = errors.New("step out of range")
	// ErrFormat says that a file that is to be gone on with was not written by this
	// package.
	ErrFormat = errors.New("not a log of scalars")
	// ErrClosed says that a log is closed.
	ErrClosed = errors.New("log is closed")
)

const (
	maxName  = 1024 // bytes
	maxNames = 1000 // in one step, and in one table
)

// scalar is a value with its name.
type scalar struct {
	name  string
	value float64
}

// gather reads the values of a step and checks their names.
func gather(step int64, values iter.Seq2[string, float64]) ([]scalar, error) {
	if step < 0 {
		return nil, fmt.Errorf("%w: %d", ErrStep, step)
	}
	if values == nil {
		return nil, nil
	}
	var out []scalar
	seen := map[string]bool{}
	for name, v := range values {
		switch {
		case name == "" || len(name) > maxName:
			return nil, fmt.Errorf("%w: it has %d bytes, want 1 to %d", ErrName, len(name), maxName)
		case !printable(name):
			return nil, fmt.Errorf("%w: %q", ErrName, name)
		case seen[name]:
			return nil, fmt.Errorf("%w: %q is there twice", ErrName, name)
		case len(out) == maxNames:
			return nil, fmt.Errorf("%w: there are more than %d", ErrName, maxNames)
		}
		seen[name] = true
		out = append(out, scalar{name, v})
	}
	return out, nil
}

func printable(name string) bool {
	if !utf8.ValidString(name) {
		return false
	}
	for _, r := range name {
		if unicode.IsControl(r) {
			return false
		}
	}
	return true
}
