package tensor

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/tensor/internal/native"
)

// A bucket is complete as soon as the backward pass has its last gradient, and not when somebody
// asks for it; what has no gradient is zero in the end.
func TestBucketsAreCompleteDuringBackward(t *testing.T) {
	before := Live()
	p := NewParams(CPU)
	require.NoError(t, Run(t.Context(), CPU, Training, func(s *Scope) error {
		require.NoError(t, errors.Join(
			p.Put(s, "first", s.Full(2, Float32, 2, 3)),
			p.Put(s, "idle", s.Full(1, Float32, 4)),
			p.Put(s, "image", s.ChannelsLast(s.FromFloats([]float32{1, 2, 3, 4, 5, 6, 7, 8}, 1, 2, 2, 2)))))
		ws := []*Tensor{p.Get("image"), p.Get("first"), p.Get("idle")}
		loss := s.Add(s.Sum(s.Square(p.Get("first")), false), s.Sum(s.Square(p.Get("image")), false))
		reached, err := native.Reached(loss.h, handles(ws))
		require.NoError(t, err)
		require.Equal(t, []bool{true, true, false}, reached)
		v := make([]float32, 18)
		for i := range v {
			v[i] = -1
		}
		w, err := native.WatchGradients(v, handles(ws), []int64{0, 8, 14}, []int32{0, 1, 2}, 3)
		require.NoError(t, err)
		s.Backward(loss)
		w.Wait(1) // would wait for ever for what Finish alone completes
		require.Equal(t, []float32{2, 4, 6, 8, 10, 12, 14, 16, 4, 4, 4, 4, 4, 4, -1, -1, -1, -1}, v, "row by row, whatever the layout in memory")
		require.Equal(t, []bool{true, true, false}, w.Finish())
		w.Wait(2)
		w.Free()
		require.Equal(t, []float32{0, 0, 0, 0}, v[14:])
		// The hooks are gone: a second pass reaches nobody.
		s.Backward(s.Sum(s.Square(p.Get("first")), false))
		require.Equal(t, float32(4), v[8])
		// A gradient that there is not is made in the layout of its weight.
		for _, n := range []string{"idle", "image"} {
			g := make([]float32, p.Get(n).Len())
			for i := range g {
				g[i] = float32(i)
			}
			require.NoError(t, native.PutGradient(p.Get(n).h, g))
			got, err := s.Floats(s.Grad(p.Get(n)))
			require.NoError(t, err)
			require.Equal(t, g, got)
		}
		return s.Err()
	}))
	require.NoError(t, p.Close())
	require.Equal(t, before, Live())
}
