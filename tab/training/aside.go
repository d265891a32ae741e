package training

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

// beat is the time between the meetings of processes of which the first one is busy: well below the shortest time that
// groups are told to wait, which is a second. Tests shorten it.
var beat = 100 * time.Millisecond

// What the first process says at a meeting: its message begins with one of these.
const (
	saysBusy   = 'b'
	saysMade   = 'm' // what it made follows
	saysFailed = 'f' // the number of the cause follows, and its error in words
)

// causes are errors that keep their meaning on the way to another process. Of several that fit the first one counts.
// The number of a cause is its place; one more is for all others.
var causes = []error{context.Canceled, context.DeadlineExceeded, tensor.ErrOutOfMemory, tab.ErrNoTwin, tab.ErrConfig, tab.ErrCheckpoint}

// longest bounds what is said of a failure, in bytes.
const longest = 2000

// aside has the first process do work that takes as long as it takes, and gives what comes of it to all. Meanwhile they
// meet at every beat, so that none of them waits longer than that in one call: a group takes who does not come
// within its timeout for lost. The work runs on another goroutine, which has ended when aside returns. Its error is
// returned, by the others as a *tab.PeerError. All processes call aside; its work heeds the context.
func aside(ctx context.Context, g tab.Group, work func(context.Context) ([]byte, error)) ([]byte, error) {
	switch {
	case !many(g):
		return work(ctx)
	case !first(g):
		return attend(ctx, g)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	type outcome struct {
		made []byte
		err  error
	}
	ended := make(chan outcome, 1)
	go func() {
		defer close(ended) // also where the work ends its goroutine
		made, err := work(ctx)
		ended <- outcome{made, err}
	}()
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case r, ok := <-ended:
			if !ok {
				r.err = errors.New("training: the work of rank 0 ended its goroutine")
			}
			if r.err != nil {
				_, _ = g.Gather(ctx, failure(r.err)) // who does not hear it sees this process leave
				return nil, r.err
			}
			_, err := g.Gather(ctx, append([]byte{saysMade}, r.made...))
			return r.made, err
		case <-tick.C:
			if _, err := g.Gather(ctx, []byte{saysBusy}); err != nil {
				over := ctx.Err()
				stop()
				if r := <-ended; over != nil && r.err != nil {
					return nil, r.err // the caller's own end, by which the meeting ended too
				}
				return nil, err
			}
		}
	}
}

// attend is aside of the other processes.
func attend(ctx context.Context, g tab.Group) ([]byte, error) {
	for {
		all, err := g.Gather(ctx, nil)
		if err != nil {
			return nil, err
		}
		var said []byte
		if len(all) > 0 {
			said = all[0]
		}
		switch {
		case len(said) == 1 && said[0] == saysBusy:
		case len(said) > 0 && said[0] == saysMade:
			return said[1:], nil
		case len(said) > 1 && said[0] == saysFailed:
			e := &tab.PeerError{Message: string(said[2:])}
			if n := int(said[1]); n < len(causes) {
				e.Cause = causes[n]
			}
			return nil, e
		default:
			return nil, fmt.Errorf("training: %w: rank 0 says what nobody understands; all ranks must be the same program with the same settings", tab.ErrPeer)
		}
	}
}

// failure is the message of an error.
func failure(err error) []byte {
	n := 0
	for n < len(causes) && !errors.Is(err, causes[n]) {
		n++
	}
	words := err.Error()
	return append([]byte{saysFailed, byte(n)}, words[:min(len(words), longest)]...)
}
