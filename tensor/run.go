package tensor

import (
	"context"
	"errors"
	"fmt"

	"github.com/gotab/gotab/tensor/internal/native"
)

type threadsKey struct{}

// WithThreads returns a context whose Runs use exactly n threads each, or all
// cores where there are fewer, whatever [Threads] says and others do. Two Runs of one thread score more images than one
// Run of two; a result is bit-equal only for equal n.
func WithThreads(ctx context.Context, n int) context.Context {
	if ctx == nil {
		return nil // Run refuses it
	}
	return context.WithValue(ctx, threadsKey{}, n)
}

// Run executes fn on a thread that belongs to libtorch work, in the given mode,
// and frees every tensor that fn made. It waits for its turn while other Runs
// use the thread budget. It returns ctx's error if that ends before fn starts,
// else fn's own error, else the first failure of any operation in fn. Where there
// are both, the error wraps both. A panic in fn is raised again in the caller, as
// a [*Panic], after the tensors are freed.
//
// Run is safe for concurrent use. Inside fn it is [ErrNested]. fn must not start
// goroutines that use its scope.
func Run(ctx context.Context, dev Device, mode Mode, fn func(s *Scope) error) error {
	if fn == nil {
		return fmt.Errorf("tensor: Run: fn is nil")
	}
	if ctx == nil {
		return fmt.Errorf("tensor: Run: the context is nil; pass context.Background()")
	}
	if mode != Evaluation && mode != Training {
		return fmt.Errorf("tensor: Run: there is no mode %d", int(mode))
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if pool.onWorker() {
		return fmt.Errorf("tensor: Run: %w", ErrNested)
	}
	threads, _ := ctx.Value(threadsKey{}).(int)
	var err error
	if werr := pool.do(ctx, threads, mode == Evaluation, func(w *worker) { err = runOn(ctx, w, dev, mode, fn) }); werr != nil {
		return werr
	}
	return err
}

func runOn(ctx context.Context, w *worker, dev Device, mode Mode, fn func(s *Scope) error) error {
	if w.initErr != nil {
		return fmt.Errorf("tensor: Run: prepare libtorch: %w", w.initErr)
	}
	if err := setDevice(dev); err != nil {
		return fmt.Errorf("tensor: Run on %s: %w", dev, err)
	}
	native.SetGrad(mode == Training)
	native.UsePool(mode == Training)
	native.Forget() // a message that an unchecked call left behind is not ours
	st := &runState{ctx: ctx, dev: dev, mode: mode}
	s := &Scope{st: st}
	defer func() {
		s.release()
		native.SetGrad(true)
		native.UsePool(false)
	}()
	ferr := fn(s)
	switch {
	case st.err == nil:
		return ferr
	case ferr == nil:
		return st.err
	case errors.Is(ferr, st.err):
		return ferr // with what fn wrapped around it
	}
	return fmt.Errorf("%w: %w", ferr, st.err)
}
