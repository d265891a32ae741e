package downstream

import (
	"context"
	"errors"
	"math"
	"strings"

	"github.com/gotab/gotab/internal/seed"
	"github.com/gotab/gotab/tensor"
)

const (
	simpleLeak     = 0.2 // slope of the discriminator's leaky ReLU
	simpleMomentum = 0.1 // batch norm, as PyTorch's
	simpleEpsilon  = 1e-5

	// Weights as files name them, those of the adaptor with the first prefix, those
	// of the discriminator with the second.
	adaptorPrefix, discriminatorPrefix = "adaptor.", "discriminator."
)

// simpleSpec is a weight of SimpleNet.
type simpleSpec struct {
	name   string
	shape  []int64
	buffer bool
	draw   func(seed [2]uint64, name string, shape []int64) ([]float32, error)
}

// simpleSpecs returns the weights for patches of dim values and a discriminator
// of a width. They are drawn as in the authors' program: matrices after Glorot
// and Bengio (2010) from a normal distribution, biases as PyTorch's of linear
// layers.
func simpleSpecs(dim, hidden int) []simpleSpec {
	d, h := int64(dim), int64(hidden)
	xavier := func(from [2]uint64, name string, shape []int64) ([]float32, error) {
		return tensor.Normal(seed.Rand(from[0], name, from[1]), shape[0]*shape[1], math.Sqrt(2/float64(shape[0]+shape[1])))
	}
	bias := func(from [2]uint64, name string, shape []int64) ([]float32, error) {
		return tensor.Uniform(seed.Rand(from[0], name, from[1]), shape[0], tensor.LinearBound(d))
	}
	fixed := func(v float32) func([2]uint64, string, []int64) ([]float32, error) {
		return func(_ [2]uint64, _ string, shape []int64) ([]float32, error) {
			out := make([]float32, shape[0])
			for i := range out {
				out[i] = v
			}
			return out, nil
		}
	}
	return []simpleSpec{
		{name: adaptorPrefix + "weight", shape: []int64{d, d}, draw: xavier},
		{name: adaptorPrefix + "bias", shape: []int64{d}, draw: bias},
		{name: discriminatorPrefix + "hidden.weight", shape: []int64{h, d}, draw: xavier},
		{name: discriminatorPrefix + "hidden.bias", shape: []int64{h}, draw: bias},
		{name: discriminatorPrefix + "norm.weight", shape: []int64{h}, draw: fixed(1)},
		{name: discriminatorPrefix + "norm.bias", shape: []int64{h}, draw: fixed(0)},
		{name: discriminatorPrefix + "norm.running_mean", shape: []int64{h}, buffer: true, draw: fixed(0)},
		{name: discriminatorPrefix + "norm.running_var", shape: []int64{h}, buffer: true, draw: fixed(1)},
		{name: discriminatorPrefix + "out.weight", shape: []int64{1, h}, draw: xavier},
	}
}

// simpleWeights are adaptor and discriminator in training: two sets, since two
// rules train them.
type simpleWeights struct{ adaptor, discriminator *tensor.Params }

