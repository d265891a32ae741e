package pipeline

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// ErrArgument is wrapped by the error of an iterator that was asked for with
// numbers or functions that make no sense.
var ErrArgument = errors.New("invalid argument")

// Panic is the value with which the loop panics when the function given to
// [Ordered] has panicked on a goroutine of the pipeline. It keeps what was
// thrown and the stack on which it was thrown.
type Panic struct {
	Value any    // what fn passed to panic
	Stack []byte // the stack of the goroutine that ran fn
}

// Error implements error.
func (p *Panic) Error() string {
	return fmt.Sprintf("pipeline: panic in the function: %v\n\n%s", p.Value, p.Stack)
}

// Unwrap returns the thrown value where it was an error.
func (p *Panic) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// Ordered calls fn for 0, 1, ... n-1 on up to workers goroutines and yields
// the results in that order, whatever the order in which the calls end.
//
// At most ahead calls have been started whose result has not been handed to
// the loop: call i starts after result i-ahead has been handed over. With the
// one in the loop's hands, at most ahead+1 results exist at any time.
//
// The first error in the order of the indices is yielded with a zero value and
// ends the iteration; results before it are yielded first, and no call starts
// after a failure has been seen. When ctx ends, ctx.Err() is yielded and the
// iteration ends, even if further results are ready. The context that fn gets
// is cancelled as soon as the iteration ends for any reason.
//
// A panic in fn is raised again in the loop as a [*Panic], at fn's place in
// the order; a runtime.Goexit in fn ends the goroutine of the loop likewise.
//
// No goroutine exists before the iteration begins, and all have ended when it
// returns, including by break, error, cancellation or panic: calls under way
// are waited for, so fn should heed its context. Results that were
// computed but never handed over are dropped. The sequence may be iterated
// several times, also concurrently. n may be 0; workers and ahead are at
// least 1, and of ahead no more than 65,536 are needed or taken.
func Ordered[T any](ctx context.Context, n, workers, ahead int, fn func(ctx context.Context, i int) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		if err := check(ctx, n, workers, ahead, fn != nil); err != nil {
			yield(zero, err)
			return
		}
		if err := ctx.Err(); err != nil {
			yield(zero, err)
			return
		}
		if n == 0 {
			return
		}
		p := newRun(ctx, n, ahead, fn)
		// Runs on every way out, a panic of the loop's body included.
		defer p.stop()
		p.start(min(workers, ahead, n))
		for i := range n {
			r, err := p.take(ctx, i)
			if err != nil || r.panicked != nil || r.exited {
				p.stop()
				switch {
				case err != nil:
					yield(zero, err)
				case r.panicked != nil:
					panic(r.panicked)
				default:
					runtime.Goexit()
				}
				return
			}
			if r.err != nil {
				p.stop()
				yield(zero, r.err)
				return
			}
			if !yield(r.value, nil) {
				return
			}
		}
	}
}

// mostAhead bounds the results that may wait, and with them the goroutines: each
// takes memory before the first call.
const mostAhead = 1 << 16

func check(ctx context.Context, n, workers, ahead int, fn bool) error {
	switch {
	case ctx == nil:
		return fmt.Errorf("pipeline: run: %w: the context is nil", ErrArgument)
	case n < 0:
		return fmt.Errorf("pipeline: run: %w: n is %d, want at least 0", ErrArgument, n)
	case workers < 1:
		return fmt.Errorf("pipeline: run: %w: workers is %d, want at least 1", ErrArgument, workers)
	case ahead < 1:
		return fmt.Errorf("pipeline: run: %w: ahead is %d, want at least 1", ErrArgument, ahead)
	case min(ahead, n) > mostAhead:
		return fmt.Errorf("pipeline: run: %w: ahead is %d, want at most %d", ErrArgument, ahead, mostAhead)
	case !fn:
		return fmt.Errorf("pipeline: run: %w: the function is nil", ErrArgument)
	}
	return nil
}

// result is what one call of fn left.
type result[T any] struct {
	value    T
	err      error
	panicked *Panic
	exited   bool // fn called runtime.Goexit
}

// run is the state of one iteration.
type run[T any] struct {
	ctx    context.Context
	cancel context.CancelFunc
	n      int
	fn     func(ctx context.Context, i int) (T, error)

	// Result i travels through slots[i%len(slots)], which has room for one.
	// It is free by then: a call starts only with a permit, there are as many
	// permits as slots, and a permit returns when a slot has been emptied.
	slots   []chan result[T]
	permits chan struct{}
	next    atomic.Int64
	failed  atomic.Bool
	wg      sync.WaitGroup
}

func newRun[T any](ctx context.Context, n, ahead int, fn func(ctx context.Context, i int) (T, error)) *run[T] {
	ahead = min(ahead, n)
	p := &run[T]{n: n, fn: fn, slots: make([]chan result[T], ahead), permits: make(chan struct{}, ahead)}
	p.ctx, p.cancel = context.WithCancel(ctx)
	for i := range p.slots {
		p.slots[i] = make(chan result[T], 1)
		p.permits <- struct{}{}
	}
	return p
}

func (p *run[T]) start(workers int) {
	for range workers {
		p.wg.Add(1)
		go func() {
			defer p.wg.Done()
			p.work()
		}()
	}
}

// stop ends all goroutines and waits for them. It may be called twice.
func (p *run[T]) stop() {
	p.cancel()
	p.wg.Wait()
}

// work is the body of one goroutine.
func (p *run[T]) work() {
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-p.permits:
		}
		if p.failed.Load() || p.ctx.Err() != nil {
			return
		}
		i := int(p.next.Add(1) - 1)
		if i >= p.n {
			return
		}
		p.slots[i%len(p.slots)] <- p.call(i)
	}
}

// call runs fn once and tells its three ways out apart: return, panic and
// runtime.Goexit. The last cannot be stopped, only noticed: the deferred send
// is all that the worker still does.
func (p *run[T]) call(i int) (r result[T]) {
	done := false
	defer func() {
		if done {
			if r.err != nil {
				p.failed.Store(true)
			}
			return
		}
		p.failed.Store(true)
		if v := recover(); v != nil {
			r.panicked = &Panic{Value: v, Stack: debug.Stack()}
			return
		}
		p.slots[i%len(p.slots)] <- result[T]{exited: true}
	}()
	r.value, r.err = p.fn(p.ctx, i)
	done = true
	return r
}

// take waits for result i and lets one further call start.
func (p *run[T]) take(ctx context.Context, i int) (result[T], error) {
	select {
	case r := <-p.slots[i%len(p.slots)]:
		if err := ctx.Err(); err != nil {
			return result[T]{}, err
		}
		p.permits <- struct{}{}
		return r, nil
	case <-ctx.Done():
		return result[T]{}, ctx.Err()
	}
}
