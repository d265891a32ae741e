package tensor_test

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

func TestRunTellsDeviceAndMode(t *testing.T) {
	for _, mode := range []tensor.Mode{tensor.Evaluation, tensor.Training} {
		run(t, mode, func(s *scope) error {
			require.Equal(t, mode, s.Mode())
			require.Equal(t, tensor.CPU, s.Device())
			s.Sub(func(c *scope) *ten {
				require.Equal(t, mode, c.Mode())
				return nil
			})
			return nil
		})
	}
	require.Equal(t, "training evaluation", fmt.Sprint(tensor.Training, " ", tensor.Evaluation))
}

func TestSubN(t *testing.T) {
	testutil.NoLeak(t)
	run(t, tensor.Evaluation, func(s *scope) error {
		outside := s.Full(1, tensor.Float32, 3)
		start := tensor.Live()
		out := s.SubN(func(c *scope) []*ten {
			a := c.Full(2, tensor.Float32, 3)
			c.Full(3, tensor.Float32, 3) // not returned
			b := c.Add(a, outside)
			return []*ten{a, b, outside, nil, a}
		})
		require.Len(t, out, 5)
		require.Equal(t, start+2, tensor.Live(), "a and b stay, once each")
		require.Equal(t, []float32{3, 3, 3}, floats(t, s, out[1]))
		require.True(t, out[2] == outside)
		require.False(t, out[3].Valid())
		require.True(t, out[4] == out[0])
		require.Equal(t, start+2, tensor.Live())
		require.Nil(t, s.SubN(func(*scope) []*ten { return nil }))

		require.PanicsWithValue(t, "stop", func() {
			s.Sub(func(c *scope) *ten { c.Zeros(4); panic("stop") })
		})
		require.Equal(t, start+2, tensor.Live(), "a panic frees too")

		return s.Err()
	})
	err := failure(t, tensor.Evaluation, func(s *scope) {
		var inner *scope
		kept := s.Sub(func(c *scope) *ten { inner = c; return c.Zeros(1) })
		require.True(t, kept.Valid())
		require.False(t, inner.Add(kept, kept).Valid(), "a Sub's scope ends with it")
	})
	require.ErrorIs(t, err, tensor.ErrReleased)
	require.ErrorContains(t, err, "the scope has ended")
}

func TestFree(t *testing.T) {
	testutil.NoLeak(t)
	p := tensor.NewParams(tensor.CPU)
	defer func() { require.NoError(t, p.Close()) }()
	run(t, tensor.Evaluation, func(s *scope) error {
		require.NoError(t, p.Put(s, "w", s.Zeros(2)))
		a, b := s.Zeros(2), s.Zeros(2)
		require.Equal(t, []int64{2}, a.Shape(), "asked for before the release, which must forget it")
		start := tensor.Live()
		s.Free(a, a, nil, p.Get("w"))
		require.Equal(t, start-1, tensor.Live())
		require.False(t, a.Valid())
		require.True(t, p.Get("w").Valid(), "of another owner")
		s.Sub(func(c *scope) *ten { c.Free(b); return nil })
		require.True(t, b.Valid(), "of the outer scope")
		view := s.Narrow(b, 0, 0, 1)
		s.Free(b)
		require.Equal(t, []float32{0}, floats(t, s, view), "a view keeps the memory")
		require.Nil(t, a.Shape())
		require.Equal(t, "tensor (released)", a.String())
		require.Equal(t, int64(0), a.Len())
		return s.Err()
	})
}

