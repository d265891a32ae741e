package backbone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/tensor"
)

// Sentinel errors; test for them with errors.Is.
var (
	// ErrWeights reports weights that do not fit the architecture.
	ErrWeights = errors.New("weights do not fit")
	// ErrLayer reports a layer that the network does not have.
	ErrLayer = errors.New("no such layer")
	// ErrArch reports an architecture that this package does not have.
	ErrArch = errors.New("no such architecture")
)

// ResNet is a residual network of He et al. (arXiv 1512.03385), as torchvision
// builds it; [Arch] says which. It owns native memory: Close it. Forward may run
// in several Runs at once in evaluation; training, loading and FreezeStatistics
// need the network for themselves. In evaluation on the CPU a second, folded
// copy of the convolutions is kept beside the weights.
type ResNet struct {
	arch   Arch
	params *tensor.Params
	stem   layers.ConvNorm
	stages [4][]layers.Block
	frozen [Pooled]bool

	mu     sync.Mutex
	folded *folded
}

// ResNet18 is a [ResNet]; what NewResNet18, ReadResNet18 and OpenResNet18 return
// has the architecture [ArchResNet18].
type ResNet18 = ResNet

// Arch returns the architecture.
func (m *ResNet) Arch() Arch { return m.arch }

// Params returns the weights and running statistics by torchvision's names.
func (m *ResNet) Params() *tensor.Params { return m.params }

// Device returns where the network lives.
func (m *ResNet) Device() tensor.Device { return m.params.Device() }

// Channels returns the number of channels at a layer, 0 where there is none.
func (m *ResNet) Channels(l Layer) int { return m.arch.Channels(l) }

// FreezeStatistics says for each stage (Stem to Layer4) whether its batch norms
// keep their running statistics, and use them, in training too. nil thaws all.
func (m *ResNet) FreezeStatistics(frozen func(stage Layer) bool) {
	for l := Stem; l < Pooled; l++ {
		m.frozen[l] = frozen != nil && frozen(l)
	}
}

// Forward runs the network once, as far as the deepest layer asked for, on x
// [N, 3, H, W] (normalised as in training; H and W of 32 or more) and returns
// the features in the order of at. In a Run of mode Training batch norm uses
// batch statistics and moves the running ones; N is then 2 or more.
func (m *ResNet) Forward(s *tensor.Scope, x *tensor.Tensor, at ...Layer) []*tensor.Tensor {
	out := make([]*tensor.Tensor, len(at))
	for i := range out {
		out[i] = &tensor.Tensor{}
	}
	deepest := Layer(-1)
	for _, l := range at {
		if l < Stem || l > Pooled {
			s.Fail(fmt.Errorf("backbone: forward: %w: %s", ErrLayer, l))
		}
		deepest = max(deepest, l)
	}
	if sh := x.Shape(); x.Valid() && (len(sh) != 4 || sh[1] != 3 || sh[2] < 32 || sh[3] < 32) {
		s.Fail(fmt.Errorf("backbone: forward: %w: input is %v, want [N 3 H W] with H and W of 32 or more", tensor.ErrShape, sh))
	}
	if len(at) == 0 || s.Err() != nil {
		return out
	}
	run := m.plain
	if s.Mode() == tensor.Evaluation {
		f, err := m.fold(s, x.Shape(), deepest)
		if err != nil {
			s.Fail(err)
			return out
		}
		run = f.run
	} else {
		m.params.Touch() // running statistics move
	}
	return s.SubN(func(s *tensor.Scope) []*tensor.Tensor {
		var y *tensor.Tensor
		wanted := false
		keep := func(l Layer, t *tensor.Tensor) {
			for i := range at {
				if at[i] == l {
					out[i], wanted = t, true
				}
			}
		}
		for l := Stem; l <= min(deepest, Layer4); l++ {
			in, inWanted := x, true
			if l > Stem {
				in, inWanted = y, wanted
			}
			y = s.Sub(func(s *tensor.Scope) *tensor.Tensor { return run(s, in, l, inWanted) })
			if !inWanted && in != y {
				s.Free(in)
			}
			wanted = false
			keep(l, y)
		}
		if deepest == Pooled {
			keep(Pooled, s.GlobalAvgPool(y))
		}
		for i, l := range at { // a layer asked for twice needs a handle of its own
			for j := range i {
				if at[j] == l {
					out[i] = s.Reshape(out[i], out[i].Shape()...)
				}
			}
		}
		return out
	})
}

// plain runs one stage with batch norm as it stands.
func (m *ResNet) plain(s *tensor.Scope, x *tensor.Tensor, l Layer, _ bool) *tensor.Tensor {
	train := s.Mode() == tensor.Training && !m.frozen[l]
	if l == Stem {
		return s.MaxPool2d(s.ReLUInto(m.stem.Forward(s, s.ChannelsLast(x), train)), 3, 2, 1)
	}
	for i := range m.stages[l-Layer1] {
		x = m.stages[l-Layer1][i].Forward(s, x, train)
	}
	return x
}

// WriteTo writes the weights as safetensors that torchvision's network of the
// same name loads strictly.
func (m *ResNet) WriteTo(w io.Writer) (int64, error) {
	return m.params.Write(context.Background(), w, map[string]string{"format": "pt", "architecture": m.arch.String()})
}

// Save writes the weights to a file that appears whole or not at all.
func (m *ResNet) Save(path string) error {
	a, err := m.params.Arrays(context.Background())
	if err != nil {
		return fmt.Errorf("backbone: save %s: %w", path, err)
	}
	if err := tensor.SaveWeights(path, map[string]string{"format": "pt", "architecture": m.arch.String()}, a); err != nil {
		return fmt.Errorf("backbone: save %s: %w", path, err)
	}
	return nil
}

// Close frees the weights. Closing twice is harmless.
func (m *ResNet) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return errors.Join(m.folded.close(), m.params.Close())
}
