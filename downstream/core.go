package downstream

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/gotab/gotab/tensor"
)

// core is what detectors have in common: an extractor that makes vectors on a
// grid of images, and the model M in force.
type core[M fitted] struct {
	name  string // for messages
	dev   tensor.Device
	in    reader
	batch int // the largest number of images in one pass
	options
	// embed returns the vectors of images [N, 3, H, W], [N, h, w, C] in row-major
	// order.
	embed func(s *tensor.Scope, x *tensor.Tensor) *tensor.Tensor

	fitting sync.Mutex // one Fit at a time
	mu      sync.Mutex // guards model and the refs of all models
	model   M
}

// acquire returns the model in force; release must follow.
func (d *core[M]) acquire(doing string) (M, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var none M
	if d.model == none {
		return none, fmt.Errorf("downstream: %s %s: %w", doing, d.name, ErrNotFitted)
	}
	d.model.common().refs++
	return d.model, nil
}

func (d *core[M]) release(g M) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := g.common()
	if m.refs--; m.refs == 0 {
		return g.close()
	}
	return nil
}

// install puts g, which may be nil, in force and lets go of what was.
func (d *core[M]) install(g M) error {
	var none M
	d.mu.Lock()
	old := d.model
	if g != none {
		g.common().refs = 1
	}
	d.model = g
	d.mu.Unlock()
	if old != none {
		return d.release(old)
	}
	return nil
}

// failed puts before err what the detector was doing; ctx's own error stays as
// it is.
func (d *core[M]) failed(ctx context.Context, doing string, err error) error {
	if cause := ctx.Err(); cause != nil && errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("downstream: %s %s: %w", doing, d.name, err)
}
