package tensor

import (
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/tensor/internal/native"
)

func needAMX(t *testing.T) {
	t.Helper()
	needOneDNN(t)
	if !HasBFloat16() || !native.HasAMX() {
		t.Skip("this processor has no AMX")
	}
}

// allThreads lets Runs of up to four threads go on at once until the test ends.
func allThreads(t *testing.T) {
	t.Helper()
	old := GetThreads()
	require.NoError(t, SetThreads(Threads{Cores: 4, PerRun: 1}))
	t.Cleanup(func() { require.NoError(t, SetThreads(old)) })
}

// ours are convolutions that the kernels of amx.cpp serve.
var ours = map[string]struct {
	out, in, k int64
	c          Conv
}{
	"3x3":            {32, 64, 3, Conv{Padding: 1}},
	"3x3 by two":     {64, 32, 3, Conv{Padding: 1, Stride: 2}},
	"1x1":            {96, 64, 1, Conv{}},
	"1x1 by two":     {32, 96, 1, Conv{Stride: 2}},
	"stem":           {64, 3, 7, Conv{Padding: 3, Stride: 2}},
	"stem of one":    {32, 1, 3, Conv{Padding: 1}},
	"four":           {32, 4, 5, Conv{Padding: 2, Stride: 2}},
	"many and small": {512, 128, 3, Conv{Padding: 1}},
}

// brief are numbers that bfloat16 has.
func brief(s *Scope, seed float64, shape ...int64) *Tensor {
	return s.Cast(s.ChannelsLast(wave(s, seed, shape...)), BFloat16)
}

// within a rounding of a value to the 8 bits of bfloat16, and of a sum in float32.
func nearly(t *testing.T, want, got []float32, what string) {
	t.Helper()
	require.Len(t, got, len(want), what)
	for i, w := range want {
		if off := math.Abs(float64(w - got[i])); !(off <= math.Abs(float64(w))/256+1e-3) {
			t.Fatalf("%s: value %d is %v, want %v", what, i, got[i], w)
		}
	}
}

// The convolution in float32 of the same rounded numbers is what the result is a rounding of.
func TestAMXConvolves(t *testing.T) {
	needAMX(t)
	allThreads(t)
	sizes := [][3]int64{{1, 1, 1}, {2, 1, 5}, {5, 2, 3}, {1, 7, 7}, {5, 7, 7}, {2, 14, 14}, {1, 56, 56}, {1, 15, 33}, {3, 29, 1}, {2, 161, 127}}
	for name, sh := range ours {
		t.Run(name, func(t *testing.T) {
			c := sh.c.filled()
			for _, threads := range []int{1, 2} {
				require.NoError(t, Run(WithThreads(t.Context(), threads), CPU, Evaluation, func(s *Scope) error {
					w, b := s.Cast(s.MulScalar(wave(s, 1, sh.out, sh.in, sh.k, sh.k), 0.1), BFloat16), s.Cast(wave(s, 2, sh.out), BFloat16)
					asked := native.ConvShapes()
					packed := s.PackConv(w, c, [4]int64{1, sh.in, 201, 203})
					require.Equal(t, asked, native.ConvShapes(), "oneDNN was asked")
					n, err := native.ConvLayouts(packed.h)
					require.NoError(t, err)
					require.Equal(t, int64(1), n)
					for i, size := range sizes {
						if size[1]*size[2] > 1<<12 && threads != 2 {
							continue // once is enough: the plain convolution takes long
						}
						what := fmt.Sprint(size, " with threads: ", threads)
						x := brief(s, float64(3+i), size[0], sh.in, size[1], size[2])
						plain := s.Conv2d(s.Cast(x, Float32), s.Cast(w, Float32), s.Cast(b, Float32), c)
						sum := s.ConvFused(x, packed, b, c, false)
						require.Equal(t, BFloat16, sum.DType())
						require.True(t, native.IsChannelsLast(sum.h))
						nearly(t, floats(t, s, plain), floats(t, s, sum), what)
						nearly(t, floats(t, s, s.ReLU(plain)), floats(t, s, s.ConvFused(x, packed, b, c, true)), what+", ReLU")
						want := floats(t, s, s.ReLU(s.Add(s.Cast(sum, Float32), plain)))
						s.ConvAddReLU(sum, x, packed, b, c)
						nearly(t, want, floats(t, s, sum), what+", sum")
					}
					return s.Err()
				}))
			}
		})
	}
}

