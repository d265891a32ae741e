package tensor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/tensor/internal/native"
)

// filtering runs f once for each width of registers that this processor has.
func filtering(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	needOneDNN(t)
	most := native.ConvLanes(16)
	defer native.ConvLanes(most)
	if most == 0 {
		t.Skip("this processor has no AVX2, or the compiler is not GCC")
	}
	for _, lanes := range []int{8, 16} {
		if lanes <= most {
			t.Run(fmt.Sprint(lanes, " lanes"), func(t *testing.T) { native.ConvLanes(lanes); f(t) })
		}
	}
}

// filtered is a weight [o, c, 3, 3] that our kernel serves, and how it was drawn.
type filtered struct {
	o, c                int64
	packed, dense, bias *Tensor
}

// filters packs a weight in p.
func filters(t *testing.T, p *Params, o, c int64) filtered {
	t.Helper()
	rng := rand.New(rand.NewPCG(uint64(o), uint64(c)))
	f := filtered{o: o, c: c}
	require.NoError(t, Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
		w, err := Normal(rng, o*c*9, math.Sqrt(2/float64(9*c)))
		require.NoError(t, err)
		b, err := Normal(rng, o, 0.5)
		require.NoError(t, err)
		dense := s.FromFloats(w, o, c, 3, 3)
		name := fmt.Sprint(o, "x", c)
		require.NoError(t, p.PutBuffer(s, name, s.PackConv(dense, Conv{Padding: 1}, [4]int64{1, c, 8, 8})))
		require.NoError(t, p.PutBuffer(s, name+" dense", dense))
		require.NoError(t, p.PutBuffer(s, name+" bias", s.FromFloats(b, o)))
		f.packed, f.dense, f.bias = p.Get(name), p.Get(name+" dense"), p.Get(name+" bias")
		own, err := native.ConvOwn(f.packed.h)
		require.NoError(t, err)
		require.True(t, own, "oneDNN serves %d x %d", o, c)
		return s.Err()
	}))
	return f
}

// image draws maps as they come out of a ReLU.
func image(t *testing.T, seed uint64, shape ...int64) []float32 {
	t.Helper()
	v, err := Normal(rand.New(rand.NewPCG(seed, 7)), count(shape), 1)
	require.NoError(t, err)
	for i := range v {
		v[i] = max(v[i], 0)
	}
	return v
}

// Plain sums in double precision are the slow twin: tiles of both sizes, maps that tiles do and do not fill, of one place too.
func TestFilteringAgainstPlainSums(t *testing.T) {
	filtering(t, func(t *testing.T) {
		p := NewParams(CPU)
		defer func() { require.NoError(t, p.Close()) }()
		for _, f := range []filtered{filters(t, p, 64, 64), filters(t, p, 32, 16), filters(t, p, 96, 48), filters(t, p, 128, 128), filters(t, p, 160, 144), filters(t, p, 256, 256)} {
			for _, m := range [][3]int64{{1, 1, 1}, {2, 3, 5}, {1, 4, 4}, {5, 7, 7}, {1, 14, 14}, {1, 33, 17}, {2, 1, 40}, {3, 29, 2}, {2, 9, 1}} {
				ctx := WithThreads(t.Context(), 1+int(m[0])%2)
				require.NoError(t, Run(ctx, CPU, Evaluation, func(s *Scope) error {
					x := s.ChannelsLast(s.FromFloats(image(t, 1, m[0], f.c, m[1], m[2]), m[0], f.c, m[1], m[2]))
					d := func(x *Tensor) *Tensor { return s.Cast(x, Float64) }
					plain := s.Conv2d(d(x), d(f.dense), d(f.bias), Conv{Padding: 1})
					sum := s.ChannelsLast(s.FromFloats(image(t, 2, m[0], f.o, m[1], m[2]), m[0], f.o, m[1], m[2]))
					both := s.ReLUInto(s.Add(plain, d(sum)))
					y, relu := s.ConvFused(x, f.packed, f.bias, Conv{Padding: 1}, false), s.ConvFused(x, f.packed, f.bias, Conv{Padding: 1}, true)
					s.ConvAddReLU(sum, x, f.packed, f.bias, Conv{Padding: 1})
					require.NoError(t, s.Err())
					want, got, cut := floats(t, s, s.Cast(plain, Float32)), floats(t, s, y), floats(t, s, relu)
					largest := 0.0
					for _, v := range want {
						largest = max(largest, math.Abs(float64(v)))
					}
					for i := range want {
						require.InDelta(t, want[i], got[i], 4e-6*largest, "%d x %d, %v, value %d", f.o, f.c, m, i)
						require.Equal(t, max(got[i], 0), cut[i])
					}
					want, got = floats(t, s, s.Cast(both, Float32)), floats(t, s, sum)
					for i := range want {
						require.InDelta(t, want[i], got[i], 4e-6*largest+1e-6, "sum, %d x %d, %v, value %d", f.o, f.c, m, i)
					}
					return s.Err()
				}))
			}
		}
	})
}

