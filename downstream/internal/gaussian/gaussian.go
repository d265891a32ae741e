// Package gaussian holds what the Gaussians of PaDiM and RegAD have in common: one
// covariance a position, its inverse factor, and lower triangular matrices that are kept
// without their zeros.
package gaussian

import (
	"context"

	"github.com/gotab/gotab/internal/pipeline"
	"github.com/gotab/gotab/tensor"
)

// Block is how many positions are factored at once: small enough that their
// double-precision copies do not weigh.
const Block = 56

// InverseFactor adds epsilon to the diagonals of a [n, k, k], which is in double
// precision and changes, and returns L^-1 of a = L L^T, [n, k, k]. A matrix that is not
// positive definite is an error of the scope.
func InverseFactor(s *tensor.Scope, a *tensor.Tensor, epsilon float64) *tensor.Tensor {
	eye := Eye(s, a.Size(0), a.Size(1))
	s.AddInto(a, eye, epsilon)
	return s.SolveLower(s.Cholesky(a), eye)
}

// Eye returns n unit matrices of k rows in double precision, [n, k, k], as a view of one.
func Eye(s *tensor.Scope, n, k int64) *tensor.Tensor {
	return s.Expand(s.Cast(s.Eye(k), tensor.Float64), n, k, k)
}

// EachBlock calls do for blocks of positions, from the first of a block to below the
// second, each in a Run of its own, as many at once as there are cores.
func EachBlock(ctx context.Context, dev tensor.Device, blocks [][2]int, cores int, do func(s *tensor.Scope, lo, hi int) error) error {
	for _, err := range pipeline.Ordered(ctx, len(blocks), cores, cores, func(ctx context.Context, i int) (struct{}, error) {
		return struct{}{}, tensor.Run(ctx, dev, tensor.Evaluation, func(s *tensor.Scope) error {
			if err := do(s, blocks[i][0], blocks[i][1]); err != nil {
				return err
			}
			return s.Err()
		})
	}) {
		if err != nil {
			return err
		}
	}
	return nil
}
