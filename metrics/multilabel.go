package metrics

import (
	"fmt"
	"math"
	"strings"
	"text/tabwriter"
)

// MultiLabel is the table of a classifier that gives each image any number of
// labels, none included. It is not safe for concurrent use while Add is called.
type MultiLabel struct {
	labels []string
	tables []Counts
	exact  int
	n      int
}

// NewMultiLabel returns an empty table. No label is ErrEmpty.
func NewMultiLabel(labels []string) (*MultiLabel, error) {
	if len(labels) == 0 {
		return nil, fmt.Errorf("metrics: multi-label: labels: %w", ErrEmpty)
	}
	return &MultiLabel{labels: append([]string(nil), labels...), tables: make([]Counts, len(labels))}, nil
}

// Add counts an image: whether it has, and was said to have, each label. Another
// number of either is ErrLength.
func (m *MultiLabel) Add(truth, predicted []bool) error {
	if len(truth) != len(m.labels) || len(predicted) != len(m.labels) {
		return fmt.Errorf("metrics: multi-label: %w: %d true, %d predicted, there are %d labels", ErrLength, len(truth), len(predicted), len(m.labels))
	}
	exact := 1
	for i := range m.tables {
		t := &m.tables[i]
		switch {
		case truth[i] && predicted[i]:
			t.TP++
		case predicted[i]:
			t.FP++
		case truth[i]:
			t.FN++
		default:
			t.TN++
		}
		if truth[i] != predicted[i] {
			exact = 0
		}
	}
	m.exact += exact
	m.n++
	return nil
}

// AddScores counts an image that is said to have each label whose score is at
// least threshold: 0.5 for probabilities, 0 for logits. A NaN is ErrNaN.
func (m *MultiLabel) AddScores(truth []bool, scores []float32, threshold float32) error {
	if math.IsNaN(float64(threshold)) {
		return fmt.Errorf("metrics: multi-label: threshold: %w", ErrNaN)
	}
	predicted := make([]bool, len(scores))
	for i, s := range scores {
		if math.IsNaN(float64(s)) {
			return fmt.Errorf("metrics: multi-label: %w: number %d of %d", ErrNaN, i, len(scores))
		}
		predicted[i] = s >= threshold
	}
	return m.Add(truth, predicted)
}

// N is how many images were added.
func (m *MultiLabel) N() int { return m.n }

// ExactMatch is the fraction of images with every label right, from 0 to 1: the
// accuracy of articles on mixed wafer maps. Without an image it is ErrEmpty.
func (m *MultiLabel) ExactMatch() (float64, error) {
	if m.n == 0 {
		return 0, fmt.Errorf("metrics: exact match: %w", ErrEmpty)
	}
	return ratio(m.exact, m.n), nil
}

// LabelAccuracy is the fraction of single labels that are right (one minus the
// Hamming loss); it is high wherever labels are rare. Without an image it is ErrEmpty.
func (m *MultiLabel) LabelAccuracy() (float64, error) {
	if m.n == 0 {
		return 0, fmt.Errorf("metrics: label accuracy: %w", ErrEmpty)
	}
	right := 0
	for _, t := range m.tables {
		right += t.TP + t.TN
	}
	return ratio(right, m.n*len(m.tables)), nil
}

// PerLabel returns the table of each label.
func (m *MultiLabel) PerLabel() []Counts { return append([]Counts(nil), m.tables...) }

// Macro is the unweighted mean of the rates over all labels. Without an image it is
// ErrEmpty.
func (m *MultiLabel) Macro() (Rates, error) {
	if m.n == 0 {
		return Rates{}, fmt.Errorf("metrics: macro rates: %w", ErrEmpty)
	}
	return macro(m.tables), nil
}

// String is the table with a line for each label.
func (m *MultiLabel) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "label\tTP\tFP\tFN\tTN\tprecision\trecall\tF1\t")
	for i, t := range m.tables {
		r := t.Rates()
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%.4f\t%.4f\t%.4f\t\n", m.labels[i], t.TP, t.FP, t.FN, t.TN, r.Precision, r.Recall, r.F1)
	}
	w.Flush() // into a strings.Builder, which cannot fail
	return b.String()
}
