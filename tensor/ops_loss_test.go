package tensor_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

func targets(s *scope) *ten { return s.Cast(ints(s, 36, 2, 4, 5), tensor.Float32) }

func lossCases() map[string]func(s *scope) *ten {
	return map[string]func(s *scope) *ten{
		"CrossEntropyWeighted/rows": func(s *scope) *ten {
			return s.CrossEntropyWeighted(triple(s, 34, 6, 5), ints(s, 35, 5, 6), pos(s, 37, 5))
		},
		"CrossEntropyWeighted/positions": func(s *scope) *ten {
			return s.CrossEntropyWeighted(triple(s, 34, 2, 5, 3, 4), ints(s, 35, 5, 2, 3, 4), pos(s, 37, 5))
		},
		"BCEWithLogitsWeighted/rows": func(s *scope) *ten {
			return s.BCEWithLogitsWeighted(triple(s, 34, 4, 5), targets(s), s.MulScalar(pos(s, 37, 5), 3))
		},
		"BCEWithLogitsWeighted/more": func(s *scope) *ten {
			return s.BCEWithLogitsWeighted(triple(s, 34, 2, 4, 3), s.Cast(ints(s, 36, 2, 2, 4, 3), tensor.Float32), pos(s, 37, 3))
		},
	}
}

func TestWeightedLossGradientsEqualPyTorch(t *testing.T) {
	testutil.NoLeak(t)
	refs := fixture(t, "loss_gradients")
	for name, c := range map[string]struct {
		logits func(s *scope) *ten
		loss   func(s *scope, logits *ten) *ten
	}{
		"CrossEntropyWeighted": {func(s *scope) *ten { return triple(s, 34, 6, 5) }, func(s *scope, y *ten) *ten {
			return s.CrossEntropyWeighted(y, ints(s, 35, 5, 6), pos(s, 37, 5))
		}},
		"BCEWithLogitsWeighted": {func(s *scope) *ten { return triple(s, 34, 4, 5) }, func(s *scope, y *ten) *ten {
			return s.BCEWithLogitsWeighted(y, targets(s), s.MulScalar(pos(s, 37, 5), 3))
		}},
	} {
		p := network(t, []string{"logits"}, func(s *scope) []*ten { return []*ten{c.logits(s)} })
		run(t, tensor.Training, func(s *scope) error {
			s.Backward(s.MulScalar(c.loss(s, p.Get("logits")), 10))
			g := s.Grad(p.Get("logits"))
			require.NoError(t, refs[name].Compare(g.Shape(), floats(t, s, g), gradientTolerance), name)
			return s.Err()
		})
	}
}

func TestWeightedLossesRefuseShapes(t *testing.T) {
	testutil.NoLeak(t)
	for name, f := range map[string]func(s *scope){
		"classes":  func(s *scope) { s.CrossEntropyWeighted(x(s, 1, 6, 5), ints(s, 2, 5, 6), pos(s, 3, 4)) },
		"a vector": func(s *scope) { s.CrossEntropyWeighted(x(s, 1, 5), ints(s, 2, 5), pos(s, 3, 5)) },
		"labels":   func(s *scope) { s.BCEWithLogitsWeighted(x(s, 1, 4, 5), targets(s), pos(s, 3, 4)) },
		"targets":  func(s *scope) { s.BCEWithLogitsWeighted(x(s, 1, 3, 5), targets(s), pos(s, 3, 5)) },
	} {
		require.ErrorIs(t, failure(t, tensor.Evaluation, f), tensor.ErrShape, name)
	}
}
