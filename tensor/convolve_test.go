package tensor

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/tensor/internal/native"
)

// trained is a convolution of a training: input and weight, and which of them are to have a gradient.
type trained struct {
	n, c, o, h, w int64
	x, weight     bool
	first         bool // the input is not channels-last
	threads       int
}

// learn convolves as c says in the type t, and returns what came out, and the gradients of the sum of its products with fixed numbers; nil for
// those that there are not.
func (c trained) learn(t *testing.T, dt DType) (y, x, weight []float32) {
	t.Helper()
	p := NewParams(CPU)
	defer func() { require.NoError(t, p.Close()) }()
	put := func(s *Scope, name string, trainable bool, v *Tensor) {
		if name == "w" || !c.first {
			v = s.ChannelsLast(v)
		}
		if trainable {
			require.NoError(t, p.Put(s, name, s.Cast(v, dt)))
		} else {
			require.NoError(t, p.PutBuffer(s, name, s.Cast(v, dt)))
		}
	}
	ctx := WithThreads(t.Context(), max(c.threads, 1))
	require.NoError(t, Run(ctx, CPU, Training, func(s *Scope) error {
		put(s, "x", c.x, s.FromFloats(image(t, 11, c.n, c.c, c.h, c.w), c.n, c.c, c.h, c.w))
		put(s, "w", c.weight, wave(s, 1, c.o, c.c, 3, 3))
		ups := image(t, 12, c.n, c.o, c.h, c.w)
		for i := range ups {
			ups[i] = 1 - 2*ups[i]
		}
		up := s.Cast(s.FromFloats(ups, c.n, c.o, c.h, c.w), dt)
		out := s.Conv2d(p.Get("x"), p.Get("w"), nil, Conv{Padding: 1})
		if c.x || c.weight {
			s.Backward(s.MulScalar(s.Mean(s.Mul(out, up), false), float64(len(ups))))
		}
		require.NoError(t, s.Err())
		get := func(name string, want bool) []float32 {
			g := s.Grad(p.Get(name))
			require.Equal(t, want, g != nil, name)
			if g == nil {
				return nil
			}
			return floats(t, s, s.Cast(g, Float32))
		}
		y, x, weight = floats(t, s, s.Cast(out, Float32)), get("x", c.x), get("w", c.weight)
		return s.Err()
	}))
	return y, x, weight
}

// near holds got against want, to a share of want's largest value.
func near(t *testing.T, want, got []float32, share float64, what string) {
	t.Helper()
	require.Len(t, got, len(want), what)
	largest := 0.0
	for _, v := range want {
		largest = max(largest, math.Abs(float64(v)))
	}
	for i := range want {
		require.InDelta(t, want[i], got[i], share*largest, "%s, value %d of %d", what, i, len(want))
	}
}

// Plain sums in double precision are the slow twin of a convolution and of its way back, for tiles of both sizes, maps that they do not fill, and
// ways back that a kernel of ours does not take (96 to 48 channels: 48 is no multiple of 32).
func TestConvolutionsOfATrainingAgainstPlainSums(t *testing.T) {
	filtering(t, func(t *testing.T) {
		for _, c := range []trained{
			{n: 3, c: 64, o: 64, h: 19, w: 21}, {n: 1, c: 32, o: 32, h: 1, w: 1100}, {n: 1, c: 32, o: 64, h: 1030, w: 1}, {n: 9, c: 48, o: 96, h: 11, w: 13},
			{n: 5, c: 128, o: 160, h: 16, w: 15}, {n: 1, c: 256, o: 256, h: 31, w: 34}, {n: 70, c: 64, o: 32, h: 8, w: 8},
		} {
			c.threads, c.x, c.weight = 2, true, true
			what := fmt.Sprintf("%+v", c)
			before := native.ConvFiltered()
			y, x, w := c.learn(t, Float32)
			require.Greater(t, native.ConvFiltered(), before, "libtorch's convolution was taken: %s", what)
			wantY, wantX, wantW := c.learn(t, Float64)
			near(t, wantY, y, 2e-6, "forward, "+what)
			near(t, wantX, x, 2e-6, "back to the input, "+what)
			near(t, wantW, w, 2e-6, "back to the weight, "+what)
			c.first = true
			for _, which := range [][2]bool{{true, true}, {true, false}, {false, true}, {false, false}} {
				c.x, c.weight = which[0], which[1]
				y2, x2, w2 := c.learn(t, Float32)
				require.True(t, equal(y, y2) && (!c.x || equal(x, x2)) && (!c.weight || equal(w, w2)), "%+v", c)
			}
		}
	})
}

