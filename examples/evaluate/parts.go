package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/internal/atomicfile"
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

// save writes a fitted detector for -save.
func (s *session) save(_ context.Context, d evaluate.Detector, o *evaluate.Outcome) error {
	if s.o.save == "" {
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

// savedAs is the file of a detector: -save/DATA/CLASS/METHOD-SEED.safetensors.
func (s *session) savedAs(r evaluate.Record) string {
	return filepath.Join(s.o.save, fileName(r.Data), fileName(r.Class), fileName(r.Method+"-"+r.Seed)+".safetensors")
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

// merge is "evaluate merge": the results of several -json files as one.
func merge(args []string, stdout, stderr io.Writer) error {
	var files paths
	var out string
	fs := flag.NewFlagSet("evaluate merge", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Var(&files, "json", "`file` that evaluate -json wrote (required; may be given several times, and more files may follow the flags)")
	fs.StringVar(&out, "out", "", "`file` to write (required)")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	files = append(files, fs.Args()...)
	switch {
	case len(files) == 0:
		return fmt.Errorf("%w: -json is missing, the files with the results", errUsage)
	case out == "":
		return fmt.Errorf("%w: -out is missing, the file to write", errUsage)
	}
	var in []io.Reader
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("evaluate merge: %w", err)
		}
		in = append(in, bytes.NewReader(data))
	}
	var text bytes.Buffer
	records, err := evaluate.MergeRecords(&text, in...)
	if err != nil {
		return fmt.Errorf("%w (of %s)", err, strings.Join(files, ", "))
	}
	if err := atomicfile.Write(out, func(w io.Writer) error {
		_, err := w.Write(text.Bytes())
		return err
	}); err != nil {
		return err
	}
	failed := 0
	classes := map[string]bool{}
	for _, r := range records {
		classes[r.Data+"\x00"+r.Class] = true
		if r.Failed != "" {
			failed++
		}
	}
	_, err = fmt.Fprintf(stdout, "%d results of %d classes in %s, of %d files; %d of them failed\n", len(records), len(classes), out, len(files), failed)
	return err
}
