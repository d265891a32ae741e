package simplenet

import (
	"context"
	"errors"
	"sync"

	"github.com/gotab/gotab/downstream/internal/network"
	"github.com/gotab/gotab/downstream/internal/train"
	"github.com/gotab/gotab/internal/gauss"
	"github.com/gotab/gotab/internal/seed"
	"github.com/gotab/gotab/tensor"
)

// Config is what of downstream.SimpleNetConfig decides a training, and what it works with.
type Config struct {
	Device                           tensor.Device
	Embedding                        *network.PatchEmbedding
	Seed                             [2]uint64 // of weights, order and noise
	Hidden, Batch                    int
	Noise, Margin                    float64
	AdaptorRate, DiscriminatorRate   float64
	AdaptorDecay, DiscriminatorDecay float64
}

// Training is a training that is going on.
type Training struct {
	c       Config
	maps    *train.Frozen
	Weights *Weights
	Rules   []tensor.Learner
	// noise holds the one buffer for the noise of a batch while it is free: that of
	// the next batch is drawn while a GPU works on one. On the CPU, which would draw and work with the same cores, a step draws its own right
	// where it is used, and there is no buffer (64 MB at the default settings).
	noise chan []float32
}

// NewTraining draws fresh weights for a training on the maps of an extractor.
func NewTraining(ctx context.Context, c Config, maps *train.Frozen) (*Training, error) {
	w, err := NewWeights(ctx, c.Device, c.Seed, Specs(c.Embedding.Count, c.Hidden))
	if err != nil {
		return nil, err
	}
	rule := tensor.DefaultAdamW()
	rule.WeightDecay = c.AdaptorDecay
	adamW, err := tensor.NewAdamW(rule, c.Device)
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	coupled := tensor.DefaultAdam()
	coupled.WeightDecay = c.DiscriminatorDecay
	adam, err := tensor.NewAdam(coupled, c.Device)
	if err != nil {
		return nil, errors.Join(err, adamW.Close(), w.Close())
	}
	t := &Training{c: c, maps: maps, Weights: w, noise: make(chan []float32, 1),
		Rules: []tensor.Learner{{Params: w.Adaptor, Optimizer: adamW, Rate: train.Always(c.AdaptorRate)},
			{Params: w.Discriminator, Optimizer: adam, Rate: train.Always(c.DiscriminatorRate)}}}
	t.noise <- nil
	return t, nil
}

// Close frees weights and optimizers.
func (t *Training) Close() error {
	err := t.Weights.Close()
	for _, r := range t.Rules {
		err = errors.Join(err, r.Optimizer.Close())
	}
	return err
}

// Plan says what a batch is made of.
type Plan struct {
	epoch, batch int
	images       []int
}

// Plan returns the batches of an epoch.
func (t *Training) Plan(epoch int) (out []Plan) {
	for i, images := range train.BatchesOf(t.maps.N, t.c.Batch, t.c.Seed, epoch) {
		out = append(out, Plan{epoch, i, images})
	}
	return out
}

// Batch is the input of a step on the host.
type Batch struct {
	at    Plan
	maps  *train.MapBatch
	noise []float32 // [n h w, Dim]; nil where the step draws it
}

// Load reads maps and, for a GPU, draws noise.
func (t *Training) Load(ctx context.Context, at Plan) (b Batch, err error) {
	b.at = at
	if b.maps, err = t.maps.Load(ctx, at.images); err != nil || !t.c.Device.IsCUDA() {
		return b, err
	}
	select {
	case b.noise = <-t.noise:
	case <-ctx.Done():
		return b, ctx.Err()
	}
	if n := t.rows(at) * t.c.Embedding.Count; cap(b.noise) < n {
		b.noise = make([]float32, n)
	} else {
		b.noise = b.noise[:n]
	}
	t.draw(at, b.noise)
	return b, nil
}

// rows is how many patches a batch has.
func (t *Training) rows(at Plan) int { return len(at.images) * t.maps.Shapes[0].H * t.maps.Shapes[0].W }

