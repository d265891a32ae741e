package dataset

import (
	"context"
	"errors"
	"image"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBudget(t *testing.T) {
	b := newBudget(100)
	ctx := t.Context()
	n, err := b.acquire(ctx, 250)
	require.NoError(t, err)
	require.Equal(t, int64(100), n, "more than all there is: all of it")

	// Served in order: the small request does not overtake the large one.
	var order []int64
	var wg sync.WaitGroup
	for i, want := range []int64{80, 10} {
		wg.Add(1)
		go func() {
			defer wg.Done()
			got, err := b.acquire(ctx, want)
			if err != nil {
				t.Error(err)
			}
			b.mu.Lock()
			order = append(order, got)
			b.mu.Unlock()
		}()
		for b.waiting() != i+1 { // until it is in the queue
		}
	}
	gone, cancel := context.WithCancel(ctx)
	failed := make(chan error)
	go func() { _, err := b.acquire(gone, 1); failed <- err }()
	for b.waiting() != 3 {
	}
	cancel()
	require.ErrorIs(t, <-failed, context.Canceled)
	require.Equal(t, 2, b.waiting())
	b.release(100)
	wg.Wait()
	require.ElementsMatch(t, []int64{80, 10}, order)
	b.release(90)
	require.Equal(t, int64(100), b.free)
}

func (b *budget) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue)
}

// greedy reserves for every sample and looks at how much is out.
type greedy struct {
	*Memory
	each      int64
	out, most *atomic.Int64
	fail      int
}

func (g greedy) Sample(ctx context.Context, i int) (Sample, error) {
	if err := reserve(ctx, g.each); err != nil {
		return Sample{}, err
	}
	defer g.out.Add(-g.each)
	for n := g.out.Add(g.each); ; {
		if most := g.most.Load(); n <= most || g.most.CompareAndSwap(most, n) {
			break
		}
	}
	if i == g.fail {
		return Sample{}, errors.New("broken")
	}
	return g.Memory.Sample(ctx, i)
}

// However many workers there are, what samples have reserved stays within the
// budget, and all of it comes back, also after errors and a loop that is left.
func TestLoaderKeepsWithinDecodeBytes(t *testing.T) {
	imgs := make([]image.Image, 60)
	for i := range imgs {
		imgs[i] = image.NewGray(image.Rect(0, 0, 20, 20))
	}
	mem, err := NewImages("x", imgs...)
	require.NoError(t, err)
	for _, fail := range []int{-1, 41} {
		g := greedy{Memory: mem, each: 30, out: new(atomic.Int64), most: new(atomic.Int64), fail: fail}
		cfg := DefaultLoader()
		cfg.Batch, cfg.Workers, cfg.DecodeBytes, cfg.Transform = 4, 16, 100, Square(8)
		l, err := NewLoader(g, cfg)
		require.NoError(t, err)
		var last error
		for _, err := range l.Batches(t.Context(), nil) {
			last = err
		}
		require.Equal(t, fail >= 0, last != nil)
		require.LessOrEqual(t, g.most.Load(), int64(90))
		require.Equal(t, int64(100), l.budget.free)
		for range l.Batches(t.Context(), nil) {
			break
		}
		require.Equal(t, int64(100), l.budget.free)
		require.Empty(t, l.budget.queue)
	}
}
