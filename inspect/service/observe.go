package service

import (
	"context"
	"net/http"
	"time"
)

// Observer is told of each request, for metrics and traces. Its calls are part of the
// request, so they must be quick; they come from many goroutines at once.
type Observer interface {
	// Begin is called before anything of a request is looked at. The context that it
	// returns is the request's from then on, and must be derived from ctx. The function is called once, after the
	// answer.
	Begin(ctx context.Context, r *http.Request) (context.Context, func(Event))
}

// Observers tells several of each request, in their order and at the end in the opposite
// one.
func Observers(all ...Observer) Observer { return several(all) }

type several []Observer

func (s several) Begin(ctx context.Context, r *http.Request) (context.Context, func(Event)) {
	var ends []func(Event)
	for _, o := range s {
		if o == nil {
			continue
		}
		var end func(Event)
		if ctx, end = o.Begin(ctx, r); end != nil {
			ends = append(ends, end)
		}
	}
	return ctx, func(e Event) {
		for i := len(ends) - 1; i >= 0; i-- {
			ends[i](e)
		}
	}
}

// Event is what became of a request.
type Event struct {
	ID      string // of the request
	Method  string // GET, HEAD, POST, OPTIONS, or "other"
	Route   string // such as "/inspect/{product}"; empty for an unknown path
	Product string // one of the Handler's; empty where none was named
	Status  int    // of the answer; 499 if the client went before it
	Code    string // of the Problem; empty where there is none
	Bytes   int64  // of the image as it was sent
	Pixels  int    // of the image by its header
	Start   time.Time
	Took    time.Duration
	Stages  []Stage // in their order; a request may end after any of them, and repeat decode and inspect while bundles are replaced

	Judged bool // there is a verdict: Reject and Score hold
	Reject bool
	Score  float64
}

// Names of stages.
const (
	StageRead    = "read"    // the body arrives
	StageDecode  = "decode"  // the image is decoded
	StageInspect = "inspect" // the Inspector has it, its queue included
	StageAnswer  = "answer"  // the answer is made and sent
)

// Stage is a part of a request's time.
type Stage struct {
	Name  string
	Start time.Time
	Took  time.Duration
}
