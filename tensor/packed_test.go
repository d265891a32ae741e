package tensor

import (
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/tensor/internal/native"
)

// wave returns values that differ from each other in a tensor of a shape.
func wave(s *Scope, seed float64, shape ...int64) *Tensor {
	v := make([]float32, count(shape))
	for i := range v {
		v[i] = float32(math.Sin(seed + 0.37*float64(i)))
	}
	return s.FromFloats(v, shape...)
}

// Problems of which oneDNN wants at least two layouts, by the instructions of
// the processor: many channels on a small map, few on a large one.
var problems = [][4]int64{{1, 64, 56, 56}, {2, 64, 25, 25}, {3, 64, 9, 14}, {1, 64, 28, 28}}

func needOneDNN(t *testing.T) {
	t.Helper()
	if !HasOneDNN() {
		t.Skip("this libtorch has no oneDNN")
	}
}

// packedWeights runs f with a packed weight [128, 64, 3, 3] of stride 2 that
// several Runs may use, and with its values.
func packedWeights(t *testing.T, f func(w, b, dense *Tensor, c Conv)) {
	t.Helper()
	p := NewParams(CPU)
	defer func() { require.NoError(t, p.Close()) }()
	c := Conv{Stride: 2, Padding: 1}
	require.NoError(t, Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
		w := wave(s, 1, 128, 64, 3, 3)
		require.NoError(t, p.PutBuffer(s, "packed", s.PackConv(w, c, problems[0])))
		require.NoError(t, p.PutBuffer(s, "dense", w))
		return p.PutBuffer(s, "bias", wave(s, 2, 128))
	}))
	f(p.Get("packed"), p.Get("bias"), p.Get("dense"), c)
}

// A weight and what it meets are of one type.
func TestPackedWeightsKeepToTheirType(t *testing.T) {
	needOneDNN(t)
	err := func(bias, x, dst DType) error {
		return Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
			packed := s.PackConv(wave(s, 1, 32, 16, 3, 3), Conv{Padding: 1}, [4]int64{1, 16, 8, 8})
			in := s.Cast(s.ChannelsLast(wave(s, 2, 1, 16, 8, 8)), x)
			s.ConvAddReLU(s.Cast(s.ChannelsLast(wave(s, 3, 1, 32, 8, 8)), dst), in, packed, s.Cast(wave(s, 4, 32), bias), Conv{Padding: 1})
			return s.Err()
		})
	}
	require.NoError(t, err(Float32, Float32, Float32))
	require.ErrorIs(t, err(BFloat16, Float32, Float32), ErrShape)
	require.ErrorIs(t, err(Float32, BFloat16, Float32), ErrShape)
	require.ErrorIs(t, err(Float32, Float32, BFloat16), ErrShape)
	require.ErrorIs(t, Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
		s.PackConv(s.Cast(wave(s, 1, 32, 16, 3, 3), Float16), Conv{}, [4]int64{1, 16, 8, 8})
		return s.Err()
	}), ErrShape)
}

func TestPackedWeightsMeetEachLayoutOnce(t *testing.T) {
	needOneDNN(t)
	packedWeights(t, func(w, b, dense *Tensor, c Conv) {
		round := func() {
			for _, threads := range []int{1, 2} {
				require.NoError(t, Run(WithThreads(t.Context(), threads), CPU, Evaluation, func(s *Scope) error {
					for _, sh := range problems {
						s.ConvFused(s.ChannelsLast(wave(s, 3, sh[:]...)), w, b, c, true)
					}
					return s.Err()
				}))
			}
		}
		round()
		packs, shapes := native.ConvPacks(), native.ConvShapes()
		n, err := native.ConvLayouts(w.h)
		require.NoError(t, err)
		require.LessOrEqual(t, n, int64(4))
		require.Less(t, n, int64(2*len(problems)), "problems share layouts")
		for range 3 {
			round()
		}
		require.Equal(t, packs, native.ConvPacks(), "a weight was packed again")
		require.Equal(t, shapes, native.ConvShapes(), "oneDNN was asked again")

		// Another weight of the same sizes knows what it wants.
		require.NoError(t, Run(WithThreads(t.Context(), 1), CPU, Evaluation, func(s *Scope) error {
			s.PackConv(wave(s, 9, 128, 64, 3, 3), c, problems[0])
			return s.Err()
		}))
		require.Equal(t, packs+1, native.ConvPacks())
		require.Equal(t, shapes, native.ConvShapes())
	})
}

