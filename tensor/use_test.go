package tensor_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// What bounds the threads of a process leaves Fixed as it is, and 0 leaves all of it.
func TestUseThreads(t *testing.T) {
	procs, threads := runtime.GOMAXPROCS(0), tensor.GetThreads()
	t.Cleanup(func() {
		runtime.GOMAXPROCS(procs)
		require.NoError(t, tensor.SetThreads(threads))
	})
	require.NoError(t, tensor.SetThreads(tensor.Threads{Cores: 3, PerRun: 1, Fixed: true}))
	one := func() {
		require.Equal(t, 1, runtime.GOMAXPROCS(0))
		require.Equal(t, tensor.Threads{Cores: 1, PerRun: 1, Fixed: true}, tensor.GetThreads())
	}
	require.NoError(t, tensor.UseThreads(1))
	one()
	require.NoError(t, tensor.UseThreads(0))
	one()
	for _, n := range []int{-1, 4097} {
		require.Error(t, tensor.UseThreads(n))
		one()
	}
}

// Where the system refuses the threads all is as it was.
func TestUseThreadsRestores(t *testing.T) {
	if out, parent := testutil.AsOtherUser(t); parent {
		require.Contains(t, out, "the limit was met")
		return
	}
	was := tensor.Threads{Cores: 2, PerRun: 1, Fixed: true}
	require.NoError(t, tensor.SetThreads(was))
	runtime.GOMAXPROCS(3)
	testutil.LimitThreads(t, 12)
	err := tensor.UseThreads(8)
	require.ErrorIs(t, err, tensor.ErrThreads)
	require.ErrorContains(t, err, "1 takes the fewest")
	require.NotContains(t, err.Error(), "\n")
	require.Equal(t, 3, runtime.GOMAXPROCS(0))
	require.Equal(t, was, tensor.GetThreads())
	testutil.LimitThreads(t, -1)
	require.NoError(t, tensor.UseThreads(8))
	fmt.Println("the limit was met")
}
