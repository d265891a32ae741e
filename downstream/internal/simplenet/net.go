// Package simplenet is the arithmetic of SimpleNet (Liu et al., arXiv 2303.15140).
package simplenet

import (
	"context"
	"errors"
	"math"
	"strings"

	"github.com/gotab/gotab/internal/seed"
	"github.com/gotab/gotab/tensor"
)

const (
	leak     = 0.2 // slope of the discriminator's leaky ReLU
	momentum = 0.1 // batch norm, as PyTorch's
	epsilon  = 1e-5

	// AdaptorPrefix and DiscriminatorPrefix begin the names of the weights in a file.
	AdaptorPrefix, DiscriminatorPrefix = "adaptor.", "discriminator."
)

// Spec is a weight of SimpleNet, and how it is drawn.
type Spec struct {
	Name   string
	Shape  []int64
	Buffer bool
	draw   func(seed [2]uint64, name string, shape []int64) ([]float32, error)
}

// Specs returns the weights for patches of dim values and a discriminator
// of a width. They are drawn as in the authors' program: matrices after Glorot
// and Bengio (2010) from a normal distribution, biases as PyTorch's of linear
// layers.
func Specs(dim, hidden int) []Spec {
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
	return []Spec{
		{Name: AdaptorPrefix + "weight", Shape: []int64{d, d}, draw: xavier},
		{Name: AdaptorPrefix + "bias", Shape: []int64{d}, draw: bias},
		{Name: DiscriminatorPrefix + "hidden.weight", Shape: []int64{h, d}, draw: xavier},
		{Name: DiscriminatorPrefix + "hidden.bias", Shape: []int64{h}, draw: bias},
		{Name: DiscriminatorPrefix + "norm.weight", Shape: []int64{h}, draw: fixed(1)},
		{Name: DiscriminatorPrefix + "norm.bias", Shape: []int64{h}, draw: fixed(0)},
		{Name: DiscriminatorPrefix + "norm.running_mean", Shape: []int64{h}, Buffer: true, draw: fixed(0)},
		{Name: DiscriminatorPrefix + "norm.running_var", Shape: []int64{h}, Buffer: true, draw: fixed(1)},
		{Name: DiscriminatorPrefix + "out.weight", Shape: []int64{1, h}, draw: xavier},
	}
}

// Weights are adaptor and discriminator in training: two sets, since two
// rules train them.
type Weights struct{ Adaptor, Discriminator *tensor.Params }

// NewWeights draws fresh weights.
func NewWeights(ctx context.Context, dev tensor.Device, from [2]uint64, specs []Spec) (w *Weights, err error) {
	w = &Weights{tensor.NewParams(dev), tensor.NewParams(dev)}
	err = tensor.Run(ctx, dev, tensor.Training, func(s *tensor.Scope) error {
		for _, sp := range specs {
			v, err := sp.draw(from, sp.Name, sp.Shape)
			if err != nil {
				return err
			}
			params, name := w.Discriminator, strings.TrimPrefix(sp.Name, DiscriminatorPrefix)
			if name == sp.Name {
				params, name = w.Adaptor, strings.TrimPrefix(sp.Name, AdaptorPrefix)
			}
			put := params.Put
			if sp.Buffer {
				put = params.PutBuffer
			}
			if err := put(s, name, s.FromFloats(v, sp.Shape...)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// Close frees both sets.
func (w *Weights) Close() error { return errors.Join(w.Adaptor.Close(), w.Discriminator.Close()) }

// Arrays copies all weights to the host, in the order of Specs.
func (w *Weights) Arrays(ctx context.Context) (out []tensor.Array, err error) {
	for _, set := range []struct {
		prefix string
		params *tensor.Params
	}{{AdaptorPrefix, w.Adaptor}, {DiscriminatorPrefix, w.Discriminator}} {
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
