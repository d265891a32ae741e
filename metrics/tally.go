package metrics

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// Other is what a [Tally] calls an answer that is none of its kinds.
const Other = "other"

// Tally counts the answers of a classifier for a test set: one kind for each image, and where images carry several
// labels at once (wafer maps), the labels too. A combination of labels is a kind. It is not safe for concurrent use.
type Tally struct {
	kinds, labels []string
	ofLabels      *MultiLabel // nil without labels
	ofKinds       *Confusion  // the last class is Other
	right         []byte      // a digit for each image
}

// NewTally counts kinds, and labels where these are not empty. It returns an error that wraps [ErrRange]
// if a name is empty or comes twice, or a kind is called [Other], and those of [NewConfusion] and [NewMultiLabel].
func NewTally(kinds, labels []string) (*Tally, error) {
	t := &Tally{kinds: slices.Clone(kinds), labels: slices.Clone(labels)}
	for _, names := range [][]string{t.names(), t.labels} {
		for i, n := range names {
			if n == "" || slices.Contains(names[:i], n) {
				return nil, fmt.Errorf("metrics: tally: %w: name %d, %q, is empty or comes twice", ErrRange, i, n)
			}
		}
	}
	var err error
	if len(labels) > 0 {
		if t.ofLabels, err = NewMultiLabel(t.labels); err != nil {
			return nil, err
		}
	}
	t.ofKinds, err = NewConfusion(t.names())
	if err != nil {
		return nil, err
	}
	return t, nil
}

// names are those of the columns.
func (t *Tally) names() []string { return append(slices.Clone(t.kinds), Other) }

// Add counts what was said of the next image: truth and said are numbers of kinds, len(kinds) for an answer that is none; isLabels
// and saidLabels are nil without labels. It returns an error that wraps [ErrRange] or [ErrLength] if
// they do not fit; then nothing was counted.
func (t *Tally) Add(truth, said int, isLabels, saidLabels []bool) error {
	if t.ofKinds == nil {
		return fmt.Errorf("metrics: tally: %w: it was not made by NewTally", ErrLength)
	}
	if truth < 0 || truth >= len(t.kinds) || said < 0 || said > len(t.kinds) {
		return fmt.Errorf("metrics: tally: %w: kind %d was called %d, there are %d kinds", ErrRange, truth, said, len(t.kinds))
	}
	if t.ofLabels != nil {
		if err := t.ofLabels.Add(isLabels, saidLabels); err != nil {
			return err
		}
	}
	if err := t.ofKinds.Add(truth, said); err != nil {
		return err
	}
	right := byte('0')
	if truth == said {
		right = '1'
	}
	t.right = append(t.right, right)
	return nil
}

// Share is a fraction, 0 to 1, with Wilson's interval of 95 %.
type Share struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// shareOf is a fraction of n with its interval.
func shareOf(v float64, n int) (Share, error) {
	i, err := Wilson(int(math.Round(v*float64(n))), n, 0.95)
	return Share{i.Value, i.Low, i.High}, err
}

// MacroRates are unweighted means over classes, 0 to 1.
type MacroRates struct {
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"`
}

// NamedCounts is a class or label with what was counted for it.
type NamedCounts struct {
	Name string `json:"name"`
	Counts
	MacroRates
}

// ConfusionTable is the table of true (lines) and predicted classes.
type ConfusionTable struct {
	Classes []string `json:"classes"` // of the columns; the lines lack the last, Other
	Counts  [][]int  `json:"counts"`
}

// TallyFigures are the figures of a [Tally]: what is written of a classifier, as JSON too.
type TallyFigures struct {
	Exact    *Share        `json:"exact_match"` // all labels right; null without labels
	Labels   *MacroRates   `json:"labels"`      // macro over the labels
	PerLabel []NamedCounts `json:"per_label,omitempty"`

	Top1      Share          `json:"top1"`
	Kinds     MacroRates     `json:"classes"` // macro over the kinds
	PerKind   []NamedCounts  `json:"per_class"`
	Confusion ConfusionTable `json:"confusion"`

	// Right has a digit for each image in its order: 1 where its kind is right, else 0.
	// Classifiers are compared by it.
	Right string `json:"right"`
}

func namedRates(names []string, tables []Counts) []NamedCounts {
	out := make([]NamedCounts, len(names))
	for i, n := range names {
		out[i] = NamedCounts{n, tables[i], MacroRates(tables[i].Rates())}
	}
	return out
}

