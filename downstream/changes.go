package downstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// changes lets through one change of a detector at a time, in the order of the
// calls, until the detector is closed. The zero value is ready.
type changes struct {
	once sync.Once
	turn chan struct{}   // has room for one: the change that goes on is in it
	life context.Context // ends with the detector
	end  context.CancelFunc
}

func (c *changes) prepare() {
	c.once.Do(func() {
		c.turn = make(chan struct{}, 1) // blocked senders are served in their order
		c.life, c.end = context.WithCancel(context.Background())
	})
}

// begin waits for its turn. The context that it returns ends with ctx and with
// the detector; done must follow.
func (c *changes) begin(ctx context.Context) (inner context.Context, done func(), err error) {
	c.prepare()
	if err := ctx.Err(); err != nil { // a select may take a turn in spite of it
		return nil, nil, err
	}
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	case <-c.life.Done():
		return nil, nil, ErrClosed
	}
	inner, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(c.life, cancel)
	return inner, func() {
		stop()
		cancel()
		<-c.turn
	}, nil
}

// finish ends the change that goes on and those that wait.
func (c *changes) finish() {
	c.prepare()
	c.end()
}

// change runs do when all changes that were asked for before have ended; what do
// puts in force, it puts there before the next one begins. doing names it in
// messages. The context of do ends with ctx and with the detector.
func (d *core[M]) change(ctx context.Context, doing string, do func(ctx context.Context) error) error {
	if d.isClosed() {
		return d.closedError(doing)
	}
	inner, done, err := d.begin(ctx)
	if err == nil {
		defer done() // also where do panics or ends its goroutine
		err = do(inner)
	}
	switch {
	case err == nil:
		return nil
	case !d.isClosed():
		return d.failed(ctx, doing, err)
	case errors.Is(err, ErrClosed) || errors.Is(err, context.Canceled):
		return d.closedError(doing)
	}
	return fmt.Errorf("%w: %w", d.closedError(doing), err)
}

// refit is a change that puts the model in force that fit makes.
func (d *core[M]) refit(ctx context.Context, doing string, fit func(ctx context.Context) (M, error)) error {
	return d.change(ctx, doing, func(ctx context.Context) error {
		g, err := fit(ctx)
		if err != nil {
			return err
		}
		return d.install(g)
	})
}

// reset is a change that takes the model in force away.
func (d *core[M]) reset(ctx context.Context) error {
	return d.refit(ctx, "reset", func(context.Context) (none M, _ error) { return none, nil })
}

// shut is Close of a detector: it takes the model away and lets no other follow.
func (d *core[M]) shut() error {
	err := d.slot.shut() // first: a change that ends from now on knows why
	d.finish()
	return err
}

func (d *core[M]) closedError(doing string) error {
	return fmt.Errorf("downstream: %s %s: %w", doing, d.name, ErrClosed)
}
