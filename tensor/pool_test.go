package tensor_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// residual computes a small residual block's loss and the gradients of its two
// weights, in place or not.
func residual(t *testing.T, inPlace bool) (loss []float32, grads [][]float32) {
	t.Helper()
	p := tensor.NewParams(tensor.CPU)
	defer p.Close()
	err := tensor.Run(t.Context(), tensor.CPU, tensor.Training, func(s *tensor.Scope) error {
		w := make([]float32, 4*4*3*3)
		x := make([]float32, 2*4*8*8)
		for i := range w {
			w[i] = float32(i%7-3) / 10
		}
		for i := range x {
			x[i] = float32(i%11-5) / 4
		}
		require.NoError(t, p.Put(s, "w", s.FromFloats(w, 4, 4, 3, 3)))
		require.NoError(t, p.Put(s, "gamma", s.FromFloats([]float32{1, 2, 3, 4}, 4)))
		require.NoError(t, p.PutBuffer(s, "zero", s.Zeros(4)))
		require.NoError(t, p.PutBuffer(s, "mean", s.Zeros(4)))
		require.NoError(t, p.PutBuffer(s, "variance", s.Full(1, tensor.Float32, 4)))
		in := s.FromFloats(x, 2, 4, 8, 8)
		norm := func(y *tensor.Tensor) *tensor.Tensor {
			return s.BatchNorm(y, p.Get("gamma"), p.Get("zero"), p.Get("mean"), p.Get("variance"), true, 0.1, 1e-5)
		}
		y := norm(s.Conv2d(in, p.Get("w"), nil, tensor.Conv{Padding: 1}))
		if inPlace {
			y = s.ReLUInto(s.PlusInto(norm(s.Conv2d(s.LeakyReLUInto(y, 0.2), p.Get("w"), nil, tensor.Conv{Padding: 1})), in))
		} else {
			y = s.ReLU(s.Add(norm(s.Conv2d(s.LeakyReLU(y, 0.2), p.Get("w"), nil, tensor.Conv{Padding: 1})), in))
		}
		l := s.Mean(s.Square(y), false)
		s.Backward(l)
		var err error
		loss, err = s.Floats(l)
		require.NoError(t, err)
		for _, n := range []string{"w", "gamma"} {
			g, err := s.Floats(s.Grad(p.Get(n)))
			require.NoError(t, err)
			grads = append(grads, g)
		}
		return s.Err()
	})
	require.NoError(t, err)
	return loss, grads
}

func TestInPlaceEqualsOutOfPlace(t *testing.T) {
	testutil.NoLeak(t)
	loss, grads := residual(t, false)
	gotLoss, gotGrads := residual(t, true)
	require.Equal(t, loss, gotLoss)
	require.Equal(t, grads, gotGrads)
	err := tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		s.PlusInto(s.Zeros(2, 3), s.Zeros(3))
		return nil
	})
	require.ErrorIs(t, err, tensor.ErrShape)
}

const block = 1 << 20 // floats: blocks of four megabytes

func TestTrainingUsesItsBlocksAgain(t *testing.T) {
	testutil.NoLeak(t)
	tensor.ReleasePool()
	work := func(mode tensor.Mode, blocks int) {
		require.NoError(t, tensor.Run(context.Background(), tensor.CPU, mode, func(s *tensor.Scope) error {
			for range blocks {
				s.Zeros(block)
			}
			return s.Err()
		}))
	}
	work(tensor.Evaluation, 4)
	require.Zero(t, tensor.PooledBytes(), "evaluation does not use the pool")
	work(tensor.Training, 4)
	require.EqualValues(t, 4*4*block, tensor.PooledBytes())
	for range 10 {
		work(tensor.Training, 4)
	}
	require.EqualValues(t, 4*4*block, tensor.PooledBytes(), "the most that was in use at one time")

	// Blocks of another size push kept ones out: the total stays within the peak.
	require.NoError(t, tensor.Run(context.Background(), tensor.CPU, tensor.Training, func(s *tensor.Scope) error {
		s.Zeros(3 * block)
		require.LessOrEqual(t, tensor.PooledBytes(), int64(4*block))
		return s.Err()
	}))
	require.LessOrEqual(t, tensor.PooledBytes(), int64(4*4*block))
	tensor.ReleasePool()
	require.Zero(t, tensor.PooledBytes())
}

func TestPoolAndOutOfMemory(t *testing.T) {
	testutil.NoLeak(t)
	tensor.ReleasePool()
	defer tensor.ReleasePool()
	err := tensor.Run(t.Context(), tensor.CPU, tensor.Training, func(s *tensor.Scope) error {
		s.Zeros(block)
		s.Zeros(1 << 50)
		return nil
	})
	require.True(t, errors.Is(err, tensor.ErrOutOfMemory), err)
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Training, func(s *tensor.Scope) error {
		_, err := s.Floats(s.Zeros(block))
		return err
	}))
}
