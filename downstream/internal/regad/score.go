package regad

import "github.com/gotab/gotab/tensor"

// Distances returns the Mahalanobis distances of the layers' maps [n, c, h, w] of
// n images, at every position of the first layer's grid, [P, n].
func (f *Factors) Distances(s *tensor.Scope, maps []*tensor.Tensor) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		deviations := make([]*tensor.Tensor, len(maps)) // [p, n, c]
		for i, m := range maps {
			deviations[i] = s.Sub(func(s *tensor.Scope) *tensor.Tensor {
				d := s.Contiguous(s.Reshape(s.Permute(m, 2, 3, 0, 1), -1, m.Size(0), m.Size(1)))
				if d.Len() > 0 {
					d = s.Minus(d, s.Unsqueeze(f.means[i], 1))
				}
				return d
			})
		}
		if !f.LowRank() {
			all := make([]*tensor.Tensor, len(maps))
			for i, d := range deviations {
				all[i] = f.spread(s, i, d)
			}
			return s.Sqrt(f.inverse.Squares(s, s.Cat(2, all...)))
		}
		var lengths, along *tensor.Tensor // |d|^2 [P, n] and X d [P, n, samples]
		for i, d := range deviations {
			l := f.spread(s, i, s.Square(s.Norm(d, 2)))
			a := f.spread(s, i, s.Bmm(d, s.Transpose(f.samples[i], 1, 2)))
			if lengths == nil {
				lengths, along = l, a
				continue
			}
			s.AddInto(lengths, l, 1)
			s.AddInto(along, a, 1)
			s.Free(l, a)
		}
		s.AddInto(lengths, f.inverse.Squares(s, along), -1)
		s.ScaleInto(lengths, 1/f.epsilon)
		return s.Sqrt(s.ClampMin(lengths, 0)) // rounding can leave less than nothing of a sample's own distance
	})
}

// spread repeats what a layer has at its positions [p, ..] to the first layer's
// grid [P, ..].
func (f *Factors) spread(s *tensor.Scope, layer int, x *tensor.Tensor) *tensor.Tensor {
	if m := f.Maps[layer]; m.H == f.Maps[0].H && m.W == f.Maps[0].W {
		return x
	}
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		return s.IndexSelect(x, 0, s.FromInts(f.index[layer], int64(len(f.index[layer]))))
	})
}
