package scalars

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gotab/gotab/internal/atomicfile"
)

// The first two columns of each table.
const (
	stepColumn, timeColumn = "step", "time"
	timeLayout             = "2006-01-02T15:04:05.000Z"
	// maxLine is more than maxNames names of maxName bytes are, quoted.
	maxLine = 4 << 20
)

// CSV writes a table of comma-separated values with a header: step, time (UTC), and a column
// for each name, in the order in which the names come. Cells of values that a step
// does not have are empty. A name that comes later adds a column, for which the table is
// written anew. All methods are safe for concurrent use.
type CSV struct {
	mu      sync.Mutex
	path    string
	f       *os.File // nil when closed
	size    int64    // of the whole rows
	columns []string // without step and time
	now     func() time.Time
	err     error // of the first write that failed; nothing is written after it
}

// OpenCSV begins a table, or goes on with one: after is the step that the run stands at, 0
// for a new run. Rows of later steps, and half a row as a killed process leaves it, are cut
// off. A file that is there and is no table of this package returns ErrFormat and stays as it is; a
// negative step returns ErrStep.
func OpenCSV(path string, after int64) (_ *CSV, err error) {
	fail := func(err error) (*CSV, error) { return nil, fmt.Errorf("scalars: table %s: %w", path, err) }
	if after < 0 {
		return fail(fmt.Errorf("%w: %d", ErrStep, after))
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fail(fmt.Errorf("%w: it is no file", ErrFormat))
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return fail(err)
	}
	c := &CSV{path: path, f: f, now: time.Now}
	if c.columns, c.size, err = standing(f, after); err == nil {
		err = c.cut()
	}
	if err != nil {
		_, err := fail(err)
		return nil, errors.Join(err, f.Close())
	}
	return c, nil
}

// standing reads the columns of a table and how long it is up to a step.
func standing(r io.Reader, after int64) (columns []string, size int64, err error) {
	in := bufio.NewReaderSize(r, maxLine)
	line, err := in.ReadSlice('\n')
	start := []byte(stepColumn + "," + timeColumn)
	if errors.Is(err, io.EOF) && (bytes.HasPrefix(start, line) || bytes.HasPrefix(line, start)) {
		return nil, 0, nil // nothing, or half a header
	}
	if err != nil {
		return nil, 0, fmt.Errorf("%w: its first line does not end", ErrFormat)
	}
	header, err := csv.NewReader(bytes.NewReader(line)).Read()
	if err != nil || len(header) < 2 || header[0] != stepColumn || header[1] != timeColumn {
		return nil, 0, fmt.Errorf("%w: its first line is not %s,%s and so on", ErrFormat, stepColumn, timeColumn)
	}
	if len(header) > 2+maxNames {
		return nil, 0, fmt.Errorf("%w: it has %d columns", ErrFormat, len(header))
	}
	if after == 0 {
		return nil, 0, nil
	}
	size = int64(len(line))
	for {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return header[2:], size, nil
		}
		if err != nil {
			return nil, 0, fmt.Errorf("%w: %w", ErrFormat, err)
		}
		first, _, _ := bytes.Cut(line, []byte(","))
		step, err := strconv.ParseInt(string(first), 10, 64)
		if err != nil {
			return nil, 0, fmt.Errorf("%w: a row begins with %.20q", ErrFormat, first)
		}
		if step > after {
			return header[2:], size, nil
		}
		size += int64(len(line))
	}
}

// cut leaves the whole rows.
func (c *CSV) cut() error {
	if err := c.f.Truncate(c.size); err != nil {
		return err
	}
	_, err := c.f.Seek(c.size, io.SeekStart)
	return err
}

// Add writes a row, as [Events.Add] writes an event.
func (c *CSV) Add(step int64, values iter.Seq2[string, float64]) error {
	list, err := gather(step, values)
	if err != nil {
		return fmt.Errorf("scalars: table %s: %w", c.path, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.f == nil:
		return fmt.Errorf("scalars: table %s: %w", c.path, ErrClosed)
	case len(list) == 0 || c.err != nil:
		return c.err
	}
	wider := slices.Clone(c.columns)
	for _, s := range list {
		if s.name == stepColumn || s.name == timeColumn {
			return fmt.Errorf("scalars: table %s: %w: %q is the name of a column of every table", c.path, ErrName, s.name)
		}
		if !slices.Contains(wider, s.name) {
			wider = append(wider, s.name)
		}
	}
	if len(wider) > maxNames {
		return fmt.Errorf("scalars: table %s: %w: there are more than %d", c.path, ErrName, maxNames)
	}
	if err := c.row(step, wider, list); err != nil {
		c.err = fmt.Errorf("scalars: table %s: %w", c.path, errors.Join(err, c.cut()))
	}
	return c.err
}

func (c *CSV) row(step int64, wider []string, list []scalar) error {
	if len(wider) > len(c.columns) {
		if err := c.widen(wider); err != nil {
			return err
		}
	}
	cells := make([]string, 2+len(c.columns))
	cells[0], cells[1] = strconv.FormatInt(step, 10), c.now().UTC().Format(timeLayout)
	for _, s := range list {
		cells[2+slices.Index(c.columns, s.name)] = number(s.value)
	}
	line, err := lineOf(cells)
	if err != nil {
		return err
	}
	n, err := c.f.Write(line)
	if err == nil {
		c.size += int64(n)
	}
	return err
}

// number is a value as spreadsheets and pandas read it.
func number(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "inf"
	case math.IsInf(v, -1):
		return "-inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

func lineOf(cells []string) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	if err := w.Write(cells); err != nil {
		return nil, err
	}
	w.Flush()
	return b.Bytes(), w.Error()
}

// widen writes the table with more columns and goes on with the new file.
func (c *CSV) widen(columns []string) error {
	header, err := lineOf(append([]string{stepColumn, timeColumn}, columns...))
	if err != nil {
		return err
	}
	if len(c.columns) == 0 { // nothing but perhaps a header
		c.size = 0
		if err := c.cut(); err != nil {
			return err
		}
		if _, err := c.f.Write(header); err != nil {
			return err
		}
		c.columns, c.size = columns, int64(len(header))
		return nil
	}
	more := strings.Repeat(",", len(columns)-len(c.columns)) + "\n"
	size := int64(0)
	if err := atomicfile.Write(c.path, func(w io.Writer) error {
		if _, err := c.f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		in := bufio.NewReaderSize(io.LimitReader(c.f, c.size), maxLine)
		for first := true; ; first = false {
			line, err := in.ReadSlice('\n')
			if errors.Is(err, io.EOF) && len(line) == 0 {
				return nil
			}
			if err != nil {
				return err
			}
			out := append(bytes.TrimSuffix(slices.Clone(line), []byte("\n")), more...)
			if first {
				out = header
			}
			n, err := w.Write(out)
			size += int64(n)
			if err != nil {
				return err
			}
		}
	}); err != nil {
		return err
	}
	f, err := os.OpenFile(c.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	old := c.f
	c.f, c.columns, c.size = f, columns, size
	return errors.Join(old.Close(), c.cut())
}

// Close closes the file and returns the error of the first write that failed. A second
// Close does nothing.
func (c *CSV) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.f == nil {
		return nil
	}
	err := errors.Join(c.err, c.f.Close())
	c.f = nil
	return err
}
