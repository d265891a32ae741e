package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// logFile is the JSON-lines log; without a file it takes everything and keeps
// nothing. It is no result: it grows by one line at a time, and all lines but the
// last one are whole whatever happens.
type logFile struct {
	f    *os.File
	size int64 // of the whole lines; -1 for what is no file, such as a terminal
}

// openLog begins a log anew, or goes on with one where a run is resumed: then an
// incomplete last line, as a process that was killed or a full disk leaves it, is
// cut off, or the next line would be lost with it.
func openLog(o options) (_ *logFile, err error) {
	if o.log == "" {
		return &logFile{}, nil
	}
	mode := os.O_CREATE | os.O_RDWR | os.O_TRUNC
	if o.resume {
		mode = os.O_CREATE | os.O_RDWR
	}
	f, err := os.OpenFile(o.log, mode, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("-log %s: %w", o.log, err), f.Close())
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return &logFile{f: f, size: -1}, nil
	}
	size, err := wholeLines(f)
	if err != nil {
		return nil, err
	}
	l := &logFile{f: f, size: size}
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
func (l *logFile) cut() error {
	if l.size < 0 {
		return nil
	}
	if err := l.f.Truncate(l.size); err != nil {
		return err
	}
	_, err := l.f.Seek(l.size, io.SeekStart)
	return err
}

// write adds a line. When it fails, the log is as it was.
func (l *logFile) write(v any) error {
	if l.f == nil {
		return nil
	}
	line, err := json.Marshal(v)
	if err != nil {
		return err
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

func (l *logFile) close() error {
	if l.f == nil {
		return nil
	}
	return l.f.Close()
}
