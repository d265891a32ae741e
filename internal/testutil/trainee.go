package testutil

import (
	"context"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/fault"
	"github.com/gotab/gotab/tensor"
)

// Trainee is a training whose steps a test takes by themselves, always on the batch
// that an epoch begins with.
type Trainee struct {
	Step  func(ctx context.Context) (loss float64, err error)
	Sets  []*tensor.Params
	Rules []tensor.Optimizer
	Close func() error
}

// Learn adds what the steps train.
func (t *Trainee) Learn(learners []tensor.Learner) {
	for _, l := range learners {
		t.Sets, t.Rules = append(t.Sets, l.Params), append(t.Rules, l.Optimizer)
	}
}

// everything is what a training has: weights, statistics, the optimizers' states and
// counts.
func (t *Trainee) everything(tb testing.TB) (all [][]tensor.Array) {
	tb.Helper()
	for _, p := range t.Sets {
		a, err := p.Arrays(tb.Context())
		require.NoError(tb, err)
		all = append(all, a)
	}
	for _, o := range t.Rules {
		a, err := o.State(tb.Context())
		require.NoError(tb, err)
		all = append(all, a)
	}
	return all
}

// RequireWholeSteps holds the trainings that begin makes, which must be equal, to this:
// wherever in a step memory runs out, nothing has moved, and the next step is that of a
// training in which nothing happened. stride says which allocations are tried: 1 all of
// a small step, more every so-many-th of a large one.
func RequireWholeSteps(t *testing.T, stride int64, begin func() (*Trainee, error)) {
	t.Helper()
	calm, err := begin()
	require.NoError(t, err)
	hit, err := begin()
	require.NoError(t, err)
	require.True(t, reflect.DeepEqual(calm.everything(t), hit.everything(t)))
	for step := range 2 { // the first makes the optimizers' states
		var want, got float64
		asked := fault.Allocations(0, func() { want, err = calm.Step(t.Context()) })
		require.NoError(t, err)
		require.Greater(t, asked, int64(10))
		before := hit.everything(t)
		for n := int64(1); n <= asked; n += stride {
			fault.Allocations(n, func() { _, err = hit.Step(t.Context()) })
			require.ErrorIs(t, err, tensor.ErrOutOfMemory, "allocation %d of step %d", n, step)
			require.True(t, reflect.DeepEqual(before, hit.everything(t)), "allocation %d of step %d has left something changed", n, step)
		}
		got, err = hit.Step(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, got)
		after := hit.everything(t)
		require.True(t, reflect.DeepEqual(calm.everything(t), after), "the step after failures is another one")
		require.False(t, reflect.DeepEqual(before, after), "nothing moves")
		if step == 0 {
			t.Logf("%d allocations a step", asked)
		}
	}
	require.NoError(t, calm.Close())
	require.NoError(t, hit.Close())
}
