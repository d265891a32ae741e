package tensor

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/tensor/internal/native"
)

// Tensors of types that this package does not know come from other code through
// Adopt. They may be computed with, but not be copied out as bytes: their size is
// not known here, and a guess of 8 would read past an allocation of 4 a value.
func TestAdoptedTypesAreNotReadAsBytes(t *testing.T) {
	for code, real := range map[int32]bool{1: true, 2: true, 3: true, 9: false, 10: false} { // int8, int16, int32, complex
		p := NewParams(CPU)
		require.NoError(t, Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
			h, err := native.Full([]int64{5}, 1, code, CPU.code())
			if err != nil {
				return err
			}
			x := s.Adopt(unsafe.Pointer(h))
			require.Equal(t, DType(code), x.DType())
			require.Equal(t, []int64{5}, x.Shape())
			require.NotPanics(t, func() { _ = x.String() })
			if real {
				v, err := s.Floats(s.AddScalar(x, 1))
				require.NoError(t, err)
				require.Equal(t, []float32{2, 2, 2, 2, 2}, v)
			}
			return p.PutBuffer(s, "x", x)
		}))
		arrays, err := p.Arrays(t.Context())
		require.ErrorContains(t, err, `"x"`, "code %d", code)
		require.Nil(t, arrays, "code %d", code)
		if !real { // the imaginary part has no place in a float
			require.Error(t, Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
				_, err := s.Floats(p.Get("x"))
				return err
			}), "code %d", code)
		}
		require.NoError(t, p.Close())
	}
}