func floats(t *testing.T, s *Scope, x *Tensor) []float32 {
	t.Helper()
	f, err := s.Floats(x)
	require.NoError(t, err)
	return f
}

// An image's result is the same in whatever batch it stands, with whatever number of threads.
func TestAMXGivesTheSameBits(t *testing.T) {
	needAMX(t)
	allThreads(t)
	for name, sh := range ours {
		for _, size := range [][2]int64{{7, 7}, {29, 30}} {
			var alone [][]float32
			for _, batch := range []int64{1, 2, 5, 18} {
				for _, threads := range []int{1, 2, 4} {
					require.NoError(t, Run(WithThreads(t.Context(), threads), CPU, Evaluation, func(s *Scope) error {
						packed := s.PackConv(s.Cast(wave(s, 1, sh.out, sh.in, sh.k, sh.k), BFloat16), sh.c, [4]int64{1, sh.in, size[0], size[1]})
						b := s.Cast(wave(s, 2, sh.out), BFloat16)
						all := brief(s, 3, 5, sh.in, size[0], size[1])
						one := func(k int64) *Tensor { return s.Narrow(all, 0, k%5, 1) }
						if alone == nil {
							for k := range int64(5) {
								alone = append(alone, floats(t, s, s.ConvFused(one(k), packed, b, sh.c, true)))
							}
						}
						images := make([]*Tensor, batch)
						for k := range images {
							images[k] = one(int64(k) + batch)
						}
						got := floats(t, s, s.ConvFused(s.ChannelsLast(s.Cat(0, images...)), packed, b, sh.c, true))
						for k := range images {
							want := alone[(int64(k)+batch)%5]
							require.Equal(t, want, got[k*len(want):(k+1)*len(want)], "%s %v: image %d of %d with %d threads", name, size, k, batch, threads)
						}
						return s.Err()
					}))
				}
			}
		}
	}
}

// What is no number, and what is infinite, comes out where the plain convolution has it and nowhere else.
func TestAMXKeepsNaNAndInfinity(t *testing.T) {
	needAMX(t)
	bad := func(v float64) (bool, int) {
		switch {
		case math.IsNaN(v):
			return true, 0
		case math.IsInf(v, 1):
			return true, 1
		case math.IsInf(v, -1):
			return true, -1
		}
		return false, 0
	}
	for name, sh := range ours {
		for _, relu := range []bool{false, true} {
			require.NoError(t, Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
				c := sh.c.filled()
				w, b := s.Cast(wave(s, 1, sh.out, sh.in, sh.k, sh.k), BFloat16), s.Cast(wave(s, 2, sh.out), BFloat16)
				packed := s.PackConv(w, c, [4]int64{1, sh.in, 20, 20})
				v := make([]float32, 2*sh.in*20*20)
				for i := range v {
					v[i] = float32(math.Sin(float64(i)))
				}
				for k, off := range []int64{0, 19, 4*20 + 4, 10*20 + 16, 399} { // corners and places far from each other
					v[off+(int64(k)%sh.in)*400] = []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}[k%3]
				}
				x := s.Cast(s.ChannelsLast(s.FromFloats(v, 2, sh.in, 20, 20)), BFloat16)
				plain := s.Conv2d(s.Cast(x, Float32), s.Cast(w, Float32), s.Cast(b, Float32), c)
				if relu {
					plain = s.ReLU(plain)
				}
				want, got := floats(t, s, plain), floats(t, s, s.ConvFused(x, packed, b, c, relu))
				count := 0
				for i := range want {
					wb, ws := bad(float64(want[i]))
					gb, gs := bad(float64(got[i]))
					require.Equal(t, []any{wb, ws}, []any{gb, gs}, "%s: value %d is %v, want %v", name, i, got[i], want[i])
					if wb {
						count++
					}
				}
				require.Positive(t, count)
				require.Less(t, count, len(want)/2)
				return s.Err()
			}))
		}
	}
}

