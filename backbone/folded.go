package backbone

import (
	"errors"
	"fmt"

	"github.com/gotab/gotab/tensor"
)

// folded holds evaluation weights: batch norm is an affine map per channel, so
// with k = gamma/sqrt(var+eps) it is a convolution with weight k w and bias
// beta - k mean. On the CPU the weights are laid out for oneDNN besides.
//
// Each stage has its own set, made when a Forward first goes that deep and never
// changed then: detectors that stop at layer 3 do not pay for layer 4, which is
// three quarters of a ResNet-18.
type folded struct {
	version uint64
	net     *ResNet
	packed  bool
	stages  [Pooled]*tensor.Params
}

func (f *folded) close() error {
	if f == nil {
		return nil
	}
	var errs []error
	for _, p := range f.stages {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

// fold returns evaluation weights, as far as the layer deepest, that follow the
// current ones. They are made on first use after a change; no other Run may use
// the network while it changes, so nothing still reads the old ones. What is
// returned is a copy: another Run may add a deeper stage meanwhile.
func (m *ResNet) fold(s *tensor.Scope, input []int64, deepest Layer) (*folded, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v := m.params.Version(); m.folded == nil || m.folded.version != v {
		if err := m.folded.close(); err != nil {
			return nil, err
		}
		m.folded = &folded{version: v, net: m, packed: !m.params.Device().IsCUDA() && tensor.HasOneDNN()}
	}
	if err := m.folded.extend(s, input[0], input[2], input[3], min(deepest, Layer4)); err != nil {
		return nil, err
	}
	f := *m.folded
	return &f, nil
}

// extend folds the stages that are missing up to the layer deepest, for a batch
// of n images of h x w: oneDNN lays weights out for the shape of each unit's
// input. Other sizes work with the same weights, a little slower.
func (f *folded) extend(s *tensor.Scope, n, h, w int64, deepest Layer) error {
	m := f.net
	for l := Stem; l <= deepest; l++ {
		fresh := tensor.NewParams(m.params.Device())
		add := func(u *unit, h, w int64) error {
			if f.stages[l] != nil {
				return nil
			}
			if err := f.add(s, fresh, u, [4]int64{n, u.in, h, w}); err != nil {
				return errors.Join(fmt.Errorf("backbone: fold batch norm of %s: %w", u.norm, err), fresh.Close())
			}
			return nil
		}
		if l == Stem {
			if err := add(&m.stem, h, w); err != nil {
				return err
			}
			h, w = (h+3)/4, (w+3)/4 // halved by the convolution and by the max-pool, each rounded up
		} else {
			for j := range m.stages[l-Layer1] {
				b := &m.stages[l-Layer1][j]
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
		if f.stages[l] == nil {
			f.stages[l] = fresh
		}
	}
	return nil
}

func (f *folded) add(s *tensor.Scope, to *tensor.Params, u *unit, input [4]int64) error {
	ts := s.SubN(func(s *tensor.Scope) []*tensor.Tensor {
		k := s.Mul(u.gamma, s.Rsqrt(s.AddScalar(u.sigma2, bnEpsilon)))
		w := s.ChannelsLast(s.Mul(u.w, s.Reshape(k, -1, 1, 1, 1)))
		if f.packed {
			w = s.PackConv(w, u.conv, input)
		}
		return []*tensor.Tensor{w, s.Minus(u.beta, s.Mul(u.mean, k))}
	})
	if err := to.PutBuffer(s, u.name+".weight", ts[0]); err != nil {
		return err
	}
	return to.PutBuffer(s, u.name+".bias", ts[1])
}

func (f *folded) conv(s *tensor.Scope, u *unit, x *tensor.Tensor, relu bool) *tensor.Tensor {
	w, b := f.stages[u.stage].Get(u.name+".weight"), f.stages[u.stage].Get(u.name+".bias")
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
	s.ConvAddReLU(id, y, f.stages[u.stage].Get(u.name+".weight"), f.stages[u.stage].Get(u.name+".bias"), u.conv)
	return id
}
