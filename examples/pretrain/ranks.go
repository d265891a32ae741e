package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/gotab/gotab/internal/cpus"
	"github.com/gotab/gotab/tab/training"
	"github.com/gotab/gotab/tensor"
	"github.com/gotab/gotab/tensor/dist"
)

// join meets the other processes where the environment says that there are any. A run that
// torchrun has started again goes on from its checkpoint, as with -continue. What it returns
// leaves the others.
func (o *options) join(ctx context.Context, stderr io.Writer) (leave func() error, err error) {
	leave = func() error { return nil }
	cfg, found, err := dist.FromEnv(os.Getenv)
	if err != nil {
		return leave, err
	}
	if !o.Resume && (o.again || found && cfg.Attempt > 0) {
		switch _, err := os.Stat(training.Checkpoint(o.Out)); {
		case err == nil:
			o.Resume = true
			fmt.Fprintf(stderr, "going on from %s\n", training.Checkpoint(o.Out))
		case !errors.Is(err, fs.ErrNotExist):
			return leave, err
		}
	}
	if !found || cfg.Size == 1 {
		return leave, nil
	}
	cfg.Timeout = o.patience
	if o.Untrained {
		return leave, fmt.Errorf("%w: -recipe none trains nothing, so one process does it; this is one of %d", errUsage, cfg.Size)
	}
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
	}
	return g.Close, nil
}

// gpu is the device of this process where several share a machine and none is named.
func (o options) gpu(dev tensor.Device) (tensor.Device, error) {
	if o.local < 0 || !dev.IsCUDA() || !oneOf(o.device, "auto", "cuda") {
		return dev, nil
	}
	return tensor.ParseDevice(fmt.Sprintf("cuda:%d", o.local))
}
