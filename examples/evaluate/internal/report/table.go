package report

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/gotab/gotab/metrics"
)

// table is the figures of all classes, laid out.
type table struct {
	Columns []column
	Rows    []row // one for each class and detector
	Means   []row
	Notes   []string
}

type column struct {
	Name string
	Note int // of all its cells, counted from 1; 0 where they differ
}

type row struct {
	Class, Detector string
	Cells           []cell      // one for each column
	Cut             metrics.Cut // not of a mean
}

func (r row) Escape() string    { return percent(r.Cut.EscapeRate()) }
func (r row) Escapes() string   { return fmt.Sprintf("%d of %d", r.Cut.Missed, r.Cut.Defects) }
func (r row) Overkill() string  { return percent(r.Cut.OverkillRate()) }
func (r row) Overkills() string { return fmt.Sprintf("%d of %d", r.Cut.Overkilled, r.Cut.Good) }

type cell struct {
	Value  string // in percent; empty where the class has no such figure
	Around string // what is known of its uncertainty; may be empty
	Note   int    // counted from 1; 0 where the column has it
}

// tabulate lays out the figures. Columns are in the order in which the names first come up. What
// a number was made by is said once in a note: at the head of a column where all of its cells
// share it, else at the cell.
func tabulate(classes []Class) (table, error) {
	var t table
	index := map[string]int{}
	for _, c := range classes {
		for _, det := range c.Detectors {
			for _, f := range det.Figures {
				if _, known := index[f.Name]; !known {
					index[f.Name] = len(t.Columns)
					t.Columns = append(t.Columns, column{Name: f.Name})
				}
			}
		}
	}
	for _, c := range classes {
		for _, det := range c.Detectors {
			cut, err := det.cut(c)
			if err != nil {
				return table{}, err
			}
			r := row{Class: c.Name, Detector: det.Name, Cells: make([]cell, len(t.Columns)), Cut: cut}
			for _, f := range det.Figures {
				cl := &r.Cells[index[f.Name]]
				cl.Value, cl.Around = percent(f.Value), around(f)
				cl.Note = t.noteOf(f)
			}
			t.Rows = append(t.Rows, r)
		}
	}
	for i := range t.Columns {
		t.hoist(i)
	}
	if len(classes) > 1 {
		t.Means = means(classes, index)
	}
	return t, nil
}

// noteOf returns the number of the note on how a figure was made, which may be a new one.
func (t *table) noteOf(f metrics.Figure) int {
	text := f.Protocol.String()
	if i := f.Interval; i != nil {
		text += fmt.Sprintf("; in brackets: %.4g %% interval, %s", 100*i.Level, i.Method)
	}
	if f.Spread != nil && f.Spread.N > 1 {
		text += "; ± is the standard deviation over the seeds"
	}
	n := slices.Index(t.Notes, text)
	if n < 0 {
		n = len(t.Notes)
		t.Notes = append(t.Notes, text)
	}
	return n + 1
}

// hoist moves a note that all cells of a column share to its head.
func (t *table) hoist(i int) {
	shared := 0
	for _, r := range t.Rows {
		switch n := r.Cells[i].Note; {
		case n == 0: // an empty cell
		case shared == 0:
			shared = n
		case shared != n:
			return
		}
	}
	t.Columns[i].Note = shared
	for k := range t.Rows {
		t.Rows[k].Cells[i].Note = 0
	}
}

// means are the unweighted means over the classes, one row for each detector that all classes
// have, of the figures that all of them have.
func means(classes []Class, index map[string]int) []row {
	var rows []row
	for _, det := range classes[0].Detectors {
		sums, counts, all := make([]float64, len(index)), make([]int, len(index)), 0
		for _, c := range classes {
			k := slices.IndexFunc(c.Detectors, func(o Detector) bool { return o.Name == det.Name })
			if k < 0 {
				continue
			}
			all++
			for _, f := range c.Detectors[k].Figures {
				sums[index[f.Name]] += f.Value
				counts[index[f.Name]]++
			}
		}
		if all < len(classes) {
			continue
		}
		r := row{Class: fmt.Sprintf("mean of %d", all), Detector: det.Name, Cells: make([]cell, len(index))}
		for i, n := range counts {
			if n == all {
				r.Cells[i].Value = percent(sums[i] / float64(n))
			}
		}
		rows = append(rows, r)
	}
	return rows
}

func percent(v float64) string { return strconv.FormatFloat(100*v, 'f', 2, 64) }

// around is what is known of the uncertainty of a figure, in percent as the figure.
func around(f metrics.Figure) string {
	var parts []string
	if i := f.Interval; i != nil {
		parts = append(parts, fmt.Sprintf("[%s, %s]", percent(i.Low), percent(i.High)))
	}
	if s := f.Spread; s != nil && s.N > 1 {
		parts = append(parts, fmt.Sprintf("± %s (%d seeds)", percent(s.Deviation), s.N))
	}
	if f.Bound > 0 {
		parts = append(parts, fmt.Sprintf("off by at most %.2g", 100*f.Bound))
	}
	return strings.Join(parts, ", ")
}

