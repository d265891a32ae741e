package classify

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
)

// maxLabels bounds how many labels there may be: more than any plant names.
const maxLabels = 1 << 14

// Labelled is a data set whose truth is known: which of some names each sample
// shows. It is safe for concurrent use where the data set is.
type Labelled struct {
	dataset.Dataset
	names []string
	truth []bool // sample by sample, one for each name
}

// Label asks truth for every sample of ds: one answer for each of names, any
// number of which may be true. Names that are empty or come twice, other numbers
// of answers and truth's own errors are errors that wrap [downstream.ErrLabels].
func Label(ds dataset.Dataset, names []string, truth func(i int, it dataset.Item) ([]bool, error)) (*Labelled, error) {
	if ds == nil || truth == nil {
		return nil, fmt.Errorf("classify: label: %w: data set or truth is nil", downstream.ErrLabels)
	}
	if err := checkNames(names); err != nil {
		return nil, fmt.Errorf("classify: label: %w", err)
	}
	l := &Labelled{Dataset: ds, names: slices.Clone(names)}
	for i := range ds.Len() {
		it := ds.Item(i)
		t, err := truth(i, it)
		if err == nil && len(t) != len(names) {
			err = fmt.Errorf("%d answers for %d names", len(t), len(names))
		}
		if err != nil {
			return nil, fmt.Errorf("classify: label: %w: sample %s: %w", downstream.ErrLabels, it.Name, err)
		}
		l.truth = append(l.truth, t...)
	}
	return l, nil
}

// LabelOne is [Label] for samples that show exactly one of names: class gives its
// number.
func LabelOne(ds dataset.Dataset, names []string, class func(i int, it dataset.Item) (int, error)) (*Labelled, error) {
	if class == nil {
		return nil, fmt.Errorf("classify: label: %w: class is nil", downstream.ErrLabels)
	}
	return Label(ds, names, func(i int, it dataset.Item) ([]bool, error) {
		k, err := class(i, it)
		if err != nil {
			return nil, err
		}
		if k < 0 || k >= len(names) {
			return nil, fmt.Errorf("class %d, there are %d", k, len(names))
		}
		t := make([]bool, len(names))
		t[k] = true
		return t, nil
	})
}

// ByDefect labels every sample with its kind of defect, [dataset.Good] among
// them. nil for names takes the kinds that occur, sorted; give the names of the
// training data where a test set may lack a kind. It returns an error that wraps
// [downstream.ErrLabels] and names the sample if the data set does not say what it shows.
func ByDefect(ds dataset.Dataset, names []string) (*Labelled, error) {
	if err := kindsKnown(ds); err != nil {
		return nil, fmt.Errorf("classify: label: %w: %w", downstream.ErrLabels, err)
	}
	return byText(ds, names, func(it dataset.Item) string { return it.Defect })
}

// ByClass labels every sample with its class: a folder of class folders, as
// [dataset.OpenFolders] reads it. Otherwise it is ByDefect.
func ByClass(ds dataset.Dataset, names []string) (*Labelled, error) {
	return byText(ds, names, func(it dataset.Item) string { return it.Class })
}

func byText(ds dataset.Dataset, names []string, text func(dataset.Item) string) (*Labelled, error) {
	if ds != nil && names == nil {
		for i := range ds.Len() {
			names = append(names, text(ds.Item(i)))
		}
		slices.Sort(names)
		names = slices.Compact(names)
	}
	number := numbered(names)
	return LabelOne(ds, names, func(_ int, it dataset.Item) (int, error) {
		k, ok := number[text(it)]
		if !ok {
			return 0, fmt.Errorf("%q is none of %d names (%s)", text(it), len(names), some(names))
		}
		return k, nil
	})
}

// ByDefects labels every sample with the parts of its kind of defect, which a
// plus joins, as in "Center+Edge-Loc"; [dataset.Good] is none of them. Errors are
// those of [ByDefect]. With
// [dataset.WaferLabels] it gives the eight labels of MixedWM38.
func ByDefects(ds dataset.Dataset, names []string) (*Labelled, error) {
	if err := kindsKnown(ds); err != nil {
		return nil, fmt.Errorf("classify: label: %w: %w", downstream.ErrLabels, err)
	}
	number := numbered(names)
	return Label(ds, names, func(_ int, it dataset.Item) ([]bool, error) {
		t := make([]bool, len(names))
		if it.IsGood() {
			return t, nil
		}
		for part := range strings.SplitSeq(it.Defect, "+") {
			k, ok := number[part]
			if !ok {
				return nil, fmt.Errorf("%q is none of %d names (%s)", part, len(names), some(names))
			}
			t[k] = true
		}
		return t, nil
	})
}

