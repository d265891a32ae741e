package tensor

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// With oneDNN's own 1024, processes that used more shapes than that crashed where
// several Runs convolved at once.
func TestPrimitivesAreKept(t *testing.T) {
	require.NoError(t, Run(t.Context(), CPU, Evaluation, func(*Scope) error { return nil }))
	n, err := strconv.Atoi(keptPrimitives())
	require.NoError(t, err)
	require.Greater(t, n, 1024)
}
