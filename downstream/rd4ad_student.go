package downstream

import (
	"fmt"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/network"
	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/tensor"
)

// RD4ADBlocks says what residual blocks the trained networks are made of. The
// zero value follows the extractor, see [RD4ADConfig].
type RD4ADBlocks struct {
	// Width is 0 for basic blocks, two 3x3 convolutions. Otherwise blocks are
	// bottlenecks, whose inner convolutions have Width quarters of the block's
	// channels: 1 as in ResNet-50, 2 as in WideResNet-50-2, at most 8. The layers'
	// channels must then be multiples of 4.
	Width int
	// OCE is the number of blocks of the one-class embedding, 1 to 64.
	OCE int
	// Decoder is the number of blocks of each stage of the decoder, the deepest
	// first, 1 to 64: as many numbers as there are layers.
	Decoder []int
}

const maxBlocks = 64

// blocksFor returns the blocks that the authors' program has for a backbone, for
// a number of layers. The decoder's deepest stage has as many as the backbone's
// first, as it is there, and not a mirror image.
func blocksFor(a backbone.Arch, levels int) RD4ADBlocks {
	counts, b := [...]int{3, 4, 6, 3}, RD4ADBlocks{OCE: 3}
	switch a {
	case backbone.ArchResNet50:
		b.Width = 1
	case backbone.ArchWideResNet50:
		b.Width = 2
	case backbone.ArchResNet34:
	default:
		counts, b.OCE = [...]int{2, 2, 2, 2}, 2
	}
	b.Decoder = counts[:min(levels, len(counts))]
	return b
}

func (b RD4ADBlocks) follows() bool { return b.Width == 0 && b.OCE == 0 && b.Decoder == nil }

// validate checks the blocks for a number of layers.
func (b RD4ADBlocks) validate(by engine.Who, levels int) error {
	if b.follows() {
		return nil
	}
	if b.Width < 0 || b.Width > 8 {
		return by.Invalid("Blocks.Width is %d, want 0 to 8", b.Width)
	}
	if b.OCE < 1 || b.OCE > maxBlocks {
		return by.Invalid("Blocks.OCE is %d, want 1 to %d", b.OCE, maxBlocks)
	}
	if len(b.Decoder) != levels {
		return by.Invalid("Blocks.Decoder is %v, want a number for each of the %d layers", b.Decoder, levels)
	}
	for _, n := range b.Decoder {
		if n < 1 || n > maxBlocks {
			return by.Invalid("Blocks.Decoder is %v, want 1 to %d each", b.Decoder, maxBlocks)
		}
	}
	return nil
}

// student is what reverse distillation trains: the bottleneck embedding and the
// decoder behind it. Names of its parameters begin with mff, oce and decoder.
type student struct {
	// fusion brings the map of each layer to the grid and the channels of the
	// last one (MFF); for that itself there is nothing to do.
	fusion [][]layers.ConvNorm
	// embedding halves the grid of the joined maps and doubles the channels (OCE).
	embedding []layers.Block
	// decoder has a stage for each layer, the deepest first, each of which doubles
	// the grid.
	decoder [][]layers.Block
	params  *tensor.Params
}

// describeStudent lays a network out for layers of so many channels. It has no
// parameters yet.
func describeStudent(channels []int, b RD4ADBlocks) *student {
	m := &student{}
	last := int64(channels[len(channels)-1])
	for i := range channels {
		var path []layers.ConvNorm
		for k := 1; i+k < len(channels); k++ {
			path = append(path, layers.ConvNorm{Name: fmt.Sprintf("mff.%d.conv%d", i+1, k), Norm: fmt.Sprintf("mff.%d.bn%d", i+1, k),
				In: int64(channels[i+k-1]), Out: int64(channels[i+k]), Kernel: 3, Conv: tensor.Conv{Stride: 2, Padding: 1}})
		}
		m.fusion = append(m.fusion, path)
	}
	stage := func(name string, count int, first layers.Shape) (bs []layers.Block) {
		first.Width, first.Stride = first.Out/4*int64(b.Width), 2
		for i := range count {
			bs = append(bs, layers.NewBlock(fmt.Sprintf("%s.%d.", name, i), first))
			first.In, first.Stride = first.Out, 1
		}
		return bs
	}
	m.embedding = stage("oce", b.OCE, layers.Shape{In: last * int64(len(channels)), Out: 2 * last})
	in := 2 * last
	for i, count := range b.Decoder {
		out := int64(channels[len(channels)-1-i])
		m.decoder = append(m.decoder, stage(fmt.Sprintf("decoder.%d", i+1), count, layers.Shape{In: in, Out: out, Up: true}))
		in = out
	}
	return m
}

// blocks returns the residual blocks in the order in which they run.
func (m *student) blocks() (bs []*layers.Block) {
	for i := range m.embedding {
		bs = append(bs, &m.embedding[i])
	}
	for _, stage := range m.decoder {
		for i := range stage {
			bs = append(bs, &stage[i])
		}
	}
	return bs
}

// units returns all convolutions.
func (m *student) units() (us []*layers.ConvNorm) {
	for _, path := range m.fusion {
		for k := range path {
			us = append(us, &path[k])
		}
	}
	for _, b := range m.blocks() {
		us = append(us, b.Units()...)
	}
	return us
}

