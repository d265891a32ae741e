package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/internal/apart"
)

// only are the classes of a part.
func only(part evaluate.Part, classes []place) (out []place) {
	for i, c := range classes {
		if part.Has(i) {
			out = append(out, c)
		}
	}
	return out
}

// saver is a detector that can be written to a file.
type saver interface{ Save(path string) error }

// save writes a fitted detector for [Config.Save].
func (s *session) save(_ context.Context, d evaluate.Detector, o *evaluate.Outcome) error {
	if s.o.Save == "" {
		return nil
	}
	w, ok := d.(saver)
	if !ok {
		return fmt.Errorf("save the detector of %s: %w", o.Record.Class, errors.ErrUnsupported)
	}
	path := s.savedAs(o.Record)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return w.Save(path)
}

// savedAs is the file of a detector: Save/DATA/CLASS/METHOD-SEED.safetensors.
func (s *session) savedAs(r evaluate.Record) string {
	return filepath.Join(s.o.Save, apart.FileName(r.Data), apart.FileName(r.Class), apart.FileName(r.Method+"-"+r.Seed)+".safetensors")
}

// baseOf is the last part of a path, also of "." and "..".
func baseOf(p string) string {
	if abs, err := filepath.Abs(p); err == nil {
		return filepath.Base(abs)
	}
	return filepath.Base(p)
}
