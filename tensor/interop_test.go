package tensor_test

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

func TestHandleAndAdopt(t *testing.T) {
	testutil.NoLeak(t)
	var p unsafe.Pointer
	run(t, tensor.Evaluation, func(s *scope) (err error) {
		y := x(s, 7, 3, 4)
		start := tensor.Live()
		p, err = s.Handle(y)
		require.Equal(t, start, tensor.Live(), "the caller's handle is not counted")
		s.ScaleInto(y, 2) // one memory
		return err
	})
	run(t, tensor.Evaluation, func(s *scope) error {
		start := tensor.Live()
		y := s.Adopt(p)
		require.Equal(t, start+1, tensor.Live())
		require.Equal(t, tensor.CPU, y.Device())
		require.Equal(t, []int64{3, 4}, y.Shape())
		for i, v := range floats(t, s, y) {
			require.Equal(t, 2*values(7, 3, 4)[i], v)
		}
		return s.Err()
	})
	require.ErrorIs(t, failure(t, tensor.Evaluation, func(s *scope) { s.Adopt(nil) }), tensor.ErrReleased)
	require.ErrorIs(t, failure(t, tensor.Evaluation, func(s *scope) {
		h, err := s.Handle(nil)
		require.Nil(t, h)
		require.Error(t, err)
	}), tensor.ErrReleased)
}
