package controls

import (
	"context"
	"fmt"
	"image"

	"github.com/gotab/gotab/dataset"
)

// Batches gives Remeasure the images of ds in batches of most, 2 or more, of nearly
// equal size, in their order and each once: shuffle ds before, where neighbours are alike. It reads
// one batch at a time. Images that do not all come out with one size are ErrControl.
func Batches(ctx context.Context, ds dataset.Dataset, tr dataset.Transform, norm dataset.Normalize, most int) func(yield func(pixels []float32, n, h, w int) error) error {
	return func(yield func(pixels []float32, n, h, w int) error) error {
		total := ds.Len()
		if most < 2 || total < 2 {
			return fmt.Errorf("%w: batches of %d of %d images, want 2 or more of each", ErrControl, most, total)
		}
		tr := tr.Shared()
		count := min((total+most-1)/most, total/2) // an odd image would be a batch of its own
		var size image.Point
		var pixels []float32
		for b := range count {
			lo, hi := b*total/count, (b+1)*total/count
			for i := lo; i < hi; i++ {
				img, name, err := picture(ctx, ds, tr, i)
				if err != nil {
					return err
				}
				if size == (image.Point{}) {
					size = img.Rect.Size()
				}
				if img.Rect.Size() != size {
					return fmt.Errorf("%s: %w: it comes out as %v, the first image as %v", name, ErrControl, img.Rect.Size(), size)
				}
				per := 3 * size.X * size.Y
				if need := (hi - lo) * per; cap(pixels) < need {
					pixels = append(make([]float32, 0, need), pixels...)
				}
				pixels = pixels[:(hi-lo)*per]
				if err := norm.Pack(pixels[(i-lo)*per:(i-lo+1)*per], img); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			if err := yield(pixels, hi-lo, size.Y, size.X); err != nil {
				return err
			}
		}
		return nil
	}
}

// picture is image i after tr, which a cached data set has done already.
func picture(ctx context.Context, ds dataset.Dataset, tr dataset.Transform, i int) (*image.RGBA, string, error) {
	s, err := ds.Sample(ctx, i)
	if err != nil || tr.AppliedTo(ds) {
		return s.Image, s.Name, err
	}
	img, err := tr.Image(s.Image)
	if err != nil {
		return nil, s.Name, fmt.Errorf("%s: %w", s.Name, err)
	}
	return img, s.Name, nil
}
