// Package rd4ad is the arithmetic of reverse distillation (Deng and Li, arXiv 2201.10703).
package rd4ad

import (
	"fmt"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/tensor"
)

// Blocks are the residual blocks of the student: Width 0 for basic blocks, else quarters of the channels of a
// bottleneck's inner convolutions; the number of blocks of the embedding, and of each stage of the decoder, the deepest
// first.
type Blocks struct {
	Width, OCE int
	Decoder    []int
}

// BlocksFor returns the blocks that the authors' program has for a backbone, for
// a number of layers. The decoder's deepest stage has as many as the backbone's
// first, as it is there, and not a mirror image.
func BlocksFor(a backbone.Arch, levels int) Blocks {
	counts, b := [...]int{3, 4, 6, 3}, Blocks{OCE: 3}
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

// Student is what reverse distillation trains: the bottleneck embedding and the
// decoder behind it. Names of its parameters begin with mff, oce and decoder.
type Student struct {
	// fusion brings the map of each layer to the grid and the channels of the
	// last one (MFF); for that itself there is nothing to do.
	fusion [][]layers.ConvNorm
	// embedding halves the grid of the joined maps and doubles the channels (OCE).
	embedding []layers.Block
	// decoder has a stage for each layer, the deepest first, each of which doubles
	// the grid.
	decoder [][]layers.Block
	Params  *tensor.Params
}

// Describe lays a network out for layers of so many channels. It has no
// parameters yet.
func Describe(channels []int, b Blocks) *Student {
	m := &Student{}
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
func (m *Student) blocks() (bs []*layers.Block) {
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
func (m *Student) units() (us []*layers.ConvNorm) {
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

// Held returns how many values of an image a training step keeps until Backward,
// for a first layer of h x w positions: what comes out of every convolution and,
// but on the paths around blocks, what batch norm makes of it, and the joined map.
func (m *Student) Held(h, w int64) (n int64) {
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

// Specs are all parameters and running statistics.
func (m *Student) Specs() (all []layers.Spec) {
	for _, u := range m.units() {
		all = append(all, u.Specs()...)
	}
	return all
}

// Build gives the network parameters of its own; of returns those of a unit, and
// others besides where that is easier.
func (m *Student) Build(s *tensor.Scope, of func(u *layers.ConvNorm) ([]tensor.Array, error)) error {
	m.Params = tensor.NewParams(s.Device())
	for _, u := range m.units() {
		arrays, err := of(u)
		if err != nil {
			return err
		}
		byName := make(map[string]tensor.Array, len(arrays))
		for _, a := range arrays {
			byName[a.Name] = a
		}
		if err := layers.Put(s, m.Params, u.Specs(), byName); err != nil {
			return err
		}
		if err := u.Bind(m.Params); err != nil {
			return err
		}
	}
	return nil
}

// Forward rebuilds the maps of all layers from those that the extractor gave,
// both in the order of the layers. train is as in layers.ConvNorm.
func (m *Student) Forward(s *tensor.Scope, maps []*tensor.Tensor, train bool) []*tensor.Tensor {
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
