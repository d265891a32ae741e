package train

import (
	"context"
	"errors"
	"fmt"

	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/sentinel"
	"github.com/gotab/gotab/internal/pipeline"
	"github.com/gotab/gotab/internal/seed"
	"github.com/gotab/gotab/tensor"
)

// BatchesOf returns the batches of an epoch, counted from 0: the numbers 0 to n-1
// in an order that the seed and the epoch decide, most to a batch. The last batch
// is what remains.
func BatchesOf(n, most int, from [2]uint64, epoch int) [][]int {
	order := seed.Rand(from[0], "shuffle", from[1], uint64(epoch)).Perm(n)
	var out [][]int
	for len(order) > 0 {
		k := min(most, len(order))
		out = append(out, order[:k:k])
		order = order[k:]
	}
	return out
}

// Course is a training over several epochs.
type Course[P, B any] struct {
	Done    int // epochs that an earlier run has taken, which this one leaves out
	Epochs  int // with those
	Workers int // that load batches ahead of the steps
	// plan says what the batches of an epoch, counted from 0, are made of: in general
	// the numbers of their images.
	Plan func(epoch int) []P
	Load func(ctx context.Context, at P) (B, error)
	// step trains on a batch and says what was before its update.
	Step func(ctx context.Context, epoch, batch int, b B) (Outcome, error)
	// after, if not nil, is called when an epoch has ended.
	After  func(ctx context.Context, epoch int) error
	Report func(engine.Progress) // is told of every batch
}

// Outcome is what a step says of itself; see [engine.Progress].
type Outcome struct{ Loss, Accuracy, Lr float64 }

// Run takes all steps. step and after may end it with an error.
func (c Course[P, B]) Run(ctx context.Context) error {
	for epoch := c.Done; epoch < c.Epochs; epoch++ {
		plan := c.Plan(epoch)
		i := 0
		for b, err := range pipeline.Ordered(ctx, len(plan), c.Workers, c.Workers+1, func(ctx context.Context, i int) (B, error) { return c.Load(ctx, plan[i]) }) {
			if err != nil {
				return err
			}
			o, err := c.Step(ctx, epoch, i, b)
			if err != nil {
				if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
					return err
				}
				return fmt.Errorf("epoch %d, batch %d: %w", epoch+1, i+1, err)
			}
			i++
			c.Report(engine.Progress{Stage: "train", Done: i, Total: len(plan), Epoch: epoch + 1, Epochs: c.Epochs, Loss: o.Loss, Accuracy: o.Accuracy, LR: o.Lr})
		}
		if c.After != nil {
			if err := c.After(ctx, epoch); err != nil {
				return err
			}
		}
	}
	return nil
}

// Descend is [tensor.Descend]. A loss or a gradient that is not finite is
// [downstream.ErrDiverged].
func Descend(s *tensor.Scope, clip float64, learners []tensor.Learner, loss func(s *tensor.Scope) (*tensor.Tensor, error)) (float64, error) {
	u, err := tensor.Descend(s, clip, learners, loss)
	return u.Loss, diverged(err)
}

// Always is a learning rate that is the same for all weights.
func Always(rate float64) func(string) float64 { return func(string) float64 { return rate } }

// FiniteParams fails where a step has left a value that is no number, which
// [downstream.ErrDiverged] reports. Loss and gradients, which every step looks at, show it in
// the step that follows; after the last one, whose rate may have been too large,
// only this does.
func FiniteParams(ctx context.Context, sets ...*tensor.Params) error {
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

// diverged marks a loss or a gradient that is not finite as [downstream.ErrDiverged].
func diverged(err error) error {
	if errors.Is(err, tensor.ErrNotFinite) {
		return fmt.Errorf("%w: %w", sentinel.ErrDiverged, err)
	}
	return err
}
