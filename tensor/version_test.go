package tensor_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/tensor"
)

func TestLibtorchVersion(t *testing.T) {
	require.Regexp(t, `^\d+\.\d+\.\d+`, tensor.LibtorchVersion())
}
