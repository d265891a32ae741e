package tensor_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// formula is the generator of all inputs; testdata/parity/make.py has the same.
func formula(i, seed int64) int64 { return (31*i*i + 1237*i + 1009*seed) % 2003 }

func elements(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

// values are in (-0.98, 0.98) and exact in float32.
func values(seed int64, shape ...int64) []float32 {
	v := make([]float32, elements(shape))
	for i := range v {
		v[i] = float32(formula(int64(i), seed)-1001) / 1024
	}
	return v
}

func integers(seed, mod int64, shape ...int64) []int64 {
	v := make([]int64, elements(shape))
	for i := range v {
		v[i] = formula(int64(i), seed) % mod
	}
	return v
}

func x(s *tensor.Scope, seed int64, shape ...int64) *tensor.Tensor {
	return s.FromFloats(values(seed, shape...), shape...)
}

// pos is x moved into (0.27, 2.23).
func pos(s *tensor.Scope, seed int64, shape ...int64) *tensor.Tensor {
	v := values(seed, shape...)
	for i := range v {
		v[i] += 1.25
	}
	return s.FromFloats(v, shape...)
}

// triple is 3 x.
func triple(s *tensor.Scope, seed int64, shape ...int64) *tensor.Tensor {
	v := values(seed, shape...)
	for i := range v {
		v[i] *= 3
	}
	return s.FromFloats(v, shape...)
}

func ints(s *tensor.Scope, seed, mod int64, shape ...int64) *tensor.Tensor {
	return s.FromInts(integers(seed, mod, shape...), shape...)
}

func fixture(t *testing.T, name string) map[string]testutil.Reference {
	t.Helper()
	return testutil.Fixture(t, filepath.Join("testdata", "parity", name+".json"))
}

// run is a Run on the CPU that must succeed.
func run(t *testing.T, mode tensor.Mode, fn func(s *tensor.Scope) error) {
	t.Helper()
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, mode, fn))
}

// failure is the error of a Run that must fail.
func failure(t *testing.T, mode tensor.Mode, fn func(s *tensor.Scope)) error {
	t.Helper()
	err := tensor.Run(t.Context(), tensor.CPU, mode, func(s *tensor.Scope) error { fn(s); return nil })
	require.Error(t, err)
	return err
}

// floats reads a tensor that must be there.
func floats(t *testing.T, s *tensor.Scope, y *tensor.Tensor) []float32 {
	t.Helper()
	v, err := s.Floats(y)
	require.NoError(t, err)
	return v
}
