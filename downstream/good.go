package downstream

import (
	"context"
	"fmt"
	"image"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/sentinel"
)

// maxSide and maxPixels bound a transformed image.
const (
	maxSide   = 1 << 14 // pixels of a side
	maxPixels = 1 << 24
)

// goodImages returns the images of a data set to be fitted on, all of which must
// be known to be good. Files are to be read as the transform, which is kept, would
// have it.
func goodImages(normal dataset.Dataset, t dataset.Transform) (pictures, error) {
	if err := t.Agrees(normal); err != nil {
		return nil, err
	}
	if err := dataset.RequireGood(normal); err != nil {
		return nil, fmt.Errorf("%w: %w", sentinel.ErrNotNormal, err)
	}
	mark := marked(normal)
	return func(ctx context.Context, i int) (image.Image, string, error) {
		s, err := normal.Sample(ctx, i)
		if err != nil {
			return nil, normal.Item(i).Name, err
		}
		return mark(s.Image), s.Name, nil
	}, nil
}

// inputSize reads the first image for the size that the transform brings images
// to, and refuses one that is too large.
func (r *reader) inputSize(ctx context.Context, from pictures) (image.Point, error) {
	first, err := r.pack(ctx, from, 0, 1, image.Point{})
	if err != nil {
		return image.Point{}, err
	}
	r.put(first.pixels)
	if sz := first.size; sz.X > maxSide || sz.Y > maxSide || sz.X*sz.Y > maxPixels {
		return image.Point{}, fmt.Errorf("%w: the transform (%s) makes it %dx%d, at most %d pixels a side and %d in all are taken",
			sentinel.ErrImage, r.transform, sz.X, sz.Y, maxSide, maxPixels)
	}
	return first.size, nil
}
