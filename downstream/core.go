package downstream

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/gotab/gotab/tensor"
)

// core is what detectors have in common: the way of images to the network, and
// the model M in force.
type core[M fitted] struct {
	name  string // for messages
	dev   tensor.Device
	in    reader
	batch int // the largest number of images in one pass
	options
	// embed returns the vectors of images [N, 3, H, W], [N, h, w, C] in row-major
	// order; nil where a detector has another way to its network.
	embed func(s *tensor.Scope, x *tensor.Tensor) *tensor.Tensor

	fitting sync.Mutex // one Fit at a time
	slot[M]            // the model in force
}

// acquire returns the model in force; release must follow.
func (d *core[M]) acquire(doing string) (M, error) {
	g, ok := d.hold()
	if !ok {
		return g, fmt.Errorf("downstream: %s %s: %w", doing, d.name, ErrNotFitted)
	}
	return g, nil
}

// failed puts before err what the detector was doing; ctx's own error stays as
// it is.
func (d *core[M]) failed(ctx context.Context, doing string, err error) error {
	if cause := ctx.Err(); cause != nil && errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("downstream: %s %s: %w", doing, d.name, err)
}
