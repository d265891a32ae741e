package tensor

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Optimizer changes the trainable weights of a Params by their gradients. Its
// state is saved and restored exactly: a restored optimizer continues bit for
// bit. It is not safe for concurrent use.
type Optimizer interface {
	// Step applies one update to every trainable weight that has a gradient and
	// whose rate is not zero. rate gives the learning rate of a name.
	Step(s *Scope, p *Params, rate func(name string) float64) error
	// State copies the state to the host.
	State(ctx context.Context) ([]Array, error)
	// Restore replaces the state by what State returned.
	Restore(ctx context.Context, state []Array) error
	// Close frees the state.
	Close() error
}

// SGDConfig holds the settings of stochastic gradient descent, as in PyTorch.
type SGDConfig struct {
	Momentum    float64 // in [0, 1); TAB's released code: 0.9
	Dampening   float64 // in [0, 1]; 0
	WeightDecay float64 // added as decay*weight to the gradient, >= 0; TAB's released code: 0
	Nesterov    bool    // needs Momentum > 0 and Dampening 0
}

// DefaultSGD returns TAB's settings: momentum 0.9, nothing else.
func DefaultSGD() SGDConfig { return SGDConfig{Momentum: 0.9} }

// Validate checks the ranges.
func (c SGDConfig) Validate() error {
	switch {
	case !(c.Momentum >= 0 && c.Momentum < 1):
		return fmt.Errorf("tensor: SGDConfig.Momentum is %g, want 0 <= m < 1", c.Momentum)
	case !(c.Dampening >= 0 && c.Dampening <= 1):
		return fmt.Errorf("tensor: SGDConfig.Dampening is %g, want 0 to 1", c.Dampening)
	case !(c.WeightDecay >= 0) || math.IsInf(c.WeightDecay, 0):
		return fmt.Errorf("tensor: SGDConfig.WeightDecay is %g, want >= 0", c.WeightDecay)
	case c.Nesterov && (c.Momentum == 0 || c.Dampening != 0):
		return fmt.Errorf("tensor: SGDConfig.Nesterov needs Momentum > 0 and Dampening 0")
	}
	return nil
}

// AdamWConfig holds the settings of AdamW, as in PyTorch.
type AdamWConfig struct {
	Beta1, Beta2 float64 // decay of the moments, in [0, 1)
	Epsilon      float64 // > 0
	WeightDecay  float64 // decoupled, times the learning rate, >= 0
}

// DefaultAdamW returns PyTorch's defaults: 0.9, 0.999, 1e-8, 0.01.
func DefaultAdamW() AdamWConfig {
	return AdamWConfig{Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, WeightDecay: 0.01}
}

// Validate checks the ranges.
func (c AdamWConfig) Validate() error { return validateAdam("AdamWConfig", c) }

func validateAdam(name string, c AdamWConfig) error {
	switch {
	case !(c.Beta1 >= 0 && c.Beta1 < 1), !(c.Beta2 >= 0 && c.Beta2 < 1):
		return fmt.Errorf("tensor: %s betas are %g and %g, want 0 <= beta < 1", name, c.Beta1, c.Beta2)
	case !(c.Epsilon > 0):
		return fmt.Errorf("tensor: %s.Epsilon is %g, want > 0", name, c.Epsilon)
	case !(c.WeightDecay >= 0) || math.IsInf(c.WeightDecay, 0):
		return fmt.Errorf("tensor: %s.WeightDecay is %g, want >= 0", name, c.WeightDecay)
	}
	return nil
}

// NewSGD returns stochastic gradient descent with momentum:
//
//	g = grad + decay w;  b = momentum b + (1 - dampening) g  (first step: b = g)
//	w = w - lr b         (Nesterov: w = w - lr (g + momentum b))
//
// The state lives on dev, where the weights are.
func NewSGD(cfg SGDConfig, dev Device) (Optimizer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	slots := []string{"momentum."}
	if cfg.Momentum == 0 {
		slots = nil
	}
	return &optimizer{dev: dev, slots: slots, steps: map[string]int64{},
		update: func(w, g *Tensor, st []*Tensor, step int64, lr float64) error {
			buf := g // not read without momentum
			if len(st) > 0 {
				buf = st[0]
			}
			return nativeSGD(w.h, g.h, buf.h, step == 1, lr, cfg)
		}}, nil
}

// NewAdamW returns Adam with decoupled weight decay (Loshchilov and Hutter,
// arXiv 1711.05101) in PyTorch's form.
// The state lives on dev, where the weights are.
func NewAdamW(cfg AdamWConfig, dev Device) (Optimizer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return newAdam(cfg, false, dev), nil
}

// AdamConfig holds the settings of Adam, as in PyTorch.
type AdamConfig struct {
	Beta1, Beta2 float64 // decay of the moments, in [0, 1)
	Epsilon      float64 // > 0
	WeightDecay  float64 // added as decay*weight to the gradient, >= 0
}

// DefaultAdam returns PyTorch's defaults: 0.9, 0.999, 1e-8, 0.
func DefaultAdam() AdamConfig { return AdamConfig{Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8} }

// Validate checks the ranges.
func (c AdamConfig) Validate() error { return validateAdam("AdamConfig", AdamWConfig(c)) }

// NewAdam returns Adam (Kingma and Ba, arXiv 1412.6980) in PyTorch's form, whose
// weight decay is part of the gradient; AdamW's is not.
// The state lives on dev, where the weights are.
func NewAdam(cfg AdamConfig, dev Device) (Optimizer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return newAdam(AdamWConfig(cfg), true, dev), nil
}

