package dataset

import (
	"context"
	"sync"
)

// decodeBytes is what an image of a file takes at most on its way to RGBA, in
// bytes a pixel: sixteen of coefficients and four of pixels for a progressive
// JPEG in CMYK, and four of the result; or twelve of a strip that is expanded, eight of
// pixels and the result for a TIFF of 16 bits. Other kinds take 5 to 16. Not counted are
// the file, a row or two of it, what decoders keep besides (1 MB, or 4 MB of a TIFF whose
// tile is larger than the picture). Where a mask follows, the decoder's pixels are gone.
const decodeBytes = 24

// budget hands out bytes, first come first served.
type budget struct {
	mu    sync.Mutex
	total int64
	free  int64
	queue []*waiter
}

type waiter struct {
	n     int64
	ready chan struct{} // closed when the bytes have been handed out
}

func newBudget(total int64) *budget { return &budget{total: total, free: total} }

// acquire waits for n bytes and returns how many it took: all there are where n
// is more than that.
func (b *budget) acquire(ctx context.Context, n int64) (int64, error) {
	n = min(n, b.total)
	b.mu.Lock()
	if len(b.queue) == 0 && b.free >= n {
		b.free -= n
		b.mu.Unlock()
		return n, nil
	}
	w := &waiter{n: n, ready: make(chan struct{})}
	b.queue = append(b.queue, w)
	b.mu.Unlock()
	select {
	case <-w.ready:
		return n, nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, q := range b.queue {
		if q == w {
			b.queue = append(b.queue[:i], b.queue[i+1:]...)
			b.grant() // the next one may fit where this one did not
			return 0, ctx.Err()
		}
	}
	b.free += n // handed out in the same moment
	b.grant()
	return 0, ctx.Err()
}

func (b *budget) release(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += n
	b.grant()
}

// grant serves the queue as far as the bytes go; the lock is held.
func (b *budget) grant() {
	for len(b.queue) > 0 && b.free >= b.queue[0].n {
		b.free -= b.queue[0].n
		close(b.queue[0].ready)
		b.queue = b.queue[1:]
	}
}

type ticketKey struct{}

// ticket is one sample's share of a budget. It is used by one goroutine.
type ticket struct {
	b    *budget
	held int64
}

// withBudget returns a context under which one sample is read, and a function
// that gives back what the sample took.
func withBudget(ctx context.Context, b *budget) (context.Context, func()) {
	t := &ticket{b: b}
	return context.WithValue(ctx, ticketKey{}, t), func() {
		if t.held > 0 {
			b.release(t.held)
			t.held = 0
		}
	}
}

// reserve takes n bytes for the sample that is read under ctx. A sample takes
// its share once, so that no two wait for each other; without a budget nothing
// happens.
func reserve(ctx context.Context, n int64) error {
	t, ok := ctx.Value(ticketKey{}).(*ticket)
	if !ok || t.held > 0 {
		return nil
	}
	var err error
	t.held, err = t.b.acquire(ctx, n)
	return err
}