func TestNoGrad(t *testing.T) {
	testutil.NoLeak(t)
	p := tensor.NewParams(tensor.CPU)
	defer func() { require.NoError(t, p.Close()) }()
	run(t, tensor.Training, func(s *scope) error { return p.Put(s, "w", x(s, 1, 3)) })
	w := p.Get("w")
	// recorded says whether an operation on w can be followed by Backward.
	recorded := func(s *scope, y *ten) bool { s.Backward(s.Sum(y, false)); return s.Err() == nil }
	for name, c := range map[string]struct {
		f    func(s *scope) *ten
		want bool
	}{
		"plain":  {func(s *scope) *ten { return s.Square(w) }, true},
		"inside": {func(s *scope) (y *ten) { s.NoGrad(func() { y = s.Square(w) }); return y }, false},
		"after":  {func(s *scope) *ten { s.NoGrad(func() { s.Square(w) }); return s.Square(w) }, true},
		"after a nested one": {func(s *scope) (y *ten) {
			s.NoGrad(func() {
				s.NoGrad(func() { s.Square(w) })
				y = s.Square(w)
			})
			return y
		}, false},
		"after a copy": {func(s *scope) (y *ten) {
			s.NoGrad(func() {
				s.CopyInto(s.Zeros(3), w)
				y = s.Square(w)
			})
			return y
		}, false},
		"after a panic": {func(s *scope) *ten {
			require.Panics(t, func() { s.NoGrad(func() { panic("stop") }) })
			return s.Square(w)
		}, true},
		"detached": {func(s *scope) *ten { return s.Square(s.Detach(w)) }, false},
	} {
		got := false
		_ = tensor.Run(t.Context(), tensor.CPU, tensor.Training, func(s *scope) error { // its error is what is measured
			got = recorded(s, c.f(s))
			return nil
		})
		require.Equal(t, c.want, got, name)
	}
	err := failure(t, tensor.Evaluation, func(s *scope) { s.Backward(s.Sum(s.Square(w), false)) })
	require.ErrorContains(t, err, "mode evaluation")
	require.NoError(t, p.ZeroGrad())
	// A Run in the other mode before leaves nothing behind.
	run(t, tensor.Training, func(s *scope) error { require.True(t, recorded(s, s.Square(w))); return s.Err() })
	require.NoError(t, p.ZeroGrad())
}

func TestFail(t *testing.T) {
	testutil.NoLeak(t)
	first := errors.New("the article says otherwise")
	err := failure(t, tensor.Evaluation, func(s *scope) {
		s.Fail(nil)
		require.NoError(t, s.Err())
		s.Fail(first)
		s.Fail(errors.New("later"))
		require.False(t, s.Zeros(2).Valid())
		require.False(t, s.Sub(func(c *scope) *ten { return c.Zeros(1) }).Valid())
		require.Equal(t, first, s.Err())
	})
	require.Equal(t, first, err)
}

// arguments makes a call's arguments: pick gives the tensors (by position among
// the tensor operands) and n the whole numbers.
func arguments(method reflect.Value, pick func(i int) *ten, n int64) (args []reflect.Value, operands int, ok bool) {
	typ := method.Type()
	operand := func() reflect.Value {
		operands++
		return reflect.ValueOf(pick(operands - 1))
	}
	for i := range typ.NumIn() {
		switch in := typ.In(i); {
		case in == reflect.TypeFor[*ten]():
			args = append(args, operand())
		case in == reflect.TypeFor[[]*ten]() && typ.IsVariadic():
			args = append(args, operand(), operand())
		case in == reflect.TypeFor[[]int64]() && typ.IsVariadic() && i == typ.NumIn()-1:
			args = append(args, reflect.ValueOf(n))
		case in.Kind() == reflect.Int64:
			args = append(args, reflect.ValueOf(n).Convert(in))
		case in == reflect.TypeFor[func([]float32)]():
			args = append(args, reflect.ValueOf(func([]float32) {}))
		case in.Kind() == reflect.Func:
			return nil, 0, false
		case in == reflect.TypeFor[tensor.DType]():
			args = append(args, reflect.ValueOf(tensor.Int64))
		case in == reflect.TypeFor[[4]int64]():
			args = append(args, reflect.ValueOf([4]int64{n, n, n, n}))
		case in == reflect.TypeFor[tensor.Conv]():
			args = append(args, reflect.ValueOf(tensor.Conv{Stride: n, Padding: n, Dilation: n, Groups: n}))
		default:
			args = append(args, reflect.Zero(in))
		}
	}
	return args, operands, true
}

// eachOperation calls f with the name of every method of Scope that is an
// operation.
func eachOperation(f func(name string)) {
	skip := map[string]bool{"Device": true, "Mode": true, "Err": true, "Fail": true, "Sub": true, "SubN": true,
		"NoGrad": true, "Free": true}
	typ := reflect.TypeFor[*scope]()
	for i := range typ.NumMethod() {
		if name := typ.Method(i).Name; !skip[name] {
			f(name)
		}
	}
}

