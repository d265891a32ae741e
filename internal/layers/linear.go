package layers

import (
	"math/rand/v2"

	"github.com/gotab/gotab/tensor"
)

// Linear draws the weight [out, in] and the bias [out] of a linear layer as PyTorch draws
// them, the weight first.
func Linear(rng *rand.Rand, in, out int64) (weight, bias []float32, err error) {
	bound := tensor.LinearBound(in)
	if weight, err = tensor.Uniform(rng, in*out, bound); err != nil {
		return nil, nil, err
	}
	bias, err = tensor.Uniform(rng, out, bound)
	return weight, bias, err
}
