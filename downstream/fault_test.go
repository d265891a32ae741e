package downstream_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/internal/testutil"
)

// Wherever in a step of a trainer memory runs out, nothing has moved, and the next
// step is that of a training in which nothing happened.
func TestStepsOfAllTrainersAreWholeOrNotAtAll(t *testing.T) {
	noLeak(t)
	good := memory(t, textures(4, 1, fakeSide))
	for name, c := range map[string]struct {
		stride int64 // of the allocations that are tried: all of a small step, every so-many-th of a large one
		begin  func() (*testutil.Trainee, error)
	}{
		"rd4ad": {stride: 19, begin: func() (*testutil.Trainee, error) {
			return downstream.RD4ADTrainee(t.Context(), newRD4AD(t, &fake{scale: 1}, rd4adConfig(), 1), good)
		}},
		"simplenet": {stride: 1, begin: func() (*testutil.Trainee, error) {
			p, err := downstream.NewSimpleNet(&fake{scale: 1}, simpleConfig(), simpleRand())
			require.NoError(t, err)
			return downstream.SimpleNetTrainee(t.Context(), p, good)
		}},
		"regad": {stride: 37, begin: func() (*testutil.Trainee, error) {
			cfg := regadConfig()
			cfg.Queries, cfg.Shots, cfg.Rate = 2, 1, 0.01
			return downstream.RegADTrainee(t.Context(), newTiny(t, &fake{scale: 1}, cfg), products())
		}},
	} {
		t.Run(name, func(t *testing.T) {
			testutil.RequireWholeSteps(t, c.stride, c.begin)
		})
	}
}