// An image's values are the same bits alone, anywhere in a batch, and with any number of threads, in Runs that go on together.
func TestFilteringKnowsNoBatch(t *testing.T) {
	threads := GetThreads()
	defer func() { require.NoError(t, SetThreads(threads)) }()
	require.NoError(t, SetThreads(Threads{Cores: 4, PerRun: 4}))
	filtering(t, func(t *testing.T) {
		p := NewParams(CPU)
		defer func() { require.NoError(t, p.Close()) }()
		for _, f := range []filtered{filters(t, p, 64, 64), filters(t, p, 160, 144)} {
			const n, h, w = 7, 19, 23
			v := image(t, 3, n, f.c, h, w)
			run := func(threads int, from, to int64) []float32 {
				var got []float32
				err := Run(WithThreads(t.Context(), threads), CPU, Evaluation, func(s *Scope) (err error) {
					x := s.FromFloats(v[from*f.c*h*w:to*f.c*h*w], to-from, f.c, h, w)
					got, err = s.Floats(s.ConvFused(s.ChannelsLast(x), f.packed, f.bias, Conv{Padding: 1}, true))
					return err
				})
				if err != nil {
					t.Error(err)
				}
				return got
			}
			all, one := run(1, 0, n), f.o*h*w
			var wg sync.WaitGroup
			for k := range int64(n) {
				wg.Add(1)
				go func() {
					defer wg.Done()
					if alone := run(1+int(k)%4, k, k+1); !equal(alone, all[k*one:(k+1)*one]) {
						t.Errorf("%d x %d: image %d alone has other bits", f.o, f.c, k)
					}
					if rest := run(1+int(k+1)%4, k, n); !equal(rest, all[k*one:]) {
						t.Errorf("%d x %d: images %d to %d have other bits", f.o, f.c, k, n)
					}
				}()
			}
			wg.Wait()
		}
	})
}

func equal(a, b []float32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			return false
		}
	}
	return true
}

// Inputs in the other layout, sums in it, and a sum that is the input itself.
func TestFilteringOfOtherLayouts(t *testing.T) {
	filtering(t, func(t *testing.T) {
		p := NewParams(CPU)
		defer func() { require.NoError(t, p.Close()) }()
		f := filters(t, p, 64, 64)
		require.NoError(t, Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
			v := image(t, 4, 2, 64, 9, 10)
			first := func() *Tensor { return s.FromFloats(v, 2, 64, 9, 10) }
			want := floats(t, s, s.ConvFused(s.ChannelsLast(first()), f.packed, f.bias, Conv{Padding: 1}, false))
			require.Equal(t, want, floats(t, s, s.ConvFused(first(), f.packed, f.bias, Conv{Padding: 1}, false)))
			for i := range want {
				want[i] = max(0, want[i]+v[i])
			}
			in := s.ChannelsLast(first())
			for name, sum := range map[string]*Tensor{"channels-last": s.ChannelsLast(first()), "channels first": first(), "itself": in} {
				s.ConvAddReLU(sum, in, f.packed, f.bias, Conv{Padding: 1})
				got := floats(t, s, sum)
				for i := range want {
					require.InDelta(t, want[i], got[i], 1e-6, "%s, value %d", name, i)
				}
				if name == "itself" {
					in = s.ChannelsLast(first())
				}
			}
			return s.Err()
		}))
	})
}

// What is no number stays none, and does not leave the tiles that it lies in.
func TestFilteringOfWhatIsNoNumber(t *testing.T) {
	filtering(t, func(t *testing.T) {
		p := NewParams(CPU)
		defer func() { require.NoError(t, p.Close()) }()
		f := filters(t, p, 64, 64)
		require.NoError(t, Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
			const side = 20
			v := image(t, 5, 1, 64, side, side)
			v[(3*side+9)*1] = float32(math.NaN()) // channel 0, row 0 of 3, column 9
			y := floats(t, s, s.ConvFused(s.ChannelsLast(s.FromFloats(v, 1, 64, side, side)), f.packed, f.bias, Conv{Padding: 1}, true))
			for o := range 64 {
				for i := range side {
					for j := range side {
						nan := math.IsNaN(float64(y[(o*side+i)*side+j]))
						if near := i >= 2 && i <= 4 && j >= 8 && j <= 10; near {
							require.True(t, nan, "channel %d, place %d, %d", o, i, j)
						} else if far := i >= 8 || j < 4 || j >= 16; far {
							require.False(t, nan, "channel %d, place %d, %d", o, i, j)
						}
					}
				}
			}
			return s.Err()
		}))
	})
}