// draw draws the noise of a batch, each row of it from a generator of its own.
func (t *Training) draw(at Plan, noise []float32) {
	gauss.Rows(noise, t.c.Embedding.Count, t.c.Noise, tensor.GetThreads().Cores, func(row int) (hi, lo uint64) {
		return seed.State(t.c.Seed[0], "noise", t.c.Seed[1], uint64(at.epoch), uint64(at.batch), uint64(row))
	})
}

// Step trains on one batch.
func (t *Training) Step(ctx context.Context, _, _ int, b Batch) (o train.Outcome, err error) {
	defer b.maps.Done()
	err = tensor.Run(ctx, t.c.Device, tensor.Training, func(s *tensor.Scope) (err error) {
		copied := sync.OnceFunc(func() { // the next batch's may be drawn
			if b.noise != nil {
				t.noise <- b.noise
			}
		})
		defer copied()
		o.Loss, err = train.Descend(s, 0, t.Rules, func(s *tensor.Scope) (*tensor.Tensor, error) {
			parts := s.SubN(func(s *tensor.Scope) []*tensor.Tensor { return t.c.Embedding.Parts(s, b.maps.Tensors(s)) })
			rows, dim := int64(t.rows(b.at)), int64(t.c.Embedding.Count)
			var noise *tensor.Tensor
			if b.noise != nil {
				noise = s.FromFloats(b.noise, rows, dim)
			} else {
				noise = s.Filled(func(v []float32) { t.draw(b.at, v) }, rows, dim)
			}
			copied()
			if err := s.Err(); err != nil {
				return nil, err
			}
			return t.Weights.Loss(s, parts, noise, t.c.Margin), nil
		})
		return err
	})
	return o, err
}

// Loss is the loss of the patches of parts, which are pooled layers, with noise
// [N h w, Dim] for the false ones.
//
// Nothing bends between the adaptor A x + a and the discriminator's first layer
// W y + b. So patches go through the product W A at once, true ones as
// W A x + (W a + b) and false ones as that plus W times the noise: the numbers
// and the gradients of the definition for less than half of its multiplications.
func (w *Weights) Loss(s *tensor.Scope, parts []*tensor.Tensor, noise *tensor.Tensor, margin float64) *tensor.Tensor {
	d := w.Discriminator
	rows := noise.Size(0)
	scores := s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		both := s.Sub(func(s *tensor.Scope) *tensor.Tensor {
			hidden := d.Get("hidden.weight")
			product := s.MatMul(hidden, w.Adaptor.Get("weight"))
			bias := s.Select(s.Linear(s.Unsqueeze(w.Adaptor.Get("bias"), 0), hidden, d.Get("hidden.bias")), 0, 0)
			real := linearOnGrid(s, parts, product, bias)
			return s.Cat(0, real, s.PlusInto(s.Linear(noise, hidden, nil), real))
		})
		y := s.BatchNorm(both, d.Get("norm.weight"), d.Get("norm.bias"), d.Get("norm.running_mean"), d.Get("norm.running_var"),
			true, momentum, epsilon)
		return s.Linear(s.LeakyReLUInto(y, leak), d.Get("out.weight"), nil)
	})
	hinge := func(from int64, sign float64) *tensor.Tensor {
		return s.Mean(s.ReLU(s.AddScalar(s.MulScalar(s.Narrow(scores, 0, from, rows), sign), margin)), false)
	}
	return s.Add(hinge(0, -1), hinge(rows, 1))
}

// Bytes are what a detector takes that is fitted on so many images of positions, features and patches of c values, and what its
// fit takes: see downstream.SimpleNetConfig.Estimate.
func Bytes(images, positions, features, c, hidden, batch int, cache int64) (fitted, fitting int64) {
	dim, wide := int64(c), int64(hidden)
	weights := dim*dim + wide*dim + dim + 6*wide
	fitted = 4*weights + 4*wide*(dim+2)
	rows := int64(batch) * int64(positions)
	kept := train.HostMaps(images, int64(features), batch, cache)
	return fitted, 12*weights + kept + rows*(8*dim+32*wide)
}
