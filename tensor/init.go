package tensor

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
)

var errNoRand = errors.New("tensor: the random generator is nil; pass rand.New(rand.NewPCG(seed, stream))")

// maxDraw bounds the values of one draw, 16 GB of float32: no weight is larger,
// and a number of values that was computed wrong must not take memory.
const maxDraw = 1 << 32

// checkDraw refuses what a draw of n values cannot be made with.
func checkDraw(name string, rng *rand.Rand, n int64, what string, v float64) error {
	switch {
	case rng == nil:
		return errNoRand
	case n < 0 || n > maxDraw:
		return fmt.Errorf("tensor: %s: n is %d, want 0 to %d", name, n, int64(maxDraw))
	case !(v >= 0) || math.IsInf(v, 0):
		return fmt.Errorf("tensor: %s: the %s is %g, want a number >= 0", name, what, v)
	}
	return nil
}

// Normal draws n values, 0 to 2^32, from the normal distribution with mean 0 and
// the given deviation, a finite number of 0 or more. Other arguments, and a rng
// that is nil, are errors. Weights are drawn in Go so that a seed means the same everywhere.
func Normal(rng *rand.Rand, n int64, deviation float64) ([]float32, error) {
	if err := checkDraw("Normal", rng, n, "deviation", deviation); err != nil {
		return nil, err
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64() * deviation)
	}
	return v, nil
}

// Uniform draws n values, 0 to 2^32, uniformly from -bound to bound, a finite
// number of 0 or more. Other arguments, and a rng that is nil, are errors.
func Uniform(rng *rand.Rand, n int64, bound float64) ([]float32, error) {
	if err := checkDraw("Uniform", rng, n, "bound", bound); err != nil {
		return nil, err
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
// It is NaN, which [Normal] refuses, for a shape that has not four sizes of 1 or
// more.
func KaimingFanOut(shape []int64) float64 {
	if n, err := elements(shape); err != nil || n < 1 || len(shape) != 4 {
		return math.NaN()
	}
	fan := shape[0]
	for _, d := range shape[2:] {
		fan *= d
	}
	return math.Sqrt(2 / float64(fan))
}

// LinearBound is the bound 1/sqrt(in) of the uniform distribution from which
// PyTorch draws the weight and the bias of a linear layer. It is NaN, which
// [Uniform] refuses, for an in below 1.
func LinearBound(in int64) float64 {
	if in < 1 {
		return math.NaN()
	}
	return 1 / math.Sqrt(float64(in))
}
