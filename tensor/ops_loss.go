package tensor

import (
	"fmt"
	"slices"

	"github.com/gotab/gotab/tensor/internal/native"
)

// CrossEntropyWeighted is CrossEntropy in which every class k counts weight[k]
// times, weight float32 [K]: the sum of weight[target] * -log softmax(logits)[target]
// over the sum of weight[target], as PyTorch has it, so that multiplying all
// weights by a number changes nothing. logits are [N, K] or [N, K, H, W], target
// int64 [N] or [N, H, W] with 0 to K-1. A batch whose weights are all 0 gives NaN.
func (s *Scope) CrossEntropyWeighted(logits, target, weight *Tensor) *Tensor {
	in := []*Tensor{logits, target, weight}
	if logits.Valid() && weight.Valid() && (logits.Dim() < 2 || !slices.Equal(weight.Shape(), []int64{logits.Size(1)})) {
		s.fail("CrossEntropyWeighted", in, fmt.Errorf("%w: want [N K], [N] and one weight for each of K classes", ErrShape))
	}
	return s.op("CrossEntropyWeighted", func() (native.Handle, error) { return native.CrossEntropy(logits.h, target.h, weight.h) }, in...)
}

// BCEWithLogitsWeighted is BCEWithLogits in which the positive examples of label
// k count positive[k] times, positive float32 [K]: the mean over all entries of
// -positive y log sigmoid(x) - (1-y) log(1-sigmoid(x)), PyTorch's pos_weight.
// logits and target are float32 [.., K].
func (s *Scope) BCEWithLogitsWeighted(logits, target, positive *Tensor) *Tensor {
	in := []*Tensor{logits, target, positive}
	if logits.Valid() && target.Valid() && positive.Valid() &&
		(logits.Dim() < 1 || !slices.Equal(logits.Shape(), target.Shape()) || !slices.Equal(positive.Shape(), []int64{logits.Size(-1)})) {
		s.fail("BCEWithLogitsWeighted", in, fmt.Errorf("%w: want [.. K] twice and one weight for each of K labels", ErrShape))
	}
	return s.op("BCEWithLogitsWeighted", func() (native.Handle, error) { return native.BCEWithLogits(logits.h, target.h, positive.h) }, in...)
}
