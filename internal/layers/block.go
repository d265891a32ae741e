package layers

import "github.com/gotab/gotab/tensor"

// Block is a residual block of He et al. (arXiv 1512.03385): units one after the
// other, two in a basic block and three in a bottleneck, and a path around them,
// which is the input itself where Down is nil.
type Block struct {
	Path []ConvNorm
	Down *ConvNorm
}

// Units returns the units in PyTorch's order.
func (b *Block) Units() []*ConvNorm {
	var us []*ConvNorm
	for k := range b.Path {
		us = append(us, &b.Path[k])
	}
	if b.Down != nil {
		us = append(us, b.Down)
	}
	return us
}

// Forward runs the block on x with batch norm as it stands; train is as in
// ConvNorm.Forward.
func (b *Block) Forward(s *tensor.Scope, x *tensor.Tensor, train bool) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		y := x
		for k := range b.Path {
			if k > 0 {
				y = s.ReLUInto(y)
			}
			y = b.Path[k].Forward(s, y, train)
		}
		id := x
		if b.Down != nil {
			id = b.Down.Forward(s, x, train)
		}
		return s.ReLUInto(s.PlusInto(y, id))
	})
}

// Size returns the height and width that an input of h x w comes out with.
func (b *Block) Size(h, w int64) (int64, int64) {
	for k := range b.Path {
		h, w = b.Path[k].Size(h, w)
	}
	return h, w
}

// FoldedBlock is a Block for evaluation.
type FoldedBlock struct {
	path []*Folded
	down *Folded
}

// Fold makes the folded form of the present weights for inputs [N, C, H, W] and
// keeps its tensors in to.
func (b *Block) Fold(s *tensor.Scope, to *tensor.Params, input [4]int64) (*FoldedBlock, error) {
	n, h, w := input[0], input[2], input[3]
	f := &FoldedBlock{}
	if b.Down != nil {
		d, err := b.Down.Fold(s, to, [4]int64{n, b.Down.In, h, w})
		if err != nil {
			return nil, err
		}
		f.down = d
	}
	for k := range b.Path {
		u := &b.Path[k]
		p, err := u.Fold(s, to, [4]int64{n, u.In, h, w})
		if err != nil {
			return nil, err
		}
		f.path = append(f.path, p)
		h, w = u.Size(h, w)
	}
	return f, nil
}

// Forward runs the block on in. keep says that in is read afterwards and must
// not change; otherwise the result may be in itself, with other values.
func (f *FoldedBlock) Forward(s *tensor.Scope, in *tensor.Tensor, keep bool) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		id := in
		if f.down != nil {
			id = f.down.Forward(s, in, false)
		}
		last := len(f.path) - 1
		y := in
		for k := range last {
			z := f.path[k].Forward(s, y, true)
			if y != in {
				s.Free(y)
			}
			y = z
		}
		if f.down == nil && keep && f.path[last].packed {
			id = s.Clone(id)
		}
		// The sum lands in id: made here, or the input where nobody reads that again.
		// All units that read the block's input have run by now.
		return f.path[last].AddReLU(s, id, y)
	})
}