func released(t *testing.T) *ten {
	t.Helper()
	var gone *ten
	run(t, tensor.Evaluation, func(s *scope) error { gone = s.Zeros(2, 2); return nil })
	require.False(t, gone.Valid())
	return gone
}

func TestReleasedOperands(t *testing.T) {
	testutil.NoLeak(t)
	gone := released(t)
	tried := 0
	eachOperation(func(name string) {
		for _, operand := range []*ten{gone, nil} {
			var operands int
			call := func(pick func(s *scope, i int) *ten) error {
				return tensor.Run(t.Context(), tensor.CPU, tensor.Training, func(s *scope) error {
					m := reflect.ValueOf(s).MethodByName(name)
					args, n, _ := arguments(m, func(i int) *ten { return pick(s, i) }, 1)
					if operands = n; n > 0 {
						m.Call(args)
					}
					return nil
				})
			}
			err := call(func(*scope, int) *ten { return operand })
			if operands == 0 {
				return // makes tensors from nothing
			}
			tried++
			require.ErrorIs(t, err, tensor.ErrReleased, "%s of released tensors", name)
			// One of them released, the others alive.
			for k := range operands {
				if name == "Linear" && k == 2 || name == "Conv2d" && k == 2 {
					continue // nil is a bias that is not there
				}
				err := call(func(s *scope, i int) *ten {
					if i == k {
						return operand
					}
					return s.Zeros(1, 1, 1, 1)
				})
				require.Error(t, err, "%s, operand %d", name, k+1)
			}
		}
	})
	require.Greater(t, tried, 100)
}

func TestEndedScope(t *testing.T) {
	testutil.NoLeak(t)
	p := tensor.NewParams(tensor.CPU)
	defer func() { require.NoError(t, p.Close()) }()
	run(t, tensor.Evaluation, func(s *scope) error { return p.Put(s, "w", s.Zeros(2, 2)) })
	eachOperation(func(name string) {
		var s *scope
		run(t, tensor.Evaluation, func(in *scope) error { s = in; return nil })
		m := reflect.ValueOf(s).MethodByName(name)
		args, _, ok := arguments(m, func(int) *ten { return p.Get("w") }, 1)
		require.True(t, ok, name)
		start := tensor.Live()
		m.Call(args)
		require.Error(t, s.Err(), name)
		require.Equal(t, start, tensor.Live(), name)
	})
	var s *scope
	run(t, tensor.Training, func(in *scope) error { s = in; return nil })
	require.False(t, s.Sub(func(c *scope) *ten { return c.Zeros(3) }).Valid())
	called := false
	s.NoGrad(func() { called = true })
	require.True(t, called)
	require.ErrorIs(t, p.Put(s, "x", s.Zeros(1)), tensor.ErrReleased)
}

// Whatever the operands are, an operation succeeds or fails: it never takes the
// process down.
func TestOddOperands(t *testing.T) {
	testutil.NoLeak(t)
	odd := map[string]func(s *scope) *ten{
		"scalar":   func(s *scope) *ten { return s.Full(1, tensor.Float32) },
		"empty":    func(s *scope) *ten { return s.Zeros(0) },
		"no image": func(s *scope) *ten { return s.Zeros(2, 3, 0, 0) },
		"no batch": func(s *scope) *ten { return s.Zeros(0, 3, 4, 4) },
		"pixel":    func(s *scope) *ten { return s.Zeros(1, 1, 1, 1) },
		"image":    func(s *scope) *ten { return x(s, 1, 2, 3, 4, 4) },
		"matrix":   func(s *scope) *ten { return x(s, 1, 4, 4) },
		"integers": func(s *scope) *ten { return ints(s, 1, 9, 4, 4) },
		"bool":     func(s *scope) *ten { return s.Full(1, tensor.Bool, 3, 3) },
		"double":   func(s *scope) *ten { return s.Full(1, tensor.Float64, 1, 2, 2, 2) },
	}
	if tensor.HasOneDNN() {
		odd["packed"] = func(s *scope) *ten { return s.PackConv(x(s, 1, 2, 3, 3, 3), tensor.Conv{}, [4]int64{1, 3, 5, 5}) }
	}
	for _, make := range odd {
		for _, n := range []int64{-1, 0, 2} {
			eachOperation(func(op string) {
				_ = tensor.Run(t.Context(), tensor.CPU, tensor.Training, func(s *scope) error { // success or failure: either will do
					m := reflect.ValueOf(s).MethodByName(op)
					if args, _, ok := arguments(m, func(int) *ten { return make(s) }, n); ok && !takesPointer(m) {
						m.Call(args)
					}
					return s.Err()
				})
			})
		}
	}
}

