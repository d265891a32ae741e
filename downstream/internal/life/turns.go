package life

import (
	"context"
	"sync"

	"github.com/gotab/gotab/tensor"
)

// Turns lets through one change of a detector at a time, in the order of the
// calls, until the detector is closed. The zero value is ready.
type Turns struct {
	once sync.Once
	turn chan struct{}   // has room for one: the change that goes on is in it
	life context.Context // ends with the detector
	end  context.CancelFunc
}

func (c *Turns) prepare() {
	c.once.Do(func() {
		c.turn = make(chan struct{}, 1) // blocked senders are served in their order
		c.life, c.end = context.WithCancel(context.Background())
	})
}

// Begin waits for its turn. The context that it returns ends with ctx and with
// the detector; done must follow.
func (c *Turns) Begin(ctx context.Context) (inner context.Context, done func(), err error) {
	c.prepare()
	if err := ctx.Err(); err != nil { // a select may take a turn in spite of it
		return nil, nil, err
	}
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	case <-c.life.Done():
		return nil, nil, tensor.ErrClosed
	}
	inner, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(c.life, cancel)
	return inner, func() {
		stop()
		cancel()
		<-c.turn
	}, nil
}

// Finish ends the change that goes on and those that wait.
func (c *Turns) Finish() {
	c.prepare()
	c.end()
}
