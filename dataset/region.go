package dataset

import (
	"context"
	"fmt"
	"image"
)

// RegionConfig says which part of every image counts.
type RegionConfig struct {
	// Rect is the part that is cut out, in pixels of the images. The zero
	// rectangle keeps the whole.
	Rect image.Rectangle
	// Ignore marks pixels that do not count, with any value but 0, in pixels of
	// the whole images: a fixture, a label, the background. nil ignores none.
	Ignore *image.Gray
	// Fill is the grey that ignored pixels get, 0 to 255, so that what happens
	// there changes nothing. Default 0.
	Fill uint8
}

// region is a data set seen through a RegionConfig.
type region struct {
	Dataset
	cfg RegionConfig
}

// NewRegion returns ds with every image and mask cut to cfg.Rect, and with
// cfg.Fill in the images and 0 in the masks where cfg.Ignore marks them. The
// samples have pixels of their own and the items of ds. A sample that
// cfg.Rect does not lie in, or of another size than cfg.Ignore, is an error that
// wraps [ErrSize], upon reading it.
func NewRegion(ds Dataset, cfg RegionConfig) (Dataset, error) {
	switch {
	case ds == nil:
		return nil, fmt.Errorf("dataset: region: %w: the data set is nil", ErrConfig)
	case cfg.Rect == image.Rectangle{} && cfg.Ignore == nil:
		return nil, fmt.Errorf("dataset: region: %w: Rect and Ignore are both empty", ErrConfig)
	case cfg.Rect != image.Rectangle{} && (cfg.Rect.Empty() || cfg.Rect.Min.X < 0 || cfg.Rect.Min.Y < 0):
		return nil, fmt.Errorf("dataset: region: %w: Rect is %v, want pixels from (0,0) on", ErrConfig, cfg.Rect)
	case cfg.Ignore != nil && (cfg.Ignore.Rect.Min != image.Point{} || cfg.Ignore.Rect.Empty() || !cfg.Rect.In(cfg.Ignore.Rect)):
		return nil, fmt.Errorf("dataset: region: %w: Ignore has bounds %v, want an origin (0,0) and Rect %v inside", ErrConfig, cfg.Ignore.Rect, cfg.Rect)
	}
	return &region{Dataset: ds, cfg: cfg}, nil
}

// Sample implements [Dataset].
func (r *region) Sample(ctx context.Context, i int) (Sample, error) {
	s, err := r.Dataset.Sample(ctx, i)
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return Sample{}, err
	}
	whole, ignore := s.Image.Rect, r.cfg.Ignore
	cut := r.cfg.Rect
	if cut.Empty() {
		cut = whole
	}
	if !cut.In(whole) {
		return Sample{}, fmt.Errorf("dataset: region: %s: %w: Rect %v does not lie in %s pixels", s.Name, ErrSize, cut, sizeText(whole.Size()))
	}
	if ignore != nil && ignore.Rect != whole {
		return Sample{}, fmt.Errorf("dataset: region: %s: %w: Ignore is %s, the image is %s",
			s.Name, ErrSize, sizeText(ignore.Rect.Size()), sizeText(whole.Size()))
	}
	w, h := cut.Dx(), cut.Dy()
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	var mask *image.Gray
	if s.Mask != nil {
		mask = image.NewGray(img.Rect)
	}
	for y := range h {
		row := img.Pix[y*img.Stride:][:4*w]
		copy(row, s.Image.Pix[s.Image.PixOffset(cut.Min.X, cut.Min.Y+y):])
		if mask != nil {
			copy(mask.Pix[y*mask.Stride:][:w], s.Mask.Pix[s.Mask.PixOffset(cut.Min.X, cut.Min.Y+y):])
		}
		if ignore == nil {
			continue
		}
		for x, v := range ignore.Pix[ignore.PixOffset(cut.Min.X, cut.Min.Y+y):][:w] {
			if v == 0 {
				continue
			}
			q := row[4*x : 4*x+3 : 4*x+3]
			q[0], q[1], q[2] = r.cfg.Fill, r.cfg.Fill, r.cfg.Fill
			if mask != nil {
				mask.Pix[y*mask.Stride+x] = 0
			}
		}
	}
	s.Image, s.Mask = img, mask
	return s, nil
}
