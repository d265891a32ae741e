package tensor

import (
	"errors"
	"fmt"
	"math"
	"reflect"

	"github.com/gotab/gotab/tensor/internal/native"
)

// Learner is a set of weights with the rule that trains them. Rate gives the
// learning rate of a name, 0 or more; a weight with rate 0 stays.
type Learner struct {
	Params    *Params
	Optimizer Optimizer
	Rate      func(name string) float64
}

// Update is what is known of a step.
type Update struct {
	Loss     float64 // before the update
	GradNorm float64 // of all gradients together, before clipping
}

// Descend takes one training step, whole or not at all. loss runs the network and
// returns the loss, a scalar; Descend goes back from it, scales the gradients down
// together where their norm exceeds clip (0: never), and moves the weights of all
// learners by their rules. Everything that the updates need is made before the
// first weight moves.
//
// After an error or a panic, weights, the optimizers' states and counts and all
// buffers, such as the running statistics that loss moved, hold the values from
// before. Either way no gradients are left. A loss or a gradient that is not
// finite is an error that wraps [ErrNotFinite], a failed allocation one that wraps
// [ErrOutOfMemory]; what loss returns is passed on. [Params.Version] grows where
// the step is taken.
//
// It needs the mode Training. No set of weights and no optimizer may come twice.
func Descend(s *Scope, clip float64, learners []Learner, loss func(s *Scope) (*Tensor, error)) (Update, error) {
	return DescendTogether(s, clip, learners, loss, Exchange{})
}

// DescendTogether is [Descend] for one of several processes whose steps are one: the
// gradients that are clipped and taken are those that ex.Sum makes of them, and no
// weight moves where ex.Agree says no.
func DescendTogether(s *Scope, clip float64, learners []Learner, loss func(s *Scope) (*Tensor, error), ex Exchange) (u Update, err error) {
	if err := s.usable(); err != nil {
		return Update{}, fmt.Errorf("tensor: descend: %w", err)
	}
	if loss == nil {
		return Update{}, fmt.Errorf("tensor: descend: loss is nil")
	}
	sets, err := setsOf(s, clip, learners)
	if err == nil {
		err = ex.check()
	}
	if err != nil {
		return Update{}, fmt.Errorf("tensor: descend: %w", err)
	}
	before, err := keepBuffers(s, sets)
	if err != nil {
		return Update{}, err
	}
	taken := false
	defer func() {
		if !taken { // also after a panic
			err = errors.Join(err, before.restore(s))
			u = Update{}
		}
		for _, p := range sets {
			err = errors.Join(err, p.ZeroGrad())
		}
		s.Free(before.copies...)
	}()
	if err = ex.gradients(s, &u, sets, loss); err != nil {
		return u, err
	}
	moves, err := prepare(s, &u, clip, learners, sets)
	if err = ex.agree(err); err != nil {
		return u, err
	}
	for _, move := range moves {
		if err := move(); err != nil {
			return u, err
		}
	}
	for _, p := range sets {
		p.Touch() // statistics have moved, where no weight has
	}
	taken = true
	return u, nil
}

// lossOf computes the loss.
func lossOf(s *Scope, u *Update, loss func(s *Scope) (*Tensor, error)) (*Tensor, error) {
	l, err := loss(s)
	if err != nil {
		return nil, err
	}
	if u.Loss, err = s.Float(l); err != nil {
		return nil, err
	}
	if math.IsNaN(u.Loss) || math.IsInf(u.Loss, 0) {
		return nil, fmt.Errorf("tensor: descend: %w: the loss is %g", ErrNotFinite, u.Loss)
	}
	return l, nil
}

// prepare clips the gradients and does all of the update that can fail.
func prepare(s *Scope, u *Update, clip float64, learners []Learner, sets []*Params) (moves []func() error, err error) {
	if u.GradNorm, err = ClipGrads(s, clip, sets...); err != nil {
		return nil, err
	}
	moves = make([]func() error, len(learners))
	for i, l := range learners {
		if moves[i], err = l.Optimizer.Prepare(s, l.Params, l.Rate); err != nil {
			return nil, err
		}
	}
	return moves, s.Err()
}

// setsOf checks what Descend is given.
func setsOf(s *Scope, clip float64, learners []Learner) (sets []*Params, err error) {
	if s.st.err != nil {
		return nil, s.st.err
	}
	if s.st.mode != Training {
		return nil, fmt.Errorf("the Run is in mode %s, which records nothing", s.st.mode)
	}
	if !(clip >= 0) {
		return nil, fmt.Errorf("clip is %g, want 0 or more", clip)
	}
	for i, l := range learners {
		if l.Params == nil || l.Optimizer == nil || l.Rate == nil {
			return nil, fmt.Errorf("learner %d has no Params, no Optimizer or no Rate", i)
		}
		for _, other := range learners[:i] {
			if l.Params == other.Params || reflect.TypeOf(l.Optimizer).Comparable() && l.Optimizer == other.Optimizer {
				return nil, fmt.Errorf("learner %d shares its Params or its Optimizer with another one", i)
			}
		}
		sets = append(sets, l.Params)
	}
	return sets, nil
}

// buffersBefore is what buffers held before a step.
type buffersBefore struct{ buffers, copies []*Tensor }

// keepBuffers copies the buffers of all sets.
func keepBuffers(s *Scope, sets []*Params) (b buffersBefore, err error) {
	for _, p := range sets {
		for _, n := range p.names {
			if e := p.entries[n]; e.buffer && !e.t.packed {
				b.buffers, b.copies = append(b.buffers, e.t), append(b.copies, s.Clone(s.Detach(e.t)))
			}
		}
	}
	return b, s.st.err
}

// restore puts the values back, whatever has failed in s; it asks for no memory.
func (b buffersBefore) restore(s *Scope) (err error) {
	s.NoGrad(func() {
		for i, t := range b.buffers {
			if !t.Valid() || !b.copies[i].Valid() {
				err = errors.Join(err, fmt.Errorf("tensor: restore a buffer: %w", ErrReleased))
				continue
			}
			err = errors.Join(err, native.CopyInto(t.h, b.copies[i].h))
		}
	})
	return err
}