// The number of threads changes no bit of a convolution or its gradients.
func TestConvolutionsOfATrainingKnowNoThreads(t *testing.T) {
	threads := GetThreads()
	defer func() { require.NoError(t, SetThreads(threads)) }()
	require.NoError(t, SetThreads(Threads{Cores: 7, PerRun: 7}))
	filtering(t, func(t *testing.T) {
		for _, c := range []trained{{n: 3, c: 64, o: 64, h: 19, w: 21}, {n: 2, c: 160, o: 192, h: 27, w: 26}} {
			c.x, c.weight, c.threads = true, true, 1
			wantY, wantX, wantW := c.learn(t, Float32)
			for _, c.threads = range []int{2, 3, 7} {
				y, x, w := c.learn(t, Float32)
				require.True(t, equal(wantY, y) && equal(wantX, x) && equal(wantW, w), "%+v", c)
			}
		}
	})
}

// Convolutions that a kernel of ours does not serve are libtorch's, as all are without AVX2.
func TestConvolutionsOfATrainingLeaveTheRest(t *testing.T) {
	filtering(t, func(t *testing.T) {
		require.NoError(t, Run(t.Context(), CPU, Training, func(s *Scope) error {
			own := func(o, c, side int64, dt DType, b *Tensor, conv Conv) bool {
				before := native.ConvFiltered()
				conv = conv.filled()
				s.Conv2d(s.ChannelsLast(s.Cast(wave(s, 1, 1, c, side, side), dt)), s.Cast(wave(s, 1, o, c/conv.Groups, 3, 3), dt), b, conv)
				require.NoError(t, s.Err())
				return native.ConvFiltered() > before
			}
			require.True(t, own(64, 64, 32, Float32, nil, Conv{Padding: 1}))
			require.True(t, own(64, 64, 8, Float32, nil, Conv{Padding: 1}))
			require.False(t, own(64, 64, 7, Float32, nil, Conv{Padding: 1}), "small maps")
			require.False(t, own(64, 64, 32, Float64, nil, Conv{Padding: 1}))
			require.False(t, own(64, 64, 32, Float32, s.FromFloats(make([]float32, 64), 64), Conv{Padding: 1}), "a bias")
			require.False(t, own(64, 64, 32, Float32, nil, Conv{Padding: 1, Stride: 2}))
			require.False(t, own(64, 64, 34, Float32, nil, Conv{}))
			require.False(t, own(64, 64, 32, Float32, nil, Conv{Padding: 2, Dilation: 2}))
			require.False(t, own(64, 64, 32, Float32, nil, Conv{Padding: 1, Groups: 2}))
			require.False(t, own(48, 64, 32, Float32, nil, Conv{Padding: 1}))
			require.False(t, own(512, 256, 32, Float32, nil, Conv{Padding: 1}))
			native.ConvLanes(0)
			require.False(t, own(64, 64, 32, Float32, nil, Conv{Padding: 1}))
			return s.Err()
		}))
	})
}

// Steps of the 3x3 convolutions of a ResNet-18 on 32 images of 224, with kernels of ours and without: forward, and backward to input and weight.
func BenchmarkConvolutionsOfATraining(b *testing.B) {
	for _, m := range [][2]int64{{64, 56}, {128, 28}, {256, 14}} {
		for _, lanes := range []int{16, 0} {
			for _, back := range []string{"forward", "input", "weight"} {
				b.Run(fmt.Sprintf("%dx%d/%d lanes/%s", m[0], m[1], lanes, back), func(b *testing.B) {
					defer native.ConvLanes(native.ConvLanes(lanes))
					p := NewParams(CPU)
					defer func() { require.NoError(b, p.Close()) }()
					for _, n := range []string{"w", "x"} {
						require.NoError(b, Run(b.Context(), CPU, Evaluation, func(s *Scope) error {
							sh := []int64{m[0], m[0], 3, 3}
							if n == "x" {
								sh = []int64{32, m[0], m[1], m[1]}
							}
							v := make([]float32, count(sh))
							for i := range v {
								v[i] = float32(i%17) / 17
							}
							if (n == "x") == (back == "input") {
								return p.Put(s, n, s.ChannelsLast(s.FromFloats(v, sh...)))
							}
							return p.PutBuffer(s, n, s.ChannelsLast(s.FromFloats(v, sh...)))
						}))
					}
					for b.Loop() {
						mode := Training
						if back == "forward" {
							mode = Evaluation
						}
						require.NoError(b, Run(b.Context(), CPU, mode, func(s *Scope) error {
							y := s.Conv2d(p.Get("x"), p.Get("w"), nil, Conv{Padding: 1})
							if back != "forward" {
								s.Backward(s.Mean(y, false))
							}
							return s.Err()
						}))
					}
				})
			}
		}
	}
}
