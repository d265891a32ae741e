package tensor_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// The kernel for channels-last maps is held against libtorch's for the other layout, to the bit: channel
// counts that do and do not fill vectors, windows beyond the border, sides of one pixel, values that are no numbers, several threads,
// and bfloat16, where a zero may come with the other sign.
func TestMaxPool2dChannelsLast(t *testing.T) {
	testutil.NoLeak(t)
	rng := rand.New(rand.NewPCG(3, 4))
	special := []float32{float32(math.NaN()), float32(math.Inf(-1)), float32(math.Inf(1)), float32(math.Copysign(0, -1)), -math.MaxFloat32}
	for _, c := range []struct{ n, c, h, w, k, stride, padding int64 }{
		{2, 64, 112, 112, 3, 2, 1}, {3, 8, 9, 7, 3, 2, 1}, {2, 21, 6, 5, 2, 1, 1}, {1, 3, 8, 8, 5, 3, 2}, {1, 16, 1, 6, 2, 2, 1}, {2, 9, 4, 1, 3, 1, 1},
		{1, 1, 5, 5, 3, 2, 0}, {4, 7, 3, 3, 3, 1, 0}, {1, 8, 4, 4, 1, 2, 0},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			v, err := tensor.Normal(rng, c.n*c.c*c.h*c.w, 1)
			require.NoError(t, err)
			for _, s := range special {
				v[rng.IntN(len(v))] = s
			}
			for i := range 4 {
				ctx, dt := tensor.WithThreads(t.Context(), 1+i%2), []tensor.DType{tensor.Float32, tensor.BFloat16}[i/2]
				require.NoError(t, tensor.Run(ctx, tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
					x := s.Cast(s.FromFloats(v, c.n, c.c, c.h, c.w), dt)
					want := s.MaxPool2d(x, c.k, c.stride, c.padding)
					last := s.MaxPool2d(s.ChannelsLast(x), c.k, c.stride, c.padding)
					require.NoError(t, s.Err())
					require.Equal(t, want.Shape(), last.Shape())
					require.Equal(t, dt, last.DType())
					a, b := floats(t, s, s.Cast(want, tensor.Float32)), floats(t, s, s.Cast(last, tensor.Float32))
					for i := range a {
						if math.IsNaN(float64(a[i])) && math.IsNaN(float64(b[i])) || dt == tensor.BFloat16 && a[i] == 0 && b[i] == 0 {
							continue
						}
						require.Equal(t, math.Float32bits(a[i]), math.Float32bits(b[i]), "value %d", i)
					}
					return s.Err()
				}))
			}
		})
	}
}

// A gradient goes to the maxima in either layout.
func TestMaxPool2dGradientChannelsLast(t *testing.T) {
	testutil.NoLeak(t)
	p := network(t, []string{"x"}, func(s *scope) []*ten { return []*ten{s.ChannelsLast(x(s, 6, 2, 8, 6, 6))} })
	run(t, tensor.Training, func(s *scope) error {
		s.Backward(s.Sum(s.MaxPool2d(p.Get("x"), 3, 2, 1), false))
		sum := 0.0
		for _, g := range floats(t, s, s.Grad(p.Get("x"))) {
			sum += float64(g)
		}
		require.InDelta(t, 2*8*3*3, sum, 1e-6)
		return s.Err()
	})
}

// BenchmarkMaxPool2d is the pooling behind a ResNet's stem.
func BenchmarkMaxPool2d(b *testing.B) {
	for i, dt := range []tensor.DType{tensor.Float32, tensor.BFloat16, tensor.Float32, tensor.BFloat16} {
		n := []int64{1, 32}[i/2]
		b.Run(fmt.Sprintf("batch=%d/%v", n, dt), func(b *testing.B) {
			require.NoError(b, tensor.Run(b.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
				x := s.ChannelsLast(s.Cast(s.Zeros(n, 64, 112, 112), dt))
				cpu := testutil.CPUSeconds()
				for b.Loop() {
					s.Sub(func(s *tensor.Scope) *tensor.Tensor { s.MaxPool2d(x, 3, 2, 1); return s.Zeros(1) })
				}
				b.ReportMetric(1e3*(testutil.CPUSeconds()-cpu)/float64(b.N), "cpu-ms/op")
				return s.Err()
			}))
		})
	}
}
