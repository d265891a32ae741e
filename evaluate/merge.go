package evaluate

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
)

// sameFigure is how far two records of one trial may differ in a figure: other processors round
// otherwise, and one image of a test set that changes its place moves a figure by more.
const sameFigure = 1e-4

// MergeRecords puts the records of several stores together, those of the parts of one job
// ([Part]) or of several machines, and writes them to w, each once, in the order of data set,
// class, method, seed and settings. Lines stay as they are. Of a trial that several have, the first
// record counts; one that failed counts only where there is no other. w may be nil.
//
// It returns [ErrRecords] for a file that is none, and for two records of one trial whose figures differ by more
// than 1e-4: the images behind the names were others. Nothing is written then.
func MergeRecords(w io.Writer, stores ...io.Reader) ([]Record, error) {
	var m merger
	for i, r := range stores {
		if r == nil {
			return nil, fmt.Errorf("evaluate: merge: %w: reader %d is nil", ErrRecords, i+1)
		}
		if err := m.add(r); err != nil {
			return nil, fmt.Errorf("%w (file %d of %d)", err, i+1, len(stores))
		}
	}
	return m.write(w)
}

// merger puts stores together. The zero value has none.
type merger struct {
	all []line
	at  map[Key]int // in all
}

// line is a record with its text.
type line struct {
	record Record
	text   []byte
}

// add takes what a store has and no other one had.
func (m *merger) add(r io.Reader) error {
	records, lines, err := readRecords(r)
	if err != nil {
		return err
	}
	if m.at == nil {
		m.at = make(map[Key]int)
	}
	for k, rec := range records {
		first, twice := m.at[rec.Key()]
		switch {
		case !twice:
			m.at[rec.Key()] = len(m.all)
			m.all = append(m.all, line{rec, lines[k]})
		case rec.Failed != "":
		case m.all[first].record.Failed != "":
			m.all[first] = line{rec, lines[k]}
		default:
			if err := sameFigures(m.all[first].record, rec); err != nil {
				return fmt.Errorf("evaluate: merge: %w: class %s, %s, seed %s: %w", ErrRecords, rec.Class, rec.Method, rec.Seed, err)
			}
		}
	}
	return nil
}

// write writes all in their order. w may be nil.
func (m *merger) write(w io.Writer) ([]Record, error) {
	slices.SortStableFunc(m.all, func(a, b line) int {
		x, y := a.record.Key(), b.record.Key()
		return cmp.Or(cmp.Compare(x.Data, y.Data), cmp.Compare(x.Class, y.Class), cmp.Compare(x.Method, y.Method), cmp.Compare(x.Seed, y.Seed), cmp.Compare(x.Hash, y.Hash))
	})
	records := make([]Record, len(m.all))
	for i, l := range m.all {
		records[i] = l.record
		if w != nil {
			if _, err := fmt.Fprintf(w, "%s\n", l.text); err != nil {
				return nil, fmt.Errorf("evaluate: merge: %w", err)
			}
		}
	}
	return records, nil
}

// sameFigures says in which figure two records of one trial differ.
func sameFigures(a, b Record) error {
	if a.FitImages != b.FitImages || a.ScoreImages != b.ScoreImages {
		return fmt.Errorf("of %d and %d images, and again of %d and %d", a.FitImages, a.ScoreImages, b.FitImages, b.ScoreImages)
	}
	for _, k := range FigureKeys() {
		x, in := a.Value(k)
		y, also := b.Value(k)
		if in && also && !(math.Abs(x-y) <= sameFigure) {
			return fmt.Errorf("%s is %v, and again %v", k, x, y)
		}
	}
	return nil
}
