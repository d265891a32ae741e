package tab

import (
	"context"
	"errors"
	"fmt"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/tensor"
)

// frozenCopy is the network as it was before the first step, as far as it is
// looked at. Its weights never change.
type frozenCopy interface {
	VisualEncoder
	statisticsFreezer
	Close() error
}

// staged is what a visual encoder must be for a frozen copy of it to be made.
type staged interface{ Arch() backbone.Arch }

// deepest is the last stage that the frozen copy needs, -1 for no copy.
func (p *Pretrainer) deepest() backbone.Layer {
	last := backbone.Layer(-1)
	if p.needs.Start || p.needs.Metric {
		for _, l := range p.needs.Stages {
			last = max(last, l)
		}
	}
	if p.cfg.StartDecay > 0 {
		for l := backbone.Stem; l <= backbone.Layer4; l++ {
			if p.parts.Visual.Channels(l) > 0 {
				last = max(last, l)
			}
		}
	}
	return last
}

// checkStart says whether a frozen copy can be made where one is needed.
func (p *Pretrainer) checkStart() error {
	if p.deepest() < backbone.Stem {
		return nil
	}
	if _, ok := p.parts.Visual.(staged); !ok {
		return fmt.Errorf("tab: new: %w: objective %s or Config.StartDecay needs a frozen copy of the visual encoder, which is made of backbone's networks only",
			ErrConfig, p.cfg.Objective.Name())
	}
	return nil
}

// copyStart makes the frozen copy of the encoder as it is.
func (p *Pretrainer) copyStart(ctx context.Context) error {
	last := p.deepest()
	if last < backbone.Stem {
		return nil
	}
	arrays, err := p.parts.Visual.Params().Arrays(ctx)
	if err != nil {
		return err
	}
	arch := p.parts.Visual.(staged).Arch() // New has checked it
	net, err := backbone.FromStages(&tensor.Weights{Arrays: arrays}, arch, last, p.dev)
	if err != nil {
		return fmt.Errorf("frozen copy: %w", err)
	}
	net.FreezeStatistics(func(backbone.Layer) bool { return true })
	err = errors.Join(net.Params().SetTrainable(func(string) bool { return false }), net.SetTrainingPrecision(p.cfg.Precision))
	if err != nil {
		return errors.Join(err, net.Close())
	}
	p.start = net
	return nil
}

// startParams returns the frozen copy's weights, nil without one.
func (p *Pretrainer) startParams() *tensor.Params {
	if p.start == nil {
		return nil
	}
	return p.start.Params()
}

// metricParams returns what a Metric stands on, nil without one.
func (p *Pretrainer) metricParams() *tensor.Params {
	if p.metric == nil {
		return nil
	}
	return p.metric.p
}

// loadStart restores frozen copy and spreads from a checkpoint. They cannot be
// made anew: the weights of the start are in no other place by then.
func (p *Pretrainer) loadStart(ctx context.Context, classes []string, start, metric []tensor.Array) error {
	switch {
	case p.start == nil && len(start) > 0:
		return fmt.Errorf("%w: it holds weights of the start that nothing asks for", ErrCheckpoint)
	case p.start != nil:
		if err := p.start.Params().SetArrays(ctx, start, nil); err != nil {
			return fmt.Errorf("%w: weights of the start: %w", ErrCheckpoint, err)
		}
	}
	return p.loadMetric(ctx, len(classes), metric)
}

// closeStart frees frozen copy and spreads.
func (p *Pretrainer) closeStart() error {
	var err error
	if p.start != nil {
		err = p.start.Close()
	}
	return errors.Join(err, p.metric.close())
}

// pulled is an optimizer that then moves the weights towards those of the start, apart from the gradient:
// w = w - rate decay (w - start), with the rate of each weight's stage.
type pulled struct {
	tensor.Optimizer
	start *tensor.Params
	decay float64
}

// pull moves one weight; away is memory that holds the start's.
type pull struct {
	weight, away *tensor.Tensor
	by           float64
}

// Prepare asks for the memory of both moves, so that a step is whole or not at all.
func (o pulled) Prepare(s *tensor.Scope, now *tensor.Params, rate func(name string) float64) (func() error, error) {
	move, err := o.Optimizer.Prepare(s, now, rate)
	if err != nil {
		return nil, err
	}
	var pulls []pull
	for _, n := range o.start.Names() {
		if by := rate(n) * o.decay; by > 0 && now.IsTrainable(n) {
			pulls = append(pulls, pull{now.Get(n), s.Clone(s.Detach(o.start.Get(n))), by})
		}
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	return func() error {
		if err := move(); err != nil {
			return err
		}
		s.NoGrad(func() {
			for _, p := range pulls {
				s.AddInto(p.away, p.weight, -1) // start - w, of w as the optimizer has moved it
				s.AddInto(p.weight, p.away, p.by)
				s.Free(p.away)
			}
		})
		return s.Err()
	}, nil
}

// see fills in what View holds beside the trained network's features.
func (p *Pretrainer) see(s *tensor.Scope, v *View, b Batch, x *tensor.Tensor) {
	tied := p.tied(b)
	if tied != nil {
		v.Tied = ones(s, tied)
	}
	if p.needs.Cells {
		v.Cells = cells(s, b, tied, v.Normal.Stages)
	}
	v.Metric = p.metric
	if !p.needs.Start {
		return
	}
	n := int64(len(b.Class))
	s.NoGrad(func() {
		var f Features
		f.Stages = map[backbone.Layer]*tensor.Tensor{}
		for i, t := range p.start.Forward(s, x, p.needs.Stages...) {
			f.Stages[p.needs.Stages[i]] = t
		}
		if p.needs.Twin {
			v.NormalStart, v.AbnormalStart = f.split(s, n)
		} else {
			v.NormalStart = f
		}
	})
	if p.needs.WithinSpread {
		setApart(s, v, p.needs.Stages)
	}
}
