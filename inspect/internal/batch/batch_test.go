package batch_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/inspect/internal/batch"
)

// gate answers numbers with themselves, a batch at a time as it is let through.
type gate struct {
	begun chan []int    // each batch as it begins
	open  chan struct{} // one for each batch that may end
}

func newGate() *gate { return &gate{begun: make(chan []int, 100), open: make(chan struct{}, 100)} }

func (g *gate) do(_ context.Context, in []int) []batch.Answer[int] {
	g.begun <- slices.Clone(in)
	<-g.open
	out := make([]batch.Answer[int], len(in))
	for i, v := range in {
		out[i].Value = v
	}
	return out
}

// asking calls Do in a goroutine.
func asking(q *batch.Queue[int, int], ctx context.Context, ins ...int) chan error {
	done := make(chan error, 1)
	go func() {
		answers, _, err := q.Do(ctx, ins...)
		for i, a := range answers {
			if a.Value != ins[i] {
				err = errors.New("a wrong answer")
			}
			err = errors.Join(err, a.Err)
		}
		done <- err
	}()
	return done
}

// until waits for a condition that other goroutines bring about.
func until(t *testing.T, holds func() bool) {
	t.Helper()
	for !holds() {
		if t.Context().Err() != nil {
			t.Fatal("it never came")
		}
		runtime.Gosched()
	}
}

func queued(q *batch.Queue[int, int], n int) func() bool {
	return func() bool { return q.Load().Queued == n }
}

// One that is alone is answered at once, though others might come for an hour.
func TestOneAloneDoesNotWait(t *testing.T) {
	g := newGate()
	q := batch.New(batch.Config{Size: 8, Queue: 8, Workers: 1, Delay: time.Hour}, g.do)
	g.open <- struct{}{}
	require.NoError(t, <-asking(q, t.Context(), 7))
	require.Equal(t, []int{7}, <-g.begun)
	q.Close()
}

// clock is a clock that stands until it is moved.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time       { return time.Unix(0, c.at.Load()) }
func (c *clock) move(d time.Duration) { c.at.Add(int64(d)) }

// What waits when a batch is answered waits for the callers of that batch to come back.
func TestBatchesFill(t *testing.T) {
	g, now := newGate(), &clock{}
	q := batch.New(batch.Config{Size: 3, Queue: 10, Workers: 1, Delay: time.Hour, Now: now.now}, g.do)
	first := asking(q, t.Context(), 0)
	require.Equal(t, []int{0}, <-g.begun)
	now.move(4 * time.Hour) // a quarter of which is an hour
	second, third := asking(q, t.Context(), 1), asking(q, t.Context(), 1)
	until(t, queued(q, 2))
	g.open <- struct{}{} // the worker is free, and one may come back
	require.NoError(t, <-first)
	require.Equal(t, 2, q.Load().Queued)
	fourth := asking(q, t.Context(), 1)
	require.Equal(t, []int{1, 1, 1}, <-g.begun)
	require.Equal(t, 3, q.Load().Running)
	// All are being answered: nobody is worth waiting for.
	fifth := asking(q, t.Context(), 2)
	until(t, queued(q, 1))
	now.move(4 * time.Hour)
	g.open <- struct{}{}
	for _, c := range []chan error{second, third, fourth} {
		require.NoError(t, <-c)
	}
	require.Equal(t, 1, q.Load().Queued, "three may come back")
	now.move(time.Hour)
	sixth := asking(q, t.Context(), 2) // wakes the worker, which sees that the time is over
	require.Equal(t, []int{2, 2}, <-g.begun)
	g.open <- struct{}{}
	require.NoError(t, <-fifth)
	require.NoError(t, <-sixth)
	require.Zero(t, q.Load().Running)
	q.Close()
}

// Waiting ends when the moment is over in which others may come back, which is a quarter
// of what the last batch took where that is less than Delay.
func TestWaitingEnds(t *testing.T) {
	for _, delay := range []time.Duration{4 * time.Millisecond, time.Hour} {
		g, now := newGate(), &clock{}
		q := batch.New(batch.Config{Size: 8, Queue: 10, Workers: 1, Delay: delay, Now: now.now}, g.do)
		first := asking(q, t.Context(), 0)
		<-g.begun
		now.move(16 * time.Millisecond)
		other := asking(q, t.Context(), 0, 0, 0)
		until(t, queued(q, 3))
		g.open <- struct{}{}
		require.NoError(t, <-first)
		now.move(4 * time.Millisecond)
		require.Equal(t, []int{0, 0, 0}, <-g.begun)
		now.move(16 * time.Millisecond)
		g.open <- struct{}{}
		require.NoError(t, <-other)
		second := asking(q, t.Context(), 1) // two more may come back
		until(t, queued(q, 1))
		now.move(4 * time.Millisecond)
		require.Equal(t, []int{1}, <-g.begun)
		g.open <- struct{}{}
		require.NoError(t, <-second)
		q.Close()
	}
}

