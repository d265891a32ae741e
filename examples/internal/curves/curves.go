// Package curves has the flags with which programs log their trainings.
package curves

import (
	"flag"
	"fmt"
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

// Open begins the logs, or goes on with them where a run is at a step.
func (f Flags) Open(after int64) (scalars.Logs, error) {
	return scalars.Open(f.CSV, f.TensorBoard, after)
}
