package regad

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/gaussian"
	"github.com/gotab/gotab/downstream/internal/network"
	"github.com/gotab/gotab/downstream/internal/sentinel"
	"github.com/gotab/gotab/tensor"
)

// Sizes is what the size of RegAD's statistics depends on.
type Sizes struct {
	Count int                // samples a position
	Maps  []network.MapShape // of the layers; the first one's grid is the model's
}

func (z Sizes) positions() int { return z.Maps[0].H * z.Maps[0].W }

// channels of a position's vector.
func (z Sizes) channels() (c int) {
	for _, m := range z.Maps {
		c += m.C
	}
	return c
}

// values of one image in the layers' maps.
func (z Sizes) values() (v int) {
	for _, m := range z.Maps {
		v += m.Len()
	}
	return v
}

// side is the number of rows of the triangular matrices that are kept: the number
// of samples where that and the samples take less than a matrix of all channels.
func (z Sizes) side() int {
	if z.LowRank() {
		return z.Count
	}
	return z.channels()
}

// LowRank says whether samples are kept, and not triangles of all channels.
func (z Sizes) LowRank() bool {
	few := int64(z.positions())*gaussian.TriangleEntries(z.Count) + int64(z.Count)*int64(z.values())
	return few <= int64(z.positions())*gaussian.TriangleEntries(z.channels())
}

// Bytes are those of downstream.RegADConfig.Estimate.
func (z Sizes) Bytes(batch, cores int) (fitted, fitting int64) {
	held := 4 * int64(z.Count) * int64(z.values())
	fitted = 4 * (int64(z.positions())*gaussian.TriangleEntries(z.side()) + int64(z.values()))
	side := int64(z.side())
	solving := 4 * 8 * gaussian.Block * side * side
	if z.LowRank() {
		fitted += held
		held = 0 // they stay
	}
	passing := 2 * 4 * int64(batch) * int64(z.values())
	return fitted, fitted + held + int64(cores)*max(solving, passing)
}

// Factors are the statistics of RegAD, for the distances sqrt((x-m)^T S^-1 (x-m)) that downstream.RegAD describes.
//
// S has as many rows as there are channels, and there is one at each position:
// 2.5 GB for a ResNet-18 at 224x224. But n samples leave it only n-1 directions
// besides Epsilon. With the rows of X the samples less their mean, divided by
// sqrt(n-1), S = X^T X + Epsilon I, and
//
//	d^T S^-1 d = (|d|^2 - |L^-1 X d|^2) / Epsilon,  L L^T = X X^T + Epsilon I,
//
// where L is n x n. X is kept on each layer's own grid, as are the products with
// it, and only L^-1 at every position of the first: for four shots 0.19 GB in
// place of 2.5. Where there are so many samples that the inverse factor of S
// itself takes less, that is kept (docs/memory.md). Both forms are the same
// distance. It differs from that of a dense computation in double precision by
// float32 rounding: on real images by some 1e-7 of itself, on the support images
// themselves, where nearly equal numbers are subtracted, by some 1e-6.
//
// A deeper layer has values at fewer positions; index says at which of them a
// position of the first layer's grid lies.
type Factors struct {
	Sizes
	epsilon float64
	index   [][]int64
	means   []*tensor.Tensor    // of each layer, [p, c]
	samples []*tensor.Tensor    // X of each layer, [p, n, c]; nil where the gaussian.Triangles are of S
	inverse *gaussian.Triangles // of L, or of the factor of S
}

// NewFactors describes statistics; their tensors are not there yet.
func NewFactors(z Sizes, epsilon float64) *Factors {
	f := &Factors{Sizes: z, epsilon: epsilon}
	grid := z.Maps[0]
	for _, m := range z.Maps {
		at := make([]int64, 0, z.positions())
		for y := range grid.H {
			for x := range grid.W {
				at = append(at, int64(y*m.H/grid.H*m.W+x*m.W/grid.W))
			}
		}
		f.index = append(f.index, at)
	}
	return f
}

func meanName(layer int) string { return fmt.Sprintf("mean.%d", layer) }

