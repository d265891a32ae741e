package downstream

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/gotab/gotab/internal/pipeline"
	"github.com/gotab/gotab/internal/seed"
	"github.com/gotab/gotab/tensor"
)

// batchesOf returns the batches of an epoch, counted from 0: the numbers 0 to n-1
// in an order that the seed and the epoch decide, most to a batch. The last batch
// is what remains.
func batchesOf(n, most int, from [2]uint64, epoch int) [][]int {
	order := seed.Rand(from[0], "shuffle", from[1], uint64(epoch)).Perm(n)
	var out [][]int
	for len(order) > 0 {
		k := min(most, len(order))
		out = append(out, order[:k:k])
		order = order[k:]
	}
	return out
}

// epochs runs step on the batches of so many epochs. batches plans an epoch, in
// general the numbers of the images of each batch; load makes a batch's input, a
// batch ahead of the step; step returns the loss before its update; after, if
// not nil, is called when an epoch, counted from 0, has ended. Both may end the
// training with an error. report is told of every batch.
func epochs[P, B any](ctx context.Context, count int, batches func(epoch int) []P, load func(ctx context.Context, at P) (B, error),
	step func(ctx context.Context, epoch, batch int, b B) (float64, error), after func(ctx context.Context, epoch int) error,
	report func(Progress)) error {
	for epoch := range count {
		plan := batches(epoch)
		i := 0
		for b, err := range pipeline.Ordered(ctx, len(plan), 1, 2, func(ctx context.Context, i int) (B, error) { return load(ctx, plan[i]) }) {
			if err != nil {
				return err
			}
			loss, err := step(ctx, epoch, i, b)
			if err != nil {
				if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
					return err
				}
				return fmt.Errorf("epoch %d, batch %d: %w", epoch+1, i+1, err)
			}
			i++
			report(Progress{Stage: "train", Done: i, Total: len(plan), Epoch: epoch + 1, Epochs: count, Loss: loss})
		}
		if after != nil {
			if err := after(ctx, epoch); err != nil {
				return err
			}
		}
	}
	return nil
}

// learner is a set of weights with the rule that trains them.
type learner struct {
	params *tensor.Params
	opt    tensor.Optimizer
	rate   float64
}

// descend goes one step down the gradient of loss, a scalar, and returns its
// value. A loss that is not finite is [ErrDiverged], and nothing is changed then.
func descend(s *tensor.Scope, loss *tensor.Tensor, learners ...learner) (float64, error) {
	v, err := s.Float(loss)
	if err != nil {
		return 0, err
	}
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("%w: the loss is %g", ErrDiverged, v)
	}
	s.Backward(loss)
	if err := s.Err(); err != nil {
		return 0, err
	}
	for _, l := range learners {
		if err := l.opt.Step(s, l.params, func(string) float64 { return l.rate }); err != nil {
			return 0, err
		}
		if err := l.params.ZeroGrad(); err != nil {
			return 0, err
		}
	}
	return v, nil
}
