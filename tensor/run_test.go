package tensor_test

import (
	"context"
	"errors"
	"math"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/tensor"
)

func TestRunFreesWhatItMade(t *testing.T) {
	start := tensor.Live()
	err := tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		x := s.FromFloats([]float32{1, -2, 3}, 3)
		y := s.Sub(func(s *tensor.Scope) *tensor.Tensor { return s.ReLU(s.Add(x, x)) })
		require.Equal(t, start+2, tensor.Live(), "a Sub keeps its result only")
		v, err := s.Floats(y)
		require.Equal(t, []float32{2, 0, 6}, v)
		return err
	})
	require.NoError(t, err)
	require.Equal(t, start, tensor.Live())
}

func TestErrorsStick(t *testing.T) {
	start := tensor.Live()
	err := tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		a, b := s.Zeros(2, 3), s.Zeros(4)
		c := s.Add(a, b)
		require.False(t, c.Valid())
		s.ReLU(s.Mul(c, c)) // harmless after a failure
		_, err := s.Floats(c)
		require.Error(t, err)
		return nil
	})
	require.ErrorIs(t, err, tensor.ErrShape)
	var op *tensor.OpError
	require.ErrorAs(t, err, &op)
	require.Equal(t, "Add", op.Op)
	require.Equal(t, "tensor: Add of [2 3] and [4]: shapes do not fit", err.Error())
	require.Equal(t, start, tensor.Live())
}

func TestNativeMessageIsCut(t *testing.T) {
	err := tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		s.Reshape(s.Zeros(2, 3), 4)
		return nil
	})
	require.ErrorContains(t, err, "tensor: Reshape of [2 3]: ")
	require.NotContains(t, err.Error(), "Exception raised from")
	require.NotContains(t, err.Error(), "frame #")
}

func TestUseAfterRelease(t *testing.T) {
	var kept *tensor.Tensor
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		kept = s.Zeros(2)
		return nil
	}))
	require.False(t, kept.Valid())
	err := tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		s.ReLU(kept)
		return nil
	})
	require.ErrorIs(t, err, tensor.ErrReleased)
	err = tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		s.Add(nil, s.Zeros(1))
		return nil
	})
	require.ErrorIs(t, err, tensor.ErrReleased)
}

func TestNestedRun(t *testing.T) {
	err := tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(*tensor.Scope) error {
		return tensor.Run(context.Background(), tensor.CPU, tensor.Evaluation, func(*tensor.Scope) error { return nil })
	})
	require.ErrorIs(t, err, tensor.ErrNested)
}

func TestPanicReachesTheCallerAndFrees(t *testing.T) {
	start := tensor.Live()
	for _, thrown := range []any{"boom", errBoom} {
		func() {
			defer func() {
				p, ok := recover().(*tensor.Panic)
				require.True(t, ok, "the panic keeps what was thrown and where")
				require.Equal(t, thrown, p.Value)
				require.Contains(t, string(p.Stack), "tensor_test.throw", "the stack of fn, not that of the caller")
				require.ErrorContains(t, p, "boom")
				require.Equal(t, thrown == errBoom, errors.Is(p, errBoom))
			}()
			_ = tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
				s.Zeros(8)
				throw(thrown)
				return nil
			})
		}()
	}
	require.Equal(t, start, tensor.Live())
	runs(t, 2)
}

var errBoom = errors.New("boom")

//go:noinline
func throw(v any) { panic(v) }

func TestGoexitReachesTheCallerAndFrees(t *testing.T) {
	start := tensor.Live()
	ended := make(chan bool)
	for range 5 {
		after := false
		go func() {
			defer func() { ended <- after }()
			_ = tensor.Run(context.Background(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
				s.Zeros(8)
				runtime.Goexit() // what a failing assertion does
				return nil
			})
			after = true
		}()
		require.False(t, <-ended, "Run returned to a goroutine that was to end")
	}
	require.Equal(t, start, tensor.Live())
	runs(t, 2)
}

func runs(t *testing.T, n int) {
	t.Helper()
	for range n {
		require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
			_, err := s.Floats(s.Zeros(2))
			return err
		}))
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	called := false
	err := tensor.Run(ctx, tensor.CPU, tensor.Evaluation, func(*tensor.Scope) error { called = true; return nil })
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, called)

	// While it waits for its turn.
	ctx, cancel = context.WithCancel(t.Context())
	err = tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		waiting := make(chan error)
		go func() {
			waiting <- tensor.Run(ctx, tensor.CPU, tensor.Evaluation, func(*tensor.Scope) error { called = true; return nil })
		}()
		cancel()
		require.ErrorIs(t, <-waiting, context.Canceled)
		return nil
	})
	require.NoError(t, err)

	// Inside: asked for with Err.
	ctx, cancel = context.WithCancel(t.Context())
	err = tensor.Run(ctx, tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		cancel()
		return s.Err()
	})
	require.ErrorIs(t, err, context.Canceled)
}

