package downstream

import (
	"context"
	"errors"
	"fmt"

	"github.com/gotab/gotab/downstream/internal/sentinel"
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
	report func(progress) // is told of every batch
}

// outcome is what a step says of itself; see [progress].
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
			c.report(progress{Stage: "train", Done: i, Total: len(plan), Epoch: epoch + 1, Epochs: c.epochs, Loss: o.loss, Accuracy: o.accuracy, LR: o.lr})
		}
		if c.after != nil {
			if err := c.after(ctx, epoch); err != nil {
				return err
			}
		}
	}
	return nil
}

// descend is [tensor.Descend]. A loss or a gradient that is not finite is
// [ErrDiverged].
func descend(s *tensor.Scope, clip float64, learners []tensor.Learner, loss func(s *tensor.Scope) (*tensor.Tensor, error)) (float64, error) {
	u, err := tensor.Descend(s, clip, learners, loss)
	return u.Loss, diverged(err)
}

// always is a learning rate that is the same for all weights.
func always(rate float64) func(string) float64 { return func(string) float64 { return rate } }

// finiteParams fails where a step has left a value that is no number, which
// [ErrDiverged] reports. Loss and gradients, which every step looks at, show it in
// the step that follows; after the last one, whose rate may have been too large,
// only this does.
func finiteParams(ctx context.Context, sets ...*tensor.Params) error {
	for _, params := range sets {
		err := tensor.Run(ctx, params.Device(), tensor.Evaluation, func(s *tensor.Scope) error {
			for _, name := range params.Names() {
				v, err := s.Float(s.Sum(params.Get(name), false))
				if err != nil {
					return err
				}
				if v-v != 0 {
					return fmt.Errorf("%w: %s is not finite after the last step", sentinel.ErrDiverged, name)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// diverged marks a loss or a gradient that is not finite as [ErrDiverged].
func diverged(err error) error {
	if errors.Is(err, tensor.ErrNotFinite) {
		return fmt.Errorf("%w: %w", sentinel.ErrDiverged, err)
	}
	return err
}
