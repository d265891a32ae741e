package layers_test

import (
	"context"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

func TestMain(m *testing.M) { os.Exit(testutil.OneThread(m)) }

// foldTolerance is relative to the largest value: the factors of batch norm are
// multiplied in another order.
const foldTolerance = 1e-5

// bound draws the parameters of units, moves their statistics away from 0 and 1,
// and binds them.
func bound(t *testing.T, units ...*layers.ConvNorm) *tensor.Params {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 4))
	p := tensor.NewParams(tensor.CPU)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		for _, u := range units {
			arrays := map[string]tensor.Array{}
			fresh, err := u.Fresh(rng)
			if err != nil {
				return err
			}
			for i, a := range fresh {
				if len(a.Shape) == 1 {
					v, err := tensor.Uniform(rng, a.Shape[0], 0.5)
					if err != nil {
						return err
					}
					for k := range v {
						v[k] += []float32{0, 1, 0, 0, 1, 0}[i]
					}
					a = tensor.FloatArray(a.Name, v, a.Shape...)
				}
				arrays[a.Name] = a
			}
			if err := layers.Put(s, p, u.Specs(), arrays); err != nil {
				return err
			}
			require.NoError(t, u.Bind(p))
		}
		return nil
	}))
	return p
}

func input(s *tensor.Scope, shape ...int64) *tensor.Tensor {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	v, err := tensor.Normal(rand.New(rand.NewPCG(5, 6)), n, 1)
	if err != nil {
		s.Fail(err)
	}
	return s.ChannelsLast(s.FromFloats(v, shape...))
}

func requireClose(t *testing.T, s *tensor.Scope, want, got *tensor.Tensor) {
	t.Helper()
	require.NoError(t, s.Err())
	require.Equal(t, want.Shape(), got.Shape())
	worst, err := s.Float(s.Max(s.Abs(s.Minus(want, got)), false))
	require.NoError(t, err)
	top, err := s.Float(s.Max(s.Abs(want), false))
	require.NoError(t, err)
	require.LessOrEqual(t, worst, foldTolerance*top)
	require.Greater(t, top, 0.1)
}

func TestFoldedUnitEqualsPlain(t *testing.T) {
	testutil.NoLeak(t)
	for name, u := range map[string]*layers.ConvNorm{
		"strided":    {Name: "c", Norm: "b", In: 8, Out: 16, Kernel: 3, Conv: tensor.Conv{Stride: 2, Padding: 1}},
		"pointwise":  {Name: "c", Norm: "b", In: 8, Out: 4, Kernel: 1},
		"transposed": {Name: "c", Norm: "b", In: 8, Out: 6, Kernel: 2, Conv: tensor.Conv{Stride: 2}, Transposed: true},
	} {
		t.Run(name, func(t *testing.T) {
			bound := bound(t, u)
			folded := tensor.NewParams(tensor.CPU)
			defer folded.Close()
			require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
				x := input(s, 2, 8, 7, 5)
				want := u.Forward(s, x, false)
				f, err := u.Fold(s, folded, [4]int64{2, 8, 7, 5})
				if err != nil {
					return err
				}
				requireClose(t, s, want, f.Forward(s, x, false))
				requireClose(t, s, s.ReLU(want), f.Forward(s, x, true))
				h, w := u.Size(7, 5)
				require.Equal(t, []int64{2, u.Out, h, w}, want.Shape())
				seen, err := s.Ints(bound.Get("b" + layers.Counter))
				require.NoError(t, err)
				require.Equal(t, []int64{0}, seen, "evaluation counts nothing")
				return s.Err()
			}))
		})
	}
}

func TestFoldedBlockEqualsPlain(t *testing.T) {
	testutil.NoLeak(t)
	unit := func(name string, in, out, k, stride int64) layers.ConvNorm {
		return layers.ConvNorm{Name: name, Norm: name + "n", In: in, Out: out, Kernel: k, Conv: tensor.Conv{Stride: stride, Padding: k / 2}}
	}
	down := unit("d", 8, 16, 1, 2)
	up := layers.ConvNorm{Name: "u", Norm: "un", In: 8, Out: 16, Kernel: 2, Conv: tensor.Conv{Stride: 2}, Transposed: true}
	around := up
	around.Name, around.Norm = "a", "an"
	for name, b := range map[string]*layers.Block{
		"identity": {Path: []layers.ConvNorm{unit("1", 8, 8, 3, 1), unit("2", 8, 8, 3, 1)}},
		"strided":  {Path: []layers.ConvNorm{unit("1", 8, 4, 1, 1), unit("2", 4, 4, 3, 2), unit("3", 4, 16, 1, 1)}, Down: &down},
		"enlarged": {Path: []layers.ConvNorm{up, unit("2", 16, 16, 3, 1)}, Down: &around},
	} {
		t.Run(name, func(t *testing.T) {
			bound(t, b.Units()...)
			folded := tensor.NewParams(tensor.CPU)
			defer folded.Close()
			require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
				x := input(s, 2, 8, 6, 6)
				before, err := s.Floats(x)
				require.NoError(t, err)
				want := b.Forward(s, x, false)
				f, err := b.Fold(s, folded, [4]int64{2, 8, 6, 6})
				if err != nil {
					return err
				}
				requireClose(t, s, want, f.Forward(s, x, true))
				after, err := s.Floats(x)
				require.NoError(t, err)
				require.Equal(t, before, after, "an input that is kept does not change")
				requireClose(t, s, want, f.Forward(s, x, false))
				return s.Err()
			}))
		})
	}
}

// Training moves the statistics; a missing parameter is named.
func TestTrainingAndBinding(t *testing.T) {
	testutil.NoLeak(t)
	u := &layers.ConvNorm{Name: "c", Norm: "b", In: 3, Out: 4, Kernel: 1}
	p := bound(t, u)
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Training, func(s *tensor.Scope) error {
		before, err := s.Floats(p.Get("b.running_mean"))
		require.NoError(t, err)
		u.Forward(s, input(s, 2, 3, 4, 4), true)
		after, err := s.Floats(p.Get("b.running_mean"))
		require.NoError(t, err)
		require.NotEqual(t, before, after)
		seen, err := s.Ints(p.Get("b" + layers.Counter))
		require.NoError(t, err)
		require.Equal(t, []int64{1}, seen)
		return s.Err()
	}))
	other := &layers.ConvNorm{Name: "c", Norm: "elsewhere", In: 3, Out: 4, Kernel: 1}
	require.ErrorContains(t, other.Bind(p), "elsewhere.weight is missing")
	empty := tensor.NewParams(tensor.CPU)
	defer empty.Close()
	require.ErrorIs(t, tensor.Run(context.Background(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		return layers.Put(s, empty, u.Specs(), nil)
	}), tensor.ErrName)
}