// markdown writes the table for a text.
func (t table) markdown(w io.Writer) error {
	var b strings.Builder
	mark := func(n int) string {
		if n == 0 {
			return ""
		}
		return fmt.Sprintf(" (%d)", n)
	}
	b.WriteString("| class | detector |")
	for _, c := range t.Columns {
		fmt.Fprintf(&b, " %s, %%%s |", escapeMarkdown(c.Name), mark(c.Note))
	}
	b.WriteString(" escape, % | overkill, % |\n|---|---|")
	b.WriteString(strings.Repeat("---:|", len(t.Columns)+2) + "\n")
	for i, r := range append(slices.Clone(t.Rows), t.Means...) {
		fmt.Fprintf(&b, "| %s | %s |", escapeMarkdown(r.Class), escapeMarkdown(r.Detector))
		for _, c := range r.Cells {
			text := c.Value
			if c.Around != "" {
				text += " " + c.Around
			}
			if text == "" {
				text = "-"
			}
			fmt.Fprintf(&b, " %s%s |", text, mark(c.Note))
		}
		if i >= len(t.Rows) {
			b.WriteString(" | |\n")
			continue
		}
		fmt.Fprintf(&b, " %s (%s) | %s (%s) |\n", r.Escape(), r.Escapes(), r.Overkill(), r.Overkills())
	}
	for i, n := range t.Notes {
		fmt.Fprintf(&b, "\n(%d) %s.\n", i+1, escapeMarkdown(n))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func escapeMarkdown(s string) string { return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s) }

// writeCSV writes one line for each figure, values from 0 to 1. Escape and overkill rates are
// lines too.
func writeCSV(classes []Class, w io.Writer) error {
	out := csv.NewWriter(w)
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	lines := [][]string{{"class", "detector", "figure", "value", "low", "high", "level", "interval", "seeds", "deviation", "bound", "protocol"}}
	for _, c := range classes {
		for _, det := range c.Detectors {
			for _, f := range det.Figures {
				l := []string{c.Name, det.Name, f.Name, number(f.Value), "", "", "", "", strconv.Itoa(f.Protocol.Seeds), "", number(f.Bound), f.Protocol.String()}
				if i := f.Interval; i != nil {
					copy(l[4:], []string{number(i.Low), number(i.High), number(i.Level), i.Method})
				}
				if s := f.Spread; s != nil && s.N > 1 {
					l[9] = number(s.Deviation)
				}
				lines = append(lines, l)
			}
			cut, err := det.cut(c)
			if err != nil {
				return err
			}
			for _, r := range []struct {
				name  string
				value float64
			}{{"escape rate", cut.EscapeRate()}, {"overkill rate", cut.OverkillRate()}} {
				lines = append(lines, []string{c.Name, det.Name, r.name, number(r.value), "", "", "", "", "", "", "", atThreshold(cut, det)})
			}
		}
	}
	return out.WriteAll(lines) // flushes
}

// atThreshold says what the threshold does, and where it comes from.
func atThreshold(cut metrics.Cut, det Detector) string {
	return cut.String() + "; threshold: " + det.ThresholdFrom
}

// Forms of the table as JSON.
type (
	jsonRow struct {
		Class         string       `json:"class"`
		Detector      string       `json:"detector"`
		Figures       []jsonFigure `json:"figures"`
		Threshold     *float64     `json:"threshold"` // null where it is infinite
		ThresholdFrom string       `json:"threshold_from"`
		Defects       int          `json:"defects"`
		Escapes       int          `json:"escapes"`
		Good          int          `json:"good"`
		Overkill      int          `json:"overkill"`
	}
	jsonFigure struct {
		Name      string        `json:"name"`
		Value     float64       `json:"value"` // from 0 to 1, as all below
		Interval  *jsonInterval `json:"interval"`
		Seeds     int           `json:"seeds"`
		Deviation *float64      `json:"deviation"`
		Bound     float64       `json:"bound"`
		Protocol  string        `json:"protocol"`
	}
	jsonInterval struct {
		Low    float64 `json:"low"`
		High   float64 `json:"high"`
		Level  float64 `json:"level"`
		Method string  `json:"method"`
	}
)

// writeJSON writes one array with an object for each class and detector.
func writeJSON(classes []Class, w io.Writer) error {
	rows := []jsonRow{}
	for _, c := range classes {
		for _, det := range c.Detectors {
			cut, err := det.cut(c)
			if err != nil {
				return err
			}
			r := jsonRow{Class: c.Name, Detector: det.Name, Figures: []jsonFigure{}, ThresholdFrom: det.ThresholdFrom,
				Defects: cut.Defects, Escapes: cut.Missed, Good: cut.Good, Overkill: cut.Overkilled}
			if finite(det.Threshold) {
				r.Threshold = &det.Threshold
			}
			for _, f := range det.Figures {
				j := jsonFigure{Name: f.Name, Value: f.Value, Seeds: f.Protocol.Seeds, Bound: f.Bound, Protocol: f.Protocol.String()}
				if i := f.Interval; i != nil {
					j.Interval = &jsonInterval{i.Low, i.High, i.Level, i.Method}
				}
				if s := f.Spread; s != nil && s.N > 1 {
					j.Deviation = &s.Deviation
				}
				r.Figures = append(r.Figures, j)
			}
			rows = append(rows, r)
		}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(rows)
}

func finite(v float64) bool { return v-v == 0 }
