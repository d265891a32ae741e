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
	net     *ResNet
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
func (m *ResNet) fold(s *tensor.Scope, input []int64) (*folded, error) {
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
	if err := f.addAll(s, input[0], input[2], input[3]); err != nil {
		_ = f.params.Close() // the failure to fold is the one to report
		return nil, err
	}
	m.folded = f
	return f, nil
}

// addAll folds every unit for a batch of n images of h x w: oneDNN lays weights
// out for the shape of each unit's input. Other sizes work with the same
// weights, a little slower.
func (f *folded) addAll(s *tensor.Scope, n, h, w int64) error {
	add := func(u *unit, h, w int64) error {
		if err := f.add(s, u, [4]int64{n, u.in, h, w}); err != nil {
			return fmt.Errorf("backbone: fold batch norm of %s: %w", u.norm, err)
		}
		return nil
	}
	m := f.net
	if err := add(&m.stem, h, w); err != nil {
		return err
	}
	h, w = (h+3)/4, (w+3)/4 // halved by the convolution and by the max-pool, each rounded up
	for i := range m.stages {
		for j := range m.stages[i] {
			b := &m.stages[i][j]
			if b.down != nil {
				if err := add(b.down, h, w); err != nil {
					return err
				}
			}
			for k := range b.path {
				u := &b.path[k]
				if err := add(u, h, w); err != nil {
					return err
				}
				if u.conv.Stride == 2 {
					h, w = (h+1)/2, (w+1)/2
				}
			}
		}
	}
	return nil
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
		// Only the first block of a stage reads a tensor from outside the stage.
		outside := i == 0 && keep
		in := x
		x = s.Sub(func(s *tensor.Scope) *tensor.Tensor { return f.block(s, b, in, outside) })
	}
	return x
}

// block runs one block; keep says that in must not change.
func (f *folded) block(s *tensor.Scope, b *block, in *tensor.Tensor, keep bool) *tensor.Tensor {
	id := in
	if b.down != nil {
		id = f.conv(s, b.down, in, false)
	}
	last := len(b.path) - 1
	y := in
	for k := range last {
		z := f.conv(s, &b.path[k], y, true)
		if y != in {
			s.Free(y)
		}
		y = z
	}
	u := &b.path[last]
	if !f.packed {
		return s.ReLU(s.Add(f.conv(s, u, y, false), id))
	}
	if b.down == nil && keep {
		id = s.Clone(id)
	}
	// The sum lands in id: made here, or the output of the block before, or the
	// stage's input where nobody reads that again. All units that read the block's
	// input have run by now.
	s.ConvAddReLU(id, y, f.params.Get(u.name+".weight"), f.params.Get(u.name+".bias"), u.conv)
	return id
}
