package backbone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"

	"github.com/gotab/gotab/tensor"
)

// Sentinel errors; test for them with errors.Is.
var (
	// ErrWeights reports weights that do not fit the architecture.
	ErrWeights = errors.New("weights do not fit")
	// ErrLayer reports a layer that the network does not have.
	ErrLayer = errors.New("no such layer")
)

// Batch norm's constants in torchvision.
const (
	bnMomentum = 0.1
	bnEpsilon  = 1e-5
)

// resnet18 has two basic blocks a stage.
var (
	widths = [4]int64{64, 128, 256, 512}
	blocks = [4]int{2, 2, 2, 2}
)

// ResNet18 is the residual network of He et al. (arXiv 1512.03385) with 18
// layers, as torchvision builds it. It owns native memory: Close it. Forward may
// run in several Runs at once in evaluation; training, loading and
// FreezeStatistics need the network for themselves.
type ResNet18 struct {
	params *tensor.Params
	stem   unit
	stages [4][]block
	frozen [Pooled]bool

	mu     sync.Mutex
	folded *folded
}

// unit is a convolution without bias and the batch norm after it.
type unit struct {
	name, norm                string
	conv                      tensor.Conv
	w                         *tensor.Tensor
	gamma, beta, mean, sigma2 *tensor.Tensor
	seen                      *tensor.Tensor
	in, out, kernel           int64
	stage                     Layer
}

// block is a basic block: two units and a path around them.
type block struct {
	a, b unit
	down *unit
}

// units returns all units in torchvision's order.
func (m *ResNet18) units() []*unit {
	us := []*unit{&m.stem}
	for i := range m.stages {
		for j := range m.stages[i] {
			b := &m.stages[i][j]
			us = append(us, &b.a, &b.b)
			if b.down != nil {
				us = append(us, b.down)
			}
		}
	}
	return us
}

// describe lays the architecture out without making a tensor.
func describe() *ResNet18 {
	m := &ResNet18{stem: unit{name: "conv1", norm: "bn1", in: 3, out: 64, kernel: 7, conv: tensor.Conv{Stride: 2, Padding: 3}, stage: Stem}}
	in := int64(64)
	for i, out := range widths {
		for j := range blocks[i] {
			p := fmt.Sprintf("layer%d.%d.", i+1, j)
			stage := Layer1 + Layer(i)
			stride := int64(1)
			if i > 0 && j == 0 {
				stride = 2
			}
			b := block{
				a: unit{name: p + "conv1", norm: p + "bn1", in: in, out: out, kernel: 3, conv: tensor.Conv{Stride: stride, Padding: 1}, stage: stage},
				b: unit{name: p + "conv2", norm: p + "bn2", in: out, out: out, kernel: 3, conv: tensor.Conv{Padding: 1}, stage: stage},
			}
			if stride != 1 || in != out {
				b.down = &unit{name: p + "downsample.0", norm: p + "downsample.1", in: in, out: out, kernel: 1, conv: tensor.Conv{Stride: stride}, stage: stage}
			}
			m.stages[i] = append(m.stages[i], b)
			in = out
		}
	}
	return m
}

// classes is the number of rows of the unused classification layer.
const classes = 1000

// NewResNet18 returns a network with fresh weights, drawn from rng in the order
// of the parameters as torchvision draws its own: convolutions normal with
// deviation sqrt(2/(out k k)), batch norm 1 and 0, the classification layer
// uniform. The last is never used; it is there so that Python loads the weights
// strictly.
func NewResNet18(dev tensor.Device, rng *rand.Rand) (*ResNet18, error) {
	var arrays []tensor.Array
	m := describe()
	for _, u := range m.units() {
		shape := []int64{u.out, u.in, u.kernel, u.kernel}
		w, err := tensor.Normal(rng, u.out*u.in*u.kernel*u.kernel, tensor.KaimingFanOut(shape))
		if err != nil {
			return nil, fmt.Errorf("backbone: new ResNet18: %w", err)
		}
		one, zero := make([]float32, u.out), make([]float32, u.out)
		for i := range one {
			one[i] = 1
		}
		arrays = append(arrays, tensor.FloatArray(u.name+".weight", w, shape...),
			tensor.FloatArray(u.norm+".weight", one, u.out), tensor.FloatArray(u.norm+".bias", zero, u.out),
			tensor.FloatArray(u.norm+".running_mean", zero, u.out), tensor.FloatArray(u.norm+".running_var", one, u.out))
	}
	w, err := tensor.Uniform(rng, classes*512, tensor.LinearBound(512))
	if err != nil {
		return nil, fmt.Errorf("backbone: new ResNet18: %w", err)
	}
	b, err := tensor.Uniform(rng, classes, tensor.LinearBound(512))
	if err != nil {
		return nil, fmt.Errorf("backbone: new ResNet18: %w", err)
	}
	arrays = append(arrays, tensor.FloatArray("fc.weight", w, classes, 512), tensor.FloatArray("fc.bias", b, classes))
	return build(arrays, dev)
}

