package downstream

import (
	"context"
	"errors"
	"fmt"
	"image"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/network"
	"github.com/gotab/gotab/downstream/internal/rd4ad"
	"github.com/gotab/gotab/downstream/internal/train"
	"github.com/gotab/gotab/tensor"
)

// Fit trains a student on good images, at least one, and replaces that of an
// earlier Fit. The extractor sees each image once, or once an epoch where its
// maps exceed Cache. Steps run with the threads of ctx or of tensor's setting, and
// the result is the same bits for the same number of them.
//
// Batch norm needs two values of a channel: where the embedding has a single
// position, a batch of one image is left out of its epoch.
//
// A sample that says it is anomalous is [ErrNotNormal], features that are not
// finite are [ErrNotFinite]; both name the sample. Maps that do not halve from
// layer to layer are [ErrLayers]. A loss or weights that are not finite are
// [ErrDiverged]. After an error, or the end of ctx, the detector is as it was
// before. Concurrent Fits run one after another, in the order of the calls; ctx
// ends the wait too. A Fit that Close ends is [ErrClosed].
func (p *RD4AD) Fit(ctx context.Context, normal dataset.Dataset) error {
	return p.core.Refit(ctx, "fit", func(ctx context.Context) (*distilled, error) { return p.fit(ctx, normal) })
}

