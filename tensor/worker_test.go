package tensor

import (
	"context"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/tensor/internal/native"
)

// grants starts jobs on a scheduler of its own, which must be as they say, and
// holds each until it is let go.
type grants struct {
	t *testing.T
	p *scheduler
}

type grant struct {
	threads chan int
	let     chan struct{}
	done    chan error
}

func (g grants) start(ctx context.Context, threads int, share bool) *grant {
	r := &grant{threads: make(chan int, 1), let: make(chan struct{}), done: make(chan error, 1)}
	g.p.mu.Lock()
	before := len(g.p.queue) + g.p.used
	g.p.mu.Unlock()
	go func() {
		r.done <- g.p.do(ctx, threads, share, func(w *worker) { r.threads <- w.threads; <-r.let })
	}()
	for { // until it waits or runs
		g.p.mu.Lock()
		now := len(g.p.queue) + g.p.used
		g.p.mu.Unlock()
		if now != before {
			return r
		}
		runtime.Gosched()
	}
}

func (g grants) got(r *grant) int { return <-r.threads }

func (g grants) end(r *grant) {
	close(r.let)
	require.NoError(g.t, <-r.done)
}

// waits says that a job has not been granted; what could grant it has happened.
func (g grants) waits(r *grant) {
	require.Empty(g.t, r.threads)
	g.p.mu.Lock()
	defer g.p.mu.Unlock()
	require.NotEmpty(g.t, g.p.queue)
}

func TestEvaluationSharesTheCores(t *testing.T) {
	g := grants{t, &scheduler{cfg: Threads{Cores: 4, PerRun: 4}}}
	a := g.start(t.Context(), 0, true)
	require.Equal(t, 4, g.got(a), "alone it has all cores")
	b, c := g.start(t.Context(), 0, true), g.start(t.Context(), 0, true)
	g.waits(b)
	g.end(a)
	// The second to come has met one, the third two; that one of them has ended does
	// not count.
	require.Equal(t, 2, g.got(b))
	require.Equal(t, 1, g.got(c))
	d := g.start(t.Context(), 0, true)
	require.Equal(t, 1, g.got(d))
	g.end(b)
	g.end(c)
	e := g.start(t.Context(), 0, true)
	require.Equal(t, 2, g.got(e), "two share the cores")
	f := g.start(t.Context(), 0, true)
	require.Equal(t, 1, g.got(f), "one core is left")
	for _, r := range []*grant{d, e, f} {
		g.end(r)
	}
	a = g.start(t.Context(), 0, true)
	require.Equal(t, 4, g.got(a), "alone again")
	g.end(a)
}

func TestTrainingAndNamedThreadsAreExact(t *testing.T) {
	g := grants{t, &scheduler{cfg: Threads{Cores: 4, PerRun: 4}}}
	a := g.start(t.Context(), 0, true)
	require.Equal(t, 4, g.got(a))
	train := g.start(t.Context(), 0, false)
	named := g.start(t.Context(), 3, true)
	g.end(a)
	require.Equal(t, 4, g.got(train), "training does not take less")
	g.waits(named)
	g.end(train)
	require.Equal(t, 3, g.got(named), "nor does a Run whose context names a number")
	g.end(named)

	// Training that waits takes nothing from a Run that goes first.
	first := g.start(t.Context(), 0, false)
	require.Equal(t, 4, g.got(first))
	score, train := g.start(t.Context(), 0, true), g.start(t.Context(), 0, false)
	g.end(first)
	require.Equal(t, 4, g.got(score))
	g.end(score)
	require.Equal(t, 4, g.got(train))
	g.end(train)

	fixed := grants{t, &scheduler{cfg: Threads{Cores: 4, PerRun: 2, Fixed: true}}}
	x, y, z := fixed.start(t.Context(), 0, true), fixed.start(t.Context(), 0, true), fixed.start(t.Context(), 0, true)
	require.Equal(t, 2, fixed.got(x))
	require.Equal(t, 2, fixed.got(y))
	fixed.waits(z)
	fixed.end(x)
	require.Equal(t, 2, fixed.got(z))
	fixed.end(y)
	fixed.end(z)
}

// A caller that gave up is no company.
func TestWithdrawnRunsAreForgotten(t *testing.T) {
	g := grants{t, &scheduler{cfg: Threads{Cores: 2, PerRun: 2}}}
	a := g.start(t.Context(), 0, true)
	require.Equal(t, 2, g.got(a))
	ctx, cancel := context.WithCancel(t.Context())
	b := g.start(ctx, 0, true)
	cancel()
	require.ErrorIs(t, <-b.done, context.Canceled)
	g.end(a)
	a = g.start(t.Context(), 0, true)
	require.Equal(t, 2, g.got(a))
	g.end(a)
	require.Zero(t, g.p.elastic)
}

// libtorch takes the number of threads that was last set anywhere when a thread
// first asks for its own: it must not undo what the scheduler has set.
func TestEachWorkerKeepsItsThreads(t *testing.T) {
	p := &scheduler{cfg: Threads{Cores: 4, PerRun: 2}}
	require.NoError(t, p.do(t.Context(), 2, false, func(*worker) {
		other := make(chan error)
		go func() { other <- p.do(t.Context(), 1, false, func(*worker) {}) }()
		require.NoError(t, <-other)
		require.Equal(t, 2, native.Threads())
	}))
}

// A goroutine that waited for the scheduler is not taken for a worker that has meanwhile
// begun on the thread that it was on before.
func TestWaitingOnAWorkersLaterThreadIsNotNested(t *testing.T) {
	p := &scheduler{}
	for range 50 {
		p.mu.Lock()
		got := make(chan bool)
		go func() { got <- p.onWorker() }()
		for range 100 {
			runtime.Gosched() // it waits for the lock, most likely
		}
		stop, tids := make(chan struct{}), make(chan int)
		p.workers = nil
		for range 8 {
			go func() {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				tids <- syscall.Gettid()
				<-stop
			}()
			p.workers = append(p.workers, &worker{tid: <-tids, busy: true})
		}
		p.mu.Unlock()
		nested := <-got
		close(stop)
		require.False(t, nested)
	}
}
