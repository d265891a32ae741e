package downstream

import (
	"context"
	"errors"
	"image"

	"github.com/gotab/gotab/tensor"
)

// model is the part of what a fit leaves that is alike for all. It is held by whoever
// works with it ([slot]).
type model struct {
	params *tensor.Params // all tensors of the model
	enlarger
	gridH, gridW int
	inW, inH     int
	images       int
	fingerprint  []float32 // what the extractor makes of a fixed picture, [C]
	refs         int
	// also lets go of what the model stands on besides its tensors; nil where it
	// stands on nothing.
	also func() error
}

// held is a pointer to a struct that embeds model.
type held interface {
	counted
	common() *model
}

func (m *model) common() *model { return m }

func (m *model) holders() *int { return &m.refs }

func (m *model) free() error {
	err := m.params.Close()
	if m.also != nil {
		err = errors.Join(err, m.also())
	}
	return err
}

// sizes returns what a file says of the sizes.
func (m *model) sizes() sizes {
	return sizes{Grid: [2]int{m.gridW, m.gridH}, Input: [2]int{m.inW, m.inH}, Images: m.images}
}

// addSmoothing makes the tables of the grid.
func (m *model) addSmoothing(ctx context.Context, sigma float64) (err error) {
	m.enlarger, err = newEnlarger(ctx, m.params, "", image.Pt(m.gridW, m.gridH), image.Pt(m.inW, m.inH), halfPixel, sigma)
	return err
}
