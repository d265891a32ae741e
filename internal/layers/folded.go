package layers

import (
	"fmt"

	"github.com/gotab/gotab/tensor"
)

// Folded is a ConvNorm for evaluation: batch norm is an affine map per channel,
// so with k = gamma/sqrt(var+eps) the two are a convolution with weight k w and
// bias beta - k mean. On the CPU the weight is laid out for oneDNN besides.
type Folded struct {
	conv       tensor.Conv
	transposed bool
	packed     bool
	w, b       *tensor.Tensor
}

// Fold makes the folded form of the present weights and keeps its tensors in to,
// under the convolution's name. input is the first shape [N, In, H, W] that
// oneDNN lays the weight out for; see [tensor.Scope.PackConv] for others.
func (u *ConvNorm) Fold(s *tensor.Scope, to *tensor.Params, input [4]int64) (*Folded, error) {
	return u.FoldAs(s, to, input, tensor.Float32)
}

// FoldAs is Fold for inputs of another type, which [tensor.Scope.PackConv] must take.
// The fold itself is made in float32 and rounded once.
func (u *ConvNorm) FoldAs(s *tensor.Scope, to *tensor.Params, input [4]int64, dt tensor.DType) (*Folded, error) {
	f := &Folded{conv: u.Conv, transposed: u.Transposed}
	f.packed = !to.Device().IsCUDA() && tensor.HasOneDNN() && !u.Transposed
	ts := s.SubN(func(s *tensor.Scope) []*tensor.Tensor {
		k := s.Mul(u.gamma, s.Rsqrt(s.AddScalar(u.sigma2, Epsilon)))
		per := s.Reshape(k, -1, 1, 1, 1)
		if u.Transposed {
			per = s.Reshape(k, 1, -1, 1, 1)
		}
		w := s.Cast(s.ChannelsLast(s.Mul(u.w, per)), dt)
		if f.packed {
			w = s.PackConv(w, u.Conv, input)
		}
		return []*tensor.Tensor{w, s.Cast(s.Minus(u.beta, s.Mul(u.mean, k)), dt)}
	})
	f.w, f.b = ts[0], ts[1]
	if err := to.PutBuffer(s, u.Name+".weight", f.w); err != nil {
		return nil, fmt.Errorf("fold batch norm of %s: %w", u.Norm, err)
	}
	if err := to.PutBuffer(s, u.Name+".bias", f.b); err != nil {
		return nil, fmt.Errorf("fold batch norm of %s: %w", u.Norm, err)
	}
	return f, nil
}

// Forward returns the convolution of x, followed by ReLU where relu is true.
func (f *Folded) Forward(s *tensor.Scope, x *tensor.Tensor, relu bool) *tensor.Tensor {
	if f.packed {
		return s.ConvFused(x, f.w, f.b, f.conv, relu)
	}
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		var y *tensor.Tensor
		if f.transposed {
			y = s.ConvTranspose2d(x, f.w, f.b, f.conv)
		} else {
			y = s.Conv2d(x, f.w, f.b, f.conv)
		}
		if relu {
			y = s.ReLUInto(y)
		}
		return y
	})
}

// AddReLU returns ReLU(id + convolution of x). Where it can it does so in the
// memory of id, which must not be read afterwards.
func (f *Folded) AddReLU(s *tensor.Scope, id, x *tensor.Tensor) *tensor.Tensor {
	if !f.packed {
		return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
			return s.ReLUInto(s.PlusInto(f.Forward(s, x, false), id))
		})
	}
	s.ConvAddReLU(id, x, f.w, f.b, f.conv)
	return id
}
