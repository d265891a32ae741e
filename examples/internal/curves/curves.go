// Package curves has the flags with which programs log their trainings.
package curves

import (
	"errors"
	"flag"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/gotab/gotab/examples/internal/inputs"
	"github.com/gotab/gotab/scalars"
)

// Flags are where the figures of a training go. Both may be empty.
type Flags struct{ TensorBoard, CSV string }

// Add adds the flags to a set.
func (f *Flags) Add(fs *flag.FlagSet) {
	fs.StringVar(&f.TensorBoard, "tensorboard", "", "`folder` for event files that TensorBoard reads, with the figures of each step")
	fs.StringVar(&f.CSV, "csv", "", "`file` for the figures of each step as comma-separated values")
}

// Check tries before the hours of a training whether the logs can be written.
func (f Flags) Check() error {
	if f.CSV != "" {
		if err := inputs.CheckFile(f.CSV); err != nil {
			return fmt.Errorf("-csv: %w", err)
		}
	}
	if f.TensorBoard == "" {
		return nil
	}
	if err := os.MkdirAll(f.TensorBoard, 0o777); err != nil {
		return fmt.Errorf("-tensorboard: %w", err)
	}
	if err := inputs.CheckFile(filepath.Join(f.TensorBoard, "x")); err != nil {
		return fmt.Errorf("-tensorboard: %w", err)
	}
	return nil
}

// Of are the logs of one of several trainings: a folder of its own below that of
// -tensorboard, and a file beside that of -csv.
func (f Flags) Of(training string) Flags {
	if f.TensorBoard != "" {
		f.TensorBoard = filepath.Join(f.TensorBoard, training)
	}
	if f.CSV != "" {
		ext := filepath.Ext(f.CSV)
		f.CSV = strings.TrimSuffix(f.CSV, ext) + "-" + training + ext
	}
	return f
}

// writer is a log of package scalars.
type writer interface {
	Add(step int64, values iter.Seq2[string, float64]) error
	Close() error
}

// Logs are the open logs of a training.
type Logs []writer

// Open begins the logs, or goes on with them where a run is at a step.
func (f Flags) Open(after int64) (Logs, error) {
	var l Logs
	if f.CSV != "" {
		c, err := scalars.OpenCSV(f.CSV, after)
		if err != nil {
			return nil, err
		}
		l = append(l, c)
	}
	if f.TensorBoard != "" {
		e, err := scalars.OpenEvents(f.TensorBoard, after)
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
		l = append(l, e)
	}
	return l, nil
}

// Add writes the values of a step to all logs.
func (l Logs) Add(step int64, values iter.Seq2[string, float64]) error {
	var errs []error
	for _, w := range l {
		errs = append(errs, w.Add(step, values))
	}
	return errors.Join(errs...)
}

// Close closes all logs; what an Add could not write is told again.
func (l Logs) Close() error {
	var errs []error
	for _, w := range l {
		errs = append(errs, w.Close())
	}
	return errors.Join(errs...)
}