// held returns how many values of an image a training step keeps until Backward,
// for a first layer of h x w positions: what comes out of every convolution and,
// but on the paths around blocks, what batch norm makes of it, and the joined map.
func (m *student) held(h, w int64) (n int64) {
	for i, path := range m.fusion {
		ph, pw := h>>i, w>>i
		for k := range path {
			ph, pw = path[k].Size(ph, pw)
			n += 2 * ph * pw * path[k].Out
		}
	}
	deepest := len(m.fusion) - 1
	h, w = h>>deepest, w>>deepest
	n += h * w * m.embedding[0].Path[0].In
	for _, b := range m.blocks() {
		for k := range b.Path {
			h, w = b.Path[k].Size(h, w)
			n += 2 * h * w * b.Path[k].Out
		}
		if b.Down != nil {
			n += h * w * b.Down.Out
		}
	}
	return n
}

func (m *student) specs() (all []layers.Spec) {
	for _, u := range m.units() {
		all = append(all, u.Specs()...)
	}
	return all
}

// build gives the network parameters of its own; of returns those of a unit, and
// others besides where that is easier.
func (m *student) build(s *tensor.Scope, of func(u *layers.ConvNorm) ([]tensor.Array, error)) error {
	m.params = tensor.NewParams(s.Device())
	for _, u := range m.units() {
		arrays, err := of(u)
		if err != nil {
			return err
		}
		byName := make(map[string]tensor.Array, len(arrays))
		for _, a := range arrays {
			byName[a.Name] = a
		}
		if err := layers.Put(s, m.params, u.Specs(), byName); err != nil {
			return err
		}
		if err := u.Bind(m.params); err != nil {
			return err
		}
	}
	return nil
}

// forward rebuilds the maps of all layers from those that the extractor gave,
// both in the order of the layers. train is as in layers.ConvNorm.
func (m *student) forward(s *tensor.Scope, maps []*tensor.Tensor, train bool) []*tensor.Tensor {
	return s.SubN(func(s *tensor.Scope) []*tensor.Tensor {
		x := s.Sub(func(s *tensor.Scope) *tensor.Tensor {
			joined := make([]*tensor.Tensor, len(maps))
			for i, y := range maps {
				for k := range m.fusion[i] {
					y = s.ReLUInto(m.fusion[i][k].Forward(s, y, train))
				}
				joined[i] = y
			}
			return s.Cat(1, joined...)
		})
		for i := range m.embedding {
			x = m.embedding[i].Forward(s, x, train)
		}
		out := make([]*tensor.Tensor, len(maps))
		for i, stage := range m.decoder {
			for k := range stage {
				x = stage[k].Forward(s, x, train)
			}
			out[len(out)-1-i] = x
		}
		return out
	})
}

// foldedStudent is a student for evaluation.
type foldedStudent struct {
	fusion    [][]*layers.Folded
	embedding []*layers.FoldedBlock
	decoder   [][]*layers.FoldedBlock
}

// fold makes the folded form of the present weights for batches of n images,
// whose layers have maps of the given shapes, and keeps its tensors in to.
func (m *student) fold(s *tensor.Scope, to *tensor.Params, n int, shapes []network.MapShape) (*foldedStudent, error) {
	f := &foldedStudent{}
	for i, path := range m.fusion {
		h, w := int64(shapes[i].H), int64(shapes[i].W)
		var folded []*layers.Folded
		for k := range path {
			u, err := path[k].Fold(s, to, [4]int64{int64(n), path[k].In, h, w})
			if err != nil {
				return nil, err
			}
			folded = append(folded, u)
			h, w = path[k].Size(h, w)
		}
		f.fusion = append(f.fusion, folded)
	}
	deepest := shapes[len(shapes)-1]
	h, w := int64(deepest.H), int64(deepest.W)
	stage := func(bs []layers.Block) (folded []*layers.FoldedBlock, err error) {
		for i := range bs {
			b, err := bs[i].Fold(s, to, [4]int64{int64(n), bs[i].Path[0].In, h, w})
			if err != nil {
				return nil, err
			}
			folded = append(folded, b)
			h, w = bs[i].Size(h, w)
		}
		return folded, nil
	}
	var err error
	if f.embedding, err = stage(m.embedding); err != nil {
		return nil, err
	}
	for _, bs := range m.decoder {
		folded, err := stage(bs)
		if err != nil {
			return nil, err
		}
		f.decoder = append(f.decoder, folded)
	}
	return f, nil
}

// forward is student.forward in evaluation.
func (f *foldedStudent) forward(s *tensor.Scope, maps []*tensor.Tensor) []*tensor.Tensor {
	return s.SubN(func(s *tensor.Scope) []*tensor.Tensor {
		x := s.Sub(func(s *tensor.Scope) *tensor.Tensor {
			joined := make([]*tensor.Tensor, len(maps))
			for i, y := range maps {
				y = s.ChannelsLast(y)
				for _, u := range f.fusion[i] {
					y = u.Forward(s, y, true)
				}
				joined[i] = y
			}
			return s.Cat(1, joined...)
		})
		run := func(bs []*layers.FoldedBlock) {
			x = s.Sub(func(s *tensor.Scope) *tensor.Tensor {
				y := x
				for i, b := range bs {
					// The first block of a stage changes size, so that what it read stays.
					z := b.Forward(s, y, false)
					if i > 0 && z != y {
						s.Free(y)
					}
					y = z
				}
				return y
			})
		}
		run(f.embedding)
		out := make([]*tensor.Tensor, len(maps))
		for i, bs := range f.decoder {
			run(bs)
			out[len(out)-1-i] = x
		}
		return out
	})
}
