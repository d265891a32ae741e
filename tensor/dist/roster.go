package dist

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// table is the store as a roster needs it; Get returns nil where there is no key.
type table interface {
	Set(key string, v []byte) error
	Get(key string) ([]byte, error)
}

// bounded is a table that answers within a time or not at all: a store whose machine has
// vanished would hold its callers for as long as the system tries to reach it.
type bounded struct {
	t     table
	limit time.Duration
	hung  atomic.Bool
}

// errHung is what a bounded table says then, and from then on.
var errHung = errors.New("the time for it is over")

type answer struct {
	v   []byte
	err error
}

func (b *bounded) ask(f func() ([]byte, error)) ([]byte, error) {
	if b.hung.Load() {
		return nil, errHung
	}
	got := make(chan answer, 1)
	go func() {
		v, err := f()
		got <- answer{v, err}
	}()
	late := time.NewTimer(b.limit)
	defer late.Stop()
	select {
	case a := <-got:
		return a.v, a.err
	case <-late.C:
		b.hung.Store(true) // the goroutine ends when the system gives the connection up
		return nil, errHung
	}
}

func (b *bounded) Set(key string, v []byte) error {
	_, err := b.ask(func() ([]byte, error) { return nil, b.t.Set(key, v) })
	return err
}

func (b *bounded) Get(key string) ([]byte, error) {
	return b.ask(func() ([]byte, error) { return b.t.Get(key) })
}

// What each rank writes, under its number.
const (
	keyJoined = "joined/" // it has come
	keyAt     = "at/"     // the number of the call that it makes
	keyAlive  = "alive/"  // a number that grows while it lives
	keyLeft   = "left/"   // "closed", "failed": it knows that the group is lost, or interrupted
	keyDone   = "done/"   // it reads the store no more
)

// interrupted is what a rank writes that has given up waiting by itself.
const interrupted = "interrupted"

// roster is what the ranks write about themselves. It is safe for concurrent use.
type roster struct {
	t          table
	rank, size int
	beat       time.Duration // between signs of life

	mu    sync.Mutex
	beats int
	lost  map[int]bool // who found these
	stop  chan struct{}
	done  chan struct{}
}

func newRoster(t table, rank, size int, beat time.Duration) *roster {
	return &roster{t: t, rank: rank, size: size, beat: beat, lost: map[int]bool{}, stop: make(chan struct{}), done: make(chan struct{})}
}

func (r *roster) set(key, v string) error { return r.t.Set(key+strconv.Itoa(r.rank), []byte(v)) }

// get reads what a rank wrote, "" where it has not.
func (r *roster) get(key string, rank int) (string, error) {
	v, err := r.t.Get(key + strconv.Itoa(rank))
	if len(v) > 64 { // nobody of ours writes more
		v = v[:64]
	}
	return string(v), err
}

// number reads a number that a rank wrote, -1 where there is none.
func (r *roster) number(key string, rank int) (int64, error) {
	s, err := r.get(key, rank)
	if err != nil {
		return -1, err
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return -1, nil
	}
	return n, nil
}

// live gives signs of life until close.
func (r *roster) live() {
	defer close(r.done)
	tick := time.NewTicker(r.beat)
	defer tick.Stop()
	for {
		r.mu.Lock()
		r.beats++
		n := r.beats
		r.mu.Unlock()
		// A store that is away is noticed by the next call; there is nobody to tell.
		_ = r.set(keyAlive, strconv.Itoa(n))
		select {
		case <-tick.C:
		case <-r.stop:
			return
		}
	}
}

// close ends live.
func (r *roster) close() {
	close(r.stop)
	<-r.done
}

// join says that this rank has come and waits for the others. The error names those
// that have not.
func (r *roster) join(ctx context.Context, timeout time.Duration) error {
	start := time.Now()
	if err := r.set(keyJoined, "1"); err != nil {
		return &LostError{Rank: r.rank, Size: r.size, Doing: "meeting", Cause: err}
	}
	pause := 10 * time.Millisecond
	for next := 0; next < r.size; {
		s, err := r.get(keyJoined, next)
		if err != nil {
			return &LostError{Rank: r.rank, Size: r.size, Doing: "meeting", Waited: time.Since(start), Cause: err}
		}
		if s != "" {
			next++
			continue
		}
		if err = ctx.Err(); err == nil && time.Since(start) > timeout {
			err = fmt.Errorf("%w: not all have come", context.DeadlineExceeded)
		}
		if err != nil {
			absent := r.absent()
			for _, i := range absent {
				r.lost[i] = true // nobody waits for them to leave
			}
			return &LostError{Rank: r.rank, Size: r.size, Doing: "meeting", Stuck: absent, Waited: time.Since(start), Cause: err}
		}
		wait(ctx, pause)
		pause = min(2*pause, 500*time.Millisecond)
	}
	return nil
}

// absent lists the ranks that have not joined.
func (r *roster) absent() (out []int) {
	for i := range r.size {
		if s, err := r.get(keyJoined, i); err == nil && s == "" {
			out = append(out, i)
		}
	}
	return out
}

// wait waits for d or the end of ctx.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// silence is how many beats without a sign of life make a rank dead.
const silence = 5

// who finds out for which ranks call number at has failed. It watches for signs of life
// for some beats.
func (r *roster) who(ctx context.Context, e *LostError, at int64) *LostError {
	// This one is not to be blamed by the others. Where that cannot be written, the
	// reading below fails too and says so.
	_ = r.set(keyLeft, "failed")
	before := make([]int64, r.size)
	for i := range before {
		n, err := r.number(keyAlive, i)
		if err != nil {
			return r.unreadable(e, err)
		}
		before[i] = n
	}
	wait(context.WithoutCancel(ctx), silence*r.beat) // or nobody would have given a sign
	for i := range r.size {
		if i == r.rank {
			continue
		}
		alive, err := r.number(keyAlive, i)
		if err != nil {
			return r.unreadable(e, err)
		}
		left, err := r.get(keyLeft, i)
		if err != nil {
			return r.unreadable(e, err)
		}
		reached, err := r.number(keyAt, i)
		if err != nil {
			return r.unreadable(e, err)
		}
		if left != "failed" && left != interrupted { // these read the store still
			r.lost[i] = left != "" || alive == before[i] || reached < at
		}
		switch {
		case left == "failed": // it has lost somebody itself
		case left == interrupted:
			e.Interrupted = append(e.Interrupted, i)
		case left != "" && reached < at:
			e.Left = append(e.Left, i)
		case left != "":
		case alive == before[i]:
			e.Dead = append(e.Dead, i)
		case reached < at:
			e.Stuck = append(e.Stuck, i)
		}
	}
	return e
}

// unreadable is for a store that does not answer.
func (r *roster) unreadable(e *LostError, err error) *LostError {
	e.Cause = errors.Join(e.Cause, fmt.Errorf("the store, which rank 0 or torchrun's agent serves, does not answer: %s", firstLine(err)))
	return e
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// leave says that this rank needs the others no more. Where the store is away nobody
// reads that.
func (r *roster) leave() {
	if s, err := r.get(keyLeft, r.rank); err == nil && s == "" {
		_ = r.set(keyLeft, "closed")
	}
	_ = r.set(keyDone, "1")
}

// others waits, where this rank serves the store, for those that are not lost to leave
// too, for some beats, or they could not read who is lost.
func (r *roster) others() {
	for range 4 * silence {
		here := false
		for i := range r.size {
			s, err := r.get(keyDone, i)
			if err != nil {
				return
			}
			here = here || s == "" && !r.lost[i]
		}
		if !here {
			return
		}
		time.Sleep(r.beat / 2)
	}
}