// A weight that is infinite would meet the border's zeros: oneDNN has it.
func TestAMXLeavesInfiniteWeights(t *testing.T) {
	needAMX(t)
	require.NoError(t, Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
		v := make([]float32, 32*32*9)
		v[5] = float32(math.Inf(1))
		asked := native.ConvShapes()
		s.PackConv(s.Cast(s.FromFloats(v, 32, 32, 3, 3), BFloat16), Conv{Padding: 1}, [4]int64{1, 32, 53, 59})
		require.Equal(t, asked+1, native.ConvShapes())
		return s.Err()
	}))
}

// Tensors that lie otherwise in memory, and one that is input and sum at once.
func TestAMXTakesAnyLayout(t *testing.T) {
	needAMX(t)
	require.NoError(t, Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
		c := Conv{Padding: 1}
		packed, b := s.PackConv(s.Cast(wave(s, 1, 32, 32, 3, 3), BFloat16), c, [4]int64{1, 32, 9, 8}), s.Cast(wave(s, 2, 32), BFloat16)
		whole := brief(s, 3, 3, 64, 20, 17)
		part := s.Narrow(s.Narrow(s.Narrow(whole, 1, 16, 32), 2, 5, 9), 3, 2, 8)
		dense := s.ChannelsLast(part)
		want := floats(t, s, s.ConvFused(dense, packed, b, c, false))
		require.Equal(t, want, floats(t, s, s.ConvFused(part, packed, b, c, false)))
		rows := s.Cast(s.Cast(part, Float32), BFloat16)
		rows = s.Reshape(s.FromFloats(floats(t, s, rows), 3, 32, 9, 8), 3, 32, 9, 8) // channels first
		require.Equal(t, want, floats(t, s, s.ConvFused(s.Cast(rows, BFloat16), packed, b, c, false)))

		sum := brief(s, 4, 3, 32, 9, 8)
		first := s.Cast(s.FromFloats(floats(t, s, sum), 3, 32, 9, 8), BFloat16)
		s.ConvAddReLU(sum, dense, packed, b, c)
		s.ConvAddReLU(first, dense, packed, b, c)
		require.Equal(t, floats(t, s, sum), floats(t, s, first))

		other, same := s.Cast(s.Cast(dense, Float32), BFloat16), s.Cast(s.Cast(dense, Float32), BFloat16)
		s.ConvAddReLU(other, dense, packed, b, c)
		s.ConvAddReLU(same, same, packed, b, c)
		require.Equal(t, floats(t, s, other), floats(t, s, same))
		return s.Err()
	}))
}

// Runs at once share a weight and nothing else.
func TestAMXInSeveralRuns(t *testing.T) {
	needAMX(t)
	allThreads(t)
	c := Conv{Padding: 1}
	p := NewParams(CPU)
	defer func() { require.NoError(t, p.Close()) }()
	require.NoError(t, Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
		require.NoError(t, p.PutBuffer(s, "bias", s.Cast(wave(s, 2, 64), BFloat16)))
		return p.PutBuffer(s, "packed", s.PackConv(s.Cast(wave(s, 1, 64, 64, 3, 3), BFloat16), c, [4]int64{1, 64, 9, 9}))
	}))
	sizes := []int64{1, 7, 30, 65}
	conv := func(threads int, n int64) (got []float32, err error) {
		err = Run(WithThreads(t.Context(), threads), CPU, Evaluation, func(s *Scope) (err error) {
			y := s.ConvFused(brief(s, float64(n), 2, 64, n, n), p.Get("packed"), p.Get("bias"), c, true)
			got, err = s.Floats(y)
			return err
		})
		return got, err
	}
	want := make([][]float32, len(sizes))
	for i, n := range sizes {
		var err error
		want[i], err = conv(1, n)
		require.NoError(t, err)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 12 {
				k := (g + i) % len(sizes)
				got, err := conv(1+g%2, sizes[k])
				if err != nil {
					t.Error(err)
					return
				}
				for j := range got {
					if got[j] != want[k][j] {
						t.Errorf("side %d: value %d is %v, alone it was %v", sizes[k], j, got[j], want[k][j])
						return
					}
				}
			}
		}()
	}
	wg.Wait()
}
