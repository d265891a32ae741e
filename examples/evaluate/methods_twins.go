package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
)

// padimTwins is PaDiM on channels that twins of the product's good images choose:
// those that together move twins farthest (padim-twins), or each by itself
// (padim-twins-rank). As many as PaDiM draws; no test image is looked at.
func padimTwins(choose func(p tab.ProductChannels, n int, epsilon float64) ([]int, error), name string) func(c choice) (plan, error) {
	return func(c choice) (plan, error) {
		p, err := padim(c)
		if err != nil {
			return p, err
		}
		cfg := p.settings.(downstream.PaDiMConfig)
		if cfg.Reduced == 0 {
			return p, fmt.Errorf("%w: layers %v have no more channels than PaDiM takes, so there is nothing to choose", downstream.ErrChannels, cfg.Layers)
		}
		twins := tab.DefaultTwins()
		twins.Transform, twins.Normalize, twins.Layers, twins.Batch = cfg.Transform, cfg.Normalize, cfg.Layers, 4
		p.settings = struct {
			PaDiM  downstream.PaDiMConfig
			Twins  tab.TwinConfig
			Choice string
		}{cfg, twins, name}
		p.chance, p.seed = "the twins that choose channels", seed{n: 1}
		p.make = func(net *backbone.ResNet, s seed, opts ...downstream.Option) (detector, error) {
			first, err := downstream.NewPaDiM(net, cfg, s.rand(forMethod), opts...)
			if err != nil {
				return nil, err
			}
			twins := twins
			twins.Seed = s.n
			return &chosenPaDiM{PaDiM: first, net: net, cfg: cfg, twins: twins, choose: choose, opts: opts}, nil
		}
		return p, nil
	}
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
