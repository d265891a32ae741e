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
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

// pictures are the good pictures of all classes as a data set.
type pictures struct {
	items   []dataset.Item
	classes []string
	dec     dataset.Decoder
}

func asDataset(classes []class) *pictures {
	p := &pictures{dec: dataset.DefaultDecoder()}
	for _, c := range classes {
		p.classes = append(p.classes, c.name)
		for _, f := range c.files {
			p.items = append(p.items, dataset.Item{Name: f, Class: c.name, Split: dataset.Train, Defect: dataset.Good, Label: dataset.LabelGood})
		}
	}
	return p
}

// Len implements dataset.Dataset.
func (p *pictures) Len() int { return len(p.items) }

// Classes implements dataset.Dataset.
func (p *pictures) Classes() []string { return append([]string(nil), p.classes...) }

// Item implements dataset.Dataset.
func (p *pictures) Item(i int) dataset.Item {
	if i < 0 || i >= len(p.items) {
		return dataset.Item{}
	}
	return p.items[i]
}

// Sample implements dataset.Dataset.
func (p *pictures) Sample(ctx context.Context, i int) (dataset.Sample, error) {
	if i < 0 || i >= len(p.items) {
		return dataset.Sample{}, fmt.Errorf("synth: picture %d: %w: there are %d", i, dataset.ErrIndex, len(p.items))
	}
	if err := ctx.Err(); err != nil {
		return dataset.Sample{}, err
	}
	img, err := readOne(p.dec, dataset.Transform{}, p.items[i].Name)
	if err != nil {
		return dataset.Sample{}, fmt.Errorf("synth: %s: %w", p.items[i].Name, err)
	}
	return dataset.Sample{Item: p.items[i], Image: img}, nil
}

// kept is how many bytes of pictures are kept between the passes over them.
const kept = 1 << 29

// measure prints what twins are to the classes in the network.
func (o options) measure(ctx context.Context, classes []class, w io.Writer) (err error) {
	net, err := backbone.Open(o.weights, tensor.CPU)
	if err != nil {
		return fmt.Errorf("synth: -weights: %w", err)
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	cfg := tab.DefaultTwins()
	cfg.Transform = dataset.Transform{Shorter: int(math.Round(float64(o.size) * 256 / 224)), Filter: dataset.Lanczos, Crop: image.Pt(o.size, o.size)}
	cfg.Images, cfg.Draws, cfg.Seed = o.good, o.draws, o.seed
	good, err := dataset.NewCached(asDataset(classes), cfg.Transform, kept)
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
	return atomicfile.Write(o.json, func(w io.Writer) error {
		_, err := t.WriteTo(w)
		return err
	})
}
