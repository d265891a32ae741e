package rd4ad

import (
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/network"
	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/tensor"
)

// Folded is a student for evaluation.
type Folded struct {
	fusion    [][]*layers.Folded
	embedding []*layers.FoldedBlock
	decoder   [][]*layers.FoldedBlock
}

// Fold makes the folded form of the present weights for batches of n images,
// whose layers have maps of the given shapes, and keeps its tensors in to.
func (m *Student) Fold(s *tensor.Scope, to *tensor.Params, n int, shapes []network.MapShape) (*Folded, error) {
	f := &Folded{}
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

// Forward is Student.Forward in evaluation.
func (f *Folded) Forward(s *tensor.Scope, maps []*tensor.Tensor) []*tensor.Tensor {
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

// Unlike returns where the maps of teacher and student differ, [N, H, W], each level enlarged and smoothed.
func Unlike(s *tensor.Scope, levels []engine.Enlarger, teacher, student []*tensor.Tensor) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		var sum *tensor.Tensor
		for i, e := range levels {
			level := s.Sub(func(s *tensor.Scope) *tensor.Tensor {
				cos := s.CosineSimilarity(teacher[i], student[i], 1, cosineEpsilon)
				return e.Smooth(s, s.AddScalar(s.Neg(cos), 1))
			})
			if sum == nil {
				sum = level
				continue
			}
			s.AddInto(sum, level, 1)
			s.Free(level)
		}
		return sum
	})
}