// newAdam serves both: they differ in where the decay goes.
func newAdam(cfg AdamWConfig, coupled bool, dev Device) *optimizer {
	return &optimizer{dev: dev, slots: []string{"mean.", "square."}, steps: map[string]int64{},
		update: func(w, g *Tensor, st []*Tensor, step int64, lr float64) error {
			return nativeAdam(w.h, g.h, st[0].h, st[1].h, float64(step), lr, cfg, coupled)
		}}
}

// optimizer is what all have in common: state slots of each weight's shape
// that start at zero, and a count of the updates that each weight has seen.
type optimizer struct {
	dev    Device
	slots  []string
	state  *Params
	steps  map[string]int64
	update func(w, g *Tensor, st []*Tensor, step int64, lr float64) error
}

func (o *optimizer) Step(s *Scope, p *Params, rate func(name string) float64) error {
	if rate == nil {
		return fmt.Errorf("tensor: optimizer step: rate is nil")
	}
	if o.state == nil {
		o.state = NewParams(o.dev)
	}
	rates := make([]float64, len(p.names)) // all are looked at before a weight changes
	for i, n := range p.names {
		if !p.entries[n].trainable {
			continue
		}
		if rates[i] = rate(n); !(rates[i] >= 0) || math.IsInf(rates[i], 0) {
			return fmt.Errorf("tensor: optimizer step: the rate of %q is %g, want a number >= 0", n, rates[i])
		}
	}
	for i, n := range p.names {
		e, lr := p.entries[n], rates[i]
		if lr == 0 {
			continue
		}
		g := s.Grad(e.t)
		if g == nil {
			continue
		}
		st := make([]*Tensor, len(o.slots))
		for i, slot := range o.slots {
			var err error
			if st[i], err = o.slot(s, slot+n, e.t); err != nil {
				return err
			}
		}
		o.steps[n]++
		if err := o.update(e.t, g, st, o.steps[n], lr); err != nil {
			return fmt.Errorf("tensor: optimizer step of %q: %w", n, err)
		}
		s.Free(g)
	}
	p.version.Add(1)
	return s.st.err
}

// slot returns the state of that name for the weight w. It starts at zero and
// always has w's memory layout: the kernels may round differently where the
// layouts differ, and a restored state, which comes row-major, must not.
func (o *optimizer) slot(s *Scope, name string, w *Tensor) (*Tensor, error) {
	e := o.state.entries[name]
	switch {
	case e == nil:
		z := s.Clone(s.Detach(w)) // a clone keeps the layout
		s.CopyInto(z, s.Full(0, Float32))
		return z, o.state.PutBuffer(s, name, z)
	case !slices.Equal(e.t.Shape(), w.Shape()):
		return nil, fmt.Errorf("tensor: optimizer state %q: %w: it is %s, the weight is %s", name, ErrWeights,
			shapeString(e.t.Shape()), shapeString(w.Shape()))
	case nativeIsChannelsLast(e.t.h) != nativeIsChannelsLast(w.h):
		z := s.Clone(s.Detach(w))
		s.CopyInto(z, e.t)
		if s.st.err != nil {
			return nil, s.st.err
		}
		s.disown(z)
		e.t.free()
		e.t = z
	}
	return e.t, nil
}

const stepPrefix = "step."

func (o *optimizer) State(ctx context.Context) ([]Array, error) {
	if o.state == nil {
		return nil, nil
	}
	out, err := o.state.Arrays(ctx)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, slot := range o.slots {
		for _, n := range o.state.names {
			w, ok := strings.CutPrefix(n, slot)
			if ok && !seen[w] {
				seen[w] = true
				out = append(out, IntArray(stepPrefix+w, []int64{o.steps[w]}))
			}
		}
	}
	return out, nil
}

func (o *optimizer) Restore(ctx context.Context, state []Array) error {
	steps := map[string]int64{}
	fresh := NewParams(o.dev)
	err := Run(ctx, o.dev, Evaluation, func(s *Scope) error {
		for _, a := range state {
			if w, ok := strings.CutPrefix(a.Name, stepPrefix); ok {
				v, err := s.Ints(s.FromArray(a))
				if err != nil {
					return err
				}
				if len(v) != 1 || v[0] < 0 {
					return fmt.Errorf("tensor: optimizer state %q: want one count", a.Name)
				}
				steps[w] = v[0]
				continue
			}
			known := false
			for _, slot := range o.slots {
				known = known || strings.HasPrefix(a.Name, slot)
			}
			if !known {
				return fmt.Errorf("tensor: optimizer state %q: %w: this optimizer has %v", a.Name, ErrName, o.slots)
			}
			if !a.finite() {
				return fmt.Errorf("tensor: optimizer state %q: %w", a.Name, ErrNotFinite)
			}
			if err := fresh.PutBuffer(s, a.Name, s.FromArray(a)); err != nil {
				return err
			}
		}
		return o.complete(fresh, steps)
	})
	if err != nil {
		return errors.Join(err, fresh.Close())
	}
	old := o.state
	o.state, o.steps = fresh, steps
	return old.Close()
}

// complete checks that every weight of a state has a count and all slots.
func (o *optimizer) complete(state *Params, steps map[string]int64) error {
	for w := range steps {
		for _, slot := range o.slots {
			if state.Get(slot+w) == nil {
				return fmt.Errorf("tensor: optimizer state %q: %w is missing", slot+w, ErrName)
			}
		}
	}
	for _, n := range state.names {
		for _, slot := range o.slots {
			if w, ok := strings.CutPrefix(n, slot); ok && steps[w] == 0 {
				return fmt.Errorf("tensor: optimizer state %q: %w is missing", stepPrefix+w, ErrName)
			}
		}
	}
	return nil
}

func (o *optimizer) Close() error { return o.state.Close() }
