package downstream

import (
	"context"
	"image"

	"github.com/gotab/gotab/tensor"
)

// model is the part of what a fit leaves that is alike for all detectors. It is
// counted, so that a Fit or Close in the middle of a Score takes nothing away.
type model struct {
	params *tensor.Params // all tensors of the model, unless its close says more
	enlarger
	gridH, gridW int
	inW, inH     int
	images       int
	fingerprint  []float32 // what the extractor makes of a fixed picture, [C]
	refs         int
}

// fitted is a pointer to a struct that embeds model.
type fitted interface {
	comparable
	common() *model
	close() error
}

func (m *model) common() *model { return m }

// sizes returns what a file says of the sizes.
func (m *model) sizes() sizes {
	return sizes{Grid: [2]int{m.gridW, m.gridH}, Input: [2]int{m.inW, m.inH}, Images: m.images}
}

// addSmoothing makes the tables of the grid.
func (m *model) addSmoothing(ctx context.Context, sigma float64) (err error) {
	m.enlarger, err = newEnlarger(ctx, m.params, "", image.Pt(m.gridW, m.gridH), image.Pt(m.inW, m.inH), halfPixel, sigma)
	return err
}

// close frees the tensors.
func (m *model) close() error { return m.params.Close() }