// With room for one layout Runs that go on together push each other's out, which
// must not take memory away that one of them reads.
func TestLayoutsThatArePushedOutStayGood(t *testing.T) {
	needOneDNN(t)
	old, threads := native.ConvKeep(1), GetThreads()
	defer func() { native.ConvKeep(old); require.NoError(t, SetThreads(threads)) }()
	require.NoError(t, SetThreads(Threads{Cores: 4, PerRun: 1}))
	packedWeights(t, func(w, b, dense *Tensor, c Conv) {
		want := make([][]float32, len(problems))
		conv := func(s *Scope, k int) (fused, plain []float32) {
			in := s.ChannelsLast(wave(s, 3, problems[k][:]...))
			y := s.ConvFused(in, w, b, c, false)
			fused, err := s.Floats(y)
			require.NoError(t, err)
			plain, err = s.Floats(s.Conv2d(in, dense, b, c))
			require.NoError(t, err)
			s.ConvAddReLU(y, in, w, b, c)
			return fused, plain
		}
		require.NoError(t, Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
			for k := range problems {
				fused, plain := conv(s, k)
				require.InDeltaSlice(t, plain, fused, 1e-3) // sums of 576 products
				want[k] = fused
			}
			return s.Err()
		}))
		packs := native.ConvPacks()
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := range 12 {
					k := (g + i) % len(problems)
					err := Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
						y := s.ConvFused(s.ChannelsLast(wave(s, 3, problems[k][:]...)), w, b, c, false)
						got, err := s.Floats(y)
						if err == nil {
							for j := range got {
								if got[j] != want[k][j] {
									t.Errorf("problem %d: value %d is %v, alone it was %v", k, j, got[j], want[k][j])
									break
								}
							}
						}
						return err
					})
					if err != nil {
						t.Error(err)
					}
				}
			}()
		}
		wg.Wait()
		require.Greater(t, native.ConvPacks(), packs, "nothing was pushed out: the test has no object")
		n, err := native.ConvLayouts(w.h)
		require.NoError(t, err)
		require.Equal(t, int64(1), n)
	})
}

// Weights in groups, all zero ones, and those whose channels fill no block.
func TestLayoutsOfOddWeights(t *testing.T) {
	needOneDNN(t)
	t.Run("float32", func(t *testing.T) { oddWeights(t, Float32, 1e-3) })
	t.Run("bfloat16", func(t *testing.T) {
		if !HasBFloat16() {
			t.Skip("this processor has no AVX512-BF16")
		}
		oddWeights(t, BFloat16, 1.0/128) // one rounding of the sum to 8 bits
	})
}

// oddWeights compares with the convolution of the same rounded numbers in float32; off is
// allowed beside values below 1, of larger ones as a share.
func oddWeights(t *testing.T, dt DType, off float64) {
	rounded := func(s *Scope, x *Tensor) (*Tensor, *Tensor) {
		y := s.Cast(x, dt)
		return y, s.Cast(y, Float32)
	}
	for name, sh := range map[string]struct {
		out, in, k int64
		c          Conv
	}{
		"groups":   {32, 16, 3, Conv{Padding: 1, Groups: 2}},
		"one":      {1, 3, 1, Conv{}},
		"uneven":   {70, 33, 3, Conv{Padding: 1}},
		"seven":    {64, 3, 7, Conv{Stride: 2, Padding: 3}},
		"pointy":   {1000, 48, 1, Conv{Stride: 2}},
		"per each": {24, 24, 3, Conv{Padding: 1, Groups: 24}},
	} {
		require.NoError(t, Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
			c := sh.c.filled()
			for _, scale := range []float64{1, 0} {
				wt, w := rounded(s, s.MulScalar(wave(s, 1, sh.out, sh.in/c.Groups, sh.k, sh.k), scale))
				bt, b := rounded(s, wave(s, 2, sh.out))
				packed := s.PackConv(wt, c, [4]int64{1, sh.in, 56, 56})
				require.Equal(t, dt, packed.DType())
				for _, in := range [][3]int64{{1, 56, 56}, {2, 13, 8}, {5, 7, 7}, {1, 56, 56}} {
					xt, x := rounded(s, s.ChannelsLast(wave(s, 3, in[0], sh.in, in[1], in[2])))
					y := s.ConvFused(xt, packed, bt, c, false)
					require.Equal(t, dt, y.DType())
					got, err := s.Floats(y)
					require.NoError(t, err)
					want, err := s.Floats(s.Conv2d(x, w, b, c))
					require.NoError(t, err)
					for i := range want {
						require.InDelta(t, want[i], got[i], off*max(1, math.Abs(float64(want[i]))), "%s %v, value %d", name, in, i)
					}
					s.ConvAddReLU(y, xt, packed, bt, c)
					got, err = s.Floats(y)
					require.NoError(t, err)
					for i := range want {
						require.InDelta(t, max(0, 2*want[i]), got[i], 3*off*max(1, math.Abs(float64(want[i]))), "sum, %s %v, value %d", name, in, i)
					}
				}
			}
			return s.Err()
		}), name)
	}
}

