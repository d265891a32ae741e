package compare

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/classify"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/metrics"
)

// source is one opened path.
type source struct {
	dataset.Dataset
	wafers *dataset.MixedWM38 // nil for folders
}

// openSource opens wafer maps or a folder and says what was passed over.
func openSource(ctx context.Context, o Config, path string) (s source, closer io.Closer, err error) {
	var listed dataset.Listed
	if o.wafers() {
		if s.wafers, err = dataset.OpenMixedWM38(path); err != nil {
			return s, nil, err
		}
		listed, closer = s.wafers, s.wafers
	} else {
		cfg := dataset.DefaultConfig()
		cfg.TrainDefects, cfg.Decoder = true, o.Reading.Decoder
		if listed, closer, err = dataset.OpenLayout(ctx, path, o.Layout, cfg); err != nil {
			return s, nil, err
		}
	}
	for _, issue := range listed.Issues() {
		fmt.Fprintf(o.Log, "note: %s\n", issue)
	}
	s.Dataset = listed
	return s, closer, nil
}

// resolved chooses layout and label where the config leaves them open. A root that has a folder of good
// images is read by its conditions then: as classes, only the good ones would be read.
func (o Config) resolved() Config {
	guess := o.Layout == "" && o.Label == "" && !o.wafers()
	if o.Layout == "" {
		o.Layout = dataset.LayoutFolders
	}
	if o.Label == "" {
		o.Label = "class"
	}
	if !guess {
		return o
	}
	root, closer, err := dataset.OpenRoot(o.Data)
	if err != nil {
		return o // opening it again says why
	}
	defer func() { _ = closer.Close() }() // nothing was written
	f, err := dataset.NewGoodBad(root, dataset.DefaultGoodBad())
	if err != nil {
		return o
	}
	o.Layout, o.Label = dataset.LayoutGoodBad, "defect"
	fmt.Fprintf(o.Log, "note: %s has good images apart from others: it is read in the layout %s and told apart by %s (%d images)\n", o.Data, o.Layout, o.Label, f.Len())
	return o
}

// look checks all files and leaves out the broken ones where it is told to.
func (s source) look(ctx context.Context, o Config) (source, []string, error) {
	if s.wafers != nil { // one file, which opening it has read
		return s, nil, nil
	}
	seen, err := o.Reading.Look(ctx, s.Dataset, o.Log)
	if err != nil {
		return s, nil, fmt.Errorf("nothing was trained: %w", err)
	}
	s.Dataset = seen.Data
	return s, seen.Skipped, nil
}

// tryOut makes the folder of [Config.Out] and finds out whether it can be written to. A
// folder with a report stays as it is without Force.
func (o Config) tryOut() error {
	if err := o.Curves.Try(); err != nil {
		return err
	}
	if o.Out == "" {
		return nil
	}
	if !o.Force {
		for _, name := range []string{"report.json", "report.txt"} {
			if _, err := os.Stat(filepath.Join(o.Out, name)); err == nil {
				return fmt.Errorf("compare: %w: %s has a %s already", ErrExists, o.Out, name)
			}
		}
	}
	return atomicfile.TryFolder(o.Out)
}

// part is data to train or to test on.
type part struct {
	set     dataset.Dataset
	kinds   *classify.Labelled // one class each
	labels  *classify.Labelled // eight bits; nil for folders
	indices []int              // in source
	source  source
}

// problem is what is to be learnt, and how well it was.
type problem struct {
	split       string
	train, test part
	kinds       []string // names of the classes or combinations
	labels      []string // of the eight bits; nil for folders
	bits        [][]bool // of each kind; nil for folders
}

// newProblem divides the data, or takes test as it is.
func newProblem(o Config, split string, data, test source) (problem, error) {
	p := problem{split: split}
	text := func(it dataset.Item) string { return it.Defect }
	label := classify.ByDefect
	if !o.wafers() && o.Label == "class" {
		text, label = func(it dataset.Item) string { return it.Class }, classify.ByClass
	}
	for _, s := range []source{data, test} {
		if s.Dataset != nil {
			for _, it := range dataset.Items(s) {
				p.kinds = append(p.kinds, text(it))
			}
		}
	}
	slices.Sort(p.kinds)
	p.kinds = slices.Compact(p.kinds)
	if o.wafers() {
		names := dataset.WaferLabels()
		p.labels = names[:]
		p.bits = bitsOf(p.kinds, p.labels)
	}
	whole := func(s source) part {
		at := make([]int, s.Len())
		for i := range at {
			at[i] = i
		}
		return part{indices: at, source: s}
	}
	if test.Dataset != nil {
		p.train, p.test = whole(data), whole(test)
	} else {
		divided, err := divide(o, split, data)
		if err != nil {
			return p, err
		}
		p.train, p.test = part{source: data}, part{source: data}
		for i, it := range divided {
			side := &p.train
			if it.Split == dataset.Test {
				side = &p.test
			}
			side.indices = append(side.indices, i)
		}
	}
	for _, side := range []*part{&p.train, &p.test} {
		var err error
		if side.set, err = dataset.Subset(side.source, side.indices); err != nil {
			return p, err
		}
		if side.kinds, err = label(side.set, p.kinds); err != nil {
			return p, err
		}
		if p.labels != nil {
			if side.labels, err = classify.ByDefects(side.set, p.labels); err != nil {
				return p, err
			}
		}
	}
	return p, nil
}

// divide draws 80:20, of every kind alike where the split is Stratified.
func divide(o Config, split string, data source) ([]dataset.Item, error) {
	items := dataset.Items(data)
	cfg := dataset.DefaultSplit()
	cfg.Parts = []dataset.Part{{Name: dataset.Train, Fraction: 0.8}, {Name: dataset.Test, Fraction: 0.2}}
	cfg.Stratify, cfg.Defects, cfg.From = split == Stratified, "", nil
	for _, it := range items {
		if !slices.Contains(cfg.From, it.Split) {
			cfg.From = append(cfg.From, it.Split)
		}
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("%w: there are no images", downstream.ErrTooFewImages)
	}
	return cfg.Assign(items, rand.New(rand.NewPCG(o.Seed, 2)))
}

// bitsOf reads the labels of combinations from their names.
func bitsOf(kinds, labels []string) [][]bool {
	out := make([][]bool, len(kinds))
	for i, kind := range kinds {
		parts := strings.Split(kind, "+")
		out[i] = make([]bool, len(labels))
		for j, l := range labels {
			out[i][j] = slices.Contains(parts, l)
		}
	}
	return out
}

// kindOf returns the number of the combination with these labels, or the number
// of kinds where there is none.
func (p problem) kindOf(bits []bool) int {
	i := slices.IndexFunc(p.bits, func(b []bool) bool { return slices.Equal(b, bits) })
	if i < 0 {
		return len(p.kinds)
	}
	return i
}

func (p problem) tally() (*metrics.Tally, error) { return metrics.NewTally(p.kinds, p.labels) }

// count counts what was said of test image i.
func (p problem) count(t *metrics.Tally, i int, labels []bool, kind int) error {
	var is []bool
	if p.test.labels != nil {
		is = p.test.labels.Truth(i)
	}
	return t.Add(p.test.kinds.Class(i), kind, is, labels)
}
