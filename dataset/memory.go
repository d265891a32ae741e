package dataset

import (
	"context"
	"fmt"
	"image"
	"slices"
	"strconv"

	"github.com/gotab/gotab/internal/pixels"
)

// Memory is a [Dataset] of samples that are at hand: generated images, frames
// of a camera, tests.
type Memory struct {
	samples []Sample
	classes []string
}

// NewMemory makes a data set of samples. The slice is copied, the pixels are
// shared. An image without pixels or with an origin other than (0,0) is an
// error that wraps [ErrSize], a mask of another size one that wraps [ErrMask],
// a Label that contradicts Defect one that wraps [ErrLabel].
func NewMemory(samples []Sample) (*Memory, error) {
	m := &Memory{samples: slices.Clone(samples)}
	for i, s := range m.samples {
		if s.Name == "" {
			s.Name = strconv.Itoa(i)
			m.samples[i].Name = s.Name
		}
		if err := s.check(); err != nil {
			return nil, err
		}
		if err := s.checkLabel(); err != nil {
			return nil, fmt.Errorf("dataset: sample %s: %w", s.Name, err)
		}
		if s.Image.Rect.Min != (image.Point{}) || s.Mask != nil && s.Mask.Rect.Min != (image.Point{}) {
			return nil, fmt.Errorf("dataset: sample %s: %w: the origin is %v, want (0,0)", s.Name, ErrSize, s.Image.Rect.Min)
		}
	}
	m.classes = classesOf(m)
	return m, nil
}

// NewImages makes a data set of normal images of one class, named "0", "1"
// and so on, each converted by [ToRGBA].
func NewImages(class string, imgs ...image.Image) (*Memory, error) {
	samples := make([]Sample, len(imgs))
	for i, img := range imgs {
		if err := pixels.Check(img); err != nil {
			return nil, fmt.Errorf("dataset: image %d: %w: %w", i, ErrSize, err)
		}
		samples[i] = Sample{Item: Item{Name: strconv.Itoa(i), Class: class, Defect: Good, Label: LabelGood}, Image: ToRGBA(img)}
	}
	return NewMemory(samples)
}

// Len implements [Dataset].
func (m *Memory) Len() int { return len(m.samples) }

// Classes implements [Dataset].
func (m *Memory) Classes() []string { return slices.Clone(m.classes) }

// Item implements [Dataset].
func (m *Memory) Item(i int) Item {
	if i < 0 || i >= len(m.samples) {
		return Item{}
	}
	return m.samples[i].Item
}

// Sample implements [Dataset].
func (m *Memory) Sample(ctx context.Context, i int) (Sample, error) {
	if i < 0 || i >= len(m.samples) {
		return Sample{}, indexError(i, len(m.samples))
	}
	return m.samples[i], ended(ctx)
}

// ended is ctx's error; a nil ctx is one too.
func ended(ctx context.Context) error {
	if ctx == nil {
		return fmt.Errorf("dataset: %w: the context is nil; pass context.Background()", ErrConfig)
	}
	return ctx.Err()
}

// classesOf collects the classes of the items, sorted, each once. Samples
// without a class add none.
func classesOf(ds Dataset) []string {
	seen := make(map[string]bool)
	out := []string{}
	for i := range ds.Len() {
		if c := ds.Item(i).Class; c != "" && !seen[c] {
			seen[c] = true
			out = append(out, c)
		}
	}
	slices.Sort(out)
	return out
}
