package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/gotab/gotab/examples/internal/curves"
	"github.com/gotab/gotab/internal/cpus"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
	"github.com/gotab/gotab/tensor/dist"
)

// crew is this process among those that torchrun, or a script, has started for one run.
type crew struct {
	cfg        dist.Config
	group      *dist.Group // nil in a run of one process
	statistics tab.Statistics
}

func (c crew) many() bool { return c.group != nil && c.group.Size() > 1 }

// first says whether this process writes files and speaks.
func (c crew) first() bool { return !c.many() || c.group.Rank() == 0 }

func (c crew) close() error {
	if c.group == nil {
		return nil
	}
	return c.group.Close()
}

// join meets the other processes where the environment says that there are any. All
// but the first write nothing then: their flags for that are taken out. A run that
// torchrun has started again goes on from its checkpoint, as with -continue.
func (o *options) join(ctx context.Context, stderr io.Writer) error {
	cfg, found, err := dist.FromEnv(os.Getenv)
	if err != nil {
		return err
	}
	if !o.resume && (o.again || found && cfg.Attempt > 0) {
		switch _, err := os.Stat(checkpoint(*o)); {
		case err == nil:
			o.resume = true
			fmt.Fprintf(stderr, "going on from %s\n", checkpoint(*o))
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	if !found || cfg.Size == 1 {
		return nil
	}
	cfg.Timeout = o.patience
	if o.recipe == "none" {
		return fmt.Errorf("%w: -recipe none trains nothing, so one process does it; this is one of %d", errUsage, cfg.Size)
	}
	if !o.set["threads"] && cfg.LocalSize > 1 {
		o.reading.Threads = max(1, cpus.Allowed()/cfg.LocalSize)
	}
	g, err := dist.Connect(ctx, cfg)
	if err != nil {
		return err
	}
	o.crew = crew{cfg, g, o.statistics}
	if o.crew.first() {
		if !o.resume { // a restart before the first step must not take up an older run
			if err := os.Rename(checkpoint(*o), checkpoint(*o)+".old"); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		fmt.Fprintf(stderr, "%d ranks; this is rank 0\n", cfg.Size)
		return nil
	}
	o.log, o.probe, o.curves = "", "", curves.Flags{}
	return nil
}

// gpu is the device of this process where several share a machine and none is named.
func (o options) gpu(dev tensor.Device) (tensor.Device, error) {
	if !o.crew.many() || !dev.IsCUDA() || !oneOf(o.device, "auto", "cuda") {
		return dev, nil
	}
	return tensor.ParseDevice(fmt.Sprintf("cuda:%d", o.crew.cfg.LocalRank))
}

// fromFirst has the first process make something and gives it to all.
func (c crew) fromFirst(ctx context.Context, make func() ([]byte, error)) ([]byte, error) {
	var own []byte
	if c.first() {
		var err error
		if own, err = make(); err != nil {
			return nil, err // the others see it leave
		}
	}
	if !c.many() {
		return own, nil
	}
	all, err := c.group.Gather(ctx, own)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// options of the Pretrainer.
func (c crew) with(opts ...tab.Option) []tab.Option {
	if c.many() {
		opts = append(opts, tab.WithGroup(c.group), tab.WithStatistics(c.statistics))
	}
	return opts
}
