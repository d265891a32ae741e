package downstream_test

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/internal/fault"
	"github.com/gotab/gotab/tensor"
)

// everything is what a training has: weights, statistics, the optimizers' states and
// counts.
func everything(t *testing.T, tr *downstream.Trainee) (all [][]tensor.Array) {
	t.Helper()
	for _, p := range tr.Sets {
		a, err := p.Arrays(t.Context())
		require.NoError(t, err)
		all = append(all, a)
	}
	for _, o := range tr.Rules {
		a, err := o.State(t.Context())
		require.NoError(t, err)
		all = append(all, a)
	}
	return all
}

// Wherever in a step of a trainer memory runs out, nothing has moved, and the next
// step is that of a training in which nothing happened.
func TestStepsOfAllTrainersAreWholeOrNotAtAll(t *testing.T) {
	noLeak(t)
	good := memory(t, textures(4, 1, fakeSide))
	for name, c := range map[string]struct {
		stride int64 // of the allocations that are tried: all of a small step, every so-many-th of a large one
		begin  func() (*downstream.Trainee, error)
	}{
		"rd4ad": {stride: 19, begin: func() (*downstream.Trainee, error) {
			return downstream.RD4ADTrainee(t.Context(), newRD4AD(t, &fake{scale: 1}, rd4adConfig(), 1), good)
		}},
		"simplenet": {stride: 1, begin: func() (*downstream.Trainee, error) {
			p, err := downstream.NewSimpleNet(&fake{scale: 1}, simpleConfig(), simpleRand())
			require.NoError(t, err)
			return downstream.SimpleNetTrainee(t.Context(), p, good)
		}},
		"regad": {stride: 37, begin: func() (*downstream.Trainee, error) {
			cfg := regadConfig()
			cfg.Queries, cfg.Shots, cfg.Rate = 2, 1, 0.01
			return downstream.RegADTrainee(t.Context(), newTiny(t, &fake{scale: 1}, cfg), products())
		}},
		"classifier, frozen": {stride: 1, begin: func() (*downstream.Trainee, error) {
			cfg := frozenConfig(downstream.MultiLabel)
			cfg.Rule, cfg.SGD.Nesterov, cfg.SGD.WeightDecay, cfg.Warmup = "sgd", true, 0.1, 0
			return downstream.ClassifierTrainee(t.Context(), newClassifier(t, smallNet(t), cfg), bits(t, 8, 1))
		}},
		"classifier, trained": {stride: 211, begin: func() (*downstream.Trainee, error) {
			cfg := frozenConfig(downstream.MultiLabel)
			cfg.Frozen, cfg.Batch, cfg.Warmup = false, 4, 0
			return downstream.ClassifierTrainee(t.Context(), newClassifier(t, smallNet(t), cfg), bits(t, 4, 1))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			calm, err := c.begin()
			require.NoError(t, err)
			hit, err := c.begin()
			require.NoError(t, err)
			require.True(t, reflect.DeepEqual(everything(t, calm), everything(t, hit)))
			for step := range 2 { // the first makes the optimizers' states
				var want, got float64
				asked := fault.Allocations(0, func() { want, err = calm.Step(t.Context()) })
				require.NoError(t, err)
				require.Greater(t, asked, int64(20))
				before := everything(t, hit)
				for n := int64(1); n <= asked; n += c.stride {
					fault.Allocations(n, func() { _, err = hit.Step(t.Context()) })
					require.ErrorIs(t, err, tensor.ErrOutOfMemory, "allocation %d of step %d", n, step)
					require.True(t, reflect.DeepEqual(before, everything(t, hit)), "allocation %d of step %d has left something changed", n, step)
				}
				got, err = hit.Step(t.Context())
				require.NoError(t, err)
				require.Equal(t, want, got)
				after := everything(t, hit)
				require.True(t, reflect.DeepEqual(everything(t, calm), after), "the step after failures is another one")
				require.False(t, reflect.DeepEqual(before, after), "nothing moves")
				if step == 0 {
					t.Logf("%d allocations a step", asked)
				}
			}
			require.NoError(t, calm.Close())
			require.NoError(t, hit.Close())
		})
	}
}
