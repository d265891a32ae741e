package downstream

import "github.com/gotab/gotab/tensor"

// coreset chooses count rows of x [N, K] in the order in which they are chosen:
// each the one farthest from those before it, the first the one with the largest
// mean distance to the rows starts, which stand for a centre but are not chosen
// themselves (Roth et al., algorithm 1, with the authors' approximate start). It
// ends early when all rows equal chosen ones. x is shifted to mean 0.
//
// Every step needs the distances to one row only: one product of x with a
// vector, never a matrix of distances. With h = |x|^2/2, x.c - h - |c|^2/2 is
// minus half the squared distance to c; its maximum over the centres is kept.
// Shifting keeps lengths at the size of distances, so that little cancels. This
// suits a GPU, which has the memory's bandwidth for it; [coresetOnHost] makes the
// same choice on the processor.
func coreset(s *tensor.Scope, x *tensor.Tensor, count int, starts []int64) ([]int64, error) {
	n, k := x.Size(0), x.Size(1)
	s.AddInto(x, s.Mean(x, true, 0), -1)
	half := s.Zeros(n)
	for lo := int64(0); lo < n; lo += bankBlock { // squares of all rows at once would double the memory
		s.Sub(func(s *tensor.Scope) *tensor.Tensor {
			rows := min(bankBlock, n-lo)
			s.AddInto(s.Narrow(half, 0, lo, rows), s.Sum(s.Square(s.Narrow(x, 0, lo, rows)), false, 1), 0.5)
			return nil
		})
	}
	halves, err := s.Floats(half)
	if err != nil {
		return nil, err
	}
	// closeness returns minus half the squared distance of every row to row i.
	closeness := func(s *tensor.Scope, i int64) *tensor.Tensor {
		d := s.MatMul(x, s.Reshape(s.Narrow(x, 0, i, 1), k))
		s.AddInto(d, half, -1)
		return s.AddScalar(d, -float64(halves[i]))
	}
	nearest := s.Zeros(n) // first the sum of the distances to the starts
	for _, i := range starts {
		s.Sub(func(s *tensor.Scope) *tensor.Tensor {
			s.AddInto(nearest, s.Sqrt(s.ClampMin(s.MulScalar(closeness(s, i), -2), 0)), 1)
			return nil
		})
	}
	s.ScaleInto(nearest, 1/float64(len(starts)))
	nearest = s.MulScalar(s.Square(nearest), -0.5)
	chosen := make([]int64, 0, count)
	seen := make([]bool, n)
	for len(chosen) < count {
		var far []int64
		s.Sub(func(s *tensor.Scope) *tensor.Tensor {
			far, err = s.Ints(s.ArgMax(s.Neg(nearest), 0))
			return nil
		})
		if err != nil {
			return nil, err
		}
		i := far[0]
		if seen[i] {
			break // no row is farther than rounding from a chosen one
		}
		seen[i] = true
		chosen = append(chosen, i)
		s.Sub(func(s *tensor.Scope) *tensor.Tensor {
			s.CopyInto(nearest, s.Maximum(nearest, closeness(s, i)))
			return nil
		})
	}
	return chosen, s.Err()
}
