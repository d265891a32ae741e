package evaluate

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
)

// WriteMarkdown writes a table of means, and one for each [Setting] with what its
// numbers mean and how they were made. Numbers are in percent. It returns
// [ErrRecords] if there are none.
func WriteMarkdown(w io.Writer, records []Record) error {
	switch {
	case w == nil:
		return noWriter()
	case len(records) == 0:
		return fmt.Errorf("evaluate: table: %w: there is no result", ErrRecords)
	}
	all := Settings(Summarize(records))
	var text bytes.Buffer
	if err := writeMeans(&text, all); err != nil {
		return err
	}
	for _, setting := range all {
		fmt.Fprintf(&text, "\n### %s\n\n", setting.Title())
		if err := markdownSetting(&text, setting); err != nil {
			return err
		}
	}
	fmt.Fprint(&text, "\n### What the columns mean\n\n")
	for _, m := range Meanings(all) {
		fmt.Fprintf(&text, "- %s\n", m)
	}
	_, err := w.Write(text.Bytes())
	return err
}

// writeMeans writes a row for each setting.
func writeMeans(w *bytes.Buffer, all []*Setting) error {
	fmt.Fprint(w, "Means over the classes, in percent.\n\n| method | network | classes | image AUROC | pixel AUROC | AUPRO | escape | overkill |\n|---|---|---|---|---|---|---|---|\n")
	for _, setting := range all {
		r := setting.first()
		row := []string{r.Method, r.Network(), fmt.Sprint(len(setting.Classes))}
		for _, key := range MainFigures() {
			mean, of, err := setting.Mean(key)
			if err != nil {
				return err
			}
			cell := percent(mean, of > 0)
			if of > 0 && of < len(setting.Classes) {
				cell += fmt.Sprintf(" (of %d)", of)
			}
			row = append(row, cell)
		}
		markdownRow(w, row)
	}
	return nil
}

// markdownSetting writes the table of one setting, in percent, every figure
// with its deviation and its interval. What no class has, such as figures of pixels
// without a mask, has no column.
func markdownSetting(w *bytes.Buffer, setting *Setting) error {
	keys := slices.DeleteFunc(FigureKeys(), func(k FigureKey) bool { return !setting.Has(k) })
	head := []string{"class"}
	for _, k := range keys {
		head = append(head, setting.name(k))
	}
	head = append(head, "fit images/s", "score images/s", "peak MB")
	markdownRow(w, head)
	fmt.Fprintln(w, strings.Repeat("|---", len(head))+"|")
	for _, s := range setting.Classes {
		row := []string{setting.Label(s)}
		for _, key := range keys {
			f, ok, err := s.Figure(key)
			if err != nil {
				return err
			}
			row = append(row, strings.TrimSpace(percent(f, ok)+" "+between(f)))
		}
		row = append(row, fmt.Sprintf("%.1f", s.speed(func(r Record) float64 { return r.FitSpeed })),
			fmt.Sprintf("%.1f", s.speed(func(r Record) float64 { return r.ScoreSpeed })), s.peakText())
		markdownRow(w, row)
	}
	if len(setting.Classes) > 1 {
		row := []string{"mean"}
		for _, key := range keys {
			mean, of, err := setting.Mean(key)
			if err != nil {
				return err
			}
			row = append(row, percent(mean, of > 0))
		}
		markdownRow(w, append(row, "", "", ""))
	}
	fmt.Fprintln(w)
	for _, n := range setting.notes() {
		fmt.Fprintf(w, "- %s\n", n)
	}
	for _, m := range setting.made() {
		fmt.Fprintf(w, "- %s\n", m)
	}
	return nil
}

// made lists the commands and the versions that the records were made by.
func (w *Setting) made() (out []string) {
	for _, s := range w.Classes {
		for _, r := range s.Records {
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
func markdownRow(w *bytes.Buffer, cells []string) {
	clean := strings.NewReplacer("|", "/", "\n", " ")
	for i, c := range cells {
		cells[i] = clean.Replace(c)
	}
	fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
}
