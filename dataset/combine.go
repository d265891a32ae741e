package dataset

import (
	"context"
	"fmt"
	"slices"
	"sort"
)

// subset shows some samples of another data set.
type subset struct {
	ds      Dataset
	index   []int
	classes []string
}

// orEmpty returns ds or, for nil, a data set without samples, which the functions
// here and in manifest.go take a nil data set for.
func orEmpty(ds Dataset) Dataset {
	if ds == nil {
		return &Memory{}
	}
	return ds
}

// Subset returns the samples of ds with the given numbers, in that order; a
// number may occur several times. Its classes are those of the samples that
// remain. A number out of range is an error that wraps [ErrIndex].
func Subset(ds Dataset, index []int) (Dataset, error) {
	ds = orEmpty(ds)
	n := ds.Len()
	for _, i := range index {
		if i < 0 || i >= n {
			return nil, fmt.Errorf("dataset: subset: %w", indexError(i, n))
		}
	}
	s := &subset{ds: ds, index: slices.Clone(index)}
	s.classes = classesOf(s)
	return s, nil
}

// Filter returns the samples of ds for which keep returns true, in the same
// order; a nil keep takes all. Only items are looked at; nothing is decoded. The
// result may be empty.
func Filter(ds Dataset, keep func(Item) bool) Dataset {
	ds = orEmpty(ds)
	s := &subset{ds: ds}
	for i := range ds.Len() {
		if keep == nil || keep(ds.Item(i)) {
			s.index = append(s.index, i)
		}
	}
	s.classes = classesOf(s)
	return s
}

func (s *subset) Len() int          { return len(s.index) }
func (s *subset) Classes() []string { return slices.Clone(s.classes) }

func (s *subset) Item(i int) Item {
	if i < 0 || i >= len(s.index) {
		return Item{}
	}
	return s.ds.Item(s.index[i])
}

func (s *subset) Sample(ctx context.Context, i int) (Sample, error) {
	if i < 0 || i >= len(s.index) {
		return Sample{}, indexError(i, len(s.index))
	}
	return s.ds.Sample(ctx, s.index[i])
}

// concat shows several data sets one after the other.
type concat struct {
	parts   []Dataset
	ends    []int // samples in the parts up to and including each
	classes []string
}

// Concat returns the samples of all parts, one part after the other. Its
// classes are the union of theirs.
func Concat(parts ...Dataset) Dataset {
	c := &concat{parts: slices.Clone(parts), classes: []string{}}
	n := 0
	for i, p := range c.parts {
		p = orEmpty(p)
		c.parts[i] = p
		n += p.Len()
		c.ends = append(c.ends, n)
		c.classes = append(c.classes, p.Classes()...)
	}
	slices.Sort(c.classes)
	c.classes = slices.Compact(c.classes)
	return c
}

func (c *concat) Len() int {
	if len(c.ends) == 0 {
		return 0
	}
	return c.ends[len(c.ends)-1]
}

func (c *concat) Classes() []string { return slices.Clone(c.classes) }

// find returns the part that holds sample i and its number there.
func (c *concat) find(i int) (Dataset, int) {
	p := sort.SearchInts(c.ends, i+1)
	if p > 0 {
		i -= c.ends[p-1]
	}
	return c.parts[p], i
}

func (c *concat) Item(i int) Item {
	if i < 0 || i >= c.Len() {
		return Item{}
	}
	ds, j := c.find(i)
	return ds.Item(j)
}

func (c *concat) Sample(ctx context.Context, i int) (Sample, error) {
	if i < 0 || i >= c.Len() {
		return Sample{}, indexError(i, c.Len())
	}
	ds, j := c.find(i)
	return ds.Sample(ctx, j)
}
