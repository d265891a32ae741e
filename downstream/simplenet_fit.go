package downstream

import (
	"context"
	"errors"
	"fmt"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/simplenet"
	"github.com/gotab/gotab/downstream/internal/train"
	"github.com/gotab/gotab/tensor"
)

// Fit trains on good images, at least one, with fresh weights, and replaces those
// of an earlier Fit. It keeps the weights of the last epoch. Every image goes
// through the backbone once, and again in every epoch as far as the Cache does
// not hold its features; the data set must give the same images each time.
// [SimpleNetConfig.Estimate] says what memory it takes.
//
// A sample that says it is anomalous is [ErrNotNormal], features that are not
// finite are [ErrNotFinite]; both name the sample. A loss that is not finite is
// [ErrDiverged]. After an error, or the end of ctx, the detector is as it was
// before. Concurrent Fits run one after another, in the order of the calls; ctx
// ends the wait too. A Fit that Close ends is [ErrClosed].
func (p *SimpleNet) Fit(ctx context.Context, normal dataset.Dataset) error {
	return p.core.Refit(ctx, "fit", func(ctx context.Context) (*simpleModel, error) { return p.fit(ctx, normal, nil) })
}

func (p *SimpleNet) fit(ctx context.Context, normal dataset.Dataset, judge *simpleJudge) (_ *simpleModel, err error) {
	if normal == nil {
		return nil, fmt.Errorf("%w: the data set is nil", ErrTooFewImages)
	}
	n := normal.Len()
	if n < 1 {
		return nil, fmt.Errorf("%w: have none, training needs 1 or more", ErrTooFewImages)
	}
	from, seen, err := feed.FitImages(normal, p.cfg.Transform)
	if err != nil {
		return nil, err
	}
	defer tensor.ReleasePool() // last, so that what the features took goes too

	maps, err := train.NewFrozen(ctx, p.emb.Fe, p.emb.Layers, &p.core.In, p.core.Dev, from, n, p.cfg.Cache, func(done, total int) { p.core.Report("features", done, total) })
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, maps.Close()) }()
	t, err := p.newTraining(ctx, maps)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	// weights are copies of those that there are.
	weights := func() ([]tensor.Array, error) {
		if err := train.FiniteParams(ctx, t.Weights.Adaptor, t.Weights.Discriminator); err != nil {
			return nil, err
		}
		return t.Weights.Arrays(ctx)
	}
	model := func(arrays []tensor.Array) (*simpleModel, error) {
		g := &simpleModel{state: state{Model: engine.Model{Params: tensor.NewParams(p.core.Dev), GridH: maps.Shapes[0].H, GridW: maps.Shapes[0].W,
			InW: maps.Size.X, InH: maps.Size.Y, Images: n}}, onTest: judge != nil}
		return p.complete(ctx, g, arrays)
	}
	var after func(context.Context, int) error
	if judge != nil {
		defer func() { err = errors.Join(err, judge.forget(err)) }()
		after = func(ctx context.Context, epoch int) error {
			if (epoch+1)%p.cfg.TestEvery != 0 && epoch+1 != p.cfg.Epochs {
				return nil
			}
			arrays, err := weights()
			if err != nil {
				return err
			}
			g, err := model(arrays)
			if err != nil {
				return err
			}
			return judge.look(ctx, p, g)
		}
	}
	c := train.Course[simplenet.Plan, simplenet.Batch]{Epochs: p.cfg.Epochs, Workers: 1, Plan: t.Plan, Load: t.Load, Step: t.Step, After: after, Report: p.core.ReportTraining}
	if err := c.Run(ctx); err != nil {
		return nil, err
	}
	if judge != nil {
		judge.best.seen = judge.seen.With(seen.With(nil))
		return judge.best, nil
	}
	arrays, err := weights()
	if err != nil {
		return nil, err
	}
	// What the training has held is given back before the model is made, which would come on top of it.
	if err := errors.Join(t.Close(), maps.Close()); err != nil {
		return nil, err
	}
	tensor.ReleasePool()
	g, err := model(arrays)
	if err == nil {
		g.seen = seen.With(nil)
	}
	return g, err
}

// newTraining draws fresh weights for a training on the maps of the extractor.
func (p *SimpleNet) newTraining(ctx context.Context, maps *train.Frozen) (*simplenet.Training, error) {
	c := p.cfg
	return simplenet.NewTraining(ctx, simplenet.Config{Device: p.core.Dev, Embedding: p.emb, Seed: p.seed, Hidden: c.Hidden, Batch: c.TrainBatch, Noise: c.Noise, Margin: c.Margin,
		AdaptorRate: c.AdaptorRate, DiscriminatorRate: c.DiscriminatorRate, AdaptorDecay: c.AdaptorDecay, DiscriminatorDecay: c.DiscriminatorDecay}, maps)
}
