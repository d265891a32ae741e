package backbone

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/tensor"
)

// maxScale bounds factors, and their inverses, far from where float32 ends.
const maxScale = 1e6

// ScaleChannels multiplies channel c of what a stage gives (Layer1 to Layer4) by
// scale[c], a number from 1e-6 to 1e6 for each of Channels(stage), and divides what the next
// convolutions make of it, so that all later stages compute what they did, but for
// rounding. ReLU and the sum of a residual block let positive factors through, so
// this is exact algebra; factors that are powers of two change no bit of a later
// stage. Features that are compared channel by channel thus get weights of their own
// without any training.
//
// In ResNet-18 and ResNet-34 the first stage adds to what the stem gives, so the
// stem's features are multiplied by the factors of Layer1 too. Behind Layer4 the
// pooled features are multiplied and the unused classification layer divided.
//
// All of it is done or nothing. Errors: [ErrLayer] for what is no stage of this
// network, [ErrScale] for a wrong number of factors, one out of the range, or one
// that takes a weight out of the range of float32. The network must
// not be used meanwhile. What stands on its features, such as a fitted detector, does
// not know of the change; an optimizer's state is of the weights before.
func (m *ResNet) ScaleChannels(ctx context.Context, stage Layer, scale []float32) error {
	switch {
	case m.params.Closed():
		return fmt.Errorf("backbone: scale channels: %w", ErrClosed)
	case stage < Layer1 || stage > min(m.last, Layer4):
		return fmt.Errorf("backbone: scale channels: %w: %s, want a stage from %s to %s", ErrLayer, stage, Layer1, min(m.last, Layer4))
	case len(scale) != m.Channels(stage):
		return fmt.Errorf("backbone: scale channels of %s: %w: there are %d factors for %d channels", stage, ErrScale, len(scale), m.Channels(stage))
	}
	for c, v := range scale {
		if !(v >= 1/maxScale && v <= maxScale) {
			return fmt.Errorf("backbone: scale channels of %s: %w: factor %d is %g, want %g to %g", stage, ErrScale, c, v, 1/maxScale, maxScale)
		}
	}
	if err := m.replace(ctx, m.factors(stage, scale)); err != nil {
		return fmt.Errorf("backbone: scale channels of %s: %w", stage, err)
	}
	return nil
}

// factor is what is done to one weight: each value times by[i], or over it, where i
// is its place along an axis.
type factor struct {
	name string
	axis int
	over bool
	by   []float32
}

// factors lists what scales the stream of a stage.
func (m *ResNet) factors(stage Layer, by []float32) []factor {
	var fs []factor
	out := func(u *layers.ConvNorm) { // what a unit gives
		fs = append(fs, factor{u.Norm + ".weight", 0, false, by}, factor{u.Norm + ".bias", 0, false, by})
	}
	in := func(u *layers.ConvNorm) { // what a unit reads
		fs = append(fs, factor{u.Name + ".weight", 1, true, by})
	}
	blocks := m.stages[stage-Layer1]
	if blocks[0].Down == nil { // the stem's features go through the stage
		out(&m.stem)
	}
	for j := range blocks {
		b := &blocks[j]
		if j > 0 || b.Down == nil {
			in(&b.Path[0])
		}
		out(&b.Path[len(b.Path)-1])
		if b.Down != nil {
			out(b.Down)
		}
	}
	if stage < min(m.last, Layer4) {
		next := &m.stages[stage+1-Layer1][0]
		in(&next.Path[0])
		if next.Down != nil {
			in(next.Down)
		}
	}
	if stage == Layer4 && m.last == Pooled {
		fs = append(fs, factor{"fc.weight", 1, true, by})
	}
	return fs
}

// replace puts the changed weights in place of the old ones. All are made before the
// first one is put.
func (m *ResNet) replace(ctx context.Context, fs []factor) error {
	all, err := m.params.Arrays(ctx)
	if err != nil {
		return err
	}
	out := make([]tensor.Array, len(fs))
	for i, f := range fs {
		at := slices.IndexFunc(all, func(a tensor.Array) bool { return a.Name == f.name })
		if at < 0 {
			return fmt.Errorf("%w: %s is missing", ErrWeights, f.name)
		}
		if out[i], err = f.of(all[at]); err != nil {
			return err
		}
	}
	return tensor.Run(ctx, m.Device(), tensor.Evaluation, func(s *tensor.Scope) error {
		made := make([]*tensor.Tensor, len(out))
		for i, a := range out {
			made[i] = s.FromArray(a)
		}
		if err := s.Err(); err != nil {
			return err
		}
		defer m.params.Touch()
		for i, f := range fs {
			s.CopyInto(m.params.Get(f.name), made[i])
		}
		return s.Err()
	})
}

// of returns the changed weight.
func (f factor) of(a tensor.Array) (tensor.Array, error) {
	v, err := a.Floats()
	if err != nil {
		return a, err
	}
	inner := 1
	for _, n := range a.Shape[f.axis+1:] {
		inner *= int(n)
	}
	for i, x := range v {
		by := f.by[i/inner%len(f.by)]
		if f.over {
			v[i] = x / by
		} else {
			v[i] = x * by
		}
		if math.IsInf(float64(v[i]), 0) {
			return a, fmt.Errorf("%w: %s holds %g, which a factor of %g takes out of the range of float32", ErrScale, f.name, x, by)
		}
	}
	return tensor.FloatArray(a.Name, v, a.Shape...), nil
}
