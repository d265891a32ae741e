package layers

import (
	"fmt"

	"github.com/gotab/gotab/tensor"
)

// Block is a residual block of He et al. (arXiv 1512.03385): units one after the
// other, two in a basic block and three in a bottleneck, and a path around them,
// which is the input itself where Down is nil.
type Block struct {
	Path []ConvNorm
	Down *ConvNorm
}

// Shape describes a residual block in numbers.
type Shape struct {
	In, Out int64
	// Width is the number of channels inside a bottleneck, 1x1, 3x3 and 1x1
	// convolutions; 0 makes a basic block of two 3x3 convolutions.
	Width int64
	// Stride is that of the block, 1 or more. It sits in the first 3x3 convolution.
	Stride int64
	// Up makes a block that enlarges by the stride: a transposed convolution
	// with kernels of the stride's size stands for the strided one, on both paths.
	Up bool
}

// NewBlock lays a block out. Units have torchvision's names after the prefix,
// "conv1" and "bn1" and so on; the path around is "downsample" or "upsample" with
// ".0" and ".1", and is there where the block changes size or channels.
func NewBlock(prefix string, sh Shape) Block {
	var b Block
	add := func(in, out, kernel, stride int64) {
		k := len(b.Path) + 1
		b.Path = append(b.Path, sh.unit(fmt.Sprintf("%sconv%d", prefix, k), fmt.Sprintf("%sbn%d", prefix, k), in, out, kernel, stride))
	}
	if sh.Width > 0 {
		add(sh.In, sh.Width, 1, 1)
		add(sh.Width, sh.Width, 3, sh.Stride)
		add(sh.Width, sh.Out, 1, 1)
	} else {
		add(sh.In, sh.Out, 3, sh.Stride)
		add(sh.Out, sh.Out, 3, 1)
	}
	if sh.Stride != 1 || sh.In != sh.Out {
		around := prefix + "downsample"
		if sh.Up {
			around = prefix + "upsample"
		}
		u := sh.unit(around+".0", around+".1", sh.In, sh.Out, 1, sh.Stride)
		b.Down = &u
	}
	return b
}

func (sh Shape) unit(name, norm string, in, out, kernel, stride int64) ConvNorm {
	u := ConvNorm{Name: name, Norm: norm, In: in, Out: out, Kernel: kernel, Conv: tensor.Conv{Stride: stride, Padding: kernel / 2}}
	if sh.Up && stride > 1 {
		u.Kernel, u.Conv.Padding, u.Transposed = stride, 0, true
	}
	return u
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
	return b.ForwardAs(s, x, train, tensor.Float32)
}

// ForwardAs is Forward with convolutions in another type; see [ConvNorm.ForwardAs]. x is of
// that type already.
func (b *Block) ForwardAs(s *tensor.Scope, x *tensor.Tensor, train bool, dt tensor.DType) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		y := x
		for k := range b.Path {
			if k > 0 {
				y = s.ReLUInto(y)
			}
			y = b.Path[k].ForwardAs(s, y, train, dt)
		}
		id := x
		if b.Down != nil {
			id = b.Down.ForwardAs(s, x, train, dt)
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
	return b.FoldAs(s, to, input, tensor.Float32)
}

// FoldAs is Fold for inputs of another type; see [ConvNorm.FoldAs].
func (b *Block) FoldAs(s *tensor.Scope, to *tensor.Params, input [4]int64, dt tensor.DType) (*FoldedBlock, error) {
	n, h, w := input[0], input[2], input[3]
	f := &FoldedBlock{}
	if b.Down != nil {
		d, err := b.Down.FoldAs(s, to, [4]int64{n, b.Down.In, h, w}, dt)
		if err != nil {
			return nil, err
		}
		f.down = d
	}
	for k := range b.Path {
		u := &b.Path[k]
		p, err := u.FoldAs(s, to, [4]int64{n, u.In, h, w}, dt)
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
