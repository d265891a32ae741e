package backbone

import (
	"fmt"

	"github.com/gotab/gotab/tensor"
)

// folded holds evaluation weights: batch norm is an affine map per channel, so
// with k = gamma/sqrt(var+eps) it is a convolution with weight k w and bias
// beta - k mean. On the CPU the weights are laid out for oneDNN besides.
type folded struct {
	version uint64
	params  *tensor.Params
	net     *ResNet18
	packed  bool
}

func (f *folded) close() error {
	if f == nil {
		return nil
	}
	return f.params.Close()
}

// fold returns evaluation weights that follow the current ones. They are made on
// first use after a change; no other Run may use the network while it changes,
// so nothing still reads the old ones.
func (m *ResNet18) fold(s *tensor.Scope, input []int64) (*folded, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.params.Version()
	if m.folded != nil && m.folded.version == v {
		return m.folded, nil
	}
	if err := m.folded.close(); err != nil {
		return nil, err
	}
	m.folded = nil
	f := &folded{version: v, params: tensor.NewParams(m.params.Device()), net: m,
		packed: !m.params.Device().IsCUDA() && tensor.HasOneDNN()}
	// Shape of each unit's input for the images at hand: oneDNN lays weights out
	// for it. Other sizes work with the same weights, a little slower.
	h, w := input[2], input[3]
	halve := func() { h, w = (h+1)/2, (w+1)/2 }
	for _, u := range m.units() {
		in := [4]int64{input[0], u.in, h, w}
		switch {
		case u.stage == Stem:
			halve() // convolution
			halve() // max-pool
		case u.conv.Stride == 2 && u.kernel == 3:
			halve()
		case u.conv.Stride == 2: // the way around starts at the block's input
			in[2], in[3] = h*2, w*2
		}
		if err := f.add(s, u, in); err != nil {
			_ = f.params.Close()
			return nil, fmt.Errorf("backbone: fold batch norm of %s: %w", u.norm, err)
		}
	}
	m.folded = f
	return f, nil
}

func (f *folded) add(s *tensor.Scope, u *unit, input [4]int64) error {
	ts := s.SubN(func(s *tensor.Scope) []*tensor.Tensor {
		k := s.Mul(u.gamma, s.Rsqrt(s.AddScalar(u.sigma2, bnEpsilon)))
		w := s.ChannelsLast(s.Mul(u.w, s.Reshape(k, -1, 1, 1, 1)))
		if f.packed {
			w = s.PackConv(w, u.conv, input)
		}
		return []*tensor.Tensor{w, s.Minus(u.beta, s.Mul(u.mean, k))}
	})
	if err := f.params.PutBuffer(s, u.name+".weight", ts[0]); err != nil {
		return err
	}
	return f.params.PutBuffer(s, u.name+".bias", ts[1])
}

func (f *folded) conv(s *tensor.Scope, u *unit, x *tensor.Tensor, relu bool) *tensor.Tensor {
	w, b := f.params.Get(u.name+".weight"), f.params.Get(u.name+".bias")
	if f.packed {
		return s.ConvFused(x, w, b, u.conv, relu)
	}
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		y := s.Conv2d(x, w, b, u.conv)
		if relu {
			y = s.ReLU(y)
		}
		return y
	})
}

// stage runs one stage with folded weights. keep says that x is still needed.
func (f *folded) stage(s *tensor.Scope, x *tensor.Tensor, l Layer, keep bool) *tensor.Tensor {
	m := f.net
	if l == Stem {
		return s.MaxPool2d(f.conv(s, &m.stem, s.ChannelsLast(x), true), 3, 2, 1)
	}
	for i := range m.stages[l-Layer1] {
		b := &m.stages[l-Layer1][i]
		in := x
		x = s.Sub(func(s *tensor.Scope) *tensor.Tensor {
			id := in
			if b.down != nil {
				id = f.conv(s, b.down, in, false)
			}
			y := f.conv(s, &b.a, in, true)
			if !f.packed {
				return s.ReLU(s.Add(f.conv(s, &b.b, y, false), id))
			}
			if b.down == nil && i == 0 && keep {
				id = s.Clone(id)
			}
			// The sum lands in id: made here, or the output of the block before, or
			// the stage's input where nobody reads that again.
			s.ConvAddReLU(id, y, f.params.Get(b.b.name+".weight"), f.params.Get(b.b.name+".bias"), b.b.conv)
			return id
		})
	}
	return x
}
