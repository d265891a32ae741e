package faulttest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gotab/gotab/internal/atomicfile"
)

// text is longer than the buffer of atomicfile, so that it takes several calls.
func text(version int) string { return strings.Repeat(fmt.Sprint("version ", version), 8000) }

func sound() Writer {
	return Writer{Name: "sound", Write: func(dir string, version int) error {
		return atomicfile.Write(filepath.Join(dir, "a"), func(w io.Writer) error {
			_, err := io.WriteString(w, text(version))
			return err
		})
	}}
}

// careless are writers that each break one promise.
func careless() map[string]Writer {
	direct := func(dir, name string, version int) error {
		return os.WriteFile(filepath.Join(dir, name), []byte(text(version)), 0o644)
	}
	n := 0
	out := map[string]Writer{
		"it does not write through": {Write: func(dir string, version int) error { return direct(dir, "a", version) }},
		"the writer says <nil>": {Write: func(dir string, version int) error {
			_ = sound().Write(dir, version)
			return nil
		}},
		"the writer says sound, but": {Write: func(dir string, version int) error {
			if err := sound().Write(dir, version); err != nil {
				return errors.New("sound, but without the cause")
			}
			return nil
		}},
		"b is neither the old": {Write: func(dir string, version int) error {
			if err := direct(dir, "b", 2); err != nil {
				return err
			}
			return errors.Join(sound().Write(dir, version), direct(dir, "b", version))
		}},
		"it leaves .b.tmp": {Write: func(dir string, version int) error {
			return errors.Join(sound().Write(dir, version), direct(dir, ".b.tmp", 0))
		}},
		"a was there and is gone": {Write: func(dir string, version int) error {
			if err := os.Remove(filepath.Join(dir, "a")); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
			return sound().Write(dir, version)
		}},
		"other bytes each time": {Write: func(dir string, version int) error { n++; return direct(dir, "a", n) }},
		"empty or the same":     {Write: func(dir string, version int) error { return sound().Write(dir, 0) }},
		"1 of 2 files are there": {Tree: true, Write: func(dir string, version int) error {
			return errors.Join(sound().Write(dir, version), atomicfile.Write(filepath.Join(dir, "b"), func(io.Writer) error { return nil }))
		}},
	}
	return out
}

func TestCheckSeesCarelessWriters(t *testing.T) {
	Check(t, sound())
	for says, w := range careless() {
		if err := w.check(t.TempDir); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want %q, got %v", says, err)
		}
	}
}

// A writer that goes past atomicfile is found by kills: it leaves half a file.
func TestKillSeesCarelessWriters(t *testing.T) {
	if Child() {
		Kill(t, "TestKillSeesCarelessWriters", 0, 0, past())
	}
	err := kills(t.TempDir, "TestKillSeesCarelessWriters", 50, 1, []Writer{past()})
	if err == nil || !strings.Contains(err.Error(), "neither version") {
		t.Fatal(err)
	}
}

// past writes one file in two halves, and another as it should be in between.
func past() Writer {
	return Writer{Name: "past", Write: func(dir string, version int) error {
		f, err := os.Create(filepath.Join(dir, "a"))
		if err != nil {
			return err
		}
		half := len(text(version)) / 2
		_, err = io.WriteString(f, text(version)[:half])
		b := atomicfile.Write(filepath.Join(dir, "b"), func(w io.Writer) error { _, err := fmt.Fprint(w, version); return err })
		_, rest := io.WriteString(f, text(version)[half:])
		return errors.Join(err, b, rest, f.Close())
	}}
}

func TestKill(t *testing.T) { Kill(t, "TestKill", 10, 3, sound()) }
