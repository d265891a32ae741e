package tensor

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"

	"github.com/gotab/gotab/tensor/internal/native"
)

// pool is the process's set of libtorch threads. It is process-wide because
// OpenMP's pools are: a second set would double them.
var pool scheduler

// scheduler hands jobs to kept threads, in the order of their arrival, so that
// the threads in use never exceed the budget. An elastic job among others of its
// kind gets a share of the budget, and starts as soon as one core is free. The i-th
// worker is only given jobs of at most cores/(i+1) threads: its OpenMP pool stays
// as small as that for ever, and all pools together stay below cores x ln(cores).
type scheduler struct {
	mu      sync.Mutex
	cfg     Threads
	used    int
	elastic int // jobs of that kind that wait or run
	workers []*worker
	queue   []*job
}

type worker struct {
	jobs    chan *job
	busy    bool
	tid     int
	threads int
	ready   bool
	settled error // of the process's settings
	initErr error // of the last job's preparation
}

// Panic is the value with which [Run] panics when its function has panicked on a
// libtorch thread. It keeps what was thrown and the stack on which it was thrown.
type Panic struct {
	Value any    // what the function passed to panic
	Stack []byte // the stack of the libtorch thread
}

// Error implements error.
func (p *Panic) Error() string {
	return fmt.Sprintf("tensor: panic in the function of a Run: %v\n\n%s", p.Value, p.Stack)
}

// Unwrap returns the thrown value where it was an error.
func (p *Panic) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

type job struct {
	fn      func(w *worker)
	threads int // the most, until the job is granted
	// elastic jobs may get fewer threads; company is how many of them were there,
	// itself among them, when it came.
	elastic bool
	company int
	worker  *worker
	granted chan struct{}
	done    chan struct{}
	// panicked holds what fn panicked with; without it, a job that has not finished
	// has called Goexit.
	panicked *Panic
	finished bool
}

func (p *scheduler) settingsLocked() Threads {
	if p.cfg.Cores == 0 {
		p.cfg = DefaultThreads()
	}
	return p.cfg
}

func (p *scheduler) settings() Threads {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.settingsLocked()
}

func (p *scheduler) configure(t Threads) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cfg = t
	p.dispatch()
}

// onWorker reports whether the calling thread is a libtorch thread. Workers are
// locked to theirs, so the thread's number identifies them.
func (p *scheduler) onWorker() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	// Asked under the lock, under which workers get their threads: a goroutine that waits
	// for it may go on on another thread, and a worker have begun on the one before.
	tid := syscall.Gettid()
	for _, w := range p.workers {
		if w.tid == tid && w.busy {
			return true
		}
	}
	return false
}

// do runs fn on a libtorch thread with the given number of threads for its
// operations, waiting for its turn until ctx ends. 0 is the setting, or a share of
// it where share is true and others run or wait.
func (p *scheduler) do(ctx context.Context, threads int, share bool, fn func(w *worker)) error {
	j := &job{fn: fn, granted: make(chan struct{}), done: make(chan struct{})}
	p.mu.Lock()
	cfg := p.settingsLocked()
	if threads <= 0 {
		threads, j.elastic = cfg.PerRun, share && !cfg.Fixed
	}
	j.threads = min(threads, cfg.Cores)
	p.queue = append(p.queue, j)
	if j.elastic {
		p.elastic++
		j.company = p.elastic
	}
	p.dispatch()
	p.mu.Unlock()

	select {
	case <-j.granted:
	case <-ctx.Done():
		if p.withdraw(j) {
			return ctx.Err()
		}
		// Granted in the same moment: the job runs and sees ctx itself.
	}
	<-j.done
	if j.panicked != nil {
		panic(j.panicked)
	}
	if !j.finished {
		runtime.Goexit() // fn ended its goroutine, as a failing test does: so does its caller
	}
	return nil
}

func (p *scheduler) withdraw(j *job) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, q := range p.queue {
		if q == j {
			p.queue = append(p.queue[:i], p.queue[i+1:]...)
			p.gone(j)
			p.dispatch()
			return true
		}
	}
	return false
}

// gone forgets a job that has ended or does not wait any longer.
func (p *scheduler) gone(j *job) {
	if j.elastic {
		p.elastic--
	}
}

// dispatch grants jobs from the head of the queue. Nobody overtakes, so a job
// that needs all cores is not starved by small ones.
func (p *scheduler) dispatch() {
	cores := p.settingsLocked().Cores
	for len(p.queue) > 0 {
		j := p.queue[0]
		w, threads := p.place(j, cores)
		if w == nil {
			return
		}
		j.threads = threads
		p.queue = p.queue[1:]
		p.used += j.threads
		w.busy = true
		j.worker = w
		close(j.granted)
		w.jobs <- j
	}
}

// place finds a worker for a job and the number of threads that it gets, or nil
// where it must wait. Who came last before an elastic job has perhaps ended since,
// but is likely to come again: such callers ask one image after the other.
func (p *scheduler) place(j *job, cores int) (*worker, int) {
	most := min(j.threads, cores)
	least := most
	if j.elastic {
		share := max(1, cores/max(j.company, p.elastic))
		most, least = min(most, share, cores-p.used), 1
	}
	for n := most; n >= least && p.used+n <= cores; n-- {
		if w := p.idle(n, cores); w != nil {
			return w, n
		}
	}
	return nil, 0
}

// idle finds or makes a worker that may run with that many threads.
func (p *scheduler) idle(threads, cores int) *worker {
	for i := 0; i < cores/threads; i++ {
		if i == len(p.workers) {
			w := &worker{jobs: make(chan *job, 1)}
			p.workers = append(p.workers, w)
			go w.loop(p)
		}
		if !p.workers[i].busy {
			return p.workers[i]
		}
	}
	return nil
}

// loop is the life of a libtorch thread. When a job ends the goroutine (Goexit),
// the thread dies with it and another loop takes the worker's place.
func (w *worker) loop(p *scheduler) {
	runtime.LockOSThread()
	p.mu.Lock()
	w.tid, w.threads, w.ready = syscall.Gettid(), 0, false
	p.mu.Unlock()
	for j := range w.jobs {
		w.run(p, j)
	}
}

func (w *worker) run(p *scheduler, j *job) {
	defer func() {
		dying := !j.finished && j.panicked == nil
		p.mu.Lock()
		p.used -= j.threads
		p.gone(j)
		if dying {
			w.tid = 0
			go w.loop(p)
		}
		w.busy = false
		p.dispatch()
		p.mu.Unlock()
		close(j.done)
	}()
	defer func() {
		if j.finished {
			return
		}
		switch v := recover().(type) {
		case nil: // Goexit
		case *Panic: // of a Run that this one's fn was told of
			j.panicked = v
		default:
			j.panicked = &Panic{Value: v, Stack: debug.Stack()}
		}
	}()
	w.initErr = w.prepare(j.threads)
	j.fn(w)
	j.finished = true
}

// prepare makes the calling thread ready for operations of n threads. Without room
// for them it changes nothing, and the next job tries again.
func (w *worker) prepare(n int) error {
	if w.ready && w.threads == n {
		return w.settled
	}
	if err := roomFor(helpers(n)); err != nil {
		return err
	}
	if !w.ready {
		w.settled = settings.apply()
		// libtorch sets a thread's number of threads when it first asks for it, to what
		// was last set anywhere; asking now keeps it from undoing setOpThreads later.
		native.Threads()
		w.ready = true
	}
	if w.threads != n {
		native.SetThreads(n)
		w.threads = n
	}
	return w.settled
}
