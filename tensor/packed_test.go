package tensor

import (
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
				w, b := s.MulScalar(wave(s, 1, sh.out, sh.in/c.Groups, sh.k, sh.k), scale), wave(s, 2, sh.out)
				packed := s.PackConv(w, c, [4]int64{1, sh.in, 56, 56})
				for _, in := range [][3]int64{{1, 56, 56}, {2, 13, 8}, {5, 7, 7}, {1, 56, 56}} {
					x := s.ChannelsLast(wave(s, 3, in[0], sh.in, in[1], in[2]))
					got, err := s.Floats(s.ConvFused(x, packed, b, c, false))
					require.NoError(t, err)
					want, err := s.Floats(s.Conv2d(x, w, b, c))
					require.NoError(t, err)
					require.InDeltaSlice(t, want, got, 1e-3, "%s %v", name, in)
				}
			}
			return s.Err()
		}), name)
	}
}
