package detectors

import (
	"context"
	"errors"
	"fmt"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
)

// PaDiMTwins is PaDiM on as many channels as PaDiM draws, which twins of the product's
// good images choose: those that together move damage farthest from good parts. No test
// image is looked at. A seed is the twins.
func PaDiMTwins(c Choice) (evaluate.Method, error) {
	return padimTwins(c, "padim-twins", "together", tab.ProductChannels.Choose)
}

// PaDiMTwinsRank is [PaDiMTwins] with channels that are chosen each by itself.
func PaDiMTwinsRank(c Choice) (evaluate.Method, error) {
	return padimTwins(c, "padim-twins-rank", "each by itself", tab.ProductChannels.Rank)
}

func padimTwins(c Choice, name, words string, choose func(p tab.ProductChannels, n int, epsilon float64) ([]int, error)) (evaluate.Method, error) {
	m, err := PaDiM(c)
	if err != nil {
		return m, err
	}
	cfg := m.Settings.(downstream.PaDiMConfig)
	if cfg.Reduced == 0 {
		return m, fmt.Errorf("detectors: %s: %w: layers %v have no more channels than PaDiM takes, so there is nothing to choose", name, downstream.ErrChannels, cfg.Layers)
	}
	twins := tab.DefaultTwins()
	twins.Transform, twins.Normalize, twins.Layers, twins.Batch = cfg.Transform, cfg.Normalize, cfg.Layers, 4
	m.Name = name
	m.Settings = struct {
		PaDiM  downstream.PaDiMConfig
		Twins  tab.TwinConfig
		Choice string
	}{cfg, twins, words}
	m.Chance, m.Seed = "the twins that choose channels", evaluate.Seed{Number: 1}
	m.New = func(s evaluate.Seed) (evaluate.Detector, error) {
		first, err := downstream.NewPaDiM(c.Net.Net, cfg, s.Rand(), c.options()...)
		if err != nil {
			return nil, err
		}
		twins := twins
		twins.Seed = s.Number
		return Of(&chosenPaDiM{PaDiM: first, net: c.Net.Net, cfg: cfg, twins: twins, choose: choose, opts: c.options()}), nil
	}
	return m, nil
}

// chosenPaDiM is a PaDiM whose channels are chosen when it is fitted. Until then it is
// one that is not fitted, on channels of no meaning.
type chosenPaDiM struct {
	*downstream.PaDiM
	net    *backbone.ResNet
	cfg    downstream.PaDiMConfig
	twins  tab.TwinConfig
	choose func(p tab.ProductChannels, n int, epsilon float64) ([]int, error)
	opts   []downstream.Option
}

// Fit chooses the channels and fits on them.
func (d *chosenPaDiM) Fit(ctx context.Context, normal dataset.Dataset) error {
	products, err := tab.MeasureChannels(ctx, d.net, normal, synth.DefaultMixture(), d.twins)
	if err != nil {
		return err
	}
	if len(products) != 1 {
		return fmt.Errorf("%w: channels are chosen for one class, and there are %d", dataset.ErrLayout, len(products))
	}
	cfg := d.cfg
	if cfg.Channels, err = d.choose(products[0], cfg.Reduced, cfg.Epsilon); err != nil {
		return err
	}
	cfg.Reduced = 0
	next, err := downstream.NewPaDiM(d.net, cfg, nil, d.opts...)
	if err != nil {
		return err
	}
	if err := next.Fit(ctx, normal); err != nil {
		return errors.Join(err, next.Close())
	}
	before := d.PaDiM
	d.PaDiM = next
	return before.Close()
}
