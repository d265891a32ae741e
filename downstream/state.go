package downstream

import (
	"sync/atomic"

	"github.com/gotab/gotab/downstream/internal/engine"
)

// state is what a fit of a detector leaves, whatever the method: the model, and what the
// detector knows besides of the images that it has seen.
type state struct {
	engine.Model
	seen []uint64 // digests of the images of the fit, rising; at most maxSightings
	// A calibration ends with the model: a Fit or an Update makes another one. made is
	// that of the last Calibrate; before the first one, that of the file is in force.
	made   atomic.Pointer[Calibration]
	opened *Calibration
}

// fitted is a pointer to a struct that embeds state.
type fitted interface {
	engine.Held
	own() *state
}

func (t *state) own() *state { return t }

// calibration returns the one in force, nil for none.
func (t *state) calibration() *Calibration {
	if c := t.made.Load(); c != nil {
		return c
	}
	return t.opened
}
