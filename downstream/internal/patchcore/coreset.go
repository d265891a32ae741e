package patchcore

import (
	"context"

	"github.com/gotab/gotab/tensor"
)

// chosenPerReport is how many patches are chosen between two reports of how far
// choosing has come.
const chosenPerReport = 256

// Coreset chooses count rows of x [N, k] in the order in which they are chosen:
// each the one farthest from those before it, the first the one with the largest
// mean distance to the rows starts, which stand for a centre but are not chosen
// themselves (Roth et al., algorithm 1, with the authors' approximate start). It
// ends early when no row is left that is away from those chosen. It works on a
// device and tells report how many are chosen.
//
// Every step needs the distances to one row only: one product of x with a
// vector, never a matrix of distances. With h = |x|^2/2, x.c - h - |c|^2/2 is
// minus half the squared distance to c; its maximum over the centres is kept.
// x is shifted to mean 0, which keeps lengths at the size of distances, so that
// little cancels. This suits a GPU, which has the memory's bandwidth for it;
// [CoresetOnHost] makes the same choice on the processor.
func Coreset(ctx context.Context, dev tensor.Device, x []float32, k, count int, starts []int64, report func(done int)) (_ []int64, err error) {
	c := choosing{kept: tensor.NewParams(dev), seen: make([]bool, len(x)/k), chosen: make([]int64, 0, count)}
	defer func() { _ = c.kept.Close() }() // frees memory, cannot fail
	err = tensor.Run(ctx, dev, tensor.Evaluation, func(s *tensor.Scope) error {
		return c.start(s, s.FromFloats(x, int64(len(x)/k), int64(k)), starts)
	})
	// A Run for some choices, so that report is called from here and not from
	// libtorch's thread.
	for more := true; err == nil && more && len(c.chosen) < count; {
		most := min(count, len(c.chosen)+chosenPerReport)
		err = tensor.Run(ctx, dev, tensor.Evaluation, func(s *tensor.Scope) (err error) {
			more, err = c.choose(s, most)
			return err
		})
		if err == nil {
			report(len(c.chosen))
		}
	}
	if err != nil {
		return nil, err
	}
	return c.chosen, nil
}

// choosing is a choice that is going on.
type choosing struct {
	kept   *tensor.Params // rows [N, k], half their squared lengths [N] and how near [N] the nearest chosen one is
	halves []float32
	seen   []bool
	chosen []int64
}

// start prepares the choice among the rows of x, which it changes.
func (c *choosing) start(s *tensor.Scope, x *tensor.Tensor, starts []int64) (err error) {
	n := int64(len(c.seen)) // x is none where the device had no memory for it
	s.AddInto(x, s.Mean(x, true, 0), -1)
	half := s.Zeros(n)
	for lo := int64(0); lo < n; lo += bankBlock { // squares of all rows at once would double the memory
		s.Sub(func(s *tensor.Scope) *tensor.Tensor {
			rows := min(bankBlock, n-lo)
			s.AddInto(s.Narrow(half, 0, lo, rows), s.Sum(s.Square(s.Narrow(x, 0, lo, rows)), false, 1), 0.5)
			return nil
		})
	}
	if c.halves, err = s.Floats(half); err != nil {
		return err
	}
	if err := c.keep(s, "rows", x); err != nil {
		return err
	}
	if err := c.keep(s, "half", half); err != nil {
		return err
	}
	mean := s.Zeros(n) // of the distances to the starts, their sum at first
	for _, i := range starts {
		if err := s.Err(); err != nil {
			return err
		}
		s.Sub(func(s *tensor.Scope) *tensor.Tensor {
			s.AddInto(mean, s.Sqrt(s.ClampMin(s.MulScalar(c.closeness(s, i), -2), 0)), 1)
			return nil
		})
	}
	s.ScaleInto(mean, 1/float64(len(starts)))
	return c.keep(s, "nearest", s.MulScalar(s.Square(mean), -0.5))
}

func (c *choosing) keep(s *tensor.Scope, name string, t *tensor.Tensor) error {
	return c.kept.PutBuffer(s, name, t)
}

// closeness returns minus half the squared distance of every row to row i.
func (c *choosing) closeness(s *tensor.Scope, i int64) *tensor.Tensor {
	x := c.kept.Get("rows")
	d := s.MatMul(x, s.Reshape(s.Narrow(x, 0, i, 1), x.Size(1)))
	s.AddInto(d, c.kept.Get("half"), -1)
	return s.AddScalar(d, -float64(c.halves[i]))
}

// choose goes on until most rows are chosen, and says whether there may be more.
func (c *choosing) choose(s *tensor.Scope, most int) (more bool, err error) {
	nearest := c.kept.Get("nearest")
	for len(c.chosen) < most {
		if err := s.Err(); err != nil {
			return false, err
		}
		var far []int64
		s.Sub(func(s *tensor.Scope) *tensor.Tensor {
			far, err = s.Ints(s.ArgMax(s.Neg(nearest), 0))
			return nil
		})
		if err != nil {
			return false, err
		}
		i := far[0]
		if c.seen[i] {
			return false, nil // no row is farther than rounding from a chosen one
		}
		c.seen[i] = true
		c.chosen = append(c.chosen, i)
		s.Sub(func(s *tensor.Scope) *tensor.Tensor {
			s.CopyInto(nearest, s.Maximum(nearest, c.closeness(s, i)))
			return nil
		})
	}
	return true, s.Err()
}
