package inputs

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// Programs say in a sentence how many threads they need and what helps, before their
// runtime ends them or libtorch waits.
func TestTooFewThreads(t *testing.T) {
	if out, parent := testutil.AsOtherUser(t); parent {
		require.Contains(t, out, "the limit was met")
		return
	}
	testutil.LimitThreads(t, 12)
	err := parsed(t, "-threads", "8").UseThreads()
	require.ErrorIs(t, err, tensor.ErrThreads)
	require.ErrorContains(t, err, "8 cores may take 26 more, and the system lets this process have ")
	require.ErrorContains(t, err, "1 takes the fewest")
	require.NotContains(t, err.Error(), "\n")
	require.NoError(t, parsed(t, "-threads", "1").UseThreads())
	testutil.LimitThreads(t, -1)
	require.NoError(t, parsed(t, "-threads", "8").UseThreads())
	fmt.Println("the limit was met")
}