// Workers share what there is.
func TestWorkersShare(t *testing.T) {
	g := newGate()
	q := batch.New(batch.Config{Size: 16, Queue: 100, Workers: 2, Delay: time.Hour}, g.do)
	done := asking(q, t.Context(), make([]int, 20)...)
	require.Len(t, <-g.begun, 10)
	require.Len(t, <-g.begun, 10)
	for range 2 {
		g.open <- struct{}{}
	}
	require.NoError(t, <-done)
	q.Close()
}

func TestFullQueueRefuses(t *testing.T) {
	g := newGate()
	q := batch.New(batch.Config{Size: 1, Queue: 2, Workers: 1}, g.do)
	first := asking(q, t.Context(), 0)
	<-g.begun
	second := asking(q, t.Context(), 1, 2)
	until(t, queued(q, 2))
	_, _, err := q.Do(t.Context(), 3)
	require.ErrorIs(t, err, batch.ErrFull)
	require.ErrorContains(t, err, "2 wait of at most 2")
	require.Equal(t, uint64(1), q.Load().Full)
	for range 3 {
		g.open <- struct{}{}
	}
	require.NoError(t, <-first)
	require.NoError(t, <-second)
	// All or none: three never fit.
	_, _, err = q.Do(t.Context(), 1, 2, 3)
	require.ErrorIs(t, err, batch.ErrFull)
	require.Equal(t, uint64(4), q.Load().Full)
	q.Close()
}

func TestContextsEndInTheQueue(t *testing.T) {
	g := newGate()
	q := batch.New(batch.Config{Size: 4, Queue: 4, Workers: 1}, g.do)
	first := asking(q, t.Context(), 0)
	<-g.begun
	ctx, cancel := context.WithCancel(t.Context())
	second := asking(q, ctx, 1, 2)
	until(t, queued(q, 2))
	third := asking(q, t.Context(), 3)
	until(t, queued(q, 3))
	cancel()
	require.ErrorIs(t, <-second, context.Canceled)
	require.Equal(t, batch.Load{Queued: 1, Running: 1, Expired: 2}, q.Load())
	g.open <- struct{}{}
	g.open <- struct{}{}
	require.NoError(t, <-first)
	require.NoError(t, <-third)
	require.Equal(t, []int{3}, <-g.begun, "what has left the queue is not answered")
	_, _, err := q.Do(ctx, 1)
	require.ErrorIs(t, err, context.Canceled)
	q.Close()
}

// The context of a batch ends with the last of its questions', not with the first, and
// Do does not wait for a batch that goes on.
func TestContextOfABatch(t *testing.T) {
	free, begun, seen := make(chan struct{}), make(chan context.Context), make(chan struct{})
	q := batch.New(batch.Config{Size: 2, Queue: 2, Workers: 1, Delay: time.Hour}, func(ctx context.Context, in []int) []batch.Answer[int] {
		if in[0] == 0 {
			<-free
		} else {
			begun <- ctx
			<-ctx.Done()
			close(seen)
		}
		return make([]batch.Answer[int], len(in))
	})
	first := asking(q, t.Context(), 0)
	until(t, func() bool { return q.Load().Running == 1 })
	ctx1, cancel1 := context.WithCancel(t.Context())
	ctx2, cancel2 := context.WithCancel(t.Context())
	defer cancel2()
	second, third := asking(q, ctx1, 1), asking(q, ctx2, 1)
	until(t, queued(q, 2))
	close(free)
	require.NoError(t, <-first)
	of := <-begun
	cancel1()
	require.ErrorIs(t, <-second, context.Canceled)
	require.NoError(t, of.Err())
	cancel2()
	require.ErrorIs(t, <-third, context.Canceled)
	<-seen
	q.Close()
}