// takesPointer tells operations that trust the caller with an address.
func takesPointer(m reflect.Value) bool {
	for i := range m.Type().NumIn() {
		if m.Type().In(i) == reflect.TypeFor[unsafe.Pointer]() {
			return true
		}
	}
	return false
}

func TestRoundTrips(t *testing.T) {
	testutil.NoLeak(t)
	run(t, tensor.Evaluation, func(s *scope) error {
		m := x(s, 7, 3, 4)
		require.Equal(t, values(7, 3, 4), floats(t, s, m))
		back := make([]float32, 12)
		require.NoError(t, s.FloatsInto(back, m))
		require.Equal(t, values(7, 3, 4), back)
		filled := s.Filled(func(v []float32) { copy(v, values(7, 3, 4)) }, 3, 4)
		require.Equal(t, []int64{3, 4}, filled.Shape())
		require.Equal(t, values(7, 3, 4), floats(t, s, filled))
		doubles, err := s.Float64s(m)
		require.NoError(t, err)
		for i, v := range doubles {
			require.Equal(t, float64(back[i]), v)
		}
		whole, err := s.Ints(ints(s, 7, 900, 3, 4))
		require.NoError(t, err)
		require.Equal(t, integers(7, 900, 3, 4), whole)
		truncated, err := s.Ints(triple(s, 7, 3, 4))
		require.NoError(t, err)
		for i, v := range back {
			require.Equal(t, int64(3*v), truncated[i])
		}
		one, err := s.Float(s.Full(-2.5, tensor.Float64))
		require.NoError(t, err)
		require.Equal(t, -2.5, one)
		require.Equal(t, []float32{0, 0}, floats(t, s, s.Zeros(2)))
		require.Equal(t, []float32{3, 3}, floats(t, s, s.Full(3, tensor.Int64, 2)))
		require.Equal(t, "tensor int64 [2] on cpu", s.Full(3, tensor.Int64, 2).String())
		require.Empty(t, floats(t, s, s.Zeros(0, 3)))
		// Row-major whatever the memory layout is.
		require.Equal(t, []float32{1, 4, 2, 5, 3, 6}, floats(t, s, s.Transpose(s.FromFloats([]float32{1, 2, 3, 4, 5, 6}, 2, 3), 0, 1)))
		img := values(9, 2, 3, 4, 3)
		require.Equal(t, floats(t, s, s.Contiguous(s.FromNHWC(img, 2, 3, 4, 3))), floats(t, s, s.FromNHWC(img, 2, 3, 4, 3)))
		// A scalar has no dimension, and Float wants one element.
		require.Equal(t, 0, s.Full(1, tensor.Float32).Dim())
		require.Equal(t, int64(4), m.Size(-1))
		require.Equal(t, int64(0), m.Size(2))
		return s.Err()
	})
	for name, f := range map[string]func(s *scope){
		"too few values": func(s *scope) { s.FromFloats([]float32{1}, 2) },
		"negative size":  func(s *scope) { s.FromFloats(nil, -1, 0) },
		"many elements":  func(s *scope) { _, _ = s.Float(s.Zeros(2)) },
		"short buffer":   func(s *scope) { _ = s.FloatsInto(make([]float32, 1), s.Zeros(2)) },
		"wrong type":     func(s *scope) { _ = s.FloatsInto(make([]float32, 2), s.Full(1, tensor.Float64, 2)) },
		"array bytes":    func(s *scope) { s.FromArray(tensor.Array{DType: tensor.Float32, Shape: []int64{2}, Data: []byte{1}}) },
		"k of 0":         func(s *scope) { s.TopK(s.Zeros(3), 0, 0, true) },
		"k too large":    func(s *scope) { s.TopK(s.Zeros(3), 4, 0, true) },
		"k's dimension":  func(s *scope) { s.TopK(s.Zeros(3), 1, 1, true) },
		"nothing to cat": func(s *scope) { s.Cat(0) },
		"narrow":         func(s *scope) { s.Narrow(s.Zeros(3), 0, 2, 2) },
		"linear":         func(s *scope) { s.Linear(s.Zeros(2, 3), s.Zeros(4, 2), nil) },
		"convolution":    func(s *scope) { s.Conv2d(s.Zeros(1, 3, 5, 5), s.Zeros(4, 2, 3, 3), nil, tensor.Conv{}) },
		"batch norm": func(s *scope) {
			s.BatchNorm(s.Zeros(1, 3, 2, 2), s.Zeros(2), s.Zeros(2), s.Zeros(2), s.Zeros(2), false, 0.1, 1e-5)
		},
	} {
		require.ErrorIs(t, failure(t, tensor.Evaluation, f), tensor.ErrShape, name)
	}
	require.ErrorContains(t, failure(t, tensor.Evaluation, func(s *scope) {
		s.Cholesky(s.FromFloats([]float32{1, 2, 2, 1}, 2, 2)) // eigenvalues 3 and -1
	}), "not positive-definite")
	require.ErrorContains(t, failure(t, tensor.Evaluation, func(s *scope) {
		s.Embedding(s.Zeros(3, 2), s.FromInts([]int64{3}, 1))
	}), "out of range")
}

