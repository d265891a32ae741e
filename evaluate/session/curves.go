package session

import (
	"errors"
	"fmt"

	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/internal/apart"
	"github.com/gotab/gotab/scalars"
)

// curves logs trainings of detectors, one after the other, each in places of its own.
type curves struct {
	scalars.Places
	name string // of the training
	logs scalars.Logs
	err  error // why the log could not be begun
}

// begin names the next training.
func (c *curves) begin(j job) {
	c.name = fmt.Sprintf("%s-%s-%s-%s", apart.FileName(baseOf(j.root)), apart.FileName(j.class), j.of.Name, j.seed)
	if j.second {
		c.name += "-compared"
	}
}

// add logs a batch of a training. The first one begins the log: a detector that does not train leaves none, and one that
// goes on from a checkpoint goes on in it. No training is broken off for its log: what fails is told by end.
func (c *curves) add(p downstream.Progress) {
	if p.Epoch == 0 || c.Places == (scalars.Places{}) || c.err != nil {
		return
	}
	if c.logs == nil {
		if c.logs, c.err = c.Of(c.name).Open(p.Step() - 1); c.err != nil {
			return
		}
	}
	_ = c.logs.Add(p.Step(), p.Scalars()) // Close tells it
}

// end closes the log.
func (c *curves) end() error {
	err := errors.Join(c.err, c.logs.Close())
	c.logs, c.err = nil, nil
	return err
}
