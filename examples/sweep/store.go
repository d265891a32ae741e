package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

const maxLine = 16 << 20 // bytes of a record

// store is the file of results, a line a record. Lines are only added, so that what is
// done stays done; a last line without its end is what a killed process leaves and is
// cut off.
type store struct {
	f       *os.File
	mu      sync.Mutex // counting goroutines add at the same time
	records []record
}

func openStore(path string) (s *store, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	if err := lockFile(f); err != nil {
		return nil, fmt.Errorf("another sweep writes to %s: %w", path, err)
	}
	s = &store{f: f}
	in := bufio.NewReaderSize(io.LimitReader(f, 1<<40), 1<<20)
	var whole int64
	for n := 1; ; n++ {
		line, err := readLine(in)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, n, err)
		}
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, fmt.Errorf("%s: line %d is no record: %w", path, n, err)
		}
		if r.Version != recordVersion || len(r.Scores) != len(r.Defective) {
			return nil, fmt.Errorf("%s: line %d has version %d, this program writes %d", path, n, r.Version, recordVersion)
		}
		whole += int64(len(line)) + 1
		s.records = append(s.records, r)
	}
	if err := f.Truncate(whole); err != nil {
		return nil, err
	}
	_, err = f.Seek(whole, io.SeekStart)
	return s, err
}

// readLine returns a line without its end; io.EOF also for a line without one.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return nil, fmt.Errorf("it is longer than %d bytes", maxLine)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return line[:len(line)-1], nil
	}
}

func (s *store) add(r record) error {
	r.Version = recordVersion
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.f.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("results cannot be kept: %w", err)
	}
	s.records = append(s.records, r)
	return nil
}

// has says whether a fit of a network with these weights on this set is in the results.
func (s *store) has(v variant, sha, set, detector, draw string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records {
		if r.Network == v.Network && r.Seed == v.Seed && r.Share == v.Share && r.SHA256 == sha && r.Set == set && r.Detector == detector && r.Draw == draw && r.Failed == "" {
			return true
		}
	}
	return false
}

func (s *store) close() error { return s.f.Close() }
