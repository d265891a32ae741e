package scalars

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gotab/gotab/internal/atomicfile"
)

// Places are where the figures of a training go: a table, and a folder of event files.
// Either may be empty.
type Places struct{ CSV, TensorBoard string }

// Try says, before the hours of a training, whether the logs can be written. It makes the folder.
func (p Places) Try() error {
	if p.CSV != "" {
		if err := atomicfile.Try(p.CSV); err != nil {
			return fmt.Errorf("scalars: table: %w", err)
		}
	}
	if p.TensorBoard == "" {
		return nil
	}
	if err := os.MkdirAll(p.TensorBoard, 0o777); err != nil {
		return fmt.Errorf("scalars: events: %w", err)
	}
	if err := atomicfile.TryFolder(p.TensorBoard); err != nil {
		return fmt.Errorf("scalars: events: %w", err)
	}
	return nil
}

// Of are the places of one of several trainings: a folder of its own below the events', and
// a file beside the table.
func (p Places) Of(training string) Places {
	if p.TensorBoard != "" {
		p.TensorBoard = filepath.Join(p.TensorBoard, training)
	}
	if p.CSV != "" {
		ext := filepath.Ext(p.CSV)
		p.CSV = strings.TrimSuffix(p.CSV, ext) + "-" + training + ext
	}
	return p
}

// Open begins the logs, or goes on with them where a run is at a step; see the function.
func (p Places) Open(after int64) (Logs, error) { return Open(p.CSV, p.TensorBoard, after) }
