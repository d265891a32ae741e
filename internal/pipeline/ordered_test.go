package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/pipeline"
)

var errBoom = errors.New("boom")

// probe counts what is running and what has been started.
type probe struct {
	running, started, ended atomic.Int64
}

func (p *probe) enter() func() {
	p.running.Add(1)
	p.started.Add(1)
	return func() {
		p.running.Add(-1)
		p.ended.Add(1)
	}
}

func (p *probe) requireIdle(t *testing.T) {
	t.Helper()
	require.Zero(t, p.running.Load(), "calls still running after the iteration")
	require.Equal(t, p.started.Load(), p.ended.Load())
}

// requireGoroutines fails when more goroutines exist than before. A goroutine
// that has passed its last statement is counted until its thread gets to run
// again, so the scheduler is given time; only a leak uses all of it.
func requireGoroutines(t *testing.T, before int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if runtime.NumGoroutine() <= before {
			return
		}
		runtime.Gosched()
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), before, "goroutines left behind")
}

func TestOrderedYieldsEverythingInOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		n, workers, ahead := rng.IntN(60), 1+rng.IntN(20), 1+rng.IntN(20)
		name := fmt.Sprintf("n=%d workers=%d ahead=%d", n, workers, ahead)
		before := runtime.NumGoroutine()
		var p probe
		var handed, worst atomic.Int64
		want := 0
		spins := make([]int, n)
		for i := range spins {
			spins[i] = rng.IntN(20)
		}
		for v, err := range pipeline.Ordered(t.Context(), n, workers, ahead, func(_ context.Context, i int) (int, error) {
			defer p.enter()()
			// The result before the one that this loop waits for may have been
			// handed over without being counted yet: hence the 1.
			if over := int64(i) - handed.Load() - int64(ahead); over > worst.Load() {
				worst.Store(over)
			}
			for range spins[i] {
				runtime.Gosched()
			}
			return i * i, nil
		}) {
			require.NoError(t, err, name)
			require.Equal(t, want*want, v, name)
			want++
			handed.Store(int64(want))
		}
		require.Equal(t, n, want, name)
		require.LessOrEqual(t, worst.Load(), int64(0), name+": a call started too early")
		p.requireIdle(t)
		require.Equal(t, int64(n), p.started.Load(), name)
		requireGoroutines(t, before)
	}
}

func TestOrderedRunsInParallelAndIsBounded(t *testing.T) {
	const workers, ahead = 4, 4
	// All four calls meet: this ends only if they run at the same time.
	var meet sync.WaitGroup
	meet.Add(workers)
	n := 0
	for _, err := range pipeline.Ordered(t.Context(), workers, workers, ahead, func(context.Context, int) (int, error) {
		meet.Done()
		meet.Wait()
		return 0, nil
	}) {
		require.NoError(t, err)
		n++
	}
	require.Equal(t, workers, n)

	var now, peak atomic.Int64
	for _, err := range pipeline.Ordered(t.Context(), 300, 3, 50, func(context.Context, int) (int, error) {
		if k := now.Add(1); k > peak.Load() {
			peak.Store(k)
		}
		runtime.Gosched()
		now.Add(-1)
		return 0, nil
	}) {
		require.NoError(t, err)
	}
	require.LessOrEqual(t, peak.Load(), int64(3))
}

func TestOrderedWorksAheadOfTheBody(t *testing.T) {
	started := make(chan int, 10)
	i := 0
	for _, err := range pipeline.Ordered(t.Context(), 3, 1, 1, func(_ context.Context, i int) (int, error) {
		started <- i
		return i, nil
	}) {
		require.NoError(t, err)
		if i == 0 {
			require.Equal(t, 0, <-started)
			require.Equal(t, 1, <-started, "call 1 must start while the body holds result 0")
		}
		i++
	}
}

func TestOrderedBreak(t *testing.T) {
	for _, stopAt := range []int{0, 1, 7} {
		before := runtime.NumGoroutine()
		var p probe
		seen := 0
		for v, err := range pipeline.Ordered(t.Context(), 1000, 8, 16, func(ctx context.Context, i int) (int, error) {
			defer p.enter()()
			if i > stopAt {
				<-ctx.Done() // ends only because the iteration cancels it
				return 0, ctx.Err()
			}
			return i, nil
		}) {
			require.NoError(t, err)
			require.Equal(t, seen, v)
			if v == stopAt {
				break
			}
			seen++
		}
		p.requireIdle(t)
		requireGoroutines(t, before)
	}
}

func TestOrderedErrorIsTheFirstInOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		n, workers, ahead := 1+rng.IntN(50), 1+rng.IntN(12), 1+rng.IntN(30)
		bad := rng.IntN(n)
		before := runtime.NumGoroutine()
		var p probe
		got, failures := 0, 0
		for v, err := range pipeline.Ordered(t.Context(), n, workers, ahead, func(_ context.Context, i int) (int, error) {
			defer p.enter()()
			if i >= bad {
				return 7, fmt.Errorf("item %d: %w", i, errBoom)
			}
			runtime.Gosched()
			return i, nil
		}) {
			if err != nil {
				failures++
				require.ErrorIs(t, err, errBoom)
				require.ErrorContains(t, err, fmt.Sprintf("item %d:", bad))
				require.Zero(t, v)
				p.requireIdle(t)
				continue
			}
			require.Equal(t, got, v)
			got++
		}
		require.Equal(t, bad, got)
		require.Equal(t, 1, failures)
		requireGoroutines(t, before)
	}
}