func TestSameBits(t *testing.T) {
	testutil.NoLeak(t)
	once := func(threads int) (out []float32) {
		err := tensor.Run(tensor.WithThreads(t.Context(), threads), tensor.CPU, tensor.Evaluation, func(s *scope) (err error) {
			y := s.Conv2d(s.ChannelsLast(x(s, 1, 4, 16, 30, 30)), s.ChannelsLast(x(s, 2, 24, 16, 3, 3)), nil, tensor.Conv{Padding: 1})
			y = s.Softmax(s.Linear(s.GlobalAvgPool(s.GELU(y)), x(s, 3, 10, 24), nil), 1)
			out, err = s.Floats(y)
			return err
		})
		require.NoError(t, err)
		return out
	}
	for _, threads := range []int{1, 2} {
		first := once(threads)
		for range 3 {
			require.Equal(t, first, once(threads), "%d threads", threads)
		}
	}
}

// Several Runs read one Params, as a service does; the race detector looks on.
func TestConcurrentReaders(t *testing.T) {
	testutil.NoLeak(t)
	old := tensor.GetThreads()
	defer func() { require.NoError(t, tensor.SetThreads(old)) }()
	require.NoError(t, tensor.SetThreads(tensor.Threads{Cores: 4, PerRun: 1}))
	p := tensor.NewParams(tensor.CPU)
	defer func() { require.NoError(t, p.Close()) }()
	run(t, tensor.Evaluation, func(s *scope) error { return p.Put(s, "w", x(s, 2, 8, 3, 3, 3)) })
	results := make([][]float32, 8)
	var wg sync.WaitGroup
	for g := range results {
		wg.Add(1)
		go func() {
			defer wg.Done()
			err := tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *scope) (err error) {
				w := p.Get("w")
				y := s.Conv2d(x(s, 1, 2, w.Size(1), 9, 9), w, nil, tensor.Conv{})
				results[g], err = s.Floats(y)
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	for _, r := range results {
		require.Equal(t, results[0], r)
	}
}

func TestOutOfMemory(t *testing.T) {
	testutil.NoLeak(t)
	err := failure(t, tensor.Evaluation, func(s *scope) { s.Zeros(1 << 46) }) // more than a process can address
	require.ErrorIs(t, err, tensor.ErrOutOfMemory)
	require.ErrorContains(t, err, "tensor: Zeros")
	runs(t, 1)
}
