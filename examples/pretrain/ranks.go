package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/gotab/gotab/internal/cpus"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/training"
	"github.com/gotab/gotab/tensor"
	"github.com/gotab/gotab/tensor/dist"
)

// join meets the other processes where the environment says that there are any. A run that
// torchrun has started again goes on from its checkpoint, as with -continue. What it returns
// leaves the others.
func (o *options) join(ctx context.Context, getenv func(string) string, stderr io.Writer) (leave func() error, err error) {
	leave = func() error { return nil }
	cfg, found, err := dist.FromEnv(getenv)
	if err != nil {
		return leave, err
	}
	if o.Untrained {
		if cfg.Size > 1 {
			err = fmt.Errorf("%w: -recipe none trains nothing, so one process does it; this is one of %d", errUsage, cfg.Size)
		}
		return leave, err
	}
	if cfg.Size == 1 {
		if found || o.again {
			err = o.goOn(ctx, nil, cfg, stderr)
		}
		return leave, err
	}
	cfg.Timeout = o.patience
	if !o.set["threads"] && cfg.LocalSize > 1 {
		o.reading.Threads = max(1, cpus.Allowed()/cfg.LocalSize)
	}
	g, err := dist.Connect(ctx, cfg)
	if err != nil {
		return leave, err
	}
	o.Group, o.local = g, cfg.LocalRank
	if g.Rank() == 0 {
		fmt.Fprintf(stderr, "%d ranks; this is rank 0\n", cfg.Size)
	} else {
		stderr = io.Discard
	}
	if err := o.goOn(ctx, g, cfg, stderr); err != nil {
		return leave, errors.Join(err, g.Close())
	}
	return g.Close, nil
}

// goOn decides, with the others where there are any, whether this run goes on from its checkpoint.
func (o *options) goOn(ctx context.Context, g tab.Group, cfg dist.Config, stderr io.Writer) error {
	resumes, err := training.GoesOn(ctx, g, o.Out, training.Start{Continue: o.again || o.Resume, Starter: cfg.Agent, Attempt: cfg.Attempt})
	if err == nil && resumes && !o.Resume {
		o.Resume = true
		fmt.Fprintf(stderr, "going on from %s\n", training.Checkpoint(o.Out))
	}
	return err
}

// gpu is the device of this process where several share a machine and none is named.
func (o options) gpu(dev tensor.Device) (tensor.Device, error) {
	if o.local < 0 || !dev.IsCUDA() || !oneOf(o.device, "auto", "cuda") {
		return dev, nil
	}
	return tensor.ParseDevice(fmt.Sprintf("cuda:%d", o.local))
}
