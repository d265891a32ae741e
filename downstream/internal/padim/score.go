package padim

import "github.com/gotab/gotab/tensor"

// Distances returns the Mahalanobis distances of features x [n, h, w, C], which may change, [n, P].
func (g Gaussians) Distances(s *tensor.Scope, x *tensor.Tensor) *tensor.Tensor {
	if s.Err() != nil {
		return nil
	}
	d := s.Reshape(x, x.Size(0), x.Size(1)*x.Size(2), x.Size(3))
	if packed(x.Device()) {
		return s.Mahalanobis(d, g.Mean, g.Factor)
	}
	s.AddInto(d, g.Mean, -1)
	white := s.Bmm(s.Permute(d, 1, 0, 2), g.Factor)
	return s.Transpose(s.Norm(white, 2), 0, 1)
}