// What a worker has is held until its batch ends, although the call has returned; what has
// only waited is not.
func TestHeldUntilTheBatchEnds(t *testing.T) {
	g := newGate()
	q := batch.New(batch.Config{Size: 1, Queue: 4, Workers: 1}, g.do)
	type returned struct {
		held <-chan struct{}
		err  error
	}
	ctx, cancel := context.WithCancel(t.Context())
	calls := [2]chan returned{make(chan returned, 1), make(chan returned, 1)}
	for k, ins := range [][]int{{0, 1}, {2}} {
		go func() {
			_, held, err := q.Do(ctx, ins...)
			calls[k] <- returned{held, err}
		}()
		until(t, func() bool { l := q.Load(); return l.Queued+l.Running == 2+k })
		if k == 0 {
			<-g.begun
		}
	}
	cancel()
	first, second := <-calls[0], <-calls[1]
	require.ErrorIs(t, first.err, context.Canceled)
	require.ErrorIs(t, second.err, context.Canceled)
	<-second.held
	select {
	case <-first.held:
		t.Fatal("the worker still has it")
	default:
	}
	g.open <- struct{}{}
	<-first.held
	_, held, err := q.Do(ctx, 3)
	require.ErrorIs(t, err, context.Canceled)
	<-held
	q.Close()
}

// Close answers what waits, also a batch that is not full, and refuses the rest.
func TestCloseDrains(t *testing.T) {
	before := runtime.NumGoroutine()
	g := newGate()
	q := batch.New(batch.Config{Size: 3, Queue: 10, Workers: 2, Delay: time.Hour}, g.do)
	first, other := asking(q, t.Context(), 0), asking(q, t.Context(), 0)
	<-g.begun
	<-g.begun
	second := asking(q, t.Context(), 1, 2, 3, 4, 5)
	until(t, queued(q, 5))
	closed := make(chan struct{})
	go func() { q.Close(); close(closed) }()
	until(t, func() bool {
		_, _, err := q.Do(t.Context(), make([]int, 11)...) // never fit
		return errors.Is(err, batch.ErrClosed)
	})
	select {
	case <-closed:
		t.Fatal("Close did not wait")
	default:
	}
	for range 4 { // two that run, and five in two batches
		g.open <- struct{}{}
	}
	for _, c := range []chan error{first, other, second} {
		require.NoError(t, <-c)
	}
	<-closed
	q.Close()
	until(t, func() bool { return runtime.NumGoroutine() <= before })
}

func TestPanicsAndWrongCounts(t *testing.T) {
	q := batch.New(batch.Config{Size: 2, Queue: 2, Workers: 1}, func(_ context.Context, in []int) []batch.Answer[int] {
		if in[0] == 0 {
			panic("broken")
		}
		return nil
	})
	answers, _, err := q.Do(t.Context(), 0)
	require.NoError(t, err)
	require.ErrorContains(t, answers[0].Err, "panic: broken")
	answers, _, err = q.Do(t.Context(), 1)
	require.NoError(t, err)
	require.ErrorContains(t, answers[0].Err, "0 answers to 1 questions")
	answers, _, err = q.Do(t.Context())
	require.NoError(t, err)
	require.Empty(t, answers)
	q.Close()
}

// Whatever comes is answered once and rightly, or refused.
func TestManyClients(t *testing.T) {
	q := batch.New(batch.Config{Size: 5, Queue: 12, Workers: 3, Delay: 10 * time.Microsecond}, func(ctx context.Context, in []int) []batch.Answer[int] {
		out := make([]batch.Answer[int], len(in))
		for i, v := range in {
			out[i].Value = v
			out[i].Err = ctx.Err()
		}
		return out
	})
	var answered, full, expired atomic.Int64
	var wg sync.WaitGroup
	for c := range 32 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for k := range 100 {
				ctx, cancel := context.WithCancel(t.Context())
				if (c+k)%10 == 0 {
					go cancel()
				}
				err := <-asking(q, ctx, c, k)
				cancel()
				switch {
				case err == nil:
					answered.Add(1)
				case errors.Is(err, batch.ErrFull):
					full.Add(1)
				case errors.Is(err, context.Canceled):
					expired.Add(1)
				default:
					t.Error(err)
				}
			}
		}()
	}
	wg.Wait()
	require.Equal(t, int64(3200), answered.Load()+full.Load()+expired.Load())
	require.Positive(t, answered.Load())
	require.Equal(t, uint64(2*full.Load()), q.Load().Full)
	q.Close()
	require.Zero(t, q.Load().Queued+q.Load().Running)
}
