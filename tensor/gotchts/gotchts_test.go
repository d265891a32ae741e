package gotchts_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"

	"github.com/gotab/gotab/tensor"
	"github.com/gotab/gotab/tensor/gotchts"
)

func leakFree(t *testing.T) {
	t.Helper()
	start := tensor.Live()
	t.Cleanup(func() { require.Equal(t, start, tensor.Live()) })
}

func TestToGotch(t *testing.T) {
	leakFree(t)
	var y *ts.Tensor
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) (err error) {
		x := s.FromFloats([]float32{1, -2, 3, 4, 5, 6}, 2, 3)
		if y, err = gotchts.ToGotch(s, s.Transpose(x, 0, 1)); err != nil {
			return err
		}
		s.AddInto(x, x, 1) // one memory
		return s.Err()
	}))
	// The scope is gone, the other side's handle is not.
	require.Equal(t, []int64{3, 2}, y.MustSize())
	require.Equal(t, []float64{2, 8, -4, 10, 6, 12}, y.MustContiguous(false).Float64Values())
	require.Equal(t, gotch.Float, y.DType())
	require.NoError(t, y.Drop())

	err := tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		_, err := gotchts.ToGotch(s, nil)
		return err
	})
	require.ErrorIs(t, err, tensor.ErrReleased)
}

func TestFromGotch(t *testing.T) {
	leakFree(t)
	x, err := ts.OfSlice([]float32{1, 2, 3})
	require.NoError(t, err)
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		y := gotchts.FromGotch(s, x)
		require.Equal(t, tensor.CPU, y.Device())
		require.NoError(t, x.Drop()) // ours keeps the memory
		v, err := s.Floats(s.MulScalar(y, 2))
		require.Equal(t, []float32{2, 4, 6}, v)
		return err
	}))

	for _, bad := range []*ts.Tensor{nil, x} { // x is dropped
		err = tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
			require.False(t, gotchts.FromGotch(s, bad).Valid())
			return nil
		})
		require.ErrorIs(t, err, gotchts.ErrNil)
	}
	undefined := ts.NewTensor()
	err = tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		gotchts.FromGotch(s, undefined)
		return nil
	})
	require.ErrorIs(t, err, tensor.ErrReleased)
}

// Gradients flow through a tensor that went to ts and came back.
func TestGradientThroughBothSides(t *testing.T) {
	leakFree(t)
	p := tensor.NewParams(tensor.CPU)
	defer func() { require.NoError(t, p.Close()) }()
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Training, func(s *tensor.Scope) error {
		if err := p.Put(s, "w", s.FromFloats([]float32{1, 2, 3}, 3)); err != nil {
			return err
		}
		w, err := gotchts.ToGotch(s, p.Get("w"))
		if err != nil {
			return err
		}
		square, err := w.Mul(w, false)
		if err != nil {
			return err
		}
		s.Backward(s.Sum(gotchts.FromGotch(s, square), false))
		require.NoError(t, w.Drop())
		require.NoError(t, square.Drop())
		g, err := s.Floats(s.Grad(p.Get("w")))
		require.Equal(t, []float32{2, 4, 6}, g)
		return err
	}))
}

func TestManyHandOvers(t *testing.T) {
	leakFree(t)
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		x := s.Zeros(16)
		for range 200 {
			y, err := gotchts.ToGotch(s, x)
			if err != nil {
				return err
			}
			s.Free(gotchts.FromGotch(s, y))
			if err := y.Drop(); err != nil {
				return err
			}
		}
		return s.Err()
	}))
	require.LessOrEqual(t, len(ts.ExistingTensors), 4, "ts still knows %d tensors", len(ts.ExistingTensors))
}
