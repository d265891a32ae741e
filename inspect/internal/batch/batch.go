// Package batch answers what many goroutines ask one by one in batches: a queue that is
// bounded, workers that take as much of it as makes a batch, and contexts that are
// honoured while their question waits.
package batch

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

var (
	// ErrFull says that the queue has no room.
	ErrFull = errors.New("the queue is full")
	// ErrClosed says that the queue takes no more.
	ErrClosed = errors.New("the queue is closed")
)

// Config says how a queue works. All numbers but Delay are 1 or more.
type Config struct {
	Size    int           // the largest batch
	Queue   int           // how many may wait; those of a batch that is answered do not
	Workers int           // batches that are answered at a time
	Delay   time.Duration // how long questions wait for callers that were just answered, at most

	// Now is the clock by which questions wait and answers are measured; nil stands for
	// time.Now.
	Now func() time.Time
}

// Answer is the answer to one question, or why there is none.
type Answer[Out any] struct {
	Value  Out
	Err    error
	Waited time.Duration // in the queue
	Took   time.Duration // for the batch
}

// Load is what a queue holds and has done.
type Load struct {
	Queued, Running int
	Full            uint64 // questions that were refused
	Expired         uint64 // contexts that ended while their question waited
}

// Queue is a queue with its workers. It is safe for concurrent use.
type Queue[In, Out any] struct {
	cfg Config
	do  func(ctx context.Context, in []In) []Answer[Out]

	mu      sync.Mutex
	some    sync.Cond  // questions wait, a batch may be full, or the queue is closed
	waiting *list.List // of *question[In, Out]
	load    Load
	closed  bool
	back    returning
	workers sync.WaitGroup
}

// returning are the callers that were answered a moment ago: who asks one question after
// another is soon back, and worth waiting for.
type returning struct {
	n     int       // answered in the last moment, less the questions that came since
	until time.Time // when the moment is over: after Delay, or a part of what the batch took
}

// patience is the part of a batch's time that questions wait for others to come back: a
// wait is to cost little beside what it waits for.
const patience = 4

// answered says that n questions were answered, which took so long.
func (r *returning) answered(n int, took, most time.Duration, now time.Time) {
	r.n = r.now(now) + n
	r.until = now.Add(min(most, took/patience))
}

// came says that n questions came.
func (r *returning) came(n int) { r.n = max(0, r.n-n) }

// now is how many may still come back.
func (r *returning) now(at time.Time) int {
	if !at.Before(r.until) {
		return 0
	}
	return r.n
}

// question is one of a call.
type question[In, Out any] struct {
	in    In
	ctx   context.Context
	since time.Time
	at    *list.Element // in the queue; nil from when a worker has taken it
	to    *Answer[Out]
	call  *call
}

// call counts what is left to be answered of a Do.
type call struct {
	left atomic.Int64
	done chan struct{}
}

func (c *call) answered() {
	if c.left.Add(-1) == 0 {
		close(c.done)
	}
}

// New starts the workers. do answers a batch; it returns as many answers as there are
// questions, in their order. Its context ends when those of all questions have ended.
// Close ends the workers.
func New[In, Out any](cfg Config, do func(ctx context.Context, in []In) []Answer[Out]) *Queue[In, Out] {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	q := &Queue[In, Out]{cfg: cfg, do: do, waiting: list.New()}
	q.some.L = &q.mu
	for range cfg.Workers {
		q.workers.Add(1)
		go q.work()
	}
	return q
}

// nothing is closed: nobody holds anything.
var nothing = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Do asks all of ins, or none: it returns [ErrFull] at once if there is no room for them
// all, and [ErrClosed] after Close. When ctx ends, Do returns its error at once; what
// waits leaves the queue, what is being answered is no longer awaited. held is closed when
// no worker has any of ins any more, which without an end of ctx is when Do returns.
func (q *Queue[In, Out]) Do(ctx context.Context, ins ...In) (answers []Answer[Out], held <-chan struct{}, err error) {
	if len(ins) == 0 {
		return nil, nothing, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, nothing, err
	}
	answers = make([]Answer[Out], len(ins))
	c := &call{done: make(chan struct{})}
	c.left.Store(int64(len(ins)))
	asked := make([]*question[In, Out], len(ins))
	q.mu.Lock()
	switch {
	case q.closed:
		q.mu.Unlock()
		return nil, nothing, ErrClosed
	case q.waiting.Len()+len(ins) > q.cfg.Queue:
		q.load.Full += uint64(len(ins))
		n := q.waiting.Len()
		q.mu.Unlock()
		return nil, nothing, fmt.Errorf("%w: %d wait of at most %d, %d more were to come", ErrFull, n, q.cfg.Queue, len(ins))
	}
	q.back.came(len(ins))
	now := q.cfg.Now()
	for i, in := range ins {
		asked[i] = &question[In, Out]{in: in, ctx: ctx, since: now, to: &answers[i], call: c}
		asked[i].at = q.waiting.PushBack(asked[i])
	}
	q.mu.Unlock()
	q.some.Broadcast() // also to a worker that waits for its batch to fill
	select {
	case <-c.done:
		return answers, c.done, nil
	case <-ctx.Done():
	}
	q.withdraw(asked)
	return nil, c.done, ctx.Err() // answers belong to the workers that are still at it
}