// threads counts the threads of this process.
func threads(t *testing.T) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/task")
	require.NoError(t, err)
	return len(d)
}

func TestManyRunsFromManyGoroutines(t *testing.T) {
	if _, err := os.Stat("/proc/self/task"); err != nil {
		t.Skip("no /proc: cannot count threads")
	}
	w := make([]float32, 8*3*3*3)
	one := func(n int) {
		err := tensor.Run(tensor.WithThreads(context.Background(), n), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
			y := s.Conv2d(s.Zeros(1, 3, 32, 32), s.FromFloats(w, 8, 3, 3, 3), nil, tensor.Conv{Padding: 1})
			_, err := s.Floats(y)
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	flood := func(runs int) {
		var wg sync.WaitGroup
		for g := range 64 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := range runs / 64 {
					one(1 + (g+i)%2)
				}
			}()
		}
		wg.Wait()
	}
	flood(128)
	start, live := threads(t), tensor.Live()
	flood(1024)
	// Go's own threads may come and go; libtorch's pools must not grow with runs.
	require.LessOrEqual(t, threads(t), start+4)
	require.Equal(t, live, tensor.Live())
}

func TestThreadSettings(t *testing.T) {
	old := tensor.GetThreads()
	defer func() { require.NoError(t, tensor.SetThreads(old)) }()
	require.Error(t, tensor.SetThreads(tensor.Threads{Cores: 0, PerRun: 1}))
	require.Error(t, tensor.SetThreads(tensor.Threads{Cores: 2, PerRun: 3}))
	require.NoError(t, tensor.SetThreads(tensor.Threads{Cores: 3, PerRun: 1}))
	// Three runs of one thread go on together: each waits for the other two.
	var in sync.WaitGroup
	in.Add(3)
	var wg sync.WaitGroup
	for range 3 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			err := tensor.Run(context.Background(), tensor.CPU, tensor.Evaluation, func(*tensor.Scope) error {
				in.Done()
				in.Wait()
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
}

func TestParseDevice(t *testing.T) {
	d, err := tensor.ParseDevice("cpu")
	require.NoError(t, err)
	require.Equal(t, tensor.CPU, d)
	for _, bad := range []string{"gpu", "cuda:x", "cuda:-1", "tpu:0"} {
		_, err := tensor.ParseDevice(bad)
		require.Error(t, err, bad)
	}
	if tensor.CUDADevices() == 0 {
		_, err = tensor.ParseDevice("cuda")
		require.ErrorIs(t, err, tensor.ErrDevice)
		require.ErrorContains(t, err, "env -cuda")
		d, err = tensor.ParseDevice("auto")
		require.NoError(t, err)
		require.Equal(t, tensor.CPU, d)
		err = tensor.Run(t.Context(), tensor.CUDA(0), tensor.Evaluation, func(*tensor.Scope) error { return nil })
		require.ErrorIs(t, err, tensor.ErrDevice)
	}
}

func TestMemoryStaysFlat(t *testing.T) {
	status := func() int64 {
		b, err := os.ReadFile("/proc/self/statm")
		if err != nil {
			t.Skip("no /proc: cannot read the resident size")
		}
		var total, rss int64
		_, err = parse(string(b), &total, &rss)
		require.NoError(t, err)
		return rss * int64(os.Getpagesize())
	}
	loop := func(n int) {
		require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
			x := s.Zeros(16)
			for range n {
				y := s.Add(x, x)
				g := s.GELU(y)
				s.Free(y, g, s.MulScalar(g, 2))
			}
			return s.Err()
		}))
	}
	// A leak grows every time; the allocator, the collector and the race detector
	// take new pages now and then. So the least of three growths counts: a leak of
	// 32 bytes an operation would be 960 kB.
	loop(20000) // also fills the heap up to the first collections
	least := int64(math.MaxInt64)
	for range 3 {
		before := status()
		loop(10000)
		least = min(least, status()-before)
	}
	require.Less(t, least, int64(1<<19))
}

func parse(s string, out ...*int64) (int, error) {
	f := strings.Fields(s)
	if len(f) < len(out) {
		return 0, errors.New("short line")
	}
	for i, o := range out {
		for _, c := range f[i] {
			*o = *o*10 + int64(c-'0')
		}
	}
	return len(out), nil
}

func TestUseThreads(t *testing.T) {
	old, procs := tensor.GetThreads(), runtime.GOMAXPROCS(0)
	defer func() {
		runtime.GOMAXPROCS(procs)
		require.NoError(t, tensor.SetThreads(old))
	}()
	for _, n := range []int{-1, 5000} {
		require.ErrorContains(t, tensor.UseThreads(n), "want 1 to 4096, or 0")
	}
	require.Equal(t, old, tensor.GetThreads())
	require.NoError(t, tensor.UseThreads(1))
	require.Equal(t, tensor.Threads{Cores: 1, PerRun: 1}, tensor.GetThreads())
	require.Equal(t, 1, runtime.GOMAXPROCS(0))
}
