package pipeline

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"runtime"
	"runtime/debug"
)

// errOver says that there is no value for a call any more.
var errOver = errors.New("the sequence is over")

// Sequence is [Ordered] for the values of a sequence that come one after the other,
// however many they are and whenever they come: a result is yielded as soon as it and
// those before it are there, and waits for no further value. i counts the values from 0.
//
// The values are taken on a goroutine of their own, at most ahead+1 before their results
// are handed to the loop. When the iteration ends, it takes no value more. It then waits
// until the sequence has noticed, which it does with its next value, or until ctx ends: a
// sequence that waits for something should heed ctx, else it is left behind until its next
// value, which nobody takes. A panic or a runtime.Goexit of the sequence is that of fn.
// The sequence is asked again in every iteration.
func Sequence[V, T any](ctx context.Context, values iter.Seq[V], workers, ahead int, fn func(ctx context.Context, i int, v V) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		if err := check(ctx, math.MaxInt, workers, ahead, fn != nil); err != nil {
			yield(zero, err)
			return
		}
		if values == nil {
			yield(zero, fmt.Errorf("pipeline: run: %w: the sequence is nil", ErrArgument))
			return
		}
		if err := ctx.Err(); err != nil {
			yield(zero, err)
			return
		}
		f := newFeeder[V](ahead)
		go f.feed(values)
		defer f.leave(ctx) // also where the loop's body panics
		for r, err := range Ordered(ctx, math.MaxInt, workers, ahead, func(ctx context.Context, i int) (T, error) {
			v, err := f.value(ctx, i)
			if err != nil {
				return zero, err
			}
			return fn(ctx, i, v)
		}) {
			if errors.Is(err, errOver) {
				f.raise()
				return
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// feeder takes the values of a sequence to the calls.
type feeder[V any] struct {
	// Value i travels through places[i%len(places)]: no more calls than places have
	// begun and not ended.
	places   []chan V
	left     chan struct{} // closed when nobody wants a value any more
	ended    chan struct{} // closed when the sequence has ended
	panicked *Panic        // both are set before the places are closed
	exited   bool
}

func newFeeder[V any](ahead int) *feeder[V] {
	f := &feeder[V]{places: make([]chan V, ahead), left: make(chan struct{}), ended: make(chan struct{})}
	for i := range f.places {
		f.places[i] = make(chan V)
	}
	return f
}

// feed is the body of the goroutine that takes the values.
func (f *feeder[V]) feed(values iter.Seq[V]) {
	defer close(f.ended)
	done := false
	defer func() {
		if !done {
			if v := recover(); v != nil {
				f.panicked = &Panic{Value: v, Stack: debug.Stack()}
			} else {
				f.exited = true
			}
		}
		for _, c := range f.places {
			close(c)
		}
	}()
	i := 0
	for v := range values {
		select {
		case <-f.left:
			done = true
			return
		case f.places[i%len(f.places)] <- v:
		}
		i++
	}
	done = true
}

// value waits for value i.
func (f *feeder[V]) value(ctx context.Context, i int) (v V, err error) {
	select {
	case v, ok := <-f.places[i%len(f.places)]:
		if !ok {
			return v, errOver
		}
		return v, nil
	case <-ctx.Done():
		return v, ctx.Err()
	}
}

// raise ends the loop as the sequence has ended.
func (f *feeder[V]) raise() {
	switch {
	case f.panicked != nil:
		panic(f.panicked)
	case f.exited:
		runtime.Goexit()
	}
}

// leave takes no value more and waits for the sequence, or for the end of ctx.
func (f *feeder[V]) leave(ctx context.Context) {
	close(f.left)
	select {
	case <-f.ended:
	case <-ctx.Done():
	}
}
