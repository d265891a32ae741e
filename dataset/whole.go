package dataset

import (
	"cmp"
	"fmt"
	"image"
	"maps"
	"slices"
)

// Whole shows the samples of a data set that [Check] found no fault in, and their numbers in it, for whoever goes on without the
// others. It returns an error that wraps [ErrConfig] if ds has not as many samples as were looked at, and one that wraps the faults if none is left.
func (r Report) Whole(ds Dataset) (whole Dataset, kept []int, err error) {
	if ds == nil || ds.Len() != r.Samples {
		return nil, nil, fmt.Errorf("dataset: go on without faults: %w: the report is not of this data set", ErrConfig)
	}
	broken := make(map[int]bool, len(r.Broken))
	for _, i := range r.Broken {
		broken[i] = true
	}
	for i := range ds.Len() {
		if !broken[i] {
			kept = append(kept, i)
		}
	}
	switch {
	case len(kept) == ds.Len():
		return ds, kept, nil
	case len(kept) == 0:
		return nil, nil, fmt.Errorf("none of the %d images can be read: %w", ds.Len(), r.Err())
	}
	whole, err = Subset(ds, kept)
	return whole, kept, err
}

// UnseenBy is the largest share of an image, 0 to 1, that a transform cuts off, and the size of the
// images that lose it: that of [CheckConfig.Transform] where it is known only after the look. Errors are those of [Transform.Rect].
func (r Report) UnseenBy(t Transform) (share float64, size image.Point, err error) {
	for _, p := range r.sizes() {
		rect, err := t.Rect(p.X, p.Y)
		if err != nil {
			return 0, p, err
		}
		if lost := 1 - (rect.MaxX-rect.MinX)*(rect.MaxY-rect.MinY)/(float64(p.X)*float64(p.Y)); lost > share+1e-9 {
			share, size = lost, p
		}
	}
	return share, size, nil
}

// sizes are the sizes of images in a fixed order.
func (r Report) sizes() []image.Point {
	return slices.SortedFunc(maps.Keys(r.Sizes), func(a, b image.Point) int { return cmp.Or(cmp.Compare(a.X, b.X), cmp.Compare(a.Y, b.Y)) })
}
