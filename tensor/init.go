package tensor

import (
	"errors"
	"math"
	"math/rand/v2"
)

var errNoRand = errors.New("tensor: the random generator is nil; pass rand.New(rand.NewPCG(seed, stream))")

// Normal draws n values from the normal distribution with mean 0 and the given
// deviation. Weights are drawn in Go so that a seed means the same everywhere.
func Normal(rng *rand.Rand, n int64, deviation float64) ([]float32, error) {
	if rng == nil {
		return nil, errNoRand
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64() * deviation)
	}
	return v, nil
}

// Uniform draws n values uniformly from -bound to bound.
func Uniform(rng *rand.Rand, n int64, bound float64) ([]float32, error) {
	if rng == nil {
		return nil, errNoRand
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = float32((2*rng.Float64() - 1) * bound)
	}
	return v, nil
}

// KaimingFanOut is the deviation sqrt(2 / (O k k)) of a convolution weight
// [O, C, k, k] before a ReLU, for signals that keep their size on the way back
// (He et al., arXiv 1502.01852), as torchvision's ResNets start.
func KaimingFanOut(shape []int64) float64 {
	fan := shape[0]
	for _, d := range shape[2:] {
		fan *= d
	}
	return math.Sqrt(2 / float64(fan))
}

// LinearBound is the bound 1/sqrt(in) of the uniform distribution from which
// PyTorch draws the weight and the bias of a linear layer.
func LinearBound(in int64) float64 { return 1 / math.Sqrt(float64(in)) }
