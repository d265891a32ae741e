package downstream

import (
	"context"
	"errors"

	"github.com/gotab/gotab/tensor"
)

// model is the part of what a fit leaves that is alike for all detectors. It is
// held by whoever works with it ([slot]).
type model struct {
	params       *tensor.Params // all tensors of the model
	rows         *tensor.Tensor // [H, h]: smoothing down the columns
	columns      *tensor.Tensor // [w, W]: along the rows
	gridH, gridW int
	inW, inH     int
	images       int
	fingerprint  []float32 // what the extractor makes of a fixed picture, [C]
	refs         int
	// also lets go of what the model stands on besides its tensors; nil where it
	// stands on nothing.
	also func() error
}

// fitted is a pointer to a struct that embeds model.
type fitted interface {
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

// addSmoothing makes the tables that smooth needs.
func (m *model) addSmoothing(ctx context.Context, dev tensor.Device, sigma float64) error {
	rows := smoothing(m.gridH, m.inH, sigma)
	across := smoothing(m.gridW, m.inW, sigma)
	columns := make([]float32, len(across))
	for i := range m.inW {
		for j := range m.gridW {
			columns[j*m.inW+i] = across[i*m.gridW+j]
		}
	}
	err := tensor.Run(ctx, dev, tensor.Evaluation, func(s *tensor.Scope) error {
		return errors.Join(
			m.params.PutBuffer(s, "rows", s.FromFloats(rows, int64(m.inH), int64(m.gridH))),
			m.params.PutBuffer(s, "columns", s.FromFloats(columns, int64(m.gridW), int64(m.inW))),
		)
	})
	if err != nil {
		return err
	}
	m.rows, m.columns = m.params.Get("rows"), m.params.Get("columns")
	return nil
}

// smooth brings values on the grid, [.., h, w], to the size of the input,
// [.., H, W], and smooths them.
func (m *model) smooth(s *tensor.Scope, values *tensor.Tensor) *tensor.Tensor {
	return s.MatMul(s.MatMul(m.rows, values), m.columns)
}