// withdraw takes what still waits out of the queue.
func (q *Queue[In, Out]) withdraw(asked []*question[In, Out]) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, a := range asked {
		if a.at != nil {
			q.waiting.Remove(a.at)
			a.at = nil
			a.call.answered() // there will be no other answer
			q.load.Expired++
		}
	}
}

// Load returns the counts of now.
func (q *Queue[In, Out]) Load() Load {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.load
	l.Queued = q.waiting.Len()
	return l
}

// Close refuses further questions, answers those that wait and ends the workers. It
// returns when that is done. Closing twice is harmless.
func (q *Queue[In, Out]) Close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.some.Broadcast()
	q.workers.Wait()
}

func (q *Queue[In, Out]) work() {
	defer q.workers.Done()
	for {
		batch := q.next()
		if batch == nil {
			return
		}
		q.answer(batch)
	}
}

// next waits for questions and takes a batch of them; nil when the queue is closed and
// empty.
func (q *Queue[In, Out]) next() []*question[In, Out] {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		n := q.waiting.Len()
		if n == 0 {
			if q.closed {
				return nil
			}
			q.some.Wait()
			continue
		}
		// A worker's share of all that there is: batches of like size, of which one is
		// answered while the questions of another come back.
		now := q.cfg.Now()
		back := q.back.now(now)
		share := min((n+q.load.Running+back+q.cfg.Workers-1)/q.cfg.Workers, q.cfg.Size)
		if n >= share || back == 0 || q.closed {
			return q.take(min(n, share))
		}
		alarm := time.AfterFunc(q.back.until.Sub(now), func() {
			q.mu.Lock()
			defer q.mu.Unlock() // so that no worker is between its look and its wait
			q.some.Broadcast()
		})
		q.some.Wait()
		alarm.Stop()
	}
}

// take takes the first n that wait. The queue is locked.
func (q *Queue[In, Out]) take(n int) []*question[In, Out] {
	batch := make([]*question[In, Out], n)
	for i := range batch {
		batch[i] = q.waiting.Remove(q.waiting.Front()).(*question[In, Out])
		batch[i].at = nil
	}
	q.load.Running += n
	return batch
}

// answer answers a batch.
func (q *Queue[In, Out]) answer(batch []*question[In, Out]) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var left atomic.Int64
	left.Store(int64(len(batch)))
	ins := make([]In, len(batch))
	start := q.cfg.Now()
	for i, a := range batch {
		ins[i] = a.in
		stop := context.AfterFunc(a.ctx, func() {
			if left.Add(-1) == 0 {
				cancel()
			}
		})
		defer stop()
	}
	answers := q.ask(ctx, ins)
	end := q.cfg.Now()
	took := end.Sub(start)
	// Counted before anybody hears of it: who has an answer sees it counted.
	q.mu.Lock()
	q.load.Running -= len(batch)
	q.back.answered(len(batch), took, q.cfg.Delay, end)
	q.mu.Unlock()
	for i, a := range batch {
		*a.to = answers[i]
		a.to.Waited, a.to.Took = start.Sub(a.since), took
		a.call.answered()
	}
}

// ask is do; a panic, or another number of answers, is the answer to all.
func (q *Queue[In, Out]) ask(ctx context.Context, ins []In) (answers []Answer[Out]) {
	all := func(err error) {
		answers = make([]Answer[Out], len(ins))
		for i := range answers {
			answers[i].Err = err
		}
	}
	defer func() {
		if r := recover(); r != nil {
			all(fmt.Errorf("panic: %v\n%s", r, debug.Stack()))
		}
	}()
	answers = q.do(ctx, ins)
	if len(answers) != len(ins) {
		all(fmt.Errorf("%d answers to %d questions", len(answers), len(ins)))
	}
	return answers
}
