package downstream

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/train"
	"github.com/gotab/gotab/internal/gauss"
	"github.com/gotab/gotab/internal/seed"
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
	defer func() { err = errors.Join(err, t.close()) }()
	// current is a model of the weights as they are.
	current := func() (*simpleModel, error) {
		if err := train.FiniteParams(ctx, t.weights.adaptor, t.weights.discriminator); err != nil {
			return nil, err
		}
		arrays, err := t.weights.arrays(ctx)
		if err != nil {
			return nil, err
		}
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
			g, err := current()
			if err != nil {
				return err
			}
			return judge.look(ctx, p, g)
		}
	}
	c := train.Course[simplePlan, simpleBatch]{Epochs: p.cfg.Epochs, Workers: 1, Plan: t.plan, Load: t.load, Step: t.step, After: after, Report: p.core.ReportTraining}
	if err := c.Run(ctx); err != nil {
		return nil, err
	}
	if judge != nil {
		judge.best.seen = judge.seen.With(seen.With(nil))
		return judge.best, nil
	}
	g, err := current()
	if err == nil {
		g.seen = seen.With(nil)
	}
	return g, err
}

// simpleTraining is a training that is going on.
type simpleTraining struct {
	p       *SimpleNet
	maps    *train.Frozen
	weights *simpleWeights
	rules   []tensor.Learner
	// noise holds the one buffer for the noise of a batch while it is free: that of
	// the next batch is drawn while the device works on one.
	noise chan []float32
}

func (p *SimpleNet) newTraining(ctx context.Context, maps *train.Frozen) (*simpleTraining, error) {
	c := p.cfg
	w, err := newSimpleWeights(ctx, p.core.Dev, p.seed, simpleSpecs(p.emb.Count, c.Hidden))
	if err != nil {
		return nil, err
	}
	rule := tensor.DefaultAdamW()
	rule.WeightDecay = c.AdaptorDecay
	adamW, err := tensor.NewAdamW(rule, p.core.Dev)
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	coupled := tensor.DefaultAdam()
	coupled.WeightDecay = c.DiscriminatorDecay
	adam, err := tensor.NewAdam(coupled, p.core.Dev)
	if err != nil {
		return nil, errors.Join(err, adamW.Close(), w.close())
	}
	t := &simpleTraining{p: p, maps: maps, weights: w, noise: make(chan []float32, 1),
		rules: []tensor.Learner{{Params: w.adaptor, Optimizer: adamW, Rate: train.Always(c.AdaptorRate)},
			{Params: w.discriminator, Optimizer: adam, Rate: train.Always(c.DiscriminatorRate)}}}
	t.noise <- nil
	return t, nil
}

func (t *simpleTraining) close() error {
	err := t.weights.close()
	for _, r := range t.rules {
		err = errors.Join(err, r.Optimizer.Close())
	}
	return err
}

// simplePlan says what a batch is made of.
type simplePlan struct {
	epoch, batch int
	images       []int
}

// plan returns the batches of an epoch.
func (t *simpleTraining) plan(epoch int) (out []simplePlan) {
	for i, images := range train.BatchesOf(t.maps.N, t.p.cfg.TrainBatch, t.p.seed, epoch) {
		out = append(out, simplePlan{epoch, i, images})
	}
	return out
}

// simpleBatch is the input of a step on the host.
type simpleBatch struct {
	maps  *train.MapBatch
	noise []float32 // [n h w, Dim]
}

// load reads maps and draws noise, each row of it from a generator of its own.
func (t *simpleTraining) load(ctx context.Context, at simplePlan) (b simpleBatch, err error) {
	if b.maps, err = t.maps.Load(ctx, at.images); err != nil {
		return b, err
	}
	select {
	case b.noise = <-t.noise:
	case <-ctx.Done():
		return b, ctx.Err()
	}
	dim, grid := t.p.emb.Count, t.maps.Shapes[0]
	if n := len(at.images) * grid.H * grid.W * dim; cap(b.noise) < n {
		b.noise = make([]float32, n)
	} else {
		b.noise = b.noise[:n]
	}
	gauss.Rows(b.noise, dim, t.p.cfg.Noise, tensor.GetThreads().Cores, func(row int) (hi, lo uint64) {
		return seed.State(t.p.seed[0], "noise", t.p.seed[1], uint64(at.epoch), uint64(at.batch), uint64(row))
	})
	return b, nil
}

// step trains on one batch.
func (t *simpleTraining) step(ctx context.Context, _, _ int, b simpleBatch) (o train.Outcome, err error) {
	defer b.maps.Done()
	err = tensor.Run(ctx, t.p.core.Dev, tensor.Training, func(s *tensor.Scope) (err error) {
		copied := sync.OnceFunc(func() { t.noise <- b.noise }) // the next batch's may be drawn
		defer copied()
		o.Loss, err = train.Descend(s, 0, t.rules, func(s *tensor.Scope) (*tensor.Tensor, error) {
			parts := s.SubN(func(s *tensor.Scope) []*tensor.Tensor { return t.p.emb.Parts(s, b.maps.Tensors(s)) })
			dim := t.p.emb.Count
			noise := s.FromFloats(b.noise, int64(len(b.noise)/dim), int64(dim))
			copied()
			if err := s.Err(); err != nil {
				return nil, err
			}
			return t.weights.loss(s, parts, noise, t.p.cfg.Margin), nil
		})
		return err
	})
	return o, err
}
