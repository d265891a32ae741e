package classify

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"math/rand/v2"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/network"
	"github.com/gotab/gotab/downstream/internal/train"
	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/internal/pipeline"
	"github.com/gotab/gotab/internal/seed"
	"github.com/gotab/gotab/tensor"
)

// Fit learns from labelled images and replaces what an earlier Fit learnt. It
// starts from the extractor's weights every time. Equal seeds, data, settings
// and threads give equal weights, bit for bit on the same machine.
//
// A trained backbone reads every image once an epoch; where that is slow, give
// it a [dataset.Cached] set. A frozen one reads them once.
//
// Samples that all have the same labels, and for [MultiClass] a sample that does
// not show exactly one class, are [downstream.ErrLabels]; weights of another number than
// labels are [downstream.ErrConfig]; a loss or gradient that is not finite is
// [downstream.ErrDiverged]. After an error, or the end of ctx, the classifier is as it was
// before. Concurrent Fits run one after another, in the order of the calls; ctx
// ends the wait too. A Fit that Close ends is [downstream.ErrClosed].
func (c *Classifier) Fit(ctx context.Context, data *Labelled) error {
	return c.core.Refit(ctx, "fit", func(ctx context.Context) (*classified, error) { return c.fit(ctx, data) })
}

func (c *Classifier) fit(ctx context.Context, data *Labelled) (*classified, error) {
	if c.fe == nil {
		return nil, fmt.Errorf("%w: it was read without an extractor to start from", downstream.ErrConfig)
	}
	if err := data.check(c.cfg.Task); err != nil {
		return nil, err
	}
	if err := c.cfg.Transform.Agrees(data.Dataset); err != nil {
		return nil, err
	}
	weights, err := c.cfg.weights(data)
	if err != nil {
		return nil, err
	}
	size, err := c.core.In.InputSize(ctx, c.upright(data))
	if err != nil {
		return nil, err
	}
	t := &training{c: c, data: data, weights: weights, size: size}
	whole := false
	defer func() { t.close(whole) }()
	if err := t.begin(ctx); err != nil {
		return nil, err
	}
	if c.cfg.Frozen {
		if err := t.compute(ctx); err != nil {
			return nil, err
		}
	}
	all := train.Course[shuffled, minibatch]{Epochs: c.cfg.Epochs, Workers: tensor.GetThreads().Cores, Plan: t.plan, Load: t.load, Step: t.advance, Report: c.core.ReportTraining}
	if err := all.Run(ctx); err != nil {
		return nil, err
	}
	if err := train.FiniteParams(ctx, t.trained()...); err != nil {
		return nil, err
	}
	whole = true
	return t.g, nil
}

// weights are those of the loss, nil where all are alike.
func (c Config) weights(train *Labelled) ([]float32, error) {
	n, counts := train.Len(), train.counts()
	if c.Weights != nil && len(c.Weights) != len(counts) {
		return nil, fmt.Errorf("%w: there are %d Weights for %d names", downstream.ErrConfig, len(c.Weights), len(counts))
	}
	if c.Weights == nil && !c.Balance {
		return nil, nil
	}
	out := make([]float32, len(counts))
	for k, have := range counts {
		switch {
		case c.Weights != nil:
			out[k] = float32(c.Weights[k])
		case have == 0 || have == n:
			out[k] = 1
		case c.Task == MultiClass:
			out[k] = float32(float64(n) / float64(len(counts)*have))
		default:
			out[k] = float32(float64(n-have) / float64(have))
		}
	}
	return out, nil
}

// encoded brings an image to what the transform takes.
func (e Encoding) encoded(img image.Image) image.Image {
	if e == Colours || feed.Absent(img) {
		return img
	}
	b := img.Bounds()
	out := image.NewRGBA(image.Rectangle{Max: b.Size()})
	draw.Draw(out, out.Rect, img, b.Min, draw.Src)
	for i := 0; i < len(out.Pix); i += 4 {
		p := out.Pix[i : i+4 : i+4]
		plane := 2
		switch v := p[0]; {
		case v < 64:
			plane = 0
		case v < 191:
			plane = 1
		}
		p[0], p[1], p[2], p[3] = 0, 0, 0, 255
		p[plane] = 255
	}
	return out
}

// upright gives the samples as they are.
func (c *Classifier) upright(ds dataset.Dataset) feed.Pictures {
	mark := feed.Marked(ds)
	return func(ctx context.Context, i int) (image.Image, string, error) {
		s, err := ds.Sample(ctx, i)
		if err != nil {
			return nil, ds.Item(i).Name, err
		}
		return mark(c.cfg.Encoding.encoded(s.Image)), s.Name, nil
	}
}

// training is a Fit that is going on.
type training struct {
	c       *Classifier
	data    *Labelled
	weights []float32
	size    image.Point

	g        *classified // what will be put in force
	opt      []tensor.Optimizer
	features []float32 // of a frozen backbone, [N, C]
}

