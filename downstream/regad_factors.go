package downstream

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/gaussian"
	"github.com/gotab/gotab/downstream/internal/network"
	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/tensor"
)

// factorSizes is what the size of RegAD's statistics depends on.
type factorSizes struct {
	count int                // samples a position
	maps  []network.MapShape // of the layers; the first one's grid is the model's
}

func (z factorSizes) positions() int { return z.maps[0].H * z.maps[0].W }

// channels of a position's vector.
func (z factorSizes) channels() (c int) {
	for _, m := range z.maps {
		c += m.C
	}
	return c
}

// values of one image in the layers' maps.
func (z factorSizes) values() (v int) {
	for _, m := range z.maps {
		v += m.Len()
	}
	return v
}

// side is the number of rows of the triangular matrices that are kept: the number
// of samples where that and the samples take less than a matrix of all channels.
func (z factorSizes) side() int {
	if z.lowRank() {
		return z.count
	}
	return z.channels()
}

func (z factorSizes) lowRank() bool {
	few := int64(z.positions())*gaussian.TriangleEntries(z.count) + int64(z.count)*int64(z.values())
	return few <= int64(z.positions())*gaussian.TriangleEntries(z.channels())
}

// bytes are those of [RegADConfig.Estimate].
func (z factorSizes) bytes(batch, cores int) (fitted, fitting int64) {
	held := 4 * int64(z.count) * int64(z.values())
	fitted = 4 * (int64(z.positions())*gaussian.TriangleEntries(z.side()) + int64(z.values()))
	side := int64(z.side())
	solving := 4 * 8 * gaussian.Block * side * side
	if z.lowRank() {
		fitted += held
		held = 0 // they stay
	}
	passing := 2 * 4 * int64(batch) * int64(z.values())
	return fitted, fitted + held + int64(cores)*max(solving, passing)
}

// factors are the statistics of RegAD, for the distances that [RegAD] describes.
// A deeper layer has values at fewer positions; index says at which of them a
// position of the first layer's grid lies.
type factors struct {
	factorSizes
	epsilon float64
	index   [][]int64
	means   []*tensor.Tensor    // of each layer, [p, c]
	samples []*tensor.Tensor    // X of each layer, [p, n, c]; nil where the gaussian.Triangles are of S
	inverse *gaussian.Triangles // of L, or of the factor of S
}

// newFactors describes statistics; their tensors are not there yet.
func newFactors(z factorSizes, epsilon float64) *factors {
	f := &factors{factorSizes: z, epsilon: epsilon}
	grid := z.maps[0]
	for _, m := range z.maps {
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

func meanName(layer int) string    { return fmt.Sprintf("mean.%d", layer) }
func samplesName(layer int) string { return fmt.Sprintf("samples.%d", layer) }

// finish makes the statistics of samples x of the layers [p, n, c], which it
// changes: they belong to raw. What is kept goes to keep, which may be raw.
func (f *factors) finish(ctx context.Context, raw, keep *tensor.Params, cores int) error {
	x := make([]*tensor.Tensor, len(f.maps))
	err := tensor.Run(ctx, raw.Device(), tensor.Evaluation, func(s *tensor.Scope) error {
		for i := range f.maps {
			x[i] = raw.Get(samplesName(i))
			mean := s.Mean(x[i], true, 1)
			s.AddInto(x[i], mean, -1)
			s.ScaleInto(x[i], 1/math.Sqrt(float64(f.count-1)))
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
			if f.lowRank() {
				return f.products(s, x, lo, hi)
			}
			return f.covariances(s, x, lo, hi)
		})
		f.inverse.Set(s, lo, gaussian.InverseFactor(s, a, f.epsilon))
		return nil
	})
	var op *tensor.OpError
	if errors.As(err, &op) && op.Op == "Cholesky" {
		return fmt.Errorf("%w: Epsilon is %v, too little for features of this size: %w", ErrConfig, f.epsilon, err)
	}
	return err
}

// products returns X X^T at the positions lo to hi-1, [n, n] each, in double
// precision. A layer's products are made once for each of its own positions.
func (f *factors) products(s *tensor.Scope, x []*tensor.Tensor, lo, hi int) *tensor.Tensor {
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
func (f *factors) covariances(s *tensor.Scope, x []*tensor.Tensor, lo, hi int) *tensor.Tensor {
	const most = 64 // samples at a time
	n, c := hi-lo, int64(f.channels())
	sum := s.Cast(s.Zeros(int64(n), c, c), tensor.Float64)
	for _, part := range feed.Spans(f.count, most, 1) {
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

// distances returns the Mahalanobis distances of the layers' maps [n, c, h, w] of
// n images, at every position of the first layer's grid, [P, n].
func (f *factors) distances(s *tensor.Scope, maps []*tensor.Tensor) *tensor.Tensor {
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
		if !f.lowRank() {
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
func (f *factors) spread(s *tensor.Scope, layer int, x *tensor.Tensor) *tensor.Tensor {
	if m := f.maps[layer]; m.H == f.maps[0].H && m.W == f.maps[0].W {
		return x
	}
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		return s.IndexSelect(x, 0, s.FromInts(f.index[layer], int64(len(f.index[layer]))))
	})
}

// load puts the tensors of a file, by the names of specs, into p and takes them.
// Nothing is made before all are there and right.
func (f *factors) load(ctx context.Context, p *tensor.Params, arrays []tensor.Array) error {
	byName, err := engine.ArraysOf(f.specs(), arrays)
	if err != nil {
		return err
	}
	return tensor.Run(ctx, p.Device(), tensor.Evaluation, func(s *tensor.Scope) error {
		if err := layers.Put(s, p, f.specs(), byName); err != nil {
			return err
		}
		f.bind(p)
		return nil
	})
}

// bind takes the tensors from p.
func (f *factors) bind(p *tensor.Params) {
	for i := range f.maps {
		f.means = append(f.means, p.Get(meanName(i)))
		if f.lowRank() {
			f.samples = append(f.samples, p.Get(samplesName(i)))
		}
	}
	f.inverse = gaussian.TrianglesOf(p, f.side())
}

// specs are the names and shapes of all tensors.
func (f *factors) specs() (out []layers.Spec) {
	add := func(name string, shape ...int) {
		sp := layers.Spec{Name: name, Buffer: true}
		for _, d := range shape {
			sp.Shape = append(sp.Shape, int64(d))
		}
		out = append(out, sp)
	}
	for i, m := range f.maps {
		add(meanName(i), m.H*m.W, m.C)
	}
	for i, m := range f.maps {
		if f.lowRank() {
			add(samplesName(i), m.H*m.W, f.count, m.C)
		}
	}
	for i, rows := range gaussian.TriangleRows(f.side()) {
		add(gaussian.TriangleName(i), f.positions(), rows[1], rows[1]-rows[0])
	}
	return out
}
