package backbone

import (
	"errors"
	"fmt"

	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/tensor"
)

// folded is the network in evaluation: batch norm folded into the convolutions.
//
// Each stage has its own set, made when a Forward first goes that deep and never
// changed then: detectors that stop at layer 3 do not pay for layer 4, which is
// three quarters of a ResNet-18.
type folded struct {
	version   uint64
	precision Precision
	net       *ResNet
	stem      *layers.Folded
	blocks    [4][]*layers.FoldedBlock
	stages    [Pooled]*tensor.Params // what stem and blocks stand on
}

func (f *folded) close() error {
	if f == nil {
		return nil
	}
	var errs []error
	for _, p := range f.stages {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

// fold returns evaluation weights of the stages first to last, at least, that
// follow the current ones; input is the shape that first gets. They are made on
// first use after a change; no other Run may use the network while it changes, so
// nothing still reads the old ones. What is returned is a copy: another Run may
// add a stage meanwhile.
func (m *ResNet) fold(s *tensor.Scope, input []int64, first, last Layer) (*folded, error) {
	if len(input) != 4 { // a released tensor has no shape
		return nil, fmt.Errorf("backbone: %w: input is %v, want [N C H W]", tensor.ErrShape, input)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if v := m.params.Version(); m.folded == nil || m.folded.version != v { // a change of precision is one too
		if err := m.folded.close(); err != nil {
			return nil, err
		}
		m.folded = &folded{version: v, precision: m.precision, net: m}
	}
	if err := m.folded.extend(s, input[0], input[2], input[3], first, min(last, Layer4)); err != nil {
		return nil, err
	}
	f := *m.folded
	return &f, nil
}

// extend folds those of the stages first to last that are missing, for n inputs
// of h x w to first, which are the first that oneDNN lays weights out for.
func (f *folded) extend(s *tensor.Scope, n, h, w int64, first, last Layer) error {
	for l := first; l <= last; l++ {
		fresh := tensor.NewParams(f.net.params.Device())
		var err error
		if h, w, err = f.stage(s, fresh, l, n, h, w); err != nil {
			return errors.Join(fmt.Errorf("backbone: %w", err), fresh.Close())
		}
		if f.stages[l] == nil {
			f.stages[l] = fresh
		}
	}
	return nil
}

// stage folds one stage into fresh unless it is there, and returns the size that
// it gives.
func (f *folded) stage(s *tensor.Scope, fresh *tensor.Params, l Layer, n, h, w int64) (int64, int64, error) {
	m := f.net
	missing := f.stages[l] == nil
	if l == Stem {
		if missing {
			stem, err := m.stem.FoldAs(s, fresh, [4]int64{n, m.stem.In, h, w}, f.precision.dtype())
			if err != nil {
				return 0, 0, err
			}
			f.stem = stem
		}
		return (h + 3) / 4, (w + 3) / 4, nil // halved by the convolution and by the max-pool, each rounded up
	}
	var blocks []*layers.FoldedBlock
	for j := range m.stages[l-Layer1] {
		b := &m.stages[l-Layer1][j]
		if missing {
			fb, err := b.FoldAs(s, fresh, [4]int64{n, b.Path[0].In, h, w}, f.precision.dtype())
			if err != nil {
				return 0, 0, err
			}
			blocks = append(blocks, fb)
		}
		h, w = b.Size(h, w)
	}
	if missing {
		f.blocks[l-Layer1] = blocks
	}
	return h, w, nil
}

// run runs one stage. keep says that x is still needed. What it gives is in the
// precision of f, x may be in float32 too.
func (f *folded) run(s *tensor.Scope, x *tensor.Tensor, l Layer, keep bool) *tensor.Tensor {
	if f.precision != Float32 && x.DType() == tensor.Float32 {
		x, keep = s.Cast(x, f.precision.dtype()), false
	}
	if l == Stem {
		return s.MaxPool2d(f.stem.Forward(s, s.ChannelsLast(x), true), 3, 2, 1)
	}
	for i, b := range f.blocks[l-Layer1] {
		// Only the first block of a stage reads a tensor from outside the stage.
		x = b.Forward(s, x, i == 0 && keep)
	}
	return x
}
