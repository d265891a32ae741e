package layers

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/gotab/gotab/tensor"
)

// Batch norm's constants in PyTorch.
const (
	Momentum = 0.1
	Epsilon  = 1e-5
)

// ConvNorm is a convolution without bias and the batch norm after it. The
// exported fields describe it; Bind gives it its tensors.
type ConvNorm struct {
	Name, Norm      string // prefixes of the parameters' names, such as "conv1" and "bn1"
	In, Out, Kernel int64
	Conv            tensor.Conv
	Transposed      bool // a transposed convolution, which enlarges by the stride

	w, gamma, beta, mean, sigma2, seen *tensor.Tensor
}

// Spec is the name and the shape of a parameter.
type Spec struct {
	Name   string
	Shape  []int64
	Buffer bool // a running statistic, which gets no gradient
}

// Counter is the suffix of the batch norm's counter of batches, the only
// parameter that is no float.
const Counter = ".num_batches_tracked"

// Values is how many values the parameter has.
func (sp Spec) Values() int64 {
	n := int64(1)
	for _, d := range sp.Shape {
		n *= d
	}
	return n
}

// DType returns the type of the parameter's values.
func (sp Spec) DType() tensor.DType {
	if strings.HasSuffix(sp.Name, Counter) {
		return tensor.Int64
	}
	return tensor.Float32
}

// Specs returns the parameters in PyTorch's order.
func (u *ConvNorm) Specs() []Spec {
	c := []int64{u.Out}
	return []Spec{
		{u.Name + ".weight", u.shape(), false},
		{u.Norm + ".weight", c, false}, {u.Norm + ".bias", c, false},
		{u.Norm + ".running_mean", c, true}, {u.Norm + ".running_var", c, true},
		{u.Norm + Counter, []int64{}, true},
	}
}

func (u *ConvNorm) shape() []int64 {
	if u.Transposed {
		return []int64{u.In, u.Out, u.Kernel, u.Kernel}
	}
	return []int64{u.Out, u.In, u.Kernel, u.Kernel}
}

// Fresh draws the parameters as torchvision's ResNets start: convolutions normal
// with deviation sqrt(2/(out k k)), batch norm 1 and 0. A transposed convolution
// starts as PyTorch's own: uniform up to 1/sqrt(out k k).
func (u *ConvNorm) Fresh(rng *rand.Rand) ([]tensor.Array, error) {
	shape := u.shape()
	n := u.In * u.Out * u.Kernel * u.Kernel
	var w []float32
	var err error
	if u.Transposed {
		w, err = tensor.Uniform(rng, n, tensor.LinearBound(u.Out*u.Kernel*u.Kernel))
	} else {
		w, err = tensor.Normal(rng, n, tensor.KaimingFanOut(shape))
	}
	if err != nil {
		return nil, err
	}
	one, zero := make([]float32, u.Out), make([]float32, u.Out)
	for i := range one {
		one[i] = 1
	}
	values := [][]float32{w, one, zero, zero, one}
	var arrays []tensor.Array
	for i, sp := range u.Specs() {
		if i == len(values) {
			arrays = append(arrays, tensor.IntArray(sp.Name, []int64{0}, sp.Shape...))
			break
		}
		arrays = append(arrays, tensor.FloatArray(sp.Name, values[i], sp.Shape...))
	}
	return arrays, nil
}

// Bind takes the tensors of the names of Specs from p, which keeps them.
func (u *ConvNorm) Bind(p *tensor.Params) error {
	to := []**tensor.Tensor{&u.w, &u.gamma, &u.beta, &u.mean, &u.sigma2, &u.seen}
	for i, sp := range u.Specs() {
		t := p.Get(sp.Name)
		if t == nil {
			return fmt.Errorf("%w: %s is missing", tensor.ErrName, sp.Name)
		}
		*to[i] = t
	}
	return nil
}

// Forward convolves and normalises x [N, In, H, W]. With train batch norm uses
// the batch's statistics, and moves the running ones and the counter; without,
// it uses the running ones. Whoever trains calls Touch of the Params.
func (u *ConvNorm) Forward(s *tensor.Scope, x *tensor.Tensor, train bool) *tensor.Tensor {
	return u.ForwardAs(s, x, train, tensor.Float32)
}

// ForwardAs is Forward that convolves in another type, float32 or bfloat16: x and the weight are rounded
// to it, and the result is of it. Batch norm computes in float32 on what the convolution
// gave; weights, statistics and the weights' gradients stay in float32.
func (u *ConvNorm) ForwardAs(s *tensor.Scope, x *tensor.Tensor, train bool, dt tensor.DType) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		if train {
			s.IncrementInto(u.seen)
		}
		w := u.w
		if dt != tensor.Float32 {
			x, w = s.Cast(x, dt), s.Cast(w, dt)
		}
		var y *tensor.Tensor
		if u.Transposed {
			y = s.ConvTranspose2d(x, w, nil, u.Conv)
		} else {
			y = s.Conv2d(x, w, nil, u.Conv)
		}
		return s.BatchNorm(y, u.gamma, u.beta, u.mean, u.sigma2, train, Momentum, Epsilon)
	})
}

// Size returns the height and width that an input of h x w comes out with.
func (u *ConvNorm) Size(h, w int64) (int64, int64) {
	stride := max(u.Conv.Stride, 1)
	side := func(n int64) int64 {
		if u.Transposed {
			return (n-1)*stride - 2*u.Conv.Padding + u.Kernel
		}
		return (n+2*u.Conv.Padding-u.Kernel)/stride + 1
	}
	return side(h), side(w)
}

// Put gives p the arrays, which are named as Specs say, as weights and buffers.
// Weights of convolutions are laid out channels-last.
func Put(s *tensor.Scope, p *tensor.Params, specs []Spec, arrays map[string]tensor.Array) error {
	for _, sp := range specs {
		a, ok := arrays[sp.Name]
		if !ok {
			return fmt.Errorf("%w: %s is missing", tensor.ErrName, sp.Name)
		}
		t := s.FromArray(a)
		if len(a.Shape) == 4 {
			rows := t
			t = s.ChannelsLast(rows)
			s.Free(rows) // a large network need not lie in memory twice
		}
		if err := s.Err(); err != nil {
			return err
		}
		put := p.Put
		if sp.Buffer {
			put = p.PutBuffer
		}
		if err := put(s, sp.Name, t); err != nil {
			return err
		}
	}
	return nil
}
