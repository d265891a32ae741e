package pipeline_test

import (
	"context"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/pipeline"
)

// upTo gives 0 to n-1 and counts what it has given.
func upTo(n int, given *int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			*given++
			if !yield(i) {
				return
			}
		}
	}
}

func TestSequenceYieldsEverythingInOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		n, workers, ahead := rng.IntN(60), 1+rng.IntN(9), 1+rng.IntN(9)
		before := runtime.NumGoroutine()
		var p probe
		given := 0
		var got []int
		for v, err := range pipeline.Sequence(t.Context(), upTo(n, &given), workers, ahead, func(_ context.Context, i, v int) (int, error) {
			defer p.enter()()
			if rand.IntN(3) == 0 {
				runtime.Gosched()
			}
			return v*1000 + i, nil
		}) {
			require.NoError(t, err)
			got = append(got, v)
		}
		require.Len(t, got, n)
		for i, v := range got {
			require.Equal(t, i*1001, v)
		}
		require.Equal(t, n, given)
		p.requireIdle(t)
		requireGoroutines(t, before)
	}
}

// A value that comes only when the result of the one before it is there: the result
// does not wait for it.
func TestSequenceAnswersBeforeTheNextValue(t *testing.T) {
	answered := make(chan struct{})
	values := func(yield func(int) bool) {
		for i := range 5 {
			if i > 0 {
				<-answered
			}
			if !yield(i) {
				return
			}
		}
	}
	n := 0
	for _, err := range pipeline.Sequence(t.Context(), values, 3, 4, func(_ context.Context, i, _ int) (int, error) { return i, nil }) {
		require.NoError(t, err)
		if n++; n < 5 {
			answered <- struct{}{}
		}
	}
	require.Equal(t, 5, n)
}

// No more is taken than the bound says, and a break ends the sequence.
func TestSequenceIsBoundedAndEndsWithABreak(t *testing.T) {
	const ahead = 3
	before := runtime.NumGoroutine()
	given, seen := 0, 0
	for _, err := range pipeline.Sequence(t.Context(), upTo(1000, &given), 2, ahead, func(_ context.Context, i, _ int) (int, error) { return i, nil }) {
		require.NoError(t, err)
		if seen++; seen == 10 {
			break
		}
	}
	require.Equal(t, 10, seen)
	// The goroutine of the sequence has ended, so that given may be read.
	require.LessOrEqual(t, given, seen+ahead+1)
	requireGoroutines(t, before)
}

func TestSequenceEndsWithTheFirstError(t *testing.T) {
	given := 0
	var got []int
	var last error
	for v, err := range pipeline.Sequence(t.Context(), upTo(100, &given), 4, 4, func(_ context.Context, i, _ int) (int, error) {
		if i >= 7 {
			return 0, errBoom
		}
		return i, nil
	}) {
		require.NoError(t, last, "something follows an error")
		if last = err; err == nil {
			got = append(got, v)
		}
	}
	require.ErrorIs(t, last, errBoom)
	require.Equal(t, []int{0, 1, 2, 3, 4, 5, 6}, got)
	require.Less(t, given, 20)
}

// A sequence that waits and does not heed the context cannot hold the loop.
func TestSequenceEndsWithTheContext(t *testing.T) {
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	gate, over := make(chan struct{}), make(chan bool)
	deaf := func(yield func(int) bool) {
		yield(0)
		<-gate
		over <- yield(1)
	}
	var errs []error
	for _, err := range pipeline.Sequence(ctx, deaf, 2, 2, func(_ context.Context, i, _ int) (int, error) { return i, nil }) {
		errs = append(errs, err)
		cancel()
	}
	require.Equal(t, []error{nil, context.Canceled}, errs)
	close(gate)
	require.False(t, <-over, "the value after the end was taken")
	requireGoroutines(t, before)
}

// What the sequence throws is thrown in the loop.
func TestSequencePassesPanicsAndExitsOn(t *testing.T) {
	one := func(ctx context.Context, i, _ int) (int, error) { return i, nil }
	run := func(end func()) (seen int) {
		for _, err := range pipeline.Sequence(t.Context(), func(yield func(int) bool) {
			if yield(0) {
				end()
			}
		}, 2, 2, one) {
			require.NoError(t, err)
			seen++
		}
		return seen
	}
	func() {
		defer func() {
			p, ok := recover().(*pipeline.Panic)
			require.True(t, ok)
			require.ErrorIs(t, p, errBoom)
		}()
		run(func() { panic(errBoom) })
		require.Fail(t, "the panic is lost")
	}()
	returned := make(chan bool, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(runtime.Goexit)
		returned <- true
	}()
	<-done
	require.Empty(t, returned, "the loop went on")
}

func TestSequenceRefusesBadArguments(t *testing.T) {
	one := func(context.Context, int, int) (int, error) { return 1, nil }
	for name, seq := range map[string]iter.Seq2[int, error]{
		"sequence": pipeline.Sequence(t.Context(), nil, 1, 1, one),
		"workers":  pipeline.Sequence(t.Context(), slices.Values([]int{1}), 0, 1, one),
		"ahead":    pipeline.Sequence(t.Context(), slices.Values([]int{1}), 1, 1<<16+1, one),
		"function": pipeline.Sequence[int, int](t.Context(), slices.Values([]int{1}), 1, 1, nil),
	} {
		n := 0
		for _, err := range seq {
			require.ErrorIs(t, err, pipeline.ErrArgument, name)
			n++
		}
		require.Equal(t, 1, n, name)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range pipeline.Sequence(ctx, slices.Values([]int{1}), 1, 1, one) {
		require.ErrorIs(t, err, context.Canceled)
	}
}
