package engine

import (
	"context"
	"errors"
	"image"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream/internal/life"
	"github.com/gotab/gotab/tensor"
)

// Model is the part of what a fit leaves that is alike for all. It is held by whoever
// works with it ([life.Slot]).
type Model struct {
	Params *tensor.Params // all tensors of the model
	Enlarger
	GridH, GridW int
	InW, InH     int
	Images       int
	Fingerprint  []float32          // what the extractor makes of a fixed image, [C]
	Precision    backbone.Precision // of the features
	refs         int
	// also lets go of what the model stands on besides its tensors; nil where it
	// stands on nothing.
	Also func() error
}

// Held is a pointer to a struct that embeds model.
type Held interface {
	life.Counted
	Common() *Model
}

// Common returns m, of whatever it is part of.
func (m *Model) Common() *Model { return m }

// Holders implements [life.Counted].
func (m *Model) Holders() *int { return &m.refs }

// Free closes the tensors and lets go of what the model stands on.
func (m *Model) Free() error {
	err := m.Params.Close()
	if m.Also != nil {
		err = errors.Join(err, m.Also())
	}
	return err
}

// Sizes returns what a file says of the sizes.
func (m *Model) Sizes() Sizes {
	return Sizes{Grid: [2]int{m.GridW, m.GridH}, Input: [2]int{m.InW, m.InH}, Images: m.Images, Precision: m.Precision}
}

// AddSmoothing makes the tables of the grid.
func (m *Model) AddSmoothing(ctx context.Context, sigma float64) (err error) {
	m.Enlarger, err = NewEnlarger(ctx, m.Params, "", image.Pt(m.GridW, m.GridH), image.Pt(m.InW, m.InH), HalfPixel, sigma)
	return err
}
