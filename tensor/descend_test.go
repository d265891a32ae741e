package tensor_test

import (
	"context"
	"errors"
	"math"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/fault"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// pupils are two sets of weights, the first with running statistics, and an
// optimizer for each.
type pupils struct {
	a, b   *tensor.Params
	oa, ob tensor.Optimizer
}

func newPupils(t *testing.T, make func() tensor.Optimizer) pupils {
	t.Helper()
	w := pupils{a: convNet(t), oa: make(), ob: make()}
	w.b = network(t, []string{"turned", "late"}, func(s *scope) []*ten {
		return []*ten{s.Transpose(x(s, 30, 3, 4), 0, 1), x(s, 31, 6)} // in memory column by column
	})
	t.Cleanup(func() { require.NoError(t, errors.Join(w.oa.Close(), w.ob.Close())) })
	return w
}

// descend takes one step; factor multiplies the loss.
func (w pupils) descend(ctx context.Context, factor float64) (u tensor.Update, err error) {
	err = tensor.Run(ctx, tensor.CPU, tensor.Training, func(s *scope) error {
		rate := func(n string) float64 {
			if n == "bn.bias" {
				return 0
			}
			return 0.01
		}
		u, err = tensor.Descend(s, 30, []tensor.Learner{{w.a, w.oa, rate}, {w.b, w.ob, rate}}, func(s *scope) (*ten, error) {
			other := s.Add(s.Sum(s.Square(w.b.Get("turned")), false), s.Sum(s.Square(w.b.Get("late")), false))
			return s.MulScalar(s.Add(convLoss(s, w.a), other), factor), s.Err()
		})
		return err
	})
	return u, err
}

type everything struct {
	a, b, oa, ob []tensor.Array
	va, vb       uint64
}

func (w pupils) all(t *testing.T) everything {
	t.Helper()
	state := func(o tensor.Optimizer) []tensor.Array {
		s, err := o.State(t.Context())
		require.NoError(t, err)
		return s
	}
	return everything{weights(t, w.a), weights(t, w.b), state(w.oa), state(w.ob), w.a.Version(), w.b.Version()}
}

// Wherever in a step memory runs out, nothing has moved, and the next step is the
// one of a training in which nothing happened.
func TestDescendIsWholeOrNotAtAll(t *testing.T) {
	testutil.NoLeak(t)
	all := optimizers(t)
	for _, name := range []string{"sgd", "nesterov", "adamw", "adam-own"} {
		calm, hit := newPupils(t, all[name]), newPupils(t, all[name])
		for step := range 2 { // the first makes the state
			var want, got tensor.Update
			var err error
			asked := fault.Allocations(0, func() { want, err = calm.descend(t.Context(), 1) })
			require.NoError(t, err)
			require.Greater(t, asked, int64(30))
			before := hit.all(t)
			for n := int64(1); n <= asked; n++ {
				fault.Allocations(n, func() { _, err = hit.descend(t.Context(), 1) })
				require.ErrorIs(t, err, tensor.ErrOutOfMemory, "%s: allocation %d of step %d", name, n, step)
				require.True(t, reflect.DeepEqual(before, hit.all(t)), "%s: allocation %d of step %d has left something changed", name, n, step)
			}
			fault.Allocations(asked+1, func() { got, err = hit.descend(t.Context(), 1) })
			require.NoError(t, err)
			require.Equal(t, want, got, name)
			require.Equal(t, calm.all(t), hit.all(t), name)
			require.Greater(t, hit.a.Version(), before.va)
		}
	}
}

func TestDescendRefusesWhatIsNotFinite(t *testing.T) {
	testutil.NoLeak(t)
	w := newPupils(t, optimizers(t)["momentum"])
	before := w.all(t)
	for _, factor := range []float64{math.NaN(), math.Inf(1), 1e38} { // with the last one the loss alone is finite, at most
		_, err := w.descend(t.Context(), factor)
		require.ErrorIs(t, err, tensor.ErrNotFinite)
		require.Equal(t, before, w.all(t))
	}
	boom := errors.New("boom")
	fail := func(f func(s *scope) (*ten, error)) error {
		return tensor.Run(t.Context(), tensor.CPU, tensor.Training, func(s *scope) error {
			_, err := tensor.Descend(s, 0, []tensor.Learner{{w.a, w.oa, func(string) float64 { return 1 }}}, f)
			return err
		})
	}
	require.ErrorIs(t, fail(func(s *scope) (*ten, error) { return convLoss(s, w.a), boom }), boom)
	require.Equal(t, before, w.all(t), "statistics have moved and come back")
	func() {
		defer func() {
			p, ok := recover().(*tensor.Panic)
			require.True(t, ok)
			require.Equal(t, "boom", p.Value)
		}()
		_ = fail(func(s *scope) (*ten, error) { convLoss(s, w.a); panic("boom") })
	}()
	require.Equal(t, before, w.all(t))
	require.Error(t, fail(func(s *scope) (*ten, error) { return nil, nil }))

	// A step after all that is the first one.
	u, err := w.descend(t.Context(), 1)
	require.NoError(t, err)
	require.Greater(t, u.GradNorm, 0.0)
	calm := newPupils(t, optimizers(t)["momentum"])
	_, err = calm.descend(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, weights(t, calm.a), weights(t, w.a))
	require.NotEqual(t, before.a, weights(t, w.a))
	require.Equal(t, before.a[2], weights(t, w.a)[2], "rate 0")
}

func TestDescendRefusesLearners(t *testing.T) {
	testutil.NoLeak(t)
	w := newPupils(t, optimizers(t)["sgd"])
	rate := func(string) float64 { return 0.1 }
	descend := func(mode tensor.Mode, clip float64, learners ...tensor.Learner) error {
		return tensor.Run(t.Context(), tensor.CPU, mode, func(s *scope) error {
			_, err := tensor.Descend(s, clip, learners, func(s *scope) (*ten, error) { return convLoss(s, w.a), nil })
			return err
		})
	}
	good := tensor.Learner{Params: w.a, Optimizer: w.oa, Rate: rate}
	require.NoError(t, descend(tensor.Training, 0, good))
	before := w.all(t)
	require.ErrorContains(t, descend(tensor.Evaluation, 0, good), "evaluation")
	require.ErrorContains(t, descend(tensor.Training, math.NaN(), good), "clip")
	require.ErrorContains(t, descend(tensor.Training, 0, good, good), "shares")
	require.ErrorContains(t, descend(tensor.Training, 0, good, tensor.Learner{Params: w.b, Optimizer: w.oa, Rate: rate}), "shares")
	require.ErrorContains(t, descend(tensor.Training, 0, tensor.Learner{Params: w.a, Optimizer: w.oa}), "no Rate")
	require.Error(t, descend(tensor.Training, 0, tensor.Learner{Params: w.a, Optimizer: w.oa, Rate: func(string) float64 { return -1 }}))
	require.Equal(t, before, w.all(t))
}
