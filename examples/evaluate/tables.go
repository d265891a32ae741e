package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/examples/internal/process"
	"github.com/gotab/gotab/internal/atomicfile"
)

// table is "evaluate table": results of -json files as Markdown.
func table(args []string, stdout, stderr io.Writer) error {
	var files paths
	var out string
	fs := flag.NewFlagSet("evaluate table", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Var(&files, "json", "`file` that evaluate -json wrote (required; may be given several times)")
	fs.StringVar(&out, "out", "", "`file` to write (the standard output)")
	if err := process.Parse(fs, args, errUsage); err != nil {
		return err
	}
	switch {
	case len(files) == 0:
		return fmt.Errorf("%w: -json is missing, the file with the results", errUsage)
	}
	var records []evaluate.Record
	for _, path := range files {
		read, err := readFile(path)
		if err != nil {
			return fmt.Errorf("evaluate table: %w", err)
		}
		records = append(records, read...)
	}
	var text bytes.Buffer
	if err := evaluate.WriteMarkdown(&text, records); err != nil {
		return fmt.Errorf("evaluate table: %s: %w", strings.Join(files, ", "), err)
	}
	if out == "" {
		_, err := stdout.Write(text.Bytes())
		return err
	}
	return atomicfile.Write(out, func(w io.Writer) error {
		_, err := w.Write(text.Bytes())
		return err
	})
}

func readFile(path string) ([]evaluate.Record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	records, err := evaluate.ReadRecords(f)
	if err != nil {
		return nil, fmt.Errorf("%w (file %s)", err, path)
	}
	return records, nil
}

// printResults prints the records for people.
func printResults(w io.Writer, records []evaluate.Record, o options) error {
	if o.details {
		if err := evaluate.WriteDetails(w, records); err != nil {
			return err
		}
	}
	return evaluate.WriteTable(w, records)
}

// openStore opens the -json file.
func openStore(path string, resume bool) (*evaluate.Store, error) {
	s, err := evaluate.OpenStore(path, resume)
	switch {
	case errors.Is(err, evaluate.ErrExists):
		return nil, fmt.Errorf("%w; -resume goes on with them, another -json starts anew", err)
	case errors.Is(err, evaluate.ErrLocked):
		return nil, fmt.Errorf("%w: wait until it has ended, or give another -json", err)
	}
	return s, err
}
