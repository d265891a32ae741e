package dataset

import (
	"context"
	"fmt"
	"image"
	"sync/atomic"
)

// Cached keeps samples of another data set after decoding and transforming, as
// far as its budget of bytes goes. What has been kept stays until the Cached
// itself is gone: data sets are read from the first sample to the last again
// and again, where forgetting the oldest would forget each one just before it
// is needed.
type Cached struct {
	ds    Dataset
	tr    Transform // that the samples have gone through
	left  Transform // what of it is still to be done to the samples of ds
	limit int64
	used  atomic.Int64
	kept  []atomic.Pointer[Sample]
}

// NewCached returns ds with images and masks transformed by t and kept while
// they fit into maxBytes (four bytes a pixel, and one for a mask). The rest is
// read anew each time. Where ds says that its samples have gone through t
// ([Transformed]), they are kept as they are. Callers share the pixels and must not write to them.
func NewCached(ds Dataset, t Transform, maxBytes int64) (*Cached, error) {
	if ds == nil {
		return nil, fmt.Errorf("dataset: cache: %w: the data set is nil", ErrConfig)
	}
	if err := t.Validate(); err != nil {
		return nil, err
	}
	if maxBytes < 0 {
		return nil, fmt.Errorf("dataset: cache: %w: maxBytes is %d, want at least 0", ErrConfig, maxBytes)
	}
	if t.shared == nil {
		t = t.Shared()
	}
	left := t
	if t.AppliedTo(ds) {
		left = Transform{}
	}
	return &Cached{ds: ds, tr: t, left: left, limit: maxBytes, kept: make([]atomic.Pointer[Sample], ds.Len())}, nil
}

// Len implements [Dataset].
func (c *Cached) Len() int { return len(c.kept) }

// Classes implements [Dataset].
func (c *Cached) Classes() []string { return orEmpty(c.ds).Classes() }

// Item implements [Dataset].
func (c *Cached) Item(i int) Item { return orEmpty(c.ds).Item(i) }

// Bytes returns how many bytes of pixels are kept now.
func (c *Cached) Bytes() int64 { return c.used.Load() }

// Transform implements [Transformed]. The second value is always true.
func (c *Cached) Transform() (Transform, bool) { return c.tr, true }

// Sample implements [Dataset]. Two callers that ask for the same sample at the
// same time may both read it; one copy is kept.
func (c *Cached) Sample(ctx context.Context, i int) (Sample, error) {
	if i < 0 || i >= len(c.kept) {
		return Sample{}, indexError(i, len(c.kept))
	}
	if s := c.kept[i].Load(); s != nil {
		return *s, ended(ctx)
	}
	s, err := c.ds.Sample(ctx, i)
	if err != nil {
		return Sample{}, err
	}
	if s, err = c.left.sample(s, nil); err != nil {
		return Sample{}, err
	}
	size := int64(len(s.Image.Pix))
	if s.Mask != nil {
		size += int64(len(s.Mask.Pix))
	}
	if c.used.Add(size) > c.limit || !c.kept[i].CompareAndSwap(nil, &s) {
		c.used.Add(-size)
	}
	return s, nil
}

// sample transforms image and mask. Where nothing changes, the pixels are
// those of s. scratch, if not nil, is used for the pixels of the image.
func (t Transform) sample(s Sample, scratch *image.RGBA) (Sample, error) {
	if err := s.check(); err != nil {
		return Sample{}, err
	}
	g, err := t.plan(s.Image.Rect.Size())
	if err == nil && g.crop.Size() == g.in && g.full == g.in {
		return s, nil
	}
	if scratch == nil {
		scratch = new(image.RGBA)
	}
	if err == nil {
		err = t.into(scratch, s.Image)
	}
	if err == nil {
		s.Mask, err = t.Mask(s.Mask)
	}
	if err != nil {
		return Sample{}, fmt.Errorf("dataset: sample %s: %w", s.Name, err)
	}
	s.Image = scratch
	return s, nil
}
