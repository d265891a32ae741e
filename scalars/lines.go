package scalars

import (
	"bytes"
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

// OpenLines begins a log anew, or goes on with the one that is there: then an
// incomplete last line, as a process that was killed or a full disk leaves it, is
// cut off, or the next line would be lost with it.
func OpenLines(path string, resume bool) (_ *Lines, err error) {
	mode := os.O_CREATE | os.O_RDWR | os.O_TRUNC
	if resume {
		mode = os.O_CREATE | os.O_RDWR
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
	size, err := wholeLines(f)
	if err != nil {
		return nil, err
	}
	l := &Lines{f: f, size: size}
	return l, l.cut()
}

// wholeLines is how many bytes of a file come before and with its last newline. It
// reads from the end.
func wholeLines(f *os.File) (int64, error) {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	block := make([]byte, 4096)
	for end > 0 {
		n := min(end, int64(len(block)))
		if _, err := f.ReadAt(block[:n], end-n); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(block[:n], '\n'); i >= 0 {
			return end - n + int64(i) + 1, nil
		}
		end -= n
	}
	return 0, nil
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
