package tensor

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gotab/gotab/tensor/internal/native"
)

// Optimizer changes the trainable weights of a Params by their gradients. Its
// state is saved and restored exactly: a restored optimizer continues bit for
// bit. It is not safe for concurrent use.
type Optimizer interface {
	// Step applies one update to every trainable weight that has a gradient and
	// whose rate is not zero. rate gives the learning rate of a name. On error
	// nothing is changed. [Descend] is a Step with all that belongs to it.
	Step(s *Scope, p *Params, rate func(name string) float64) error
	// Prepare is the part of Step that can fail: it checks, asks for all memory and
	// changes nothing. move does the rest, without asking for memory; it is called
	// once, in the same Run, before anything else changes p, or not at all.
	Prepare(s *Scope, p *Params, rate func(name string) float64) (move func() error, err error)
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
	return &optimizer{dev: dev, slots: slots, steps: map[string]int64{}, scratch: cfg.WeightDecay != 0 || cfg.Nesterov,
		plan: func(r *room, u *update) func() error {
			momentum := r.number(u, cfg.Momentum)
			buf := &Tensor{}
			if len(u.slots) > 0 {
				buf = u.slots[0]
			}
			return func() error {
				return native.SGD(u.weight.h, u.grad.h, buf.h, u.scratch.h, momentum.h, u.step == 1, u.rate, cfg.Momentum, cfg.Dampening, cfg.WeightDecay, cfg.Nesterov)
			}
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
	return &optimizer{dev: dev, slots: []string{"mean.", "square."}, steps: map[string]int64{}, scratch: true,
		plan: func(r *room, u *update) func() error {
			keep := &Tensor{}
			if !coupled {
				keep = r.number(u, 1-u.rate*cfg.WeightDecay)
			}
			beta2, eps := r.number(u, cfg.Beta2), r.number(u, cfg.Epsilon)
			root := r.number(u, math.Sqrt(1-math.Pow(cfg.Beta2, float64(u.step))))
			return func() error {
				return native.Adam(u.weight.h, u.grad.h, u.slots[0].h, u.slots[1].h, u.scratch.h, keep.h, beta2.h, root.h, eps.h,
					float64(u.step), u.rate, cfg.Beta1, cfg.Beta2, cfg.WeightDecay)
			}
		}}
}

// optimizer is what all have in common: state slots of each weight's shape
// that start at zero, and a count of the updates that each weight has seen.
type optimizer struct {
	dev     Device
	slots   []string
	scratch bool // the rule needs memory of the weight's size besides its state
	state   *Params
	steps   map[string]int64
	// plan asks for what the rule needs and returns what then moves a weight and its
	// slots.
	plan func(r *room, u *update) func() error
}

// update is what is to happen to one weight.
type update struct {
	name         string
	weight, grad *Tensor
	slots        []*Tensor
	fresh        []bool // of the slots: not in the optimizer's state yet
	scratch      *Tensor
	step         int64
	rate         float64
	move         func() error
}

func (o *optimizer) Step(s *Scope, p *Params, rate func(name string) float64) error {
	move, err := o.Prepare(s, p, rate)
	if err != nil {
		return err
	}
	return move()
}

func (o *optimizer) Prepare(s *Scope, p *Params, rate func(name string) float64) (move func() error, err error) {
	if rate == nil {
		return nil, fmt.Errorf("tensor: optimizer step: rate is nil")
	}
	if err := s.usable(); err != nil {
		return nil, fmt.Errorf("tensor: optimizer step: %w", err)
	}
	if p == nil || p.closed || o.state != nil && o.state.closed {
		return nil, fmt.Errorf("tensor: optimizer step: %w", ErrReleased)
	}
	r := &room{s: s, numbers: map[number64]*Tensor{}}
	var updates []*update
	for _, n := range p.names {
		e := p.entries[n]
		if !e.trainable {
			continue
		}
		lr := rate(n)
		if !(lr >= 0) || math.IsInf(lr, 0) {
			return nil, fmt.Errorf("tensor: optimizer step: the rate of %q is %g, want a number >= 0", n, lr)
		}
		if lr == 0 {
			continue
		}
		g := r.own(s.Grad(e.t))
		if g == nil {
			continue
		}
		updates = append(updates, &update{name: n, weight: e.t, grad: g, scratch: &Tensor{}, step: o.steps[n] + 1, rate: lr})
	}
	for _, u := range updates {
		if err := o.prepare(r, u); err != nil {
			return nil, err
		}
	}
	if o.scratch {
		if err := r.share(updates); err != nil {
			return nil, err
		}
	}
	for _, u := range updates {
		u.move = o.plan(r, u)
	}
	if s.st.err != nil {
		return nil, s.st.err
	}
	return func() error { return o.apply(r, p, updates) }, nil
}

// prepare brings together what a weight's update reads and writes, in the weight's
// layout: the kernels may round differently where layouts differ, and a restored
// state, which comes row-major, must not.
func (o *optimizer) prepare(r *room, u *update) error {
	if !native.SameLayout(u.grad.h, u.weight.h) {
		u.grad = r.like(u.weight, u.grad)
	}
	for _, slot := range o.slots {
		name := slot + u.name
		var e *entry
		if o.state != nil {
			e = o.state.entries[name]
		}
		switch {
		case e == nil:
			u.slots, u.fresh = append(u.slots, r.like(u.weight, nil)), append(u.fresh, true)
		case !slices.Equal(e.t.Shape(), u.weight.Shape()), e.t.DType() != u.weight.DType():
			return fmt.Errorf("tensor: optimizer state %q: %w: it is %s %s, the weight is %s %s", name, ErrWeights,
				e.t.DType(), shapeString(e.t.Shape()), u.weight.DType(), shapeString(u.weight.Shape()))
		case !native.SameLayout(e.t.h, u.weight.h):
			u.slots, u.fresh = append(u.slots, r.like(u.weight, e.t)), append(u.fresh, true)
		default:
			u.slots, u.fresh = append(u.slots, e.t), append(u.fresh, false)
		}
	}
	return r.s.st.err
}

// apply moves weights and state. Nothing in it asks for memory.
func (o *optimizer) apply(r *room, p *Params, updates []*update) error {
	defer r.free()
	if err := r.s.st.err; err != nil {
		return err
	}
	if o.state == nil && len(o.slots) > 0 && len(updates) > 0 {
		o.state = NewParams(o.dev)
	}
	for _, u := range updates {
		for i, slot := range o.slots {
			if u.fresh[i] {
				r.s.disown(u.slots[i])
				o.state.replace(slot+u.name, u.slots[i])
			}
		}
		if err := u.move(); err != nil {
			return fmt.Errorf("tensor: optimizer step of %q: %w", u.name, err)
		}
		o.steps[u.name] = u.step
	}
	if len(updates) > 0 {
		p.version.Add(1)
	}
	return nil
}

// replace puts a buffer that nobody else owns in the place of that name.
func (p *Params) replace(name string, t *Tensor) {
	t.Shape() // remembered now, as put does
	if e := p.entries[name]; e != nil {
		e.t.free()
		e.t = t
	} else {
		p.names = append(p.names, name)
		p.entries[name] = &entry{t: t, buffer: true}
	}
	p.version.Add(1)
}

// room is memory for one step: made in the scope, freed when the step is done.
type room struct {
	s       *Scope
	made    []*Tensor
	numbers map[number64]*Tensor
}

// number64 is a number as a tensor of a type.
type number64 struct {
	v  float64
	dt DType
}

func (r *room) own(t *Tensor) *Tensor {
	if t != nil {
		r.made = append(r.made, t)
	}
	return t
}

func (r *room) free() { r.s.Free(r.made...) }

// like returns x's values, or zeros for nil, in memory of w's layout.
func (r *room) like(w, x *Tensor) *Tensor {
	z := r.own(r.s.Clone(r.s.Detach(w))) // a clone keeps the layout
	if x == nil {
		x = r.own(r.s.Full(0, w.DType()))
	}
	r.s.CopyInto(z, x)
	return z
}

// number returns v as an operand for u's weight.
func (r *room) number(u *update, v float64) *Tensor {
	key := number64{v, u.weight.DType()}
	if r.numbers[key] == nil {
		t := r.s.op("Scalar", func() (native.Handle, error) { return native.Scalar(u.weight.h, v) }, u.weight)
		t.dev = CPU
		r.numbers[key] = r.own(t)
	}
	return r.numbers[key]
}

// share gives all updates scratch memory: the same, since they move one after the
// other.
func (r *room) share(updates []*update) error {
	var most int64
	for _, u := range updates {
		each, err := u.weight.DType().size()
		if err != nil {
			return fmt.Errorf("tensor: optimizer step of %q: %w", u.name, err)
		}
		most = max(most, u.weight.Len()*each)
	}
	if most == 0 {
		return nil
	}
	bytes := r.own(r.s.op("Scratch", func() (native.Handle, error) { return native.Empty([]int64{most}, int32(Uint8), r.s.st.dev.code()) }))
	for _, u := range updates {
		u.scratch = r.own(r.s.op("Scratch", func() (native.Handle, error) { return native.ViewAs(bytes.h, u.weight.h) }, bytes, u.weight))
	}
	return r.s.st.err
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
