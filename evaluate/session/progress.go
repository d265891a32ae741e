package session

import (
	"fmt"
	"io"
	"time"

	"github.com/gotab/gotab/downstream"
)

// teller writes what detectors report for people: not every batch, but a line now
// and then.
type teller struct {
	prefix string // of the lines of the run
	w      io.Writer
	every  time.Duration
	now    func() time.Time
	last   time.Time
}

func newTeller(w io.Writer) *teller { return &teller{w: w, every: 10 * time.Second, now: time.Now} }

// start begins a new part of a run, which has been announced.
func (t *teller) start(prefix string) { t.prefix, t.last = prefix, t.now() }

// tell writes p behind the prefix, if it is time.
func (t *teller) tell(p downstream.Progress) {
	now := t.now()
	// A single image is one that a picture is made of.
	if now.Sub(t.last) < t.every || p.Stage == "score" && p.Total == 1 {
		return
	}
	t.last = now
	what := fmt.Sprintf("%s %d of %d", p.Stage, p.Done, p.Total)
	if p.Epochs > 0 {
		what = fmt.Sprintf("%s epoch %d of %d, batch %d of %d, loss %.4g", p.Stage, p.Epoch, p.Epochs, p.Done, p.Total, p.Loss)
	}
	fmt.Fprintf(t.w, "%s: %s\n", t.prefix, what)
}
