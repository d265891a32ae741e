package dataset

import (
	"context"
	"slices"
)

// Classes implements [Dataset].
func (r *relabelled) Classes() []string { return slices.Clone(r.classes) }

// Item implements [Dataset].
func (r *relabelled) Item(i int) Item {
	if i < 0 || i >= len(r.items) {
		return Item{}
	}
	return r.items[i]
}

// Sample implements [Dataset].
func (r *relabelled) Sample(ctx context.Context, i int) (Sample, error) {
	s, err := r.Dataset.Sample(ctx, i)
	if err != nil {
		return Sample{}, err
	}
	s.Item = r.items[i]
	return s, nil
}
