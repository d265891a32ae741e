package onnx_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/hostile"
	"github.com/gotab/gotab/internal/onnx"
)

// No argument of anything that this package exports makes it panic, hang or take
// memory without bound.
func TestHostileArguments(t *testing.T) {
	r := hostile.Registry{
		Funcs: []any{onnx.AppendFloats, onnx.Fixed, onnx.Floats, onnx.Int, onnx.Integers, onnx.Ints, onnx.Read},
		Types: []any{
			new(onnx.Attribute), new(onnx.DType), new(onnx.Dim), new(onnx.Graph), new(onnx.Model), new(onnx.Node), new(onnx.Tensor), new(onnx.Value),
		},
	}
	missing, err := r.Missing(".")
	require.NoError(t, err)
	require.Empty(t, missing)
	r.Run(t, 400)
}
