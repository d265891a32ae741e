package scalars

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Lines is a log of one JSON value a line. It is no result: it grows by one line at a time, and all lines but the
// last one are whole whatever happens. It is not safe for concurrent use.
type Lines struct {
	f    *os.File
	size int64 // of the whole lines; -1 for what is no file, such as a terminal
}

// OpenLines begins a log, or goes on with one: after is the step that the run stands at, 0 for a new run. A line that is an
// object with a number "step" above that, and all behind it, is cut off: the steps come again. So is an
// incomplete last line, as a process that was killed or a full disk leaves it, with which the next line would be lost. A
// negative step returns ErrStep.
func OpenLines(path string, after int64) (_ *Lines, err error) {
	if after < 0 {
		return nil, fmt.Errorf("scalars: log %s: %w: %d", path, ErrStep, after)
	}
	mode := os.O_CREATE | os.O_RDWR
	if after == 0 {
		mode |= os.O_TRUNC
	}
	f, err := os.OpenFile(path, mode, 0o644)
	if err != nil {
		return nil, fmt.Errorf("scalars: log %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("scalars: log %s: %w", path, err), f.Close())
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return &Lines{f: f, size: -1}, nil
	}
	size, err := linesUpTo(f, after)
	if err != nil {
		return nil, err
	}
	l := &Lines{f: f, size: size}
	return l, l.cut()
}

// linesUpTo is how many bytes the whole lines have that come before the first one of a later step.
func linesUpTo(r io.Reader, after int64) (size int64, err error) {
	in := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := in.ReadSlice('\n')
		n := int64(len(line))
		var long bool // longer than a step's line is, and of none
		for errors.Is(err, bufio.ErrBufferFull) {
			long = true
			line, err = in.ReadSlice('\n')
			n += int64(len(line))
		}
		if errors.Is(err, io.EOF) {
			return size, nil
		}
		if err != nil {
			return 0, err
		}
		var of struct {
			Step *int64 `json:"step"`
		}
		if !long && json.Unmarshal(line, &of) == nil && of.Step != nil && *of.Step > after {
			return size, nil
		}
		size += n
	}
}

// cut removes what comes after the whole lines.
func (l *Lines) cut() error {
	if l.size < 0 {
		return nil
	}
	if err := l.f.Truncate(l.size); err != nil {
		return err
	}
	_, err := l.f.Seek(l.size, io.SeekStart)
	return err
}

// Add adds a value as a line. When it fails, the log is as it was. After Close it returns [ErrClosed].
func (l *Lines) Add(v any) error {
	if l.f == nil {
		return fmt.Errorf("scalars: log: %w", ErrClosed)
	}
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("scalars: log: %w", err)
	}
	n, err := l.f.Write(append(line, '\n'))
	if err != nil {
		return errors.Join(err, l.cut())
	}
	if l.size >= 0 {
		l.size += int64(n)
	}
	return nil
}

// Close closes the file. A second call does nothing.
func (l *Lines) Close() error {
	if l.f == nil {
		return nil
	}
	f := l.f
	l.f = nil
	return f.Close()
}
