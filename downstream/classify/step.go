package classify

import (
	"context"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream/internal/train"
	"github.com/gotab/gotab/tensor"
)

// Names of the linear layer's parameters.
const (
	headWeight = "head.weight"
	headBias   = "head.bias"
)

// advance takes the step of a batch at the rate that is its turn, and gives the
// batch's memory back.
func (t *training) advance(ctx context.Context, epoch, batch int, b minibatch) (train.Outcome, error) {
	each := len(t.spans())
	rate := t.c.cfg.rate(epoch*each+batch, t.c.cfg.Epochs*each)
	loss, accuracy, err := t.step(ctx, b, rate)
	if b.pixels != nil {
		t.c.core.In.Put(b.pixels)
	}
	return train.Outcome{Loss: loss, Accuracy: accuracy, Lr: t.c.cfg.LR * rate}, err
}

// step takes one step and returns loss and accuracy before it.
func (t *training) step(ctx context.Context, b minibatch, rate float64) (loss, accuracy float64, err error) {
	var learners []tensor.Learner
	for i, p := range t.trained() {
		lr := t.c.cfg.LR
		if i > 0 {
			lr = t.c.cfg.BackboneLR
		}
		learners = append(learners, tensor.Learner{Params: p, Optimizer: t.opt[i], Rate: train.Always(lr * rate)})
	}
	err = tensor.Run(ctx, t.c.core.Dev, tensor.Training, func(s *tensor.Scope) (err error) {
		loss, err = train.Descend(s, t.c.cfg.ClipNorm, learners, func(s *tensor.Scope) (*tensor.Tensor, error) {
			logits := s.Linear(t.vectors(s, b), t.g.Params.Get(headWeight), t.g.Params.Get(headBias))
			answers, err := s.Floats(logits)
			if err != nil {
				return nil, err
			}
			accuracy = t.accuracy(answers, b.index)
			return t.loss(s, logits, b.index), nil
		})
		return err
	})
	return loss, accuracy, err
}

// vectors are the pooled features of a batch, [n, C].
func (t *training) vectors(s *tensor.Scope, b minibatch) *tensor.Tensor {
	n, channels := len(b.index), t.c.fe.Channels(backbone.Pooled)
	if !t.c.cfg.Frozen {
		return pooled(s, t.g.own, s.FromNHWC(b.pixels, n, t.size.Y, t.size.X, 3))
	}
	rows := make([]float32, 0, n*channels)
	for _, i := range b.index {
		rows = append(rows, t.features[i*channels:(i+1)*channels]...)
	}
	return s.FromFloats(rows, int64(n), int64(channels))
}

// loss is that of the task for logits [n, K] of samples.
func (t *training) loss(s *tensor.Scope, logits *tensor.Tensor, index []int) *tensor.Tensor {
	n, k := int64(len(index)), int64(len(t.data.names))
	var weights *tensor.Tensor
	if t.weights != nil {
		weights = s.FromFloats(t.weights, k)
	}
	if t.c.cfg.Task == MultiClass {
		class := make([]int64, n)
		for j, i := range index {
			class[j] = int64(t.data.Class(i))
		}
		target := s.FromInts(class, n)
		if weights != nil {
			return s.CrossEntropyWeighted(logits, target, weights)
		}
		return s.CrossEntropy(logits, target)
	}
	truth := make([]float32, 0, n*k)
	for _, i := range index {
		for _, on := range t.data.Truth(i) {
			v := float32(0)
			if on {
				v = 1
			}
			truth = append(truth, v)
		}
	}
	target := s.FromFloats(truth, n, k)
	if weights != nil {
		return s.BCEWithLogitsWeighted(logits, target, weights)
	}
	return s.BCEWithLogits(logits, target)
}

// accuracy is the share of samples whose labels are all right.
func (t *training) accuracy(logits []float32, index []int) float64 {
	k, right := len(t.data.names), 0
	for j, i := range index {
		labels, _ := decide(t.c.cfg.Task, logits[j*k:][:k])
		same := true
		for l, on := range t.data.Truth(i) {
			same = same && labels[l] == on
		}
		if same {
			right++
		}
	}
	return float64(right) / float64(len(index))
}
