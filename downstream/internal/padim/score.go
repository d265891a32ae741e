package padim

import "github.com/gotab/gotab/tensor"

// Whiten returns L^-1 (x-m) for every position and image of features x [n, h, w, C], which
// change, [P, n, C]: vectors whose lengths are the distances.
func (g Gaussians) Whiten(s *tensor.Scope, x *tensor.Tensor) *tensor.Tensor {
	if s.Err() != nil {
		return nil
	}
	d := s.Reshape(x, x.Size(0), x.Size(1)*x.Size(2), x.Size(3))
	s.AddInto(d, g.Mean, -1)
	return s.Bmm(s.Permute(d, 1, 0, 2), g.Whitening)
}
