package safetensors_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/hostile"
	"github.com/gotab/gotab/internal/safetensors"
)

// No argument of anything that this package exports makes it panic, hang or take
// memory without bound.
func TestHostileArguments(t *testing.T) {
	r := hostile.Registry{
		Funcs: []any{
			safetensors.Float32Bytes, safetensors.Stranger, safetensors.Write, safetensors.Open, safetensors.Read,
		},
		Types: []any{
			new(safetensors.DType), new(safetensors.File), new(safetensors.Info), new(safetensors.Tensor),
		},
	}
	missing, err := r.Missing(".")
	require.NoError(t, err)
	require.Empty(t, missing)
	r.Run(t, 400)
}
