package evaluate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"

	"github.com/gotab/gotab/internal/atomicfile"
)

const (
	maxLine    = 1 << 20 // bytes of a record
	maxRecords = 1 << 17
)

// Store is a file of records, one JSON object a line. Every record is in it as soon
// as it is added, and the file is whole at any time. One process at a time writes
// it, where there are locks; [Store.Unlocked] says where there are none. All methods are safe for concurrent use.
type Store struct {
	mu       sync.Mutex
	path     string
	records  []Record
	lines    [][]byte // as they were read, so that nothing of a line is lost
	lock     *os.File // held until Close; nil for none
	unlocked error    // why there is none
}

// errNoLocks reports a file that cannot be locked, by this process or any other.
var errNoLocks = errors.New("there are no locks")

// OpenStore opens the file of a path, or makes it. With resume it goes on with what
// is there; without, it returns [ErrExists] for a file that has records, because an
// hour's results are easily overwritten. It returns [ErrLocked] if another process
// has the file open (where files cannot be locked it goes on, see [Store.Unlocked]), [ErrRecords] if a line is no record of this version, and the
// system's error if the file cannot be read or written. An empty path is a store that
// only remembers.
func OpenStore(path string, resume bool) (*Store, error) { return openStore(path, resume, lockFile) }

func openStore(path string, resume bool, lock func(*os.File) error) (_ *Store, err error) {
	s := &Store{path: path}
	if path == "" {
		return s, nil
	}
	if info, err := os.Stat(path); err != nil || info.Mode().IsRegular() {
		if err := s.hold(lock); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	f, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, s.write() // finds out now whether it can be written
	case err != nil:
		return nil, fmt.Errorf("evaluate: open store: %w", err)
	}
	defer f.Close()
	if s.records, s.lines, err = readRecords(f); err != nil {
		return nil, fmt.Errorf("%w (file %s)", err, path)
	}
	if n := len(s.records); n > 0 && !resume {
		return nil, fmt.Errorf("evaluate: open store %s: %w: %d", path, ErrExists, n)
	}
	return s, nil
}

// hold keeps other processes from writing the same file: each writes all of it, and
// the lines of one would be lost. The lock ends with the process, however that ends.
func (s *Store) hold(lock func(*os.File) error) error {
	name := s.path + ".lock"
	fail := func(err error) error { return fmt.Errorf("evaluate: lock store %s: %w", s.path, err) }
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fail(err)
	}
	if err := lock(f); errors.Is(err, errNoLocks) {
		s.unlocked = fail(err)
		return errors.Join(f.Close(), os.Remove(name))
	} else if err != nil {
		return errors.Join(fail(err), f.Close())
	}
	// It may have been removed by the holder before between opening and locking.
	if there, err := os.Stat(name); err == nil {
		if own, err := f.Stat(); err == nil && os.SameFile(there, own) {
			s.lock = f
			return nil
		}
	}
	return errors.Join(fail(fmt.Errorf("%w, and has just ended: try again", ErrLocked)), f.Close())
}

// Unlocked says why other processes are not kept from the file: the system, or the file system, has no locks. The
// caller sees to it then that nobody else writes it. It is nil for a store that is locked, and for one that has nothing to
// lock.
func (s *Store) Unlocked() error { return s.unlocked }

// Close lets go of the file. The records stay. A second call does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return nil
	}
	f := s.lock
	s.lock = nil
	return errors.Join(os.Remove(f.Name()), f.Close())
}

// ReadRecords reads one JSON object a line, at most 131,072 of at most 1 MiB. It
// returns [ErrRecords] with the number of a line that is no record of this version.
func ReadRecords(r io.Reader) ([]Record, error) {
	if r == nil {
		return nil, fmt.Errorf("evaluate: %w: the reader is nil", ErrRecords)
	}
	records, _, err := readRecords(r)
	return records, err
}

// readRecords is ReadRecords with the lines as they were.
func readRecords(r io.Reader) (records []Record, lines [][]byte, err error) {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, maxLine)
	n := 0
	bad := func(err error) error { return fmt.Errorf("evaluate: line %d: %w: %w", n, ErrRecords, err) }
	for sc.Scan() {
		n++
		line := bytes.TrimSpace(sc.Bytes())
		if len(line) == 0 {
			continue
		}
		if len(records) == maxRecords {
			return nil, nil, bad(fmt.Errorf("more than %d results", maxRecords))
		}
		var rec Record
		if err := json.Unmarshal(line, &rec); err != nil {
			return nil, nil, bad(err)
		}
		if err := rec.check(); err != nil {
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

// Records returns all records, in the order in which they were added.
func (s *Store) Records() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.records)
}

// Find returns the record of a key, and false if there is none but of trials that
// failed.
func (s *Store) Find(k Key) (Record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records {
		if r.Failed == "" && r.Key() == k {
			return r, true
		}
	}
	return Record{}, false
}

// Add takes a record and writes the file anew. It returns [ErrRecords] for a record
// that no run writes, or that takes more than 1 MiB, which it does not take, and [ErrStore] if the file cannot be
// written.
func (s *Store) Add(r Record) error {
	if err := r.Validate(); err != nil {
		return err
	}
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false) // "nearest, >= 128" is to be read by people too
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("evaluate: record of class %s: %w: %w", r.Class, ErrRecords, err)
	}
	if line.Len() > maxLine {
		return fmt.Errorf("evaluate: record of class %s: %w: it takes %d bytes, at most %d can be read again; leave out WithScores", r.Class, ErrRecords, line.Len(), maxLine)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records, s.lines = append(s.records, r), append(s.lines, bytes.TrimSpace(line.Bytes()))
	return s.write()
}

// write writes the file. The caller holds the mutex, or nobody else has s.
func (s *Store) write() error {
	if s.path == "" {
		return nil
	}
	err := atomicfile.Write(s.path, func(w io.Writer) error {
		for _, line := range s.lines {
			if _, err := fmt.Fprintf(w, "%s\n", line); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("evaluate: %w: %w", ErrStore, err)
	}
	return nil
}

// Run is [Run] unless the store has the record already, which it returns then with
// true. A new record is added before functions of [WithDetector] are called. A trial
// that fails leaves none: who goes on with others adds the [Trial.Known] of it with the
// reason as Failed.
func (s *Store) Run(ctx context.Context, t Trial, opts ...Option) (r Record, found bool, err error) {
	known, err := t.Known()
	if err != nil {
		return Record{}, false, err
	}
	if r, ok := s.Find(known.Key()); ok {
		return r, true, nil
	}
	add := WithDetector(func(_ context.Context, _ Detector, o *Outcome) error { return s.Add(o.Record) })
	o, err := Run(ctx, t, append([]Option{add}, opts...)...)
	if o == nil {
		return Record{}, false, err
	}
	return o.Record, false, err
}