// SamplesName names the samples of a layer.
func SamplesName(layer int) string { return fmt.Sprintf("samples.%d", layer) }

// Finish makes the statistics of samples x of the layers [p, n, c], which it
// changes: they belong to raw. What is kept goes to keep, which may be raw.
func (f *Factors) Finish(ctx context.Context, raw, keep *tensor.Params, cores int) error {
	x := make([]*tensor.Tensor, len(f.Maps))
	err := tensor.Run(ctx, raw.Device(), tensor.Evaluation, func(s *tensor.Scope) error {
		for i := range f.Maps {
			x[i] = raw.Get(SamplesName(i))
			mean := s.Mean(x[i], true, 1)
			s.AddInto(x[i], mean, -1)
			s.ScaleInto(x[i], 1/math.Sqrt(float64(f.Count-1)))
			if err := keep.PutBuffer(s, meanName(i), s.Clone(s.Reshape(mean, mean.Size(0), mean.Size(2)))); err != nil {
				return err
			}
			s.Free(mean)
		}
		return gaussian.PutTriangles(s, keep, f.positions(), f.side())
	})
	if err != nil {
		return err
	}
	f.bind(keep)
	ctx = tensor.WithThreads(ctx, 1)
	err = gaussian.EachBlock(ctx, raw.Device(), feed.Spans(f.positions(), gaussian.Block, 1), cores, func(s *tensor.Scope, lo, hi int) error {
		a := s.Sub(func(s *tensor.Scope) *tensor.Tensor {
			if f.LowRank() {
				return f.products(s, x, lo, hi)
			}
			return f.covariances(s, x, lo, hi)
		})
		f.inverse.Set(s, lo, gaussian.InverseFactor(s, a, f.epsilon))
		return nil
	})
	var op *tensor.OpError
	if errors.As(err, &op) && op.Op == "Cholesky" {
		return fmt.Errorf("%w: Epsilon is %v, too little for features of this size: %w", sentinel.ErrConfig, f.epsilon, err)
	}
	return err
}

// products returns X X^T at the positions lo to hi-1, [n, n] each, in double
// precision. A layer's products are made once for each of its own positions.
func (f *Factors) products(s *tensor.Scope, x []*tensor.Tensor, lo, hi int) *tensor.Tensor {
	var sum *tensor.Tensor
	for i, t := range x {
		at := f.index[i][lo:hi]
		own := slices.Compact(slices.Sorted(slices.Values(at)))
		which := make([]int64, len(at))
		for k, v := range at {
			j, _ := slices.BinarySearch(own, v)
			which[k] = int64(j)
		}
		part := s.Sub(func(s *tensor.Scope) *tensor.Tensor {
			d := s.Cast(s.IndexSelect(t, 0, s.FromInts(own, int64(len(own)))), tensor.Float64)
			return s.IndexSelect(s.Bmm(d, s.Transpose(d, 1, 2)), 0, s.FromInts(which, int64(len(which))))
		})
		if sum == nil {
			sum = part
			continue
		}
		s.AddInto(sum, part, 1)
		s.Free(part)
	}
	return sum
}

// covariances returns X^T X at the positions lo to hi-1, [C, C] each, in double
// precision, some samples at a time.
func (f *Factors) covariances(s *tensor.Scope, x []*tensor.Tensor, lo, hi int) *tensor.Tensor {
	const most = 64 // samples at a time
	n, c := hi-lo, int64(f.channels())
	sum := s.Cast(s.Zeros(int64(n), c, c), tensor.Float64)
	for _, part := range feed.Spans(f.Count, most, 1) {
		s.Sub(func(s *tensor.Scope) *tensor.Tensor {
			var rows []*tensor.Tensor
			for i, t := range x {
				t = s.Narrow(t, 1, int64(part[0]), int64(part[1]-part[0]))
				rows = append(rows, s.Cast(s.IndexSelect(t, 0, s.FromInts(f.index[i][lo:hi], int64(n))), tensor.Float64))
			}
			d := s.Cat(2, rows...)
			s.AddBmmInto(sum, s.Transpose(d, 1, 2), d, 1)
			return nil
		})
	}
	return sum
}
