package downstream

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/regad"
	"github.com/gotab/gotab/downstream/internal/train"
	"github.com/gotab/gotab/internal/seed"
	"github.com/gotab/gotab/tensor"
)

// generator draws for one purpose.
func (r *RegAD) generator(purpose string, ids ...uint64) *rand.Rand {
	return seed.Rand(r.seed[0], purpose, append([]uint64{r.seed[1]}, ids...)...)
}

// Train teaches the network to register images, on good images of other products
// than the one it will be fitted on. Products are told apart by Item.Class.
//
// In an epoch every image is a query once, in steps of up to Queries images of
// one class. Each query meets Shots other images of its class, drawn anew every
// epoch, each from all of the class but the query: one image may come twice.
// Queries and support images go through stages and transformers in two batches of
// their own, each with its own batch statistics. With q the features of a query at
// the last layer and s the mean of those of its support images, the loss is
//
//	-1/2 [cos(P(E(q)), sg E(s)) + cos(P(E(s)), sg E(q))]
//
// at each position over its channels, averaged over positions and queries; E and
// P are the encoder and the predictor, sg lets no gradient through. Stages,
// transformers and head go down its gradient together. The network of the last
// epoch is kept: no test image chooses it.
//
// Train begins with the weights that the detector was made with, whatever it was
// trained on before, and ends with a new network and no statistics: Fit must
// follow. A sample that says it is anomalous is [ErrNotNormal], one without a
// class [ErrClass], a class of a single image [ErrTooFewImages], a loss that is no
// number [ErrDiverged], a Train that Close ends [ErrClosed]. After an error, or the
// end of ctx, the detector is as it was before. At the default settings a step of 160 images
// takes 3.7 GB of memory ([RegADConfig.EstimateTraining]), in proportion to the number of
// images and of their pixels.
func (r *RegAD) Train(ctx context.Context, others dataset.Dataset) error {
	return r.TrainResumable(ctx, others, "")
}

// TrainResumable is Train with a checkpoint: the file at path is written anew
// after every epoch, whole or not at all, and where it is there already the
// training goes on from it. With the same number of threads it ends with the
// weights of one that was never interrupted, to the last bit. The file stays when
// the training has ended. One of other settings, another seed, other images or
// other weights to begin with is [ErrCheckpoint], a damaged one [ErrFile].
func (r *RegAD) TrainResumable(ctx context.Context, others dataset.Dataset, path string) error {
	return r.core.Change(ctx, "train", func(ctx context.Context) error {
		n, err := r.train(ctx, others, path)
		if err != nil {
			return err
		}
		return errors.Join(r.trained.Install(n), r.core.Current.Install(nil))
	})
}

func (r *RegAD) train(ctx context.Context, others dataset.Dataset, path string) (_ *regad.Network, err error) {
	if others == nil || others.Len() == 0 {
		return nil, fmt.Errorf("%w: the data set is empty", ErrTooFewImages)
	}
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
	point := &regadCheckpoint{path: path, data: itemsHash(others)}
	weights := r.first
	if err := point.read(r, &weights); err != nil {
		return nil, err
	}
	n, err := r.build(ctx, weights, size)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Free())
		}
	}()
	for _, c := range cs {
		n.Classes = append(n.Classes, c.Class)
	}
	if err := r.descend(ctx, n, cs, from, point); err != nil {
		return nil, err
	}
	if err := n.Probe(ctx, r.core.Dev); err != nil {
		return nil, err
	}
	return n, n.Settle(ctx, r.core.Dev)
}

// descend trains n for the epochs that point has not seen.
func (r *RegAD) descend(ctx context.Context, n *regad.Network, cs []regad.Category, from feed.Pictures, point *regadCheckpoint) error {
	learners, err := r.learners(n)
	if err != nil {
		return err
	}
	defer func() {
		for _, l := range learners {
			_ = l.Optimizer.Close() // frees memory, cannot fail
		}
		tensor.ReleasePool()
	}()
	if err := point.restore(ctx, learners); err != nil {
		return err
	}
	plan := func(epoch int) [][]int { return regad.Pairs(cs, r.cfg.Queries, r.cfg.Shots, r.seed, epoch) }
	load := func(ctx context.Context, at []int) (*regad.Batch, error) {
		return regad.ReadBatch(ctx, &r.core.In, from, at, n.Size)
	}
	step := func(ctx context.Context, epoch, _ int, b *regad.Batch) (train.Outcome, error) {
		for i := range learners {
			learners[i].Rate = train.Always(r.cfg.rate(epoch))
		}
		return r.step(ctx, n, b, learners)
	}
	after := func(ctx context.Context, epoch int) error { return point.write(ctx, r, n, learners, epoch+1) }
	c := train.Course[[]int, *regad.Batch]{Done: point.epochs, Epochs: r.cfg.Epochs, Workers: 1, Plan: plan, Load: load, Step: step, After: after, Report: r.core.ReportTraining}
	if err := c.Run(ctx); err != nil {
		return err
	}
	return train.FiniteParams(ctx, n.Trunk.Params(), n.Params)
}

// learners are the weights of the trunk and the others, each with its optimizer.
func (r *RegAD) learners(n *regad.Network) (out []tensor.Learner, err error) {
	for _, p := range []*tensor.Params{n.Trunk.Params(), n.Params} {
		opt, err := tensor.NewSGD(tensor.SGDConfig{Momentum: r.cfg.Momentum}, r.core.Dev)
		if err != nil {
			return nil, err
		}
		out = append(out, tensor.Learner{Params: p, Optimizer: opt})
	}
	return out, nil
}

// step goes one step down the gradient of a batch's loss, which it returns, and
// gives the batch's memory back.
func (r *RegAD) step(ctx context.Context, n *regad.Network, b *regad.Batch, learners []tensor.Learner) (o train.Outcome, err error) {
	defer r.core.In.Put(b.Pixels)
	err = tensor.Run(ctx, r.core.Dev, tensor.Training, func(s *tensor.Scope) (err error) {
		o.Loss, err = train.Descend(s, 0, learners, func(s *tensor.Scope) (*tensor.Tensor, error) {
			queries, support := b.Tensors(s, r.cfg.Shots)
			return n.Loss(s, queries, support), s.Err()
		})
		return err
	})
	return o, err
}

// rate is the learning rate of an epoch, counted from 0. The authors' program
// counts from 1: the first epoch is below Rate and the last one at 0.
func (c RegADConfig) rate(epoch int) float64 {
	return c.Rate * (1 + math.Cos(math.Pi*float64(epoch+1)/float64(c.Epochs))) / 2
}
