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

// course is a training over several epochs.
type course[P, B any] struct {
	done    int // epochs that an earlier run has taken, which this one leaves out
	epochs  int // with those
	workers int // that load batches ahead of the steps
	// plan says what the batches of an epoch, counted from 0, are made of: in general
	// the numbers of their images.
	plan func(epoch int) []P
	load func(ctx context.Context, at P) (B, error)
	// step trains on a batch and says what was before its update.
	step func(ctx context.Context, epoch, batch int, b B) (outcome, error)
	// after, if not nil, is called when an epoch has ended.
	after  func(ctx context.Context, epoch int) error
	report func(Progress) // is told of every batch
}

// outcome is what a step says of itself; see [Progress].
type outcome struct{ loss, accuracy, lr float64 }

// run takes all steps. step and after may end it with an error.
func (c course[P, B]) run(ctx context.Context) error {
	for epoch := c.done; epoch < c.epochs; epoch++ {
		plan := c.plan(epoch)
		i := 0
		for b, err := range pipeline.Ordered(ctx, len(plan), c.workers, c.workers+1, func(ctx context.Context, i int) (B, error) { return c.load(ctx, plan[i]) }) {
			if err != nil {
				return err
			}
			o, err := c.step(ctx, epoch, i, b)
			if err != nil {
				if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
					return err
				}
				return fmt.Errorf("epoch %d, batch %d: %w", epoch+1, i+1, err)
			}
			i++
			c.report(Progress{Stage: "train", Done: i, Total: len(plan), Epoch: epoch + 1, Epochs: c.epochs, Loss: o.loss, Accuracy: o.accuracy, LR: o.lr})
		}
		if c.after != nil {
			if err := c.after(ctx, epoch); err != nil {
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
	v, err := finiteLoss(s, loss)
	if err != nil {
		return 0, err
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

// finiteLoss reads a loss, a scalar; one that is not finite is [ErrDiverged].
func finiteLoss(s *tensor.Scope, loss *tensor.Tensor) (float64, error) {
	v, err := s.Float(loss)
	if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
		err = fmt.Errorf("%w: the loss is %g", ErrDiverged, v)
	}
	return v, err
}

// diverged marks a gradient that is not finite as [ErrDiverged].
func diverged(err error) error {
	if errors.Is(err, tensor.ErrNotFinite) {
		return fmt.Errorf("%w: %w", ErrDiverged, err)
	}
	return err
}
