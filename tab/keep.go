package tab

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/tensor"
)

// Keep ties what the network makes of good parts to what it made of them at the
// start, in units of the products' spread (q, see [Metric]): over the inner cells
// of the good images and the clean ones of the twins (and those set apart, see
// [Cells].Within), the mean of q plus Tail
// times the mean of its largest hundredth, because a detector's score is a
// maximum. The stages' terms are added. The share of right answers is that of
// cells that moved less than a quantile of 95 % of the spread.
type Keep struct {
	// Layers are the stages that are tied, at least one, none twice.
	Layers []backbone.Layer `json:"layers"`
	// Tail weighs the largest hundredth of the cells, >= 0.
	Tail float64 `json:"tail"`
	// TiedWeight is how many times the q of cells of tied pairs counts ([Config].Tied), in the mean and where the
	// largest are chosen, >= 0; 0 is 1. Ten took two thirds of what one tied product lost, and a third to a half of what
	// the product that was not tied gained (docs/results.md).
	TiedWeight float64 `json:"tied_weight,omitempty"`
}

// detectorLayers are the stages that PaDiM and its like read.
func detectorLayers() []backbone.Layer {
	return []backbone.Layer{backbone.Layer1, backbone.Layer2, backbone.Layer3}
}

// DefaultKeep ties layers 1 to 3 with a tail of 0.2.
func DefaultKeep() Keep { return Keep{Layers: detectorLayers(), Tail: 0.2} }

// tailShare is the part of the cells that Keep.Tail counts.
const tailShare = 100

// Name implements [Objective].
func (Keep) Name() string { return "keep" }

// Needs implements [Objective].
func (k Keep) Needs() Needs {
	return Needs{Twin: true, Masks: true, Stages: k.Layers, NoPooled: true, Start: true, Cells: true, Metric: true, Tied: TiedHeld}
}

// Validate checks the settings.
func (k Keep) Validate() error {
	if err := checkLayers("Keep", k.Layers); err != nil {
		return err
	}
	if err := atLeastZero("Keep.Tail", k.Tail); err != nil {
		return err
	}
	return atLeastZero("Keep.TiedWeight", k.TiedWeight)
}

func checkLayers(of string, layers []backbone.Layer) error {
	if len(layers) == 0 {
		return fmt.Errorf("tab: %s.Layers is empty: %w: want stages, for example layer1 to layer3", of, ErrConfig)
	}
	for i, l := range layers {
		if l < backbone.Stem || l > backbone.Layer4 || slices.Contains(layers[:i], l) {
			return fmt.Errorf("tab: %s.Layers is %v: %w: want stages from stem to layer4, none twice", of, layers, ErrConfig)
		}
	}
	return nil
}

func atLeastZero(field string, v float64) error {
	if !(v >= 0) || math.IsInf(v, 0) {
		return fmt.Errorf("tab: %s is %g: %w: want 0 or more", field, v, ErrConfig)
	}
	return nil
}

func positive(field string, v float64) error {
	if !(v > 0) || math.IsInf(v, 0) {
		return fmt.Errorf("tab: %s is %g: %w: want > 0", field, v, ErrConfig)
	}
	return nil
}

// Setup implements [Objective]; it has no parameters.
func (k Keep) Setup(*tensor.Scope, *tensor.Params, Dims, *rand.Rand) error { return k.Validate() }

// Loss implements [Objective].
func (k Keep) Loss(s *tensor.Scope, v View) (loss, accuracy *tensor.Tensor) {
	var losses, right []*tensor.Tensor
	n := k.cells(s, v) // of the whole batch, a stage
	for i, l := range k.Layers {
		c := v.Cells[l]
		if s.Err() != nil {
			break
		}
		b := v.Class.Size(0)
		h, w := c.Inner.Size(1), c.Inner.Size(2)
		moved := s.Cat(0, s.Minus(v.Normal.Stages[l], v.NormalStart.Stages[l]), s.Minus(v.Abnormal.Stages[l], v.AbnormalStart.Stages[l]))
		q := v.Metric.Square(s, l, moved, s.Cat(0, v.Class, v.Class))
		still := c.Clean
		if c.Within != nil {
			still = s.Add(still, c.Within)
		}
		counts := q
		if v.Tied != nil && k.TiedWeight > 0 {
			times := s.Reshape(s.AddScalar(s.MulScalar(v.Tied, k.TiedWeight-1), 1), b, 1, 1)
			counts = s.Mul(q, s.Cat(0, times, times))
		}
		use := s.Cat(0, s.Expand(c.Inner, b, h, w), still)
		q95, _ := v.Metric.Quantiles(s, l, v.Class)
		bound := s.Reshape(s.Cat(0, q95, q95), 2*b, 1, 1)
		sums := v.Total(s, s.Sum(s.Mul(counts, use), false), s.Sum(s.Mul(reaches(s, bound, s.Detach(q)), use), false))
		term := s.MulScalar(sums[0], 1/float64(n[i]))
		if k.Tail > 0 {
			// What counts is not negative: cells that do not fall below all others.
			flat := s.Reshape(s.Add(s.Mul(counts, use), s.AddScalar(use, -1)), -1)
			term = s.Add(term, s.MulScalar(v.largest(s, flat, max(1, n[i]/tailShare)), k.Tail))
		}
		losses = append(losses, term)
		right = append(right, s.MulScalar(sums[1], 1/float64(n[i])))
	}
	return sum(s, losses), s.MulScalar(sum(s, right), 1/float64(max(1, len(right))))
}

// cells counts the cells that are tied at each stage.
func (k Keep) cells(s *tensor.Scope, v View) []int {
	out := make([]int, len(k.Layers))
	if s.Err() != nil {
		return out
	}
	for i, l := range k.Layers {
		c := v.Cells[l]
		out[i] = int(v.Class.Size(0)) * c.InnerCount
		for _, m := range c.CleanCount {
			out[i] += m
		}
		for _, m := range c.WithinCount {
			out[i] += m
		}
	}
	return v.totals(s, out...)
}

// reaches is 1 where a >= b and 0 elsewhere; they broadcast.
func reaches(s *tensor.Scope, a, b *tensor.Tensor) *tensor.Tensor {
	return s.Cast(s.Equal(s.Maximum(a, b), a), tensor.Float32)
}

// sum adds scalars.
func sum(s *tensor.Scope, ts []*tensor.Tensor) *tensor.Tensor {
	if len(ts) == 0 {
		return s.Full(0, tensor.Float32)
	}
	t := ts[0]
	for _, u := range ts[1:] {
		t = s.Add(t, u)
	}
	return t
}
