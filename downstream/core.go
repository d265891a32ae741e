package downstream

import (
	"context"
	"errors"
	"fmt"

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

	changes // of the model, one at a time
	slot[M] // the model in force
}

// acquire returns the model in force; release must follow.
func (d *core[M]) acquire(doing string) (M, error) {
	g, ok := d.hold()
	switch {
	case ok:
		return g, nil
	case d.isClosed():
		return g, d.closedError(doing)
	}
	return g, fmt.Errorf("downstream: %s %s: %w", doing, d.name, ErrNotFitted)
}

// failed puts before err what the detector was doing; ctx's own error stays as
// it is.
func (d *core[M]) failed(ctx context.Context, doing string, err error) error {
	if cause := ctx.Err(); cause != nil && errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("downstream: %s %s: %w", doing, d.name, err)
}
