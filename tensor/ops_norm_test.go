package tensor_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/tensor"
)

func TestNorm(t *testing.T) {
	start := tensor.Live()
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		x := s.FromFloats([]float32{3, 4, 0, -5, 8, -6}, 3, 2)
		rows := s.Norm(x, -1)
		require.Equal(t, []int64{3}, rows.Shape())
		v, err := s.Floats(rows)
		require.NoError(t, err)
		require.Equal(t, []float32{5, 5, 10}, v)
		v, err = s.Floats(s.Norm(s.Transpose(x, 0, 1), 0))
		require.Equal(t, []float32{5, 5, 10}, v)
		return err
	}))
	require.ErrorIs(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		s.Norm(s.Zeros(2, 2), 2)
		return nil
	}), tensor.ErrShape)
	require.Equal(t, start, tensor.Live())
}
