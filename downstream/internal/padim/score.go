package padim

import "github.com/gotab/gotab/tensor"

// Gathers says whether [Gaussians.DistancesOf] takes these maps: on the CPU, in single precision, none finer
// than the first.
func Gathers(maps []*tensor.Tensor) bool {
	for _, m := range maps {
		if !packed(m.Device()) || m.DType() != tensor.Float32 || m.Size(2) > maps[0].Size(2) || m.Size(3) > maps[0].Size(3) {
			return false
		}
	}
	return true
}

// factor returns the matrices as they are read for features of a form: those in halves to the first ones, for
// features that ask for no more. Matrices in single precision are read as they are.
func (g Gaussians) factor(s *tensor.Scope, form Form) *tensor.Tensor {
	if form == Halves && g.halved() {
		return s.Select(g.Factor, 1, 0)
	}
	return g.Factor
}

// DistancesOf is Distances of the channels of maps, one list for each, that stay where they are, [n, P].
func (g Gaussians) DistancesOf(s *tensor.Scope, maps []*tensor.Tensor, channels [][]int64, form Form) *tensor.Tensor {
	return s.MahalanobisMaps(maps, channels, g.Mean, g.factor(s, form))
}

// Distances returns the Mahalanobis distances of features x [n, h, w, C], which may change, [n, P].
func (g Gaussians) Distances(s *tensor.Scope, x *tensor.Tensor, form Form) *tensor.Tensor {
	if s.Err() != nil {
		return nil
	}
	d := s.Reshape(x, x.Size(0), x.Size(1)*x.Size(2), x.Size(3))
	if packed(x.Device()) {
		return s.Mahalanobis(d, g.Mean, g.factor(s, form))
	}
	s.AddInto(d, g.Mean, -1)
	white := s.Bmm(s.Permute(d, 1, 0, 2), g.Factor)
	return s.Transpose(s.Norm(white, 2), 0, 1)
}