// Weights that the kernel does not take stay with oneDNN, as all do on a processor without AVX2.
func TestFilteringLeavesTheRest(t *testing.T) {
	filtering(t, func(t *testing.T) {
		require.NoError(t, Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
			own := func(o, c, k int64, conv Conv) bool {
				w := s.PackConv(wave(s, 1, o, c/conv.filled().Groups, k, k), conv, [4]int64{1, c, 16, 16})
				require.NoError(t, s.Err())
				own, err := native.ConvOwn(w.h)
				require.NoError(t, err)
				return own
			}
			require.True(t, own(64, 64, 3, Conv{Padding: 1}))
			require.False(t, own(64, 64, 3, Conv{Padding: 1, Stride: 2}))
			require.False(t, own(64, 64, 3, Conv{}))
			require.False(t, own(64, 64, 1, Conv{}))
			require.False(t, own(64, 64, 3, Conv{Padding: 1, Groups: 2}))
			require.False(t, own(64, 24, 3, Conv{Padding: 1}))
			require.False(t, own(48, 64, 3, Conv{Padding: 1}))
			require.False(t, own(512, 256, 3, Conv{Padding: 1}))
			native.ConvLanes(0)
			require.False(t, own(64, 64, 3, Conv{Padding: 1}))
			return s.Err()
		}))
	})
}

// libtorch's variable for using less of a processor than it has holds for kernels of this package.
func TestKernelsObeyTheCapability(t *testing.T) {
	const child = "GOTAB_TEST_CAPABILITY"
	if os.Getenv(child) != "" {
		fmt.Printf("kernels: %d lanes, AMX %t\n", native.ConvLanes(16), native.HasAMX())
		return
	}
	most, amx := native.ConvLanes(16), native.HasAMX()
	native.ConvLanes(most)
	for set, want := range map[string]string{
		"default": "0 lanes, AMX false", "avx2": fmt.Sprintf("%d lanes, AMX false", min(most, 8)), "avx512": fmt.Sprintf("%d lanes, AMX %t", most, amx),
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKernelsObeyTheCapability$")
		cmd.Env = append(os.Environ(), child+"=1", "ATEN_CPU_CAPABILITY="+set)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), "kernels: "+want, set)
	}
}

// A weight that is infinite or no number would spread over whole tiles: with oneDNN what it does not meet stays a number.
func TestFilteringLeavesInfiniteWeights(t *testing.T) {
	filtering(t, func(t *testing.T) {
		for _, bad := range []float64{math.Inf(1), math.Inf(-1), math.NaN()} {
			require.NoError(t, Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
				v := make([]float32, 32*32*9)
				v[5] = float32(bad) // of output 0 at input 0, row 1, column 2
				dense, b := s.FromFloats(v, 32, 32, 3, 3), s.Zeros(32)
				packed := s.PackConv(dense, Conv{Padding: 1}, [4]int64{1, 32, 9, 9})
				x := s.ChannelsLast(s.AddScalar(wave(s, 1, 1, 32, 9, 9), 2)) // above zero: no product is 0 times infinity
				want := floats(t, s, s.Conv2d(x, dense, b, Conv{Padding: 1}))
				for i, v := range floats(t, s, s.ConvFused(x, packed, b, Conv{Padding: 1}, false)) {
					if i < 81 && i%9 == 8 {
						continue // the weight meets a zero beyond the border, or nothing: libtorch's kernels differ
					}
					if v-v == 0 || want[i]-want[i] == 0 || v == v != (want[i] == want[i]) {
						require.Equal(t, want[i], v, "value %d", i)
					}
				}
				return s.Err()
			}))
		}
	})
}

// A weight that outlives its kernels is refused.
func TestFilteringThatIsSwitchedOff(t *testing.T) {
	filtering(t, func(t *testing.T) {
		p := NewParams(CPU)
		defer func() { require.NoError(t, p.Close()) }()
		f := filters(t, p, 32, 16)
		native.ConvLanes(0)
		require.ErrorContains(t, Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
			s.ConvFused(s.ChannelsLast(wave(s, 1, 1, 16, 5, 5)), f.packed, f.bias, Conv{Padding: 1}, false)
			return s.Err()
		}), "switched off")
	})
}