// begin makes the linear layer, the copy of the backbone and the optimizers.
func (t *training) begin(ctx context.Context) (err error) {
	c := t.c
	k, channels := int64(len(t.data.names)), int64(c.fe.Channels(backbone.Pooled))
	t.g = &classified{names: t.data.Names(), net: c.fe, Model: engine.Model{Params: tensor.NewParams(c.core.Dev),
		GridW: 1, GridH: 1, InW: t.size.X, InH: t.size.Y, Images: t.data.Len()}}
	if c.cfg.Frozen {
		if err := c.core.IdentifyBy(ctx, t.g.Common(), fingerprintSize()); err != nil {
			return err
		}
	} else {
		if t.g.own, err = c.fe.(*backbone.ResNet).Clone(ctx); err != nil {
			return err
		}
		t.g.net, t.g.Also = t.g.own, t.g.own.Close
		if err := t.g.own.Params().SetTrainable(func(string) bool { return true }); err != nil {
			return err
		}
	}
	w, b, err := layers.Linear(seed.Rand(c.seed, "classifier head"), channels, k)
	if err != nil {
		return err
	}
	err = tensor.Run(ctx, c.core.Dev, tensor.Training, func(s *tensor.Scope) error {
		return errors.Join(
			t.g.Params.Put(s, headWeight, s.FromFloats(w, k, channels)),
			t.g.Params.Put(s, headBias, s.FromFloats(b, k)))
	})
	if err != nil {
		return err
	}
	for range t.trained() {
		o, err := c.cfg.optimizer(c.core.Dev)
		if err != nil {
			return err
		}
		t.opt = append(t.opt, o)
	}
	return nil
}

// trained are the weights that change: the linear layer's and a trained
// backbone's.
func (t *training) trained() []*tensor.Params {
	if t.g.own == nil {
		return []*tensor.Params{t.g.Params}
	}
	return []*tensor.Params{t.g.Params, t.g.own.Params()}
}

// close frees what the training needed and, unless it is kept, what it made.
// Freeing cannot fail.
func (t *training) close(keep bool) {
	for _, o := range t.opt {
		_ = o.Close()
	}
	if !keep && t.g != nil {
		_ = t.g.Free()
	}
	if !t.c.cfg.Frozen {
		tensor.ReleasePool()
	}
}

// compute runs the frozen backbone once over all images.
func (t *training) compute(ctx context.Context) error {
	c := t.c
	channels := c.fe.Channels(backbone.Pooled)
	t.features = make([]float32, t.data.Len()*channels)
	cores := tensor.GetThreads().Cores
	cut := feed.Spans(t.data.Len(), c.cfg.Batch, cores)
	from := c.upright(t.data)
	// One thread a Run and as many Runs as cores, as detectors score.
	inner := tensor.WithThreads(ctx, 1)
	done := 0
	for _, err := range pipeline.Ordered(inner, len(cut), cores+1, cores+1, func(ctx context.Context, i int) (struct{}, error) {
		lo, hi := cut[i][0], cut[i][1]
		b, err := c.core.In.Pack(ctx, from, lo, hi, t.size)
		if err != nil {
			return struct{}{}, err
		}
		defer c.core.In.Put(b.Pixels)
		out := t.features[lo*channels : hi*channels]
		err = tensor.Run(ctx, c.core.Dev, tensor.Evaluation, func(s *tensor.Scope) error {
			return s.FloatsInto(out, pooled(s, c.fe, s.FromNHWC(b.Pixels, b.N, t.size.Y, t.size.X, 3)))
		})
		if err != nil {
			return struct{}{}, err
		}
		for j := range b.N {
			if v, bad := network.NotFinite(out[j*channels:][:channels]); bad {
				return struct{}{}, fmt.Errorf("features of image %s: %w: %v", b.Names[j], downstream.ErrNotFinite, v)
			}
		}
		return struct{}{}, nil
	}) {
		if err != nil {
			return err
		}
		c.core.Report("features", cut[done][1], t.data.Len())
		done++
	}
	return nil
}

// minibatch is what one step sees: pixels, or features of a frozen backbone.
type minibatch struct {
	index  []int // of the samples
	pixels []float32
}

// shuffled is a batch of a shuffled pass.
type shuffled struct {
	epoch, place int   // of its first image in the pass
	images       []int // the samples
}

// plan returns the batches of an epoch.
func (t *training) plan(epoch int) []shuffled {
	return t.cut(epoch, seed.Rand(t.c.seed, "classifier order", uint64(epoch)).Perm(t.data.Len()))
}

// cut makes batches of nearly equal size of all samples in some order.
func (t *training) cut(epoch int, order []int) (out []shuffled) {
	for _, span := range t.spans() {
		out = append(out, shuffled{epoch: epoch, place: span[0], images: order[span[0]:span[1]]})
	}
	return out
}

// spans are the batches of every epoch, in places of the pass.
func (t *training) spans() [][2]int { return feed.Spans(t.data.Len(), t.c.cfg.Batch, 1) }

// load reads, turns and packs the pixels of a batch. Where the backbone is frozen
// its features are there.
func (t *training) load(ctx context.Context, at shuffled) (minibatch, error) {
	c := t.c
	if c.cfg.Frozen {
		return minibatch{index: at.images}, nil
	}
	mark := feed.Marked(t.data)
	b, err := c.core.In.Pack(ctx, func(ctx context.Context, k int) (image.Image, string, error) {
		i := at.images[k]
		s, err := t.data.Sample(ctx, i)
		if err != nil {
			return nil, t.data.Item(i).Name, err
		}
		if c.cfg.Turn {
			if s, err = dataset.RandomTurn(s, t.generator(at.epoch, at.place+k)); err != nil {
				return nil, s.Name, err
			}
		}
		return mark(c.cfg.Encoding.encoded(s.Image)), s.Name, nil
	}, 0, len(at.images), t.size)
	if err != nil {
		return minibatch{}, err
	}
	return minibatch{index: at.images, pixels: b.Pixels}, nil
}

// generator is that of a place in an epoch, so that the number of workers
// changes nothing.
func (t *training) generator(epoch, place int) *rand.Rand {
	return seed.Rand(t.c.seed, "classifier turn", uint64(epoch), uint64(place))
}
