package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/examples/internal/inputs"
	"github.com/gotab/gotab/examples/internal/process"
	"github.com/gotab/gotab/internal/atomicfile"
)

// table is "evaluate table": results of -json files as Markdown.
func table(args []string, stdout, stderr io.Writer) error {
	var files inputs.Several
	var out string
	fs := flag.NewFlagSet("evaluate table", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Var(&files, "json", "`file` that evaluate -json wrote (required; may be given several times)")
	fs.StringVar(&out, "out", "", "`file` to write (the standard output)")
	if err := process.Parse(fs, args, errUsage); err != nil {
		return err
	}
	if len(files) == 0 {
		return wrong("-json is missing, the file with the results")
	}
	records, err := evaluate.ReadRecordFiles(files...)
	if err != nil {
		return fmt.Errorf("evaluate table: %w", err)
	}
	var text bytes.Buffer
	if err := evaluate.WriteMarkdown(&text, records); err != nil {
		return fmt.Errorf("evaluate table: %s: %w", files.String(), err)
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

// merge is "evaluate merge": the results of several -json files as one.
func merge(args []string, stdout, stderr io.Writer) error {
	var files inputs.Several
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
		return wrong("-json is missing, the files with the results")
	case out == "":
		return wrong("-out is missing, the file to write")
	}
	records, err := evaluate.MergeFiles(out, files...)
	if err != nil {
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
