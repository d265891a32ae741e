package classify

import (
	"context"
	"fmt"
	"image"
	"iter"
	"math"
	"strconv"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/network"
	"github.com/gotab/gotab/tensor"
)

// Prediction is what a classifier says about one image: K values each, in the
// order of [Classifier.Names].
type Prediction struct {
	// Logits are the outputs of the linear layer.
	Logits []float32
	// Probability is the sigmoid of each logit for MultiLabel, their softmax for
	// MultiClass; 0 to 1.
	Probability []float32
	// Labels says which the image shows: for MultiLabel those of probability 1/2
	// or more, for MultiClass the one of Class.
	Labels []bool
	// Class is the number of the highest logit, of equal ones the first.
	Class int
}

// Predicted is the prediction for one sample of a data set. Item is not embedded
// because it has a Class of another kind.
type Predicted struct {
	Item dataset.Item
	Prediction
}

// Predict classifies images of any size, in their order. An image that the
// transform does not bring to the size of the fit is [downstream.ErrImage], a logit that is
// not finite is [downstream.ErrNotFinite]; both name the image. It is safe for concurrent
// use once fitted.
func (c *Classifier) Predict(ctx context.Context, imgs ...image.Image) ([]Prediction, error) {
	out := make([]Prediction, 0, len(imgs))
	from := func(_ context.Context, i int) (image.Image, string, error) {
		return c.cfg.Encoding.encoded(imgs[i]), strconv.Itoa(i), nil
	}
	for p, err := range c.predictions(ctx, len(imgs), from) {
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// PredictSet classifies the samples of a data set in their order, reading ahead
// of the loop. The first error ends the sequence. It is safe for concurrent use
// once fitted.
func (c *Classifier) PredictSet(ctx context.Context, ds dataset.Dataset) iter.Seq2[Predicted, error] {
	return func(yield func(Predicted, error) bool) {
		if ds == nil {
			err := fmt.Errorf("%s: %w: the data set is nil", c.core.Who.Doing("predict"), downstream.ErrImage)
			if c.core.Current.IsClosed() {
				err = c.core.ClosedError("predict")
			}
			yield(Predicted{}, err)
			return
		}
		i := 0
		for p, err := range c.predictions(ctx, ds.Len(), c.upright(ds)) {
			if err != nil {
				yield(Predicted{}, err)
				return
			}
			if !yield(Predicted{Item: ds.Item(i), Prediction: p}, nil) {
				return
			}
			i++
		}
	}
}

func (c *Classifier) predictions(ctx context.Context, n int, from feed.Pictures) iter.Seq2[Prediction, error] {
	return func(yield func(Prediction, error) bool) {
		g, err := c.core.Acquire("predict")
		if err != nil {
			yield(Prediction{}, err)
			return
		}
		defer c.core.Release(g)
		for p, err := range engine.Stream(ctx, &c.core, "predict", n, func(ctx context.Context, span [2]int) ([]Prediction, error) {
			return c.predictBatch(ctx, g, from, span)
		}) {
			if err != nil {
				yield(p, c.core.Failed(ctx, "predict", err))
				return
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

func (c *Classifier) predictBatch(ctx context.Context, g *classified, from feed.Pictures, span [2]int) ([]Prediction, error) {
	b, err := c.core.In.Pack(ctx, from, span[0], span[1], image.Pt(g.InW, g.InH))
	if err != nil {
		return nil, err
	}
	defer c.core.In.Put(b.Pixels)
	k := len(g.names)
	var logits []float32
	err = tensor.Run(ctx, c.core.Dev, tensor.Evaluation, func(s *tensor.Scope) error {
		f := pooled(s, g.net, s.FromNHWC(b.Pixels, b.N, g.InH, g.InW, 3))
		var err error
		logits, err = s.Floats(s.Linear(f, g.Params.Get(headWeight), g.Params.Get(headBias)))
		return err
	})
	if err != nil {
		return nil, err
	}
	out := make([]Prediction, b.N)
	for i := range out {
		own := logits[i*k : (i+1)*k : (i+1)*k]
		if v, bad := network.NotFinite(own); bad {
			return nil, fmt.Errorf("image %s: %w: a logit is %v", b.Names[i], downstream.ErrNotFinite, v)
		}
		labels, class := decide(c.cfg.Task, own)
		out[i] = Prediction{Logits: own, Probability: probabilities(c.cfg.Task, own), Labels: labels, Class: class}
	}
	return out, nil
}

// decide says what logits mean.
func decide(task Task, logits []float32) (labels []bool, class int) {
	labels = make([]bool, len(logits))
	for k, v := range logits {
		if v > logits[class] {
			class = k
		}
		labels[k] = task == MultiLabel && v >= 0
	}
	if task == MultiClass {
		labels[class] = true
	}
	return labels, class
}

// probabilities are the sigmoids or the softmax of logits, computed in double
// precision.
func probabilities(task Task, logits []float32) []float32 {
	out := make([]float32, len(logits))
	if task == MultiLabel {
		for k, v := range logits {
			out[k] = float32(1 / (1 + math.Exp(-float64(v))))
		}
		return out
	}
	top := math.Inf(-1)
	for _, v := range logits {
		top = max(top, float64(v))
	}
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - top)
	}
	for k, v := range logits {
		out[k] = float32(math.Exp(float64(v)-top) / sum)
	}
	return out
}