// macroOf is the unweighted mean over the classes that there are: answers of
// Other are wrong ones of the true class, and Other is no class of its own.
func macroOf(classes []NamedCounts) (m MacroRates) {
	n := float64(len(classes))
	for _, c := range classes {
		m.Precision += c.Precision / n
		m.Recall += c.Recall / n
		m.F1 += c.F1 / n
	}
	return m
}

// Figures are those of what was counted by now. Without an image they are [ErrEmpty].
func (t *Tally) Figures() (f TallyFigures, err error) {
	if t.ofKinds == nil {
		return f, fmt.Errorf("metrics: tally: %w", ErrEmpty)
	}
	top, err := t.ofKinds.Top1()
	if err != nil {
		return f, err
	}
	if f.Top1, err = shareOf(top, t.ofKinds.N()); err != nil {
		return f, err
	}
	f.Right = string(t.right)
	f.PerKind = namedRates(t.kinds, t.ofKinds.PerClass()[:len(t.kinds)])
	f.Kinds = macroOf(f.PerKind)
	f.Confusion.Classes = t.names()
	for i := range t.kinds {
		line := make([]int, len(f.Confusion.Classes))
		for j := range line {
			line[j] = t.ofKinds.At(i, j)
		}
		f.Confusion.Counts = append(f.Confusion.Counts, line)
	}
	if t.ofLabels == nil {
		return f, nil
	}
	exact, err := t.ofLabels.ExactMatch()
	if err != nil {
		return f, err
	}
	e, err := shareOf(exact, t.ofLabels.N())
	if err != nil {
		return f, err
	}
	f.Exact = &e
	f.PerLabel = namedRates(t.labels, t.ofLabels.PerLabel())
	m := macroOf(f.PerLabel)
	f.Labels = &m
	return f, nil
}

// WriteText writes the tables of labels and kinds, and the confusions.
func (f TallyFigures) WriteText(w io.Writer) error {
	if w == nil {
		return fmt.Errorf("metrics: tally: %w: the writer is nil", ErrRange)
	}
	for _, part := range [][]NamedCounts{f.PerLabel, f.PerKind} {
		if len(part) == 0 {
			continue
		}
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(tw, "\tTP\tFP\tFN\tTN\tprecision\trecall\tF1\t")
		for _, c := range part {
			fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%d\t%s\t\n", c.Name, c.TP, c.FP, c.FN, c.TN, c.MacroRates)
		}
		if err := tw.Flush(); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	return f.Confusion.WriteText(w)
}

// String is two cells of a table with a tab between them: the value and its interval.
func (s Share) String() string { return fmt.Sprintf("%.4f\t[%.3f, %.3f]", s.Value, s.Low, s.High) }

// String is three cells of a table with tabs between them: precision, recall and F1.
func (r MacroRates) String() string {
	return fmt.Sprintf("%.4f\t%.4f\t%.4f", r.Precision, r.Recall, r.F1)
}

// WriteText writes the whole table, columns by number, and below it the confusions
// that occur, by name. A table that does not fit together is an error that wraps [ErrLength].
func (c ConfusionTable) WriteText(w io.Writer) error {
	if w == nil {
		return fmt.Errorf("metrics: confusions: %w: the writer is nil", ErrRange)
	}
	if len(c.Classes) == 0 || len(c.Counts) > len(c.Classes) || slices.ContainsFunc(c.Counts, func(l []int) bool { return len(l) != len(c.Classes) }) {
		return fmt.Errorf("metrics: confusions: %w: %d lines for %d classes", ErrLength, len(c.Counts), len(c.Classes))
	}
	tw := tabwriter.NewWriter(w, 0, 0, 1, ' ', tabwriter.AlignRight)
	fmt.Fprint(tw, "true, down; said, across\t\t")
	for j := range c.Classes {
		fmt.Fprintf(tw, "%d\t", j+1)
	}
	fmt.Fprintln(tw)
	var wrong []string
	for i, line := range c.Counts {
		fmt.Fprintf(tw, "%s\t%d\t", c.Classes[i], i+1)
		for j, n := range line {
			if n == 0 {
				fmt.Fprint(tw, ".\t")
				continue
			}
			fmt.Fprintf(tw, "%d\t", n)
			if i != j {
				wrong = append(wrong, fmt.Sprintf("%s was called %s: %d", c.Classes[i], c.Classes[j], n))
			}
		}
		fmt.Fprintln(tw)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if len(wrong) == 0 {
		wrong = []string{"nothing was taken for something else"}
	}
	_, err := fmt.Fprintf(w, "%d is %q.\n%s\n", len(c.Classes), c.Classes[len(c.Classes)-1], strings.Join(wrong, "\n"))
	return err
}
