package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/gotab/gotab/internal/atomicfile"
)

var (
	// errRecords reports a -json file that is none.
	errRecords = errors.New("not a file of results")
	// errStore reports a -json file that can no longer be written: what would come
	// after it would be lost.
	errStore = errors.New("results cannot be kept")
)

const (
	maxLine    = 1 << 20 // bytes of a record
	maxRecords = 1 << 17
)

// store is the -json file: every record is in it as soon as it is made, and the
// file is whole at any time. Without a path it only remembers.
type store struct {
	path    string
	records []record
	lines   [][]byte // as they were read, so that nothing of a line is lost
	lock    *os.File // held until close; nil for none
}

// hold keeps other processes from writing the same file: each writes all of it, and
// the lines of one would be lost. The lock ends with the process, however that ends.
func (s *store) hold() error {
	name := s.path + ".lock"
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("lock %s: %w", s.path, err)
	}
	if err := lockFile(f); err != nil {
		err = fmt.Errorf("another process writes to %s: wait until it has ended, or give another -json (%w)", s.path, err)
		return errors.Join(err, f.Close())
	}
	// It may have been removed by the holder before between opening and locking.
	if there, err := os.Stat(name); err == nil {
		if own, err := f.Stat(); err == nil && os.SameFile(there, own) {
			s.lock = f
			return nil
		}
	}
	return errors.Join(fmt.Errorf("another process has just ended with %s: try again", s.path), f.Close())
}

// close lets go of the file.
func (s *store) close() error {
	if s.lock == nil {
		return nil
	}
	f := s.lock
	s.lock = nil
	return errors.Join(os.Remove(f.Name()), f.Close())
}

// openStore reads what there is if resume is set. Otherwise a file that has
// records is refused: an hour's results are too easily overwritten by a command
// that lacks one word.
func openStore(path string, resume bool) (_ *store, err error) {
	s := &store{path: path}
	if path == "" {
		return s, nil
	}
	if info, err := os.Stat(path); err != nil || info.Mode().IsRegular() {
		if err := s.hold(); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	f, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, s.write() // finds out now whether it can be written
	case err != nil:
		return nil, err
	}
	defer f.Close()
	if s.records, s.lines, err = readRecords(f); err != nil {
		return nil, fmt.Errorf("%w (file %s)", err, path)
	}
	if n := len(s.records); n > 0 && !resume {
		return nil, fmt.Errorf("%s has %d results: -resume goes on with them, another -json starts anew", path, n)
	}
	return s, nil
}

// readRecords reads one JSON object a line.
func readRecords(r io.Reader) (records []record, lines [][]byte, err error) {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, maxLine)
	n := 0
	bad := func(err error) error { return fmt.Errorf("line %d: %w: %w", n, errRecords, err) }
	for sc.Scan() {
		n++
		line := bytes.TrimSpace(sc.Bytes())
		if len(line) == 0 {
			continue
		}
		if len(records) == maxRecords {
			return nil, nil, bad(fmt.Errorf("more than %d results", maxRecords))
		}
		var rec record
		if err := json.Unmarshal(line, &rec); err != nil {
			return nil, nil, bad(err)
		}
		if err := rec.validate(); err != nil {
			return nil, nil, bad(err)
		}
		records, lines = append(records, rec), append(lines, bytes.Clone(line))
	}
	if err := sc.Err(); err != nil {
		n++
		return nil, nil, bad(err)
	}
	return records, lines, nil
}

// find returns the record of a key.
func (s *store) find(k key) (record, bool) {
	for _, r := range s.records {
		if r.key() == k {
			return r, true
		}
	}
	return record{}, false
}

// add takes a record and writes the file anew.
func (s *store) add(r record) error {
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false) // "nearest, >= 128" is to be read by people too
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("record of class %s: %w", r.Class, err)
	}
	s.records, s.lines = append(s.records, r), append(s.lines, bytes.TrimSpace(line.Bytes()))
	return s.write()
}

func (s *store) write() error {
	if s.path == "" {
		return nil
	}
	return atomicfile.Write(s.path, func(w io.Writer) error {
		for _, line := range s.lines {
			if _, err := fmt.Fprintf(w, "%s\n", line); err != nil {
				return err
			}
		}
		return nil
	})
}
