package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

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
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	switch {
	case fs.NArg() > 0:
		return fmt.Errorf("%w: %q is not a flag", errUsage, fs.Arg(0))
	case len(files) == 0:
		return fmt.Errorf("%w: -json is missing, the file with the results", errUsage)
	}
	var records []record
	seen := map[key]bool{}
	for _, path := range files {
		read, err := readFile(path)
		if err != nil {
			return fmt.Errorf("evaluate table: %w", err)
		}
		for _, r := range read {
			if !seen[r.key()] {
				seen[r.key()] = true
				records = append(records, r)
			}
		}
	}
	if len(records) == 0 {
		return fmt.Errorf("evaluate table: %s: %w: there is no result in it", strings.Join(files, ", "), errRecords)
	}
	var text bytes.Buffer
	if err := writeMarkdown(&text, records); err != nil {
		return fmt.Errorf("evaluate table: %w", err)
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

func readFile(path string) ([]record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	records, _, err := readRecords(f)
	if err != nil {
		return nil, fmt.Errorf("%w (file %s)", err, path)
	}
	return records, nil
}

// writeMarkdown writes a table of means, and one for each method and setting with
// what its numbers mean and how they were made.
func writeMarkdown(w io.Writer, records []record) error {
	all := ways(summaries(records))
	fmt.Fprint(w, "Means over the classes, in percent.\n\n| method | network | classes | image AUROC | pixel AUROC | AUPRO | escape | overkill |\n|---|---|---|---|---|---|---|---|\n")
	for _, way := range all {
		r := way.first()
		row := []string{r.Method, r.network(), fmt.Sprint(len(way.summaries))}
		for _, kind := range shown() {
			mean, of, err := way.mean(kind)
			if err != nil {
				return err
			}
			cell := percent(mean, of > 0)
			if of > 0 && of < len(way.summaries) {
				cell += fmt.Sprintf(" (of %d)", of)
			}
			row = append(row, cell)
		}
		markdownRow(w, row)
	}
	for _, way := range all {
		fmt.Fprintf(w, "\n### %s\n\n", way.title())
		if err := markdownWay(w, way); err != nil {
			return err
		}
	}
	fmt.Fprint(w, "\n### What the columns mean\n\n")
	for _, m := range meanings(all) {
		fmt.Fprintf(w, "- %s\n", m)
	}
	return nil
}

// markdownWay writes the table of one method and setting, in percent, every figure
// with its deviation and its interval. What no class has, such as figures of pixels
// without a mask, has no column.
func markdownWay(w io.Writer, way *way) error {
	kinds := slices.DeleteFunc(figureKinds(), func(k figureKind) bool { return !way.has(k) })
	head := []string{"class"}
	for _, k := range kinds {
		head = append(head, k.name)
	}
	head = append(head, "fit images/s", "score images/s", "peak MB")
	markdownRow(w, head)
	fmt.Fprintln(w, strings.Repeat("|---", len(head))+"|")
	for _, s := range way.summaries {
		row := []string{way.label(s)}
		for _, kind := range kinds {
			f, ok, err := s.figure(kind)
			if err != nil {
				return err
			}
			row = append(row, strings.TrimSpace(percent(f, ok)+" "+between(f)))
		}
		row = append(row, fmt.Sprintf("%.1f", s.speed(func(r *record) float64 { return r.FitSpeed })),
			fmt.Sprintf("%.1f", s.speed(func(r *record) float64 { return r.ScoreSpeed })), s.peakText())
		markdownRow(w, row)
	}
	if len(way.summaries) > 1 {
		row := []string{"mean"}
		for _, kind := range kinds {
			mean, of, err := way.mean(kind)
			if err != nil {
				return err
			}
			row = append(row, percent(mean, of > 0))
		}
		markdownRow(w, append(row, "", "", ""))
	}
	fmt.Fprintln(w)
	for _, n := range way.notes() {
		fmt.Fprintf(w, "- %s\n", n)
	}
	for _, m := range way.made() {
		fmt.Fprintf(w, "- %s\n", m)
	}
	return nil
}

// made lists the commands and the versions that the records were made by.
func (w *way) made() (out []string) {
	for _, s := range w.summaries {
		for _, r := range s.records {
			m := r.Made
			line := fmt.Sprintf("Made by `%s`; %s, libtorch %s, %s, %d cores.", m.Command, m.Go, m.Libtorch, m.Device, m.Cores)
			if !slices.Contains(out, line) {
				out = append(out, line)
			}
		}
	}
	return out
}

// markdownRow writes cells; what would end a cell is replaced.
func markdownRow(w io.Writer, cells []string) {
	clean := strings.NewReplacer("|", "/", "\n", " ")
	for i, c := range cells {
		cells[i] = clean.Replace(c)
	}
	fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
}
