// Package profile takes profiles of Go's processor time for the programs under bench.
package profile

import (
	"bytes"
	"fmt"
	"io"
	"runtime/pprof"

	"github.com/gotab/gotab/internal/atomicfile"
)

// CPU calls f and writes a profile of Go's processor time in it to the file path, for bench/flame.py. It writes nothing if path is empty
// or f fails. A process takes one profile at a time: CPU returns an error, without a call of f, if another is being taken.
func CPU(path string, f func() error) error {
	if path == "" {
		return f()
	}
	var b bytes.Buffer
	if err := pprof.StartCPUProfile(&b); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	defer pprof.StopCPUProfile() // where f panics; twice is harmless
	if err := f(); err != nil {
		return err
	}
	pprof.StopCPUProfile()
	if err := atomicfile.Write(path, func(w io.Writer) error {
		_, err := b.WriteTo(w)
		return err
	}); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	return nil
}
