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

// The gradient is libtorch's for the other layout, to the bit: windows that overlap and lie beyond the border, equal values, of which the
// first counts, values that are no numbers, channels that do not fill vectors, several threads, and windows too large for our kernel.
func TestMaxPool2dGradientIsLibtorchs(t *testing.T) {
	testutil.NoLeak(t)
	rng := rand.New(rand.NewPCG(5, 6))
	for _, c := range []struct{ n, c, h, w, k, stride, padding int64 }{
		{3, 64, 30, 28, 3, 2, 1}, {2, 8, 9, 7, 3, 1, 1}, {2, 21, 6, 5, 2, 1, 1}, {1, 3, 8, 8, 5, 3, 2}, {2, 9, 4, 1, 3, 1, 1},
		{4, 7, 3, 3, 3, 1, 0}, {2, 16, 20, 20, 16, 1, 8}, {2, 16, 20, 20, 17, 1, 8},
	} {
		v, err := tensor.Normal(rng, c.n*c.c*c.h*c.w, 1)
		require.NoError(t, err)
		for i := range v { // many are equal
			v[i] = float32(math.Round(float64(2 * v[i])))
		}
		for range 3 {
			v[rng.IntN(len(v))] = float32(math.NaN())
			v[rng.IntN(len(v))] = float32(math.Inf(-1))
		}
		gradient := func(threads int, last bool) (maxima, g []float32) {
			p := network(t, []string{"x"}, func(s *scope) []*ten {
				x := s.FromFloats(v, c.n, c.c, c.h, c.w)
				if last {
					x = s.ChannelsLast(x)
				}
				return []*ten{x}
			})
			require.NoError(t, tensor.Run(tensor.WithThreads(t.Context(), threads), tensor.CPU, tensor.Training, func(s *scope) error {
				y := s.MaxPool2d(p.Get("x"), c.k, c.stride, c.padding)
				maxima = floats(t, s, y)
				weight, err := tensor.Normal(rand.New(rand.NewPCG(7, 8)), y.Len(), 1)
				require.NoError(t, err)
				// What the gradient is that comes in, whatever the values are.
				s.Backward(s.Sum(s.Mul(y, s.FromFloats(weight, y.Shape()...)), false))
				g = floats(t, s, s.Grad(p.Get("x")))
				return s.Err()
			}))
			return maxima, g
		}
		want, wantG := gradient(1, false)
		for threads := 1; threads <= 2; threads++ {
			got, g := gradient(threads, true)
			require.Equal(t, bits(want), bits(got), "%v", c)
			require.Equal(t, bits(wantG), bits(g), "%v", c)
		}
	}
}

// bits are those of values, of which all that are no numbers are one.
func bits(v []float32) []uint32 {
	out := make([]uint32, len(v))
	for i, x := range v {
		if out[i] = math.Float32bits(x); x != x {
			out[i] = math.Float32bits(float32(math.NaN()))
		}
	}
	return out
}

// Until Backward a maximum keeps a byte for each of its values, and nothing of the map that it is taken of.
func TestMaxPool2dKeepsNoMap(t *testing.T) {
	testutil.NoLeak(t)
	const n, c, side = 2, 64, 256
	p := network(t, []string{"w"}, func(s *scope) []*ten { return []*ten{s.Full(1, tensor.Float32, 1, c, 1, 1)} })
	tensor.ReleasePool()
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Training, func(s *scope) error {
		y := s.Sub(func(s *scope) *ten {
			x := s.ChannelsLast(s.Zeros(n, c, side, side)) // 32 MB
			return s.MaxPool2d(s.Add(x, p.Get("w")), 3, 2, 1)
		})
		require.NoError(t, s.Err())
		const maps = 3 // zeros, the same channels-last, and what is pooled
		require.GreaterOrEqual(t, tensor.PooledBytes(), int64(maps*4*n*c*side*side), "all that was in use but the maxima is free")
		s.Backward(s.Sum(y, false))
		return s.Err()
	}))
	tensor.ReleasePool()
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
