package scalars

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// prefix begins the names of event files; TensorBoard looks for tfevents in it, and reads
// the files of a folder in the order of their names.
const prefix = "events.out.tfevents."

// Events writes TensorBoard's event files: TFRecords of protocol buffers, one a step. Values
// are float32 there. All methods are safe for concurrent use.
type Events struct {
	mu    sync.Mutex
	w     io.Writer
	close func() error
	now   func() time.Time
	err   error // of the first write that failed; nothing is written after it
}

// NewEvents begins a stream of events that goes on after a step, 0 for a new run. Readers
// drop what earlier files of the folder hold of later steps.
//
// A nil writer returns ErrFormat, a negative step ErrStep, and a write that fails its
// error.
func NewEvents(w io.Writer, after int64) (*Events, error) { return newEvents(w, after, time.Now) }

func newEvents(w io.Writer, after int64, now func() time.Time) (*Events, error) {
	switch {
	case w == nil:
		return nil, fmt.Errorf("scalars: events: %w: the writer is nil", ErrFormat)
	case after < 0 || after == math.MaxInt64:
		return nil, fmt.Errorf("scalars: events: %w: %d", ErrStep, after)
	}
	e := &Events{w: w, now: now}
	if err := e.write(versionEvent(now())); err != nil {
		return nil, err
	}
	from := int64(0) // of a new run all steps, and what was measured before the first
	if after > 0 {
		from = after + 1
	}
	return e, e.write(startEvent(now(), from))
}

// OpenEvents makes a new event file in dir, which it makes too where it is missing. after
// is the step that the run stands at, 0 for a new one. Files that are there stay, and
// TensorBoard shows a run that goes on as one line; a new run in an old folder hides the old
// one's values.
func OpenEvents(dir string, after int64) (*Events, error) {
	f, err := create(dir, time.Now())
	if err != nil {
		return nil, fmt.Errorf("scalars: events: %w", err)
	}
	e, err := NewEvents(f, after)
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	e.close = f.Close
	return e, nil
}

// create makes a file whose name comes after those of all event files in dir, also when
// the clock was turned back.
func create(dir string, now time.Time) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	there, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	seconds := now.Unix()
	for _, d := range there {
		rest, ok := strings.CutPrefix(d.Name(), prefix)
		if !ok {
			continue
		}
		number, _, _ := strings.Cut(rest, ".")
		// Ten digits: names of other lengths sort in their own way, and no clock makes them.
		if n, err := strconv.ParseInt(number, 10, 64); err == nil && len(number) == 10 {
			seconds = max(seconds, n+1)
		}
	}
	for { // another run may begin in the same second
		f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("%s%010d.gotab", prefix, seconds)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
		seconds++
	}
}

// Add writes the values of a step, with the time. Nothing to write is no error and writes
// nothing. A negative step returns ErrStep, names are as ErrName says; after a write that
// failed every Add returns its error.
func (e *Events) Add(step int64, values iter.Seq2[string, float64]) error {
	list, err := gather(step, values)
	if err != nil {
		return fmt.Errorf("scalars: events: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.w == nil {
		return fmt.Errorf("scalars: events: %w", ErrClosed)
	}
	if len(list) == 0 {
		return e.err
	}
	return e.write(scalarsEvent(e.now(), step, list))
}

func (e *Events) write(event []byte) error {
	if e.err != nil {
		return e.err
	}
	if _, err := e.w.Write(record(event)); err != nil {
		e.err = fmt.Errorf("scalars: events: %w", err)
	}
	return e.err
}

// Close closes the file and returns the error of the first write that failed. What was
// given to NewEvents stays open. A second Close does nothing.
func (e *Events) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.w == nil {
		return nil
	}
	e.w = nil
	err := e.err
	if e.close != nil {
		if cerr := e.close(); cerr != nil {
			err = errors.Join(err, fmt.Errorf("scalars: events: %w", cerr))
		}
	}
	return err
}
