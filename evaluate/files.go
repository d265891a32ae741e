package evaluate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/gotab/gotab/internal/atomicfile"
)

// ReadRecordFiles reads the records of several files, as [ReadRecords] does, one after the other. An error names the file.
func ReadRecordFiles(paths ...string) ([]Record, error) {
	var all []Record
	for _, path := range paths {
		if err := withFile(path, func(r io.Reader) error {
			records, err := ReadRecords(r)
			all = append(all, records...)
			return err
		}); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// MergeFiles puts the records of several files together as [MergeRecords] does, and writes them to the file out, which
// appears whole or not at all and may be one of them. An error names the file that it is about.
func MergeFiles(out string, paths ...string) ([]Record, error) {
	var m merger
	for _, path := range paths {
		if err := withFile(path, m.add); err != nil {
			return nil, err
		}
	}
	var text bytes.Buffer
	records, err := m.write(&text)
	if err != nil {
		return nil, err
	}
	return records, atomicfile.Write(out, func(w io.Writer) error {
		_, err := w.Write(text.Bytes())
		return err
	})
}

// withFile reads a file, and names it where that fails.
func withFile(path string, read func(io.Reader) error) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("evaluate: open records: %w", err)
	}
	if err := errors.Join(read(f), f.Close()); err != nil {
		return fmt.Errorf("%w (file %s)", err, path)
	}
	return nil
}
