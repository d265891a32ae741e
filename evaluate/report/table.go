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
	Cells           []cell // one for each column
}

type cell struct {
	Value  string   // in percent; empty where the class has no such figure
	Around []string // what is known of its uncertainty; may be empty
	Note   int      // counted from 1; 0 where the column has it
}

// tabulate lays out the figures, and nothing but them: what a threshold does to the images that it
// was chosen on stands with the class, where that can be said. Columns are in the order in which the names first come up. What
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
			r := row{Class: c.Name, Detector: det.Name, Cells: make([]cell, len(t.Columns))}
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
	var err error
	t.Means, err = means(classes, index)
	return t, err
}

// noteOf returns the number of the note on how a figure was made, which may be a new one.
func (t *table) noteOf(f Figure) int {
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

// means are the unweighted means over the classes, one row for each detector that several
// classes have. A cell says of how many classes it is where some of them lack the figure.
func means(classes []Class, index map[string]int) (rows []row, err error) {
	byName := map[string][]Detector{}
	var names []string
	for _, c := range classes {
		for _, det := range c.Detectors {
			if byName[det.Name] == nil {
				names = append(names, det.Name)
			}
			byName[det.Name] = append(byName[det.Name], det)
		}
	}
	for _, name := range names {
		all := byName[name]
		if len(all) < 2 {
			continue
		}
		r := row{Class: fmt.Sprintf("mean of %d", len(all)), Detector: name, Cells: make([]cell, len(index))}
		for figure, i := range index {
			if r.Cells[i], err = mean(all, figure); err != nil {
				return nil, err
			}
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// mean is the mean of a figure over the detectors that have it. Its deviation is that of the
// means of each seed: what a seed takes from one class it may give to another, so that the mean of
// the deviations would be too much. There is none where not all are of the same seeds.
func mean(all []Detector, figure string) (cell, error) {
	of, sum := 0, 0.0
	var seeds []string
	var sums []float64 // for each seed
	for _, det := range all {
		k := slices.IndexFunc(det.Figures, func(f Figure) bool { return f.Name == figure })
		if k < 0 {
			continue
		}
		f := det.Figures[k]
		if of == 0 {
			seeds, sums = det.Seeds, make([]float64, len(f.Values))
		}
		if !slices.Equal(seeds, det.Seeds) || len(f.Values) != len(sums) {
			sums = nil
		}
		for i := range sums {
			sums[i] += f.Values[i]
		}
		of, sum = of+1, sum+f.Value
	}
	if of == 0 {
		return cell{}, nil
	}
	c := cell{Value: percent(sum / float64(of))}
	if len(sums) > 1 {
		for i := range sums {
			sums[i] /= float64(of)
		}
		s, err := metrics.OverSeeds(sums)
		if err != nil {
			return c, fmt.Errorf("mean of %s: %w", figure, err)
		}
		c.Around = append(c.Around, deviation(&s)...)
	}
	if of < len(all) {
		c.Around = append(c.Around, fmt.Sprintf("of %d", of))
	}
	return c, nil
}

func percent(v float64) string { return strconv.FormatFloat(100*v, 'f', 2, 64) }

// around is what is known of the uncertainty of a figure, in percent as the figure.
func around(f Figure) (parts []string) {
	if i := f.Interval; i != nil {
		parts = append(parts, fmt.Sprintf("[%s, %s]", percent(i.Low), percent(i.High)))
	}
	parts = append(parts, deviation(f.Spread)...)
	if f.Bound > 0 {
		parts = append(parts, fmt.Sprintf("off by at most %.2g", 100*f.Bound))
	}
	return parts
}

// deviation is that over seeds, where there are several.
func deviation(s *metrics.Spread) []string {
	if s == nil || s.N < 2 {
		return nil
	}
	return []string{fmt.Sprintf("± %s (%d seeds)", percent(s.Deviation), s.N)}
}

// markdown writes the table for a text, and below it what its columns mean and the differences.
func (t table) markdown(w io.Writer, notes, differences []string) error {
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
	b.WriteString("\n|---|---|" + strings.Repeat("---:|", len(t.Columns)) + "\n")
	for _, r := range append(slices.Clone(t.Rows), t.Means...) {
		fmt.Fprintf(&b, "| %s | %s |", escapeMarkdown(r.Class), escapeMarkdown(r.Detector))
		for _, c := range r.Cells {
			text := c.Value
			if len(c.Around) > 0 {
				text += " " + strings.Join(c.Around, ", ")
			}
			if text == "" {
				text = "-"
			}
			fmt.Fprintf(&b, " %s%s |", text, mark(c.Note))
		}
		b.WriteString("\n")
	}
	for i, n := range t.Notes {
		fmt.Fprintf(&b, "\n(%d) %s.\n", i+1, escapeMarkdown(n))
	}
	for _, n := range notes {
		fmt.Fprintf(&b, "\n%s\n", escapeMarkdown(n))
	}
	if len(differences) > 0 {
		b.WriteString("\n")
	}
	for _, d := range differences {
		fmt.Fprintf(&b, "- %s\n", escapeMarkdown(d))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func escapeMarkdown(s string) string { return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s) }

// writeCSV writes one line for each figure and each difference, values from 0 to 1. What a
// threshold does to the images that it was chosen on is not in it.
func writeCSV(classes []Class, w io.Writer) error {
	out := csv.NewWriter(w)
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	lines := [][]string{{"class", "detector", "figure", "value", "low", "high", "level", "interval", "seeds", "deviation", "bound", "p", "protocol"}}
	for _, c := range classes {
		for _, det := range c.Detectors {
			for _, f := range det.Figures {
				l := []string{c.Name, det.Name, f.Name, number(f.Value), "", "", "", "", strconv.Itoa(f.Protocol.Seeds), "", number(f.Bound), "", f.Protocol.String()}
				if i := f.Interval; i != nil {
					copy(l[4:], []string{number(i.Low), number(i.High), number(i.Level), i.Method})
				}
				if s := f.Spread; s != nil && s.N > 1 {
					l[9] = number(s.Deviation)
				}
				lines = append(lines, l)
			}
			d, ok, err := c.difference(det)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			i, p := d.Difference, ""
			if d.known() {
				p = number(d.P)
			}
			lines = append(lines, []string{c.Name, det.Name, d.figure(), number(i.Value), number(i.Low), number(i.High), number(i.Level), i.Method, "1", "", "0", p, d.method()})
		}
	}
	return out.WriteAll(lines) // flushes
}

// Forms of the table as JSON.
type (
	jsonRow struct {
		Class      string          `json:"class"`
		Detector   string          `json:"detector"`
		Seeds      []string        `json:"seeds"` // empty where there is nothing to name
		Figures    []jsonFigure    `json:"figures"`
		Difference *jsonDifference `json:"difference"` // null where it is compared with none
		Cut        jsonCut         `json:"on_these_images"`
	}
	jsonDifference struct {
		Figure string  `json:"figure"`
		Beside string  `json:"beside"`
		Value  float64 `json:"value"` // the detector's figure less the other's
		jsonInterval
		P *float64 `json:"p"` // null where it is not known
	}
	// jsonCut is what the threshold does to the very images that are counted.
	jsonCut struct {
		Seed          string   `json:"seed"`      // that it is of; empty where there is nothing to name
		Threshold     *float64 `json:"threshold"` // null where it is infinite
		ThresholdFrom string   `json:"threshold_from"`
		Defects       int      `json:"defects"`
		Escapes       int      `json:"escapes"`
		Good          int      `json:"good"`
		Overkill      int      `json:"overkill"`
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
			r := jsonRow{Class: c.Name, Detector: det.Name, Seeds: append([]string{}, det.Seeds...), Figures: []jsonFigure{}, Cut: jsonCut{
				ThresholdFrom: det.ThresholdFrom, Defects: cut.Defects, Escapes: cut.Missed, Good: cut.Good, Overkill: cut.Overkilled}}
			if len(det.Seeds) > 0 {
				r.Cut.Seed = det.Seeds[0]
			}
			if finite(det.Threshold) {
				r.Cut.Threshold = &det.Threshold
			}
			d, ok, err := c.difference(det)
			if err != nil {
				return err
			}
			if ok {
				i := d.Difference
				r.Difference = &jsonDifference{Figure: "image AUROC", Beside: d.beside, Value: i.Value, jsonInterval: jsonInterval{i.Low, i.High, i.Level, d.method()}}
				if d.known() {
					r.Difference.P = &d.P
				}
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
