package inspect_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/metrics"
)

// FuzzOpen opens what is nearly a bundle. What was altered without its seal hardly gets
// past it, so every input is sealed anew as well.
func FuzzOpen(f *testing.F) {
	path := filepath.Join(f.TempDir(), "nut")
	det := calibrated(f)
	if err := inspect.Create(f.Context(), path, det, fakeSpec()); err != nil {
		f.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	within, err := inspect.Within(det, rightMasked())
	if err != nil {
		f.Fatal(err)
	}
	if _, err := within.Calibrate(f.Context(), set(f, greys(20)), metrics.Overkill(0)); err != nil {
		f.Fatal(err)
	}
	spec := fakeSpec()
	spec.Golden = spec.Golden[:1]
	if err := inspect.Create(f.Context(), path, within, spec); err != nil {
		f.Fatal(err)
	}
	masked, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	head, names, data, err := inspect.Opened(file)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file, head, names[0], data[0])
	for i, name := range names {
		f.Add(masked, head, name, data[i])
		f.Add(file, head, name, data[i][:len(data[i])/2])
	}
	f.Add(file[:len(file)/2], `{"version":1}`, "mask", []byte{})
	f.Add([]byte{}, "", "", []byte(nil))
	f.Fuzz(func(t *testing.T, file []byte, head, name string, part []byte) {
		try := func(file []byte) {
			b, err := inspect.OpenBytes(t.Context(), file)
			if err != nil {
				if !errors.Is(err, inspect.ErrBundle) && !errors.Is(err, inspect.ErrVersion) {
					t.Fatal(err)
				}
				return
			}
			_ = b.Verify(t.Context()) // whatever it says
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
		}
		try(file)
		sealed, err := inspect.Reseal(file, func(string) string { return head }, map[string][]byte{name: part})
		if err == nil {
			try(sealed)
		}
	})
}

// FuzzJournal reads what is nearly a journal.
func FuzzJournal(f *testing.F) {
	path := filepath.Join(f.TempDir(), "j")
	j, err := inspect.OpenJournal(path)
	if err != nil {
		f.Fatal(err)
	}
	if err := errors.Join(j.Append(entry(inspect.GoodAfterAll, "1")), j.Append(entry(inspect.MissedDefect, "2")), j.Close()); err != nil {
		f.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add(file[:len(file)-3])
	f.Add([]byte("\n\n{}\nnull\n[]\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		entries, torn, err := inspect.ReadJournal(t.Context(), bytes.NewReader(file))
		if err != nil && !errors.Is(err, inspect.ErrJournal) {
			t.Fatal(err)
		}
		if lines := bytes.Count(file, []byte("\n")) + 1; len(entries)+torn > lines {
			t.Fatalf("%d entries and %d torn lines of %d", len(entries), torn, lines)
		}
	})
}