// build makes a network of exactly the arrays it needs.
func build(arrays []tensor.Array, dev tensor.Device) (*ResNet18, error) {
	byName := make(map[string]tensor.Array, len(arrays))
	for _, a := range arrays {
		byName[a.Name] = a
	}
	m := describe()
	m.params = tensor.NewParams(dev)
	err := tensor.Run(context.Background(), dev, tensor.Evaluation, func(s *tensor.Scope) error {
		put := func(name string, buffer bool) (*tensor.Tensor, error) {
			a, ok := byName[name]
			if !ok {
				return nil, fmt.Errorf("backbone: build: %w: %s is missing", ErrWeights, name)
			}
			t := s.FromArray(a)
			if len(a.Shape) == 4 {
				t = s.ChannelsLast(t)
			}
			if err := s.Err(); err != nil {
				return nil, err
			}
			if buffer {
				return t, m.params.PutBuffer(s, name, t)
			}
			return t, m.params.Put(s, name, t)
		}
		for _, u := range m.units() {
			if _, ok := byName[u.norm+".num_batches_tracked"]; !ok {
				byName[u.norm+".num_batches_tracked"] = tensor.IntArray("", []int64{0})
			}
			for _, f := range []struct {
				name   string
				buffer bool
				to     **tensor.Tensor
			}{
				{u.name + ".weight", false, &u.w}, {u.norm + ".weight", false, &u.gamma}, {u.norm + ".bias", false, &u.beta},
				{u.norm + ".running_mean", true, &u.mean}, {u.norm + ".running_var", true, &u.sigma2},
				{u.norm + ".num_batches_tracked", true, &u.seen},
			} {
				t, err := put(f.name, f.buffer)
				if err != nil {
					return err
				}
				*f.to = t
			}
		}
		for _, n := range []string{"fc.weight", "fc.bias"} {
			if _, err := put(n, true); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, m.params.Close())
	}
	return m, nil
}

// Params returns the weights and running statistics by torchvision's names.
func (m *ResNet18) Params() *tensor.Params { return m.params }

// Device returns where the network lives.
func (m *ResNet18) Device() tensor.Device { return m.params.Device() }

// Channels returns the number of channels at a layer, 0 where there is none.
func (m *ResNet18) Channels(l Layer) int {
	switch {
	case l == Stem:
		return 64
	case l >= Layer1 && l <= Layer4:
		return int(widths[l-Layer1])
	case l == Pooled:
		return 512
	}
	return 0
}

// FreezeStatistics says for each stage (Stem to Layer4) whether its batch norms
// keep their running statistics, and use them, in training too. nil thaws all.
func (m *ResNet18) FreezeStatistics(frozen func(stage Layer) bool) {
	for l := Stem; l < Pooled; l++ {
		m.frozen[l] = frozen != nil && frozen(l)
	}
}

// Forward runs the network once, as far as the deepest layer asked for, on x
// [N, 3, H, W] (normalised as in training; H and W of 32 or more) and returns
// the features in the order of at. In a Run of mode Training batch norm uses
// batch statistics and moves the running ones; N is then 2 or more.
func (m *ResNet18) Forward(s *tensor.Scope, x *tensor.Tensor, at ...Layer) []*tensor.Tensor {
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
		f, err := m.fold(s, x.Shape())
		if err != nil {
			s.Fail(err)
			return out
		}
		run = f.stage
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
func (m *ResNet18) plain(s *tensor.Scope, x *tensor.Tensor, l Layer, _ bool) *tensor.Tensor {
	if l == Stem {
		return s.MaxPool2d(s.ReLU(m.unit(s, &m.stem, s.ChannelsLast(x))), 3, 2, 1)
	}
	for i := range m.stages[l-Layer1] {
		b := &m.stages[l-Layer1][i]
		in := x
		x = s.Sub(func(s *tensor.Scope) *tensor.Tensor {
			y := s.ReLU(m.unit(s, &b.a, in))
			y = m.unit(s, &b.b, y)
			id := in
			if b.down != nil {
				id = m.unit(s, b.down, in)
			}
			return s.ReLU(s.Add(y, id))
		})
	}
	return x
}

func (m *ResNet18) unit(s *tensor.Scope, u *unit, x *tensor.Tensor) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		train := s.Mode() == tensor.Training && !m.frozen[u.stage]
		if train {
			s.IncrementInto(u.seen)
		}
		y := s.Conv2d(x, u.w, nil, u.conv)
		return s.BatchNorm(y, u.gamma, u.beta, u.mean, u.sigma2, train, bnMomentum, bnEpsilon)
	})
}

// WriteTo writes the weights as safetensors that torchvision's resnet18 loads
// strictly.
func (m *ResNet18) WriteTo(w io.Writer) (int64, error) {
	return m.params.Write(context.Background(), w, map[string]string{"format": "pt", "architecture": "resnet18"})
}

// Save writes the weights to a file that appears whole or not at all.
func (m *ResNet18) Save(path string) error {
	a, err := m.params.Arrays(context.Background())
	if err != nil {
		return fmt.Errorf("backbone: save %s: %w", path, err)
	}
	if err := tensor.SaveWeights(path, map[string]string{"format": "pt", "architecture": "resnet18"}, a); err != nil {
		return fmt.Errorf("backbone: save %s: %w", path, err)
	}
	return nil
}

// Close frees the weights. Closing twice is harmless.
func (m *ResNet18) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return errors.Join(m.folded.close(), m.params.Close())
}