func (p *RD4AD) fit(ctx context.Context, normal dataset.Dataset) (*distilled, error) {
	if normal == nil || normal.Len() < 1 {
		return nil, fmt.Errorf("%w: there is none", ErrTooFewImages)
	}
	from, seen, err := feed.FitImages(normal, p.cfg.Transform)
	if err != nil {
		return nil, err
	}
	defer tensor.ReleasePool() // last, so that what the teacher frees goes too
	n := normal.Len()
	teacher, err := train.NewFrozen(ctx, p.sel.Fe, p.cfg.Layers, &p.core.In, p.core.Dev, from, n, p.cfg.Cache,
		func(done, total int) { p.core.Report("features", done, total) })
	if err != nil {
		return nil, err
	}
	defer func() { _ = teacher.Close() }() // frees memory, cannot fail
	if err := p.checkHalving(teacher.Shapes, teacher.Size); err != nil {
		return nil, err
	}
	net, err := p.freshStudent(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.train(ctx, net, teacher); err != nil {
		return nil, errors.Join(err, net.Params.Close())
	}
	// What the training has held is given back before the folded weights are made, which would come on top of it.
	if err := teacher.Close(); err != nil {
		return nil, errors.Join(err, net.Params.Close())
	}
	tensor.ReleasePool()
	first := teacher.Shapes[0]
	g := &distilled{net: net, shapes: teacher.Shapes, state: state{Model: engine.Model{Params: tensor.NewParams(p.core.Dev), GridH: first.H, GridW: first.W,
		InW: teacher.Size.X, InH: teacher.Size.Y, Images: n}, seen: seen.With(nil)}}
	return p.complete(ctx, g)
}

// checkHalving refuses maps that the student cannot rebuild: it halves and
// doubles their grids exactly.
func (p *RD4AD) checkHalving(shapes []network.MapShape, input image.Point) error {
	for i, m := range shapes {
		h, w := 2*(m.H/2), 2*(m.W/2)
		if i+1 < len(shapes) {
			h, w = 2*shapes[i+1].H, 2*shapes[i+1].W
		}
		if m.H != h || m.W != w {
			return fmt.Errorf("%w: for an input of %dx%d %s has %dx%d positions, want twice those of the next layer, and even ones in the last",
				ErrLayers, input.X, input.Y, p.cfg.Layers[i], m.W, m.H)
		}
	}
	return nil
}

// freshStudent draws a student.
func (p *RD4AD) freshStudent(ctx context.Context) (*rd4ad.Student, error) {
	return rd4ad.Fresh(ctx, p.core.Dev, p.channels(), rd4ad.Blocks(p.cfg.Blocks), p.seed)
}

// train runs all epochs.
func (p *RD4AD) train(ctx context.Context, net *rd4ad.Student, teacher *train.Frozen) error {
	deepest := teacher.Shapes[len(teacher.Shapes)-1]
	alone := deepest.H*deepest.W == 4 // one position in the embedding
	if alone && (teacher.N == 1 || p.cfg.TrainBatch == 1) {
		return fmt.Errorf("%w: the embedding has one position, so that batch norm needs two images in a batch: have %d, TrainBatch is %d",
			ErrTooFewImages, teacher.N, p.cfg.TrainBatch)
	}
	rule, err := p.learner(net)
	if err != nil {
		return err
	}
	defer func() { _ = rule.Optimizer.Close() }() // frees memory, cannot fail
	plan := func(epoch int) [][]int {
		batches := train.BatchesOf(teacher.N, p.cfg.TrainBatch, p.seed, epoch)
		if last := len(batches) - 1; alone && len(batches[last]) == 1 {
			batches = batches[:last]
		}
		return batches
	}
	step := func(ctx context.Context, _, _ int, b *train.MapBatch) (train.Outcome, error) {
		return p.step(ctx, net, []tensor.Learner{rule}, b)
	}
	c := train.Course[[]int, *train.MapBatch]{Epochs: p.cfg.Epochs, Workers: 1, Plan: plan, Load: teacher.Load, Step: step, Report: p.core.ReportTraining}
	if err := c.Run(ctx); err != nil {
		return err
	}
	return train.FiniteParams(ctx, net.Params)
}

// learner is the student with the rule that trains it.
func (p *RD4AD) learner(net *rd4ad.Student) (tensor.Learner, error) {
	opt, err := tensor.NewAdam(tensor.AdamConfig{Beta1: p.cfg.Beta1, Beta2: p.cfg.Beta2, Epsilon: tensor.DefaultAdam().Epsilon}, p.core.Dev)
	return tensor.Learner{Params: net.Params, Optimizer: opt, Rate: train.Always(p.cfg.Rate)}, err
}

// step trains the student on one batch.
func (p *RD4AD) step(ctx context.Context, net *rd4ad.Student, rule []tensor.Learner, b *train.MapBatch) (o train.Outcome, err error) {
	defer b.Done()
	err = tensor.Run(ctx, p.core.Dev, tensor.Training, func(s *tensor.Scope) (err error) {
		o.Loss, err = train.Descend(s, 0, rule, func(s *tensor.Scope) (*tensor.Tensor, error) {
			maps := b.Tensors(s)
			return rd4ad.Loss(s, maps, net.Forward(s, maps, true), p.cfg.PerPosition), s.Err()
		})
		return err
	})
	return o, err
}

// complete adds to a model with student and sizes what follows from them and from
// the settings. After an error g's memory is freed.
func (p *RD4AD) complete(ctx context.Context, g *distilled) (_ *distilled, err error) {
	g.packed = tensor.NewParams(p.core.Dev)
	g.Also = func() error { return errors.Join(g.net.Params.Close(), g.packed.Close()) }
	defer func() {
		if err != nil {
			_ = g.Free() // frees memory, cannot fail
		}
	}()
	input := image.Pt(g.InW, g.InH)
	for i, m := range g.shapes {
		e, err := engine.NewEnlarger(ctx, g.Params, p.cfg.Layers[i].String()+".", image.Pt(m.W, m.H), input, engine.AlignCorners, p.cfg.Sigma)
		if err != nil {
			return nil, err
		}
		g.levels = append(g.levels, e)
	}
	err = tensor.Run(ctx, p.core.Dev, tensor.Evaluation, func(s *tensor.Scope) (err error) {
		g.folded, err = g.net.Fold(s, g.packed, p.cfg.Batch, g.shapes)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := p.core.Identify(ctx, g.Common()); err != nil {
		return nil, err
	}
	return g, nil
}
