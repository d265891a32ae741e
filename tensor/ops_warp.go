package tensor

import (
	"fmt"

	"github.com/gotab/gotab/tensor/internal/native"
)

// AffineGrid returns for each position of a picture of h x w where theta
// [N, 2, 3] takes it: [N, h, w, 2], (x, y) in units in which the picture reaches
// from -1 to 1 and the centres of its corner pixels lie half a pixel inside
// (PyTorch's align_corners=false). It is recorded for Backward.
func (s *Scope) AffineGrid(theta *Tensor, h, w int64) *Tensor {
	in := []*Tensor{theta}
	if theta.Valid() && (theta.Dim() != 3 || theta.Size(0) < 1 || theta.Size(1) != 2 || theta.Size(2) != 3) {
		s.fail("AffineGrid", in, fmt.Errorf("%w: want [N 2 3]", ErrShape))
	}
	what := func() string { return fmt.Sprintf("h is %d, w %d", h, w) }
	s.check("AffineGrid", in, within("h", h, 1, maxSide), within("w", w, 1, maxSide), holds(what(), theta.Size(0), h, w, 3))
	return s.opOf("AffineGrid", what, func() (native.Handle, error) {
		return native.AffineGrid(theta.h, theta.Size(0), h, w)
	}, theta)
}

// GridSample reads x [N, C, H, W] bilinearly at the places of grid [N, h, w, 2],
// which are in the units of AffineGrid, and returns [N, C, h, w]. Beyond the
// border the picture goes on as its reflection; a place that is not finite gives
// NaN. It is recorded for Backward, for x and for grid. On the CPU a channels-last
// x gives a channels-last result, several times as fast as another layout.
func (s *Scope) GridSample(x, grid *Tensor) *Tensor {
	if x.Valid() && grid.Valid() && (x.Dim() != 4 || grid.Dim() != 4 || x.Size(0) != grid.Size(0) || grid.Size(3) != 2) {
		s.fail("GridSample", []*Tensor{x, grid}, fmt.Errorf("%w: want [N C H W] and [N h w 2]", ErrShape))
	}
	return s.op("GridSample", func() (native.Handle, error) { return native.GridSample(x.h, grid.h) }, x, grid)
}

// Flip reverses the order along the dimensions.
func (s *Scope) Flip(x *Tensor, dims ...int64) *Tensor {
	s.dims("Flip", x, "dims", dims...)
	return s.op("Flip", func() (native.Handle, error) { return native.Flip(x.h, dims) }, x)
}

// Rot90 turns x by k quarter turns from dimension from towards dimension to.
func (s *Scope) Rot90(x *Tensor, k, from, to int64) *Tensor {
	_ = s.dims("Rot90", x, "from", from) && s.dims("Rot90", x, "to", to) && s.dims("Rot90", x, "from and to", from, to)
	return s.op("Rot90", func() (native.Handle, error) { return native.Rot90(x.h, k, from, to) }, x)
}
