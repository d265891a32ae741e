package downstream

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/feed"
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
// takes 4.7 GB of memory ([RegADConfig.EstimateTraining]), in proportion to the number of
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

func (r *RegAD) train(ctx context.Context, others dataset.Dataset, path string) (_ *registration, err error) {
	if others == nil || others.Len() == 0 {
		return nil, fmt.Errorf("%w: the data set is empty", ErrTooFewImages)
	}
	from, err := feed.GoodImages(others, r.cfg.Transform)
	if err != nil {
		return nil, err
	}
	cs, err := categories(others)
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
		n.classes = append(n.classes, c.class)
	}
	if err := r.descend(ctx, n, cs, from, point); err != nil {
		return nil, err
	}
	if err := n.probe(ctx, r.core.Dev); err != nil {
		return nil, err
	}
	return n, n.settle(ctx, r.core.Dev)
}

// descend trains n for the epochs that point has not seen.
func (r *RegAD) descend(ctx context.Context, n *registration, cs []category, from feed.Pictures, point *regadCheckpoint) error {
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
	plan := func(epoch int) [][]int { return pairs(cs, r.cfg.Queries, r.cfg.Shots, r.seed, epoch) }
	load := func(ctx context.Context, at []int) (*registrationBatch, error) {
		return r.readBatch(ctx, from, at, n.size)
	}
	step := func(ctx context.Context, epoch, _ int, b *registrationBatch) (train.Outcome, error) {
		for i := range learners {
			learners[i].Rate = train.Always(r.cfg.rate(epoch))
		}
		return r.step(ctx, n, b, learners)
	}
	after := func(ctx context.Context, epoch int) error { return point.write(ctx, r, n, learners, epoch+1) }
	c := train.Course[[]int, *registrationBatch]{Done: point.epochs, Epochs: r.cfg.Epochs, Workers: 1, Plan: plan, Load: load, Step: step, After: after, Report: r.core.ReportTraining}
	if err := c.Run(ctx); err != nil {
		return err
	}
	return train.FiniteParams(ctx, n.trunk.Params(), n.params)
}

// learners are the weights of the trunk and the others, each with its optimizer.
func (r *RegAD) learners(n *registration) (out []tensor.Learner, err error) {
	for _, p := range []*tensor.Params{n.trunk.Params(), n.params} {
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
func (r *RegAD) step(ctx context.Context, n *registration, b *registrationBatch, learners []tensor.Learner) (o train.Outcome, err error) {
	defer r.core.In.Put(b.pixels)
	err = tensor.Run(ctx, r.core.Dev, tensor.Training, func(s *tensor.Scope) (err error) {
		o.Loss, err = train.Descend(s, 0, learners, func(s *tensor.Scope) (*tensor.Tensor, error) {
			queries, support := b.tensors(s, r.cfg.Shots)
			return n.loss(s, queries, support), s.Err()
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

// loss is the loss of queries [Q, 3, H, W] and of their support images
// [Q shots, 3, H, W], those of the first query first.
func (n *registration) loss(s *tensor.Scope, queries, support *tensor.Tensor) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		q := n.align(s, queries, nil)
		mean := s.Sub(func(s *tensor.Scope) *tensor.Tensor {
			f := n.align(s, support, nil)
			if s.Err() != nil {
				return nil
			}
			sh := f.Shape()
			f = s.Reshape(f, queries.Size(0), sh[0]/queries.Size(0), sh[1], sh[2], sh[3])
			return s.ChannelsLast(s.Mean(f, false, 1))
		})
		return n.head.loss(s, q, mean)
	})
}

// registrationBatch is a training step's images on the host. A class of few
// images shows some of them several times: each is read once.
type registrationBatch struct {
	pixels []float32 // of the images, each once, to be given back to the reader
	size   image.Point
	images int
	at     []int64 // which of them the queries are, and then the support images
}

// readBatch reads the images of a batch that pairs made, several at a time.
func (r *RegAD) readBatch(ctx context.Context, from feed.Pictures, at []int, size image.Point) (*registrationBatch, error) {
	once := slices.Compact(slices.Sorted(slices.Values(at)))
	b := &registrationBatch{size: size, images: len(once), at: make([]int64, len(at))}
	for i, v := range at {
		k, _ := slices.BinarySearch(once, v)
		b.at[i] = int64(k)
	}
	var err error
	b.pixels, err = r.core.In.PackTogether(ctx, func(ctx context.Context, i int) (image.Image, string, error) { return from(ctx, once[i]) }, len(once), size)
	return b, err
}

// tensors returns queries [Q, 3, H, W] and support images [Q shots, 3, H, W],
// channels-last.
func (b *registrationBatch) tensors(s *tensor.Scope, shots int) (queries, support *tensor.Tensor) {
	out := s.SubN(func(s *tensor.Scope) []*tensor.Tensor {
		h, w := int64(b.size.Y), int64(b.size.X)
		all := s.FromFloats(b.pixels, int64(b.images), h*w*3)
		pick := func(at []int64) *tensor.Tensor {
			n := int64(len(at))
			rows := s.IndexSelect(all, 0, s.FromInts(at, n))
			return s.Permute(s.Reshape(rows, n, h, w, 3), 0, 3, 1, 2)
		}
		q := len(b.at) / (1 + shots)
		return []*tensor.Tensor{pick(b.at[:q]), pick(b.at[q:])}
	})
	return out[0], out[1]
}