// sums are weights [c, c, 3, 3] that oneDNN serves, and such that a kernel of ours does where the processor has one.
func sums(t *testing.T, f func(t *testing.T, c int64, dt DType)) {
	t.Helper()
	needOneDNN(t)
	for _, dt := range []DType{Float32, BFloat16} {
		for _, c := range []int64{24, 32} {
			if dt == Float32 || HasBFloat16() {
				t.Run(fmt.Sprint(dt, ", channels: ", c), func(t *testing.T) { f(t, c, dt) })
			}
		}
	}
}

// What a sum is made of may lie in the memory of the sum: all of the input, other images of it, the bias.
func TestSumsOfWhatTheyOverwrite(t *testing.T) {
	sums(t, func(t *testing.T, c int64, dt DType) {
		require.NoError(t, Run(WithThreads(t.Context(), 2), CPU, Evaluation, func(s *Scope) error {
			conv := Conv{Padding: 1}
			packed := s.PackConv(s.Cast(wave(s, 1, c, c, 3, 3), dt), conv, [4]int64{2, c, 9, 11})
			whole := s.Cast(s.ChannelsLast(wave(s, 2, 3, c, 9, 11)), dt)
			bias := func(x *Tensor) *Tensor {
				return s.Reshape(s.Narrow(s.Narrow(s.Narrow(x, 0, 1, 1), 2, 4, 1), 3, 5, 1), c)
			}
			sum := func(first int64, other bool) []float32 {
				of, in := s.Clone(whole), s.Clone(whole)
				if !other {
					in = of
				}
				s.ConvAddReLU(s.Narrow(of, 0, 1, 2), s.Narrow(in, 0, first, 2), packed, bias(in), conv)
				return floats(t, s, of)
			}
			before := floats(t, s, s.Narrow(whole, 0, 0, 1))
			for first := range int64(2) {
				got := sum(first, false)
				require.Equal(t, sum(first, true), got, "images from %d on", first)
				require.Equal(t, before, got[:len(before)], "an image that is not summed")
			}
			return s.Err()
		}))
	})
}

// Backward does not take a sum for what it was made into.
func TestBackwardRefusesSumsThatChanged(t *testing.T) {
	sums(t, func(t *testing.T, c int64, dt DType) {
		p := NewParams(CPU)
		defer func() { require.NoError(t, p.Close()) }()
		require.ErrorContains(t, Run(t.Context(), CPU, Training, func(s *Scope) error {
			require.NoError(t, p.Put(s, "w", s.ChannelsLast(wave(s, 1, 1, c, 5, 5))))
			packed := s.PackConv(s.Cast(wave(s, 1, c, c, 3, 3), dt), Conv{Padding: 1}, [4]int64{1, c, 5, 5})
			x := s.Cast(p.Get("w"), dt)
			loss := s.Sum(s.Square(x), false)
			s.ConvAddReLU(x, s.Detach(s.Clone(x)), packed, s.Cast(wave(s, 2, c), dt), Conv{Padding: 1})
			require.NoError(t, s.Err())
			s.Backward(loss)
			return s.Err()
		}), "modified by an inplace operation")
	})
}
