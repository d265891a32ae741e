package tensor_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// A Run that cannot have its threads fails; libtorch would wait for them for ever. One
// that needs none, or comes when the limit is gone, does not.
func TestProcessLimit(t *testing.T) {
	if out, parent := testutil.AsOtherUser(t); parent {
		require.Contains(t, out, "the limit was met")
		return
	}
	require.NoError(t, tensor.SetThreads(tensor.Threads{Cores: 8, PerRun: 8}))
	run := func(n int) error {
		return tensor.Run(tensor.WithThreads(t.Context(), n), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
			x := s.Full(1, tensor.Float32, 64, 64)
			_ = s.MatMul(x, x)
			return s.Err()
		})
	}
	require.NoError(t, run(1))
	testutil.LimitThreads(t, 9)
	require.ErrorIs(t, run(8), tensor.ErrThreads)
	require.ErrorContains(t, run(8), "ulimit -u")
	require.NoError(t, run(1), "one thread needs no other")
	require.ErrorIs(t, tensor.GetThreads().Try(), tensor.ErrThreads)
	require.NoError(t, tensor.Threads{Cores: 1, PerRun: 1}.Try())
	testutil.LimitThreads(t, -1)
	require.NoError(t, tensor.GetThreads().Try())
	require.NoError(t, run(8))
	fmt.Println("the limit was met")
}
