package simplenet

import (
	"context"
	"errors"

	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/tensor"
)

// Matrices are what scoring needs of trained weights: the whole of adaptor, first linear layer and
// batch norm is linear once trained, so that it is one matrix.
type Matrices struct {
	Fold *tensor.Tensor // [Hidden, Dim]
	Bias *tensor.Tensor // [Hidden]
	Tail *tensor.Tensor // [1, Hidden]: the last layer, negated
}

// NewMatrices makes them of trained weights and keeps them in to.
//
// In evaluation batch norm is a scale and a shift of each value, and what comes
// before it is linear: with A, a the adaptor, W, b the first layer and gain =
// weight / sqrt(variance + epsilon), all of it is x -> F x + f with F = gain W A
// and f = gain (W a + b - mean) + shift. It is computed in float64 by one thread,
// so that a detector that is read has the bits of the one that was written.
func NewMatrices(ctx context.Context, to *tensor.Params, trained []tensor.Array) (m Matrices, _ error) {
	err := tensor.Run(tensor.WithThreads(ctx, 1), to.Device(), tensor.Evaluation, func(s *tensor.Scope) error {
		get := func(name string) *tensor.Tensor {
			a, missing := engine.ArrayNamed(trained, name)
			if missing != nil {
				s.Fail(missing)
				return nil
			}
			return s.Cast(s.FromArray(a), tensor.Float64)
		}
		column := func(x *tensor.Tensor) *tensor.Tensor { return s.Unsqueeze(x, 1) }
		hidden := get(DiscriminatorPrefix + "hidden.weight")
		gain := s.Mul(get(DiscriminatorPrefix+"norm.weight"), s.Rsqrt(s.AddScalar(get(DiscriminatorPrefix+"norm.running_var"), epsilon)))
		fold := s.Mul(s.MatMul(hidden, get(AdaptorPrefix+"weight")), column(gain))
		before := s.Add(s.Select(s.MatMul(hidden, column(get(AdaptorPrefix+"bias"))), 1, 0), get(DiscriminatorPrefix+"hidden.bias"))
		bias := s.Add(s.Mul(s.Minus(before, get(DiscriminatorPrefix+"norm.running_mean")), gain), get(DiscriminatorPrefix+"norm.bias"))
		tail := s.Neg(get(DiscriminatorPrefix + "out.weight"))
		return errors.Join(
			to.PutBuffer(s, "fold", s.Cast(fold, tensor.Float32)),
			to.PutBuffer(s, "bias", s.Cast(bias, tensor.Float32)),
			to.PutBuffer(s, "tail", s.Cast(tail, tensor.Float32)),
		)
	})
	if err != nil {
		return m, err
	}
	return Matrices{Fold: to.Get("fold"), Bias: to.Get("bias"), Tail: to.Get("tail")}, nil
}

// Scores returns -D of every patch, [N h w, 1].
func (m Matrices) Scores(s *tensor.Scope, parts []*tensor.Tensor) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		return s.Linear(s.LeakyReLUInto(linearOnGrid(s, parts, m.Fold, m.Bias), leak), m.Tail, nil)
	})
}

// linearOnGrid returns m x + b [N h w, out] for the patches x whose values are
// parts [N, dim, ..], each on a grid of its own, m [out, sum of dims], b [out].
// Weighting channels and interpolating positions can be exchanged: what is on a
// coarse grid is multiplied there, where there are fewer positions, and
// interpolated after.
func linearOnGrid(s *tensor.Scope, parts []*tensor.Tensor, m, b *tensor.Tensor) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		n, h, w, out := parts[0].Size(0), parts[0].Size(2), parts[0].Size(3), m.Size(0)
		var sum *tensor.Tensor
		start := int64(0)
		for i, x := range parts {
			dim, rows, columns := x.Size(1), x.Size(2), x.Size(3)
			x = s.Reshape(s.Permute(x, 0, 2, 3, 1), n*rows*columns, dim)
			part := s.Narrow(m, 1, start, dim)
			start += dim
			if i == 0 {
				sum = s.Linear(x, part, b)
				continue
			}
			y := s.Linear(x, part, nil)
			if rows != h || columns != w {
				y = s.Permute(s.Reshape(y, n, rows, columns, out), 0, 3, 1, 2)
				y = s.Reshape(s.Permute(s.UpsampleBilinear(y, h, w), 0, 2, 3, 1), n*h*w, out)
			}
			sum = s.PlusInto(sum, y)
		}
		return sum
	})
}