func TestOrderedCancellation(t *testing.T) {
	t.Run("before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		calls := 0
		for _, err := range pipeline.Ordered(ctx, 5, 2, 2, func(context.Context, int) (int, error) {
			t.Error("called under a cancelled context")
			return 0, nil
		}) {
			require.ErrorIs(t, err, context.Canceled)
			calls++
		}
		require.Equal(t, 1, calls)
	})
	t.Run("in the body", func(t *testing.T) {
		before := runtime.NumGoroutine()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var p probe
		got, failures := 0, 0
		for v, err := range pipeline.Ordered(ctx, 100, 4, 8, func(_ context.Context, i int) (int, error) {
			defer p.enter()()
			return i, nil
		}) {
			if err != nil {
				require.ErrorIs(t, err, context.Canceled)
				failures++
				continue
			}
			got++
			if v == 3 {
				cancel()
			}
		}
		require.Equal(t, 4, got)
		require.Equal(t, 1, failures)
		p.requireIdle(t)
		requireGoroutines(t, before)
	})
	t.Run("while waiting", func(t *testing.T) {
		before := runtime.NumGoroutine()
		ctx, cancel := context.WithCancel(t.Context())
		var last error
		for _, err := range pipeline.Ordered(ctx, 10, 2, 4, func(ctx context.Context, i int) (int, error) {
			cancel()
			<-ctx.Done()
			return i, nil
		}) {
			last = err
		}
		require.ErrorIs(t, last, context.Canceled)
		requireGoroutines(t, before)
	})
}

func TestOrderedPanicInTheFunctionSurfacesInTheLoop(t *testing.T) {
	for _, thrown := range []any{"a string", errBoom} {
		before := runtime.NumGoroutine()
		var p probe
		got := 0
		v := func() (v any) {
			defer func() { v = recover() }()
			for _, err := range pipeline.Ordered(t.Context(), 50, 4, 8, func(_ context.Context, i int) (int, error) {
				defer p.enter()()
				if i == 5 {
					panic(thrown)
				}
				return i, nil
			}) {
				if err != nil {
					t.Error(err)
				}
				got++
			}
			return nil
		}()
		require.Equal(t, 5, got)
		caught, ok := v.(*pipeline.Panic)
		require.True(t, ok, "got %T", v)
		require.Equal(t, thrown, caught.Value)
		require.Contains(t, string(caught.Stack), "ordered_test.go")
		require.Contains(t, caught.Error(), fmt.Sprint(thrown))
		if err, isErr := thrown.(error); isErr {
			require.ErrorIs(t, caught, err)
		} else {
			require.NoError(t, caught.Unwrap())
		}
		p.requireIdle(t)
		requireGoroutines(t, before)
	}
}

func TestOrderedPanicInTheBodyLeavesNothingBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	var p probe
	require.PanicsWithValue(t, "body", func() {
		for range pipeline.Ordered(t.Context(), 50, 4, 8, func(_ context.Context, i int) (int, error) {
			defer p.enter()()
			return i, nil
		}) {
			panic("body")
		}
	})
	p.requireIdle(t)
	requireGoroutines(t, before)
}

func TestOrderedGoexitInTheFunctionEndsTheLoop(t *testing.T) {
	before := runtime.NumGoroutine()
	var p probe
	var got atomic.Int64
	var after atomic.Bool
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for range pipeline.Ordered(t.Context(), 50, 3, 6, func(_ context.Context, i int) (int, error) {
			defer p.enter()()
			if i == 4 {
				runtime.Goexit()
			}
			return i, nil
		}) {
			got.Add(1)
		}
		after.Store(true)
	}()
	wg.Wait()
	require.Equal(t, int64(4), got.Load())
	require.False(t, after.Load(), "the loop went on after Goexit")
	p.requireIdle(t)
	requireGoroutines(t, before)
}

func TestOrderedStartsNothingUntilIterated(t *testing.T) {
	before := runtime.NumGoroutine()
	seq := pipeline.Ordered(t.Context(), 10, 4, 4, func(_ context.Context, i int) (int, error) { return i, nil })
	require.Equal(t, before, runtime.NumGoroutine())
	for range 2 { // and may be iterated again
		n := 0
		for v, err := range seq {
			require.NoError(t, err)
			require.Equal(t, n, v)
			n++
		}
		require.Equal(t, 10, n)
	}
}

func TestOrderedArguments(t *testing.T) {
	fn := func(context.Context, int) (int, error) { return 0, nil }
	for name, seq := range map[string]func(func(int, error) bool){
		"n":        pipeline.Ordered(t.Context(), -1, 1, 1, fn),
		"workers":  pipeline.Ordered(t.Context(), 1, 0, 1, fn),
		"ahead":    pipeline.Ordered(t.Context(), 1, 1, 0, fn),
		"function": pipeline.Ordered[int](t.Context(), 1, 1, 1, nil),
	} {
		n := 0
		for _, err := range seq {
			require.ErrorIs(t, err, pipeline.ErrArgument, name)
			require.ErrorContains(t, err, name)
			n++
		}
		require.Equal(t, 1, n)
	}
}

func BenchmarkOrdered(b *testing.B) {
	for b.Loop() {
		for range pipeline.Ordered(b.Context(), 1000, 4, 16, func(_ context.Context, i int) (int, error) { return i, nil }) {
		}
	}
	b.ReportMetric(1000*float64(b.N)/b.Elapsed().Seconds(), "items/s")
}