// kindsKnown refuses samples of which the data set does not say what they show:
// they would be learnt as a kind of their own.
func kindsKnown(ds dataset.Dataset) error {
	if ds == nil {
		return nil // Label says so
	}
	for i := range ds.Len() {
		if it := ds.Item(i); !it.IsLabelled() || it.IsDefective() && it.Defect == dataset.Unknown {
			return fmt.Errorf("sample %s: %w: its kind of defect is not known; leave such samples out with dataset.Filter, by Item.IsGood and Item.Defect", it.Name, dataset.ErrLabel)
		}
	}
	return nil
}

func numbered(names []string) map[string]int {
	number := make(map[string]int, len(names))
	for k, n := range names {
		number[n] = k
	}
	return number
}

// some are the first names of a list, for messages.
func some(names []string) string {
	const most = 8
	if len(names) > most {
		return strings.Join(names[:most], ", ") + ", ..."
	}
	return strings.Join(names, ", ")
}

func checkNames(names []string) error {
	if len(names) < 1 || len(names) > maxLabels {
		return fmt.Errorf("%w: there are %d names, want 1 to %d", downstream.ErrLabels, len(names), maxLabels)
	}
	for k, n := range names {
		if n == "" {
			return fmt.Errorf("%w: name %d is empty", downstream.ErrLabels, k)
		}
	}
	if number := numbered(names); len(number) < len(names) {
		for k, n := range names {
			if number[n] != k {
				return fmt.Errorf("%w: the name %q comes twice", downstream.ErrLabels, n)
			}
		}
	}
	return nil
}

// Transform implements [dataset.Transformed] where the data set does.
func (l *Labelled) Transform() (dataset.Transform, bool) { return dataset.TransformOf(l.Dataset) }

// Names returns the K names, in the order of the answers.
func (l *Labelled) Names() []string { return slices.Clone(l.names) }

// Truth says for each name whether sample i shows it; nil for an i out of range.
func (l *Labelled) Truth(i int) []bool {
	k := len(l.names)
	if i < 0 || (i+1)*k > len(l.truth) {
		return nil
	}
	return slices.Clone(l.truth[i*k : (i+1)*k])
}

// Class is the number of the only name that sample i shows, -1 where it shows
// none or several.
func (l *Labelled) Class(i int) int {
	class := -1
	for k, on := range l.Truth(i) {
		switch {
		case on && class >= 0:
			return -1
		case on:
			class = k
		}
	}
	return class
}

// counts says how many samples show each name.
func (l *Labelled) counts() []int {
	n := make([]int, len(l.names))
	for i, on := range l.truth {
		if on {
			n[i%len(n)]++
		}
	}
	return n
}

// check refuses data from which the task cannot be learnt.
func (l *Labelled) check(task Task) error {
	if l == nil || l.Dataset == nil || l.Len() == 0 {
		return fmt.Errorf("%w: the data set is empty", downstream.ErrTooFewImages)
	}
	k := len(l.names)
	if len(l.truth) != l.Len()*k {
		return fmt.Errorf("%w: the data set had %d samples when it was labelled and has %d", downstream.ErrLabels, len(l.truth)/max(k, 1), l.Len())
	}
	varies := false
	for _, n := range l.counts() {
		varies = varies || n > 0 && n < l.Len()
	}
	if !varies {
		return fmt.Errorf("%w: all %d samples have the same labels; there is nothing to tell apart", downstream.ErrLabels, l.Len())
	}
	if task == MultiClass {
		for i := range l.Len() {
			if l.Class(i) < 0 {
				return fmt.Errorf("%w: sample %s shows not exactly one of %d classes", downstream.ErrLabels, l.Item(i).Name, k)
			}
		}
	}
	return nil
}
