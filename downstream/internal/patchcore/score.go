package patchcore

import (
	"math"

	"github.com/gotab/gotab/tensor"
)

const (
	// queryBlock and bankBlock are how many patches of an image and of the bank
	// are compared at once: 16 MB of products.
	queryBlock = 1024
	bankBlock  = 4096
)

// Score scores the patches q [P, C] of one image, less the mean of the bank: the image's
// score, re-weighted where neighbours is not 0, and those of the patches. An image with a
// patch that is not a number has a score that is none. With exact false neighbours may be others than the nearest.
func (g Bank) Score(s *tensor.Scope, q *tensor.Tensor, neighbours int, squared, exact bool) (score float64, d []float32, err error) {
	d, at, err := g.Nearest(s, q, exact)
	if err != nil {
		return 0, nil, err
	}
	top := 0
	for i, v := range d {
		if v != v {
			return math.NaN(), d, nil
		}
		if v > d[top] {
			top = i
		}
	}
	score = float64(d[top])
	if !squared {
		score = math.Sqrt(score)
		for i, v := range d {
			d[i] = float32(math.Sqrt(float64(v)))
		}
	}
	if neighbours > 0 {
		w, err := g.weight(s, s.Narrow(q, 0, int64(top), 1), at[top], neighbours)
		if err != nil {
			return 0, nil, err
		}
		score *= w
	}
	return score, d, nil
}

// Nearest returns for every row of q [Q, C] the squared distance to its
// nearest patch of the bank and which that is, or, with exact false, to one that is
// nearest by its shortened form, where the bank has one.
func (g Bank) Nearest(s *tensor.Scope, q *tensor.Tensor, exact bool) (dist []float32, at []int64, err error) {
	if g.low == nil {
		return g.compareAll(s, q)
	}
	s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		d, i := s.Nearest(q, g.Patches, g.axes, g.low, g.half, exact)
		if dist, err = s.Floats(d); err == nil {
			at, err = s.Ints(i)
		}
		return nil
	})
	return dist, at, err
}

// compareAll is Nearest without leaving patches out.
//
// |q-b|^2 = |q|^2 - 2 q.b + |b|^2 is smallest where q.b - |b|^2/2 is largest: a
// product of matrices, block by block. It only finds the neighbour; the distance
// to that is then computed from the difference, since in the expansion the
// leading digits of small distances cancel.
func (g Bank) compareAll(s *tensor.Scope, q *tensor.Tensor) (dist []float32, at []int64, err error) {
	n := int(q.Size(0))
	dist, at = make([]float32, n), make([]int64, n)
	found := make([]float32, min(n, queryBlock))
	for lo := 0; lo < n; lo += queryBlock {
		rows := min(queryBlock, n-lo)
		for first := 0; first < g.count; first += bankBlock {
			s.Sub(func(s *tensor.Scope) *tensor.Tensor {
				k := int64(min(bankBlock, g.count-first))
				part := s.Narrow(q, 0, int64(lo), int64(rows))
				block := s.Narrow(g.Patches, 0, int64(first), k)
				near := s.Sub(func(s *tensor.Scope) *tensor.Tensor {
					return s.ArgMax(s.Linear(part, block, s.Narrow(g.half, 0, int64(first), k)), 1)
				})
				var index []int64
				if index, err = s.Ints(near); err != nil {
					return nil
				}
				d := s.Sum(s.Square(s.Minus(part, s.IndexSelect(block, 0, near))), false, 1)
				if err = s.FloatsInto(found[:rows], d); err != nil {
					return nil
				}
				for i, v := range found[:rows] {
					// NaN of the first block stays, and is found by the caller.
					if first == 0 || v < dist[lo+i] {
						dist[lo+i], at[lo+i] = v, int64(first)+index[i]
					}
				}
				return nil
			})
			if err != nil {
				return nil, nil, err
			}
		}
	}
	return dist, at, s.Err()
}

// weight is the factor of the article's re-weighting (eq. 7) for the patch q
// [1, C] whose nearest neighbour is patch m of the bank. Distances are squared by
// no setting here.
func (g Bank) weight(s *tensor.Scope, q *tensor.Tensor, m int64, neighbours int) (float64, error) {
	_, near := s.TopK(s.Linear(s.Narrow(g.Patches, 0, m, 1), g.Patches, g.half), int64(neighbours), 1, true)
	index, err := s.Ints(near)
	if err != nil {
		return 0, err
	}
	squares, err := s.Floats(s.Sum(s.Square(s.Minus(s.IndexSelect(g.Patches, 0, s.FromInts(index, int64(len(index)))), q)), false, 1))
	if err != nil {
		return 0, err
	}
	own, err := s.Float(s.Sum(s.Square(s.Minus(s.Narrow(g.Patches, 0, m, 1), q)), false, 0, 1))
	if err != nil {
		return 0, err
	}
	return reweight(math.Sqrt(own), squares), nil
}

// reweight returns 1 - exp(d) / sum(exp(sqrt(squares))); relative to d, so that
// large distances do not overflow.
func reweight(d float64, squares []float32) float64 {
	sum := 0.0
	for _, v := range squares {
		sum += math.Exp(math.Sqrt(float64(v)) - d)
	}
	return 1 - 1/sum
}
