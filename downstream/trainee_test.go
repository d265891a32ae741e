package downstream

import (
	"context"
	"errors"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/regad"
	"github.com/gotab/gotab/downstream/internal/train"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// RD4ADTrainee begins what Fit does.
func RD4ADTrainee(ctx context.Context, p *RD4AD, normal dataset.Dataset) (*testutil.Trainee, error) {
	from, err := feed.GoodImages(normal, p.cfg.Transform)
	if err != nil {
		return nil, err
	}
	teacher, err := train.NewFrozen(ctx, p.sel.Fe, p.cfg.Layers, &p.core.In, p.core.Dev, from, normal.Len(), p.cfg.Cache, func(int, int) {})
	if err != nil {
		return nil, err
	}
	net, err := p.freshStudent(ctx)
	if err != nil {
		return nil, err
	}
	rule, err := p.learner(net)
	if err != nil {
		return nil, err
	}
	t := &testutil.Trainee{Close: func() error { return errors.Join(teacher.Close(), net.Params.Close(), rule.Optimizer.Close()) },
		Step: func(ctx context.Context) (float64, error) {
			b, err := teacher.Load(ctx, []int{0, 1})
			if err != nil {
				return 0, err
			}
			o, err := p.step(ctx, net, []tensor.Learner{rule}, b)
			return o.Loss, err
		}}
	t.Learn([]tensor.Learner{rule})
	return t, nil
}

// SimpleNetTrainee begins what Fit does.
func SimpleNetTrainee(ctx context.Context, p *SimpleNet, normal dataset.Dataset) (*testutil.Trainee, error) {
	from, err := feed.GoodImages(normal, p.cfg.Transform)
	if err != nil {
		return nil, err
	}
	maps, err := train.NewFrozen(ctx, p.emb.Fe, p.emb.Layers, &p.core.In, p.core.Dev, from, normal.Len(), p.cfg.Cache, func(int, int) {})
	if err != nil {
		return nil, err
	}
	tr, err := p.newTraining(ctx, maps)
	if err != nil {
		return nil, err
	}
	t := &testutil.Trainee{Close: func() error { return errors.Join(tr.Close(), maps.Close()) },
		Step: func(ctx context.Context) (float64, error) {
			b, err := tr.Load(ctx, tr.Plan(0)[0])
			if err != nil {
				return 0, err
			}
			o, err := tr.Step(ctx, 0, 0, b)
			return o.Loss, err
		}}
	t.Learn(tr.Rules)
	return t, nil
}

// RegADTrainee begins what Train does.
func RegADTrainee(ctx context.Context, r *RegAD, others dataset.Dataset) (*testutil.Trainee, error) {
	from, err := feed.GoodImages(others, r.cfg.Transform)
	if err != nil {
		return nil, err
	}
	cs, err := regad.Categories(others)
	if err != nil {
		return nil, err
	}
	size, err := r.core.In.InputSize(ctx, from)
	if err != nil {
		return nil, err
	}
	n, err := r.build(ctx, r.first, size)
	if err != nil {
		return nil, err
	}
	learners, err := r.learners(n)
	if err != nil {
		return nil, err
	}
	for i := range learners {
		learners[i].Rate = train.Always(r.cfg.Rate)
	}
	t := &testutil.Trainee{Step: func(ctx context.Context) (float64, error) {
		b, err := regad.ReadBatch(ctx, &r.core.In, from, regad.Pairs(cs, r.cfg.Queries, r.cfg.Shots, r.seed, 0)[0], n.Size)
		if err != nil {
			return 0, err
		}
		o, err := r.step(ctx, n, b, learners)
		return o.Loss, err
	}}
	t.Learn(learners)
	t.Close = func() error {
		err := n.Free()
		for _, o := range t.Rules {
			err = errors.Join(err, o.Close())
		}
		return err
	}
	return t, nil
}
