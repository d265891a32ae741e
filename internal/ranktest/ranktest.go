// Package ranktest is a group of ranks that are goroutines of one process, for tests
// of what trains over several.
package ranktest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrMissing reports ranks that did not come, or did something else.
var ErrMissing = errors.New("ranks are missing")

// Rank is one rank of a group. Its methods are called by one goroutine at a time.
type Rank struct {
	rank int
	all  *group
}

type group struct {
	mu      sync.Mutex
	n       int
	timeout time.Duration
	now     *round
	broken  error
	left    map[int]bool
}

// round is one call that all ranks make.
type round struct {
	what  []string
	given [][]byte
	sums  [][]float32
	here  int
	err   error         // of ranks that make another call than others
	done  chan struct{} // closed when all are here, or the group is broken
}

// New returns the n ranks of a group that wait for one another for timeout at most.
func New(n int, timeout time.Duration) []*Rank {
	g := &group{n: n, timeout: timeout, left: map[int]bool{}}
	g.now = g.round()
	out := make([]*Rank, n)
	for i := range out {
		out[i] = &Rank{i, g}
	}
	return out
}

func (g *group) round() *round {
	return &round{what: make([]string, g.n), given: make([][]byte, g.n), sums: make([][]float32, g.n), done: make(chan struct{})}
}

// Rank returns the number of this rank.
func (r *Rank) Rank() int { return r.rank }

// Size returns the number of ranks.
func (r *Rank) Size() int { return r.all.n }

// Leave is a rank that dies: the others are told at their next call.
func (r *Rank) Leave() {
	g := r.all
	g.mu.Lock()
	defer g.mu.Unlock()
	g.left[r.rank] = true
	g.end(fmt.Errorf("%w: rank %d has left", ErrMissing, r.rank))
}

// end breaks the group; the lock is held.
func (g *group) end(err error) {
	if g.broken == nil {
		g.broken = err
		close(g.now.done)
	}
}

// meet waits for all ranks to make the same call.
func (r *Rank) meet(ctx context.Context, what string, given []byte, sum []float32) (*round, error) {
	g := r.all
	g.mu.Lock()
	if g.broken != nil {
		defer g.mu.Unlock()
		return nil, g.broken
	}
	now := g.now
	now.what[r.rank], now.given[r.rank], now.sums[r.rank] = what, append([]byte{}, given...), append([]float32(nil), sum...)
	if now.here++; now.here == g.n {
		for i, w := range now.what {
			if w != what {
				now.err = fmt.Errorf("%w: rank %d calls %s, rank %d %s", ErrMissing, i, w, r.rank, what)
				g.end(now.err)
				defer g.mu.Unlock()
				return nil, g.broken
			}
		}
		g.now = g.round()
		close(now.done)
	}
	g.mu.Unlock()
	late := time.NewTimer(g.timeout)
	defer late.Stop()
	var why error
	select {
	case <-now.done:
	case <-ctx.Done():
		why = context.Cause(ctx)
	case <-late.C:
		why = fmt.Errorf("none came for %v", g.timeout)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if now.err != nil {
		return nil, now.err
	}
	if now.here == g.n {
		return now, nil
	}
	if why != nil {
		var missing []int
		for i, w := range now.what {
			if w == "" {
				missing = append(missing, i)
			}
		}
		g.end(fmt.Errorf("%w: of %d, %v: %w", ErrMissing, g.n, missing, why))
	}
	return nil, g.broken
}

// Sum replaces v by the sum over all ranks.
func (r *Rank) Sum(ctx context.Context, v []float32) error {
	now, err := r.meet(ctx, fmt.Sprintf("Sum of %d", len(v)), nil, v)
	if err != nil {
		return err
	}
	clear(v)
	for _, s := range now.sums {
		for i, x := range s {
			v[i] += x
		}
	}
	return nil
}

// Gather returns what each rank gave.
func (r *Rank) Gather(ctx context.Context, v []byte) ([][]byte, error) {
	now, err := r.meet(ctx, "Gather", v, nil)
	if err != nil {
		return nil, err
	}
	out := make([][]byte, len(now.given))
	for i, b := range now.given {
		out[i] = append([]byte{}, b...)
	}
	return out, nil
}

// Broadcast overwrites v with that of one rank.
func (r *Rank) Broadcast(ctx context.Context, from int, v []byte) error {
	if from < 0 || from >= r.all.n {
		return fmt.Errorf("ranktest: broadcast of rank %d of %d", from, r.all.n)
	}
	now, err := r.meet(ctx, fmt.Sprintf("Broadcast of rank %d's %d", from, len(v)), v, nil)
	if err != nil {
		return err
	}
	copy(v, now.given[from])
	return nil
}
