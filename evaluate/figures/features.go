package figures

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/evaluate/detectors"
	"github.com/gotab/gotab/synth"
)

const (
	batch    = 16
	attempts = 50 // draws of a twin that can be placed and is damage
)

// shown are the images of a figure, of all classes.
type shown struct {
	class   []int // number of the class, for each image
	damaged []int // 1 or 0
	rows    [2][][]float64
	names   []string // of the classes
}

// gather makes the features of all images in both networks.
func gather(ctx context.Context, o Config) (s shown, err error) {
	if s.names, err = o.names(); err != nil {
		return s, err
	}
	for c, class := range s.names {
		split := dataset.Test
		if o.Twins {
			split = dataset.Train
		}
		ds, err := o.set(ctx, class, split)
		if err != nil {
			return s, err
		}
		good, damaged := apart(ds)
		good, damaged = spaced(good, o.Most), spaced(damaged, o.Most)
		var twin func(dataset.Sample, *rand.Rand) (dataset.Sample, error)
		if o.Twins {
			damaged, twin = good, damage(synth.DefaultMixture())
		}
		if len(good) < 2 || len(damaged) < 2 {
			return s, fmt.Errorf("%s: %d good and %d damaged images; two of each are needed", class, len(good), len(damaged))
		}
		for k, n := range o.Nets {
			for _, part := range []struct {
				order []int
				twin  func(dataset.Sample, *rand.Rand) (dataset.Sample, error)
			}{{good, nil}, {damaged, twin}} {
				rows, err := features(ctx, o, n.ResNet, ds, part.order, part.twin)
				if err != nil {
					return s, fmt.Errorf("%s, %s: %w", n.Name, class, err)
				}
				s.rows[k] = append(s.rows[k], rows...)
			}
		}
		for i := range len(good) + len(damaged) {
			s.class = append(s.class, c)
			bad := 0
			if i >= len(good) {
				bad = 1
			}
			s.damaged = append(s.damaged, bad)
		}
	}
	return s, nil
}

// damage puts damage of a mixture into a sample.
func damage(m synth.Mixture) func(dataset.Sample, *rand.Rand) (dataset.Sample, error) {
	return func(s dataset.Sample, rng *rand.Rand) (dataset.Sample, error) {
		for range attempts {
			pair, err := m.Generate(s.Image, s.Image, rng)
			if errors.Is(err, synth.ErrNotPlaced) || err == nil && pair.Normal {
				continue
			}
			if err != nil {
				return s, err
			}
			s.Image = pair.Image
			return s, nil
		}
		return s, fmt.Errorf("no damage could be placed in %d draws: %w", attempts, synth.ErrNotPlaced)
	}
}

// features are the means over each image of the layers, side by side.
func features(ctx context.Context, o Config, net *backbone.ResNet, ds dataset.Dataset, order []int, twin func(dataset.Sample, *rand.Rand) (dataset.Sample, error)) ([][]float64, error) {
	cfg := dataset.DefaultLoader()
	cfg.Batch, cfg.Transform, cfg.Augment, cfg.Seed = batch, o.Reading.Transform(cfg.Transform), twin, o.Seed
	return detectors.Features(ctx, net, ds, cfg, order, o.Layers...)
}
