package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"math"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

// kept is how many bytes of images are kept between the passes over them.
const kept = 1 << 29

// measure prints what twins are to the classes in the network.
func (o options) measure(ctx context.Context, all dataset.Dataset, w io.Writer) (err error) {
	net, err := backbone.Open(o.weights, tensor.CPU)
	if err != nil {
		return fmt.Errorf("synth: -weights: %w", err)
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	cfg := tab.DefaultTwins()
	cfg.Transform = dataset.Transform{Shorter: int(math.Round(float64(o.Size) * 256 / 224)), Filter: dataset.Lanczos, Crop: image.Pt(o.Size, o.Size)}
	cfg.Images, cfg.Draws, cfg.Seed = o.good, o.Draws, o.Seed
	good, err := dataset.NewCached(all, cfg.Transform, kept)
	if err != nil {
		return err
	}
	t, err := tab.MeasureTwins(ctx, net, good, synth.DefaultMixture(), cfg)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\nWhat twins are in %s: \"normal\" within 95 %% of good parts at every layer, \"far\" beyond %g times their 99 %% at every\n"+
		"layer, \"drawn\" between. Under the layers how loud the median twin is, in units of the 95 %%.\n\n", o.weights, t.Far)
	if err := t.Text(w, o.bins); err != nil {
		return err
	}
	if o.json == "" {
		return nil
	}
	return t.Save(o.json)
}
