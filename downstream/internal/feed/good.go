package feed

import (
	"context"
	"fmt"
	"image"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/sentinel"
)

// maxSide and maxPixels bound a transformed image.
const (
	MaxSide   = 1 << 14 // pixels of a side
	MaxPixels = 1 << 24
)

// GoodImages returns the images of a data set to be fitted on, all of which must
// be known to be good. Files are to be read as the transform, which is kept, would
// have it.
func GoodImages(normal dataset.Dataset, t dataset.Transform) (Pictures, error) {
	if err := t.Agrees(normal); err != nil {
		return nil, err
	}
	if err := dataset.RequireGood(normal); err != nil {
		return nil, fmt.Errorf("%w: %w", sentinel.ErrNotNormal, err)
	}
	mark := Marked(normal)
	return func(ctx context.Context, i int) (image.Image, string, error) {
		s, err := normal.Sample(ctx, i)
		if err != nil {
			return nil, normal.Item(i).Name, err
		}
		return mark(s.Image), s.Name, nil
	}, nil
}

// InputSize reads the first image for the size that the transform brings images
// to, and refuses one that is too large.
func (r *Reader) InputSize(ctx context.Context, from Pictures) (image.Point, error) {
	first, err := r.Pack(ctx, from, 0, 1, image.Point{})
	if err != nil {
		return image.Point{}, err
	}
	r.Put(first.Pixels)
	if sz := first.Size; sz.X > MaxSide || sz.Y > MaxSide || sz.X*sz.Y > MaxPixels {
		return image.Point{}, fmt.Errorf("%w: the transform (%s) makes it %dx%d, at most %d pixels a side and %d in all are taken",
			sentinel.ErrImage, r.Transform, sz.X, sz.Y, MaxSide, MaxPixels)
	}
	return first.Size, nil
}