// newSimpleWeights draws fresh weights.
func newSimpleWeights(ctx context.Context, dev tensor.Device, from [2]uint64, specs []simpleSpec) (w *simpleWeights, err error) {
	w = &simpleWeights{tensor.NewParams(dev), tensor.NewParams(dev)}
	err = tensor.Run(ctx, dev, tensor.Training, func(s *tensor.Scope) error {
		for _, sp := range specs {
			v, err := sp.draw(from, sp.name, sp.shape)
			if err != nil {
				return err
			}
			params, name := w.discriminator, strings.TrimPrefix(sp.name, discriminatorPrefix)
			if name == sp.name {
				params, name = w.adaptor, strings.TrimPrefix(sp.name, adaptorPrefix)
			}
			put := params.Put
			if sp.buffer {
				put = params.PutBuffer
			}
			if err := put(s, name, s.FromFloats(v, sp.shape...)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *simpleWeights) close() error { return errors.Join(w.adaptor.Close(), w.discriminator.Close()) }

// arrays copies all weights to the host, in the order of simpleSpecs.
func (w *simpleWeights) arrays(ctx context.Context) (out []tensor.Array, err error) {
	for _, set := range []struct {
		prefix string
		params *tensor.Params
	}{{adaptorPrefix, w.adaptor}, {discriminatorPrefix, w.discriminator}} {
		arrays, err := set.params.Arrays(ctx)
		if err != nil {
			return nil, err
		}
		for _, a := range arrays {
			a.Name = set.prefix + a.Name
			out = append(out, a)
		}
	}
	return out, nil
}

// loss is the loss of the patches of parts, which are pooled layers, with noise
// [N h w, Dim] for the false ones.
//
// Nothing bends between the adaptor A x + a and the discriminator's first layer
// W y + b. So patches go through the product W A at once, true ones as
// W A x + (W a + b) and false ones as that plus W times the noise: the numbers
// and the gradients of the definition for less than half of its multiplications.
func (w *simpleWeights) loss(s *tensor.Scope, parts []*tensor.Tensor, noise *tensor.Tensor, margin float64) *tensor.Tensor {
	d := w.discriminator
	rows := noise.Size(0)
	scores := s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		both := s.Sub(func(s *tensor.Scope) *tensor.Tensor {
			hidden := d.Get("hidden.weight")
			product := s.MatMul(hidden, w.adaptor.Get("weight"))
			bias := s.Select(s.Linear(s.Unsqueeze(w.adaptor.Get("bias"), 0), hidden, d.Get("hidden.bias")), 0, 0)
			real := linearOnGrid(s, parts, product, bias)
			return s.Cat(0, real, s.PlusInto(s.Linear(noise, hidden, nil), real))
		})
		y := s.BatchNorm(both, d.Get("norm.weight"), d.Get("norm.bias"), d.Get("norm.running_mean"), d.Get("norm.running_var"),
			true, simpleMomentum, simpleEpsilon)
		return s.Linear(s.LeakyReLUInto(y, simpleLeak), d.Get("out.weight"), nil)
	})
	hinge := func(from int64, sign float64) *tensor.Tensor {
		return s.Mean(s.ReLU(s.AddScalar(s.MulScalar(s.Narrow(scores, 0, from, rows), sign), margin)), false)
	}
	return s.Add(hinge(0, -1), hinge(rows, 1))
}

// linearOnGrid returns m x + b [N h w, out] for the patches x whose values are
// parts [N, dim, ..], each on a grid of its own, m [out, sum of dims], b [out].
// Weighting channels and interpolating positions can be exchanged: what is on a
// coarse grid is multiplied there, where there are fewer positions, and
// interpolated after.
func linearOnGrid(s *tensor.Scope, parts []*tensor.Tensor, m, b *tensor.Tensor) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		n, h, w, out := parts[0].Size(0), parts[0].Size(2), parts[0].Size(3), m.Size(0)
		var sum *tensor.Tensor
		start := int64(0)
		for i, x := range parts {
			dim, rows, columns := x.Size(1), x.Size(2), x.Size(3)
			x = s.Reshape(s.Permute(x, 0, 2, 3, 1), n*rows*columns, dim)
			part := s.Narrow(m, 1, start, dim)
			start += dim
			if i == 0 {
				sum = s.Linear(x, part, b)
				continue
			}
			y := s.Linear(x, part, nil)
			if rows != h || columns != w {
				y = s.Permute(s.Reshape(y, n, rows, columns, out), 0, 3, 1, 2)
				y = s.Reshape(s.Permute(s.UpsampleBilinear(y, h, w), 0, 2, 3, 1), n*h*w, out)
			}
			sum = s.PlusInto(sum, y)
		}
		return sum
	})
}
