package metrics

import (
	"fmt"
	"math"
	"strings"
	"text/tabwriter"
)

// Rates are precision, recall and F1, each from 0 to 1. Where a ratio is 0/0 (no
// prediction of a class, or no example of it), it counts 0, as in scikit-learn.
type Rates struct{ Precision, Recall, F1 float64 }

// Counts is the 2 x 2 table of one class or label against the rest.
type Counts struct{ TP, FP, FN, TN int }

// Rates of the table.
func (c Counts) Rates() Rates {
	return Rates{ratio(c.TP, c.TP+c.FP), ratio(c.TP, c.TP+c.FN), ratio(2*c.TP, 2*c.TP+c.FP+c.FN)}
}

func ratio(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// macro is the unweighted mean.
func macro(tables []Counts) Rates {
	var m Rates
	for _, t := range tables {
		r := t.Rates()
		m.Precision += r.Precision
		m.Recall += r.Recall
		m.F1 += r.F1
	}
	n := float64(len(tables))
	return Rates{m.Precision / n, m.Recall / n, m.F1 / n}
}

// Confusion is the table of a classifier that gives each image one class.
// It is not safe for concurrent use while Add is called.
type Confusion struct {
	classes []string
	counts  []int // [truth][predicted]
	n       int
}

// NewConfusion returns an empty table. No class is ErrEmpty.
func NewConfusion(classes []string) (*Confusion, error) {
	if len(classes) == 0 {
		return nil, fmt.Errorf("metrics: confusion: classes: %w", ErrEmpty)
	}
	return &Confusion{classes: append([]string(nil), classes...), counts: make([]int, len(classes)*len(classes))}, nil
}

// Add counts an image by the indices of its classes; an index that is none is
// ErrRange.
func (c *Confusion) Add(truth, predicted int) error {
	k := len(c.classes)
	if truth < 0 || truth >= k || predicted < 0 || predicted >= k {
		return fmt.Errorf("metrics: confusion: %w: truth is %d, predicted is %d, there are %d classes", ErrRange, truth, predicted, k)
	}
	c.counts[truth*k+predicted]++
	c.n++
	return nil
}

// AddScores counts an image by the highest of its scores, one for each class; of
// equal ones the first. Another number of scores is ErrLength, a NaN is ErrNaN.
func (c *Confusion) AddScores(truth int, scores []float32) error {
	if len(scores) != len(c.classes) {
		return fmt.Errorf("metrics: confusion: %w: %d scores, %d classes", ErrLength, len(scores), len(c.classes))
	}
	best := 0
	for i, s := range scores {
		if math.IsNaN(float64(s)) {
			return fmt.Errorf("metrics: confusion: %w: of class %s", ErrNaN, c.classes[i])
		}
		if s > scores[best] {
			best = i
		}
	}
	return c.Add(truth, best)
}

// At returns how many images of class truth were called predicted; 0 for an index
// that is none.
func (c *Confusion) At(truth, predicted int) int {
	k := len(c.classes)
	if truth < 0 || truth >= k || predicted < 0 || predicted >= k {
		return 0
	}
	return c.counts[truth*k+predicted]
}

// N is how many images were added.
func (c *Confusion) N() int { return c.n }

// Top1 is the fraction of images whose class is right, from 0 to 1. Without an image
// it is ErrEmpty.
func (c *Confusion) Top1() (float64, error) {
	if c.n == 0 {
		return 0, fmt.Errorf("metrics: top-1 accuracy: %w", ErrEmpty)
	}
	right := 0
	for i := range c.classes {
		right += c.At(i, i)
	}
	return ratio(right, c.n), nil
}

// PerClass returns the table of each class against the rest.
func (c *Confusion) PerClass() []Counts {
	tables := make([]Counts, len(c.classes))
	for i := range tables {
		t := &tables[i]
		for j := range tables {
			t.FN += c.At(i, j)
			t.FP += c.At(j, i)
		}
		t.TP = c.At(i, i)
		t.FN -= t.TP
		t.FP -= t.TP
		t.TN = c.n - t.TP - t.FN - t.FP
	}
	return tables
}

// Macro is the unweighted mean of the rates over all classes. A class without an image
// is part of it and counts 0 (scikit-learn leaves out what occurs neither in the truth
// nor in the predictions unless it is told the labels). Without an image it is
// ErrEmpty.
func (c *Confusion) Macro() (Rates, error) {
	if c.n == 0 {
		return Rates{}, fmt.Errorf("metrics: macro rates: %w", ErrEmpty)
	}
	return macro(c.PerClass()), nil
}

// String is the table with a line for each true class and a column for each
// predicted one.
func (c *Confusion) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "truth \\ predicted\t%s\t\n", strings.Join(c.classes, "\t"))
	for i, name := range c.classes {
		fmt.Fprintf(w, "%s\t", name)
		for j := range c.classes {
			fmt.Fprintf(w, "%d\t", c.At(i, j))
		}
		fmt.Fprintln(w)
	}
	w.Flush() // into a strings.Builder, which cannot fail
	return b.String()
}
