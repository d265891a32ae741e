package session

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gotab/gotab/evaluate"
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
	return filepath.Join(s.o.Save, fileName(r.Data), fileName(r.Class), fileName(r.Method+"-"+r.Seed)+".safetensors")
}

// fileName makes a name that every file system takes: what is no letter of ASCII, digit, dot, hyphen or
// underscore becomes an underscore, and a checksum keeps such names apart.
func fileName(name string) string {
	plain := strings.Map(func(r rune) rune {
		if r < 0x80 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r)) {
			return r
		}
		return '_'
	}, name)
	const longest = 100
	if plain == name && len(name) <= longest && !strings.HasPrefix(name, ".") && name != "" {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return strings.TrimLeft(plain[:min(len(plain), longest)], ".") + "-" + hex.EncodeToString(sum[:4])
}

// baseOf is the last part of a path, also of "." and "..".
func baseOf(p string) string {
	if abs, err := filepath.Abs(p); err == nil {
		return filepath.Base(abs)
	}
	return filepath.Base(p)
}
