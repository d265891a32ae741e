package tab

import (
	"math/rand/v2"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/tensor"
)

// Amplify pushes the twins' damaged cells further from the same cells of the good
// images, up to a target: recipe "amplify and keep", after AAND (arXiv
// 2405.02068) in plain weights. With q the displacement between the twins in units
// of the product's spread ([Metric]) and q0 the frozen copy's,
//
//	t = min(max(Gain q0, Q95), Cap Q99)
//	loss = Softness softplus((ln t - ln(q + 1e-4)) / Softness)
//
// as the mean over a twin's anomalous cells, then over the twins that have any, so
// that small damage counts as much as large; the stages' terms are added. The good
// images' side gets no gradient: mix it with [Keep], which holds them in place. A
// batch without an anomalous cell has loss 0. The share of right answers is that
// of cells that have reached their targets.
type Amplify struct {
	// Layers are the stages that are pushed, at least one, none twice.
	Layers []backbone.Layer `json:"layers"`
	// Gain multiplies the squared displacement, > 0; 4 doubles the distance.
	Gain float64 `json:"gain"`
	// Cap bounds the target in units of the spread's 99 % quantile, > 0: further out
	// nothing is gained.
	Cap float64 `json:"cap"`
	// Softness is the width of the hinge in logarithms, > 0.
	Softness float64 `json:"softness"`
	// WithinSpread sets damaged cells apart that the frozen copy displaces within the
	// product's spread at every stage ([Needs].WithinSpread). In a [Mix] that holds
	// for the other terms too: Dense leaves such cells out, Keep ties them.
	WithinSpread bool `json:"within_spread"`
}

// DefaultAmplify returns the trials' settings: layers 1 to 3, gain 4, cap 4,
// softness 0.5, every damaged cell pushed.
func DefaultAmplify() Amplify {
	return Amplify{Layers: detectorLayers(), Gain: 4, Cap: 4, Softness: 0.5}
}

// Name implements [Objective].
func (Amplify) Name() string { return "amplify" }

// Needs implements [Objective].
func (a Amplify) Needs() Needs {
	return Needs{Twin: true, Masks: true, Stages: a.Layers, NoPooled: true, Start: true, Cells: true, Metric: true, WithinSpread: a.WithinSpread, Tied: TiedLeftOut}
}

// Validate checks the settings.
func (a Amplify) Validate() error {
	if err := checkLayers("Amplify", a.Layers); err != nil {
		return err
	}
	if err := positive("Amplify.Gain", a.Gain); err != nil {
		return err
	}
	if err := positive("Amplify.Cap", a.Cap); err != nil {
		return err
	}
	return positive("Amplify.Softness", a.Softness)
}

// Setup implements [Objective]; it has no parameters.
func (a Amplify) Setup(*tensor.Scope, *tensor.Params, Dims, *rand.Rand) error { return a.Validate() }

// faint is added to displacements before the logarithm, which has no value at 0.
const faint = 1e-4

// Loss implements [Objective].
func (a Amplify) Loss(s *tensor.Scope, v View) (loss, accuracy *tensor.Tensor) {
	var losses, right []*tensor.Tensor
	damaged := a.damaged(s, v)
	for i, l := range a.Layers {
		c := v.Cells[l]
		if s.Err() != nil {
			break
		}
		if damaged[i] == 0 {
			continue
		}
		inverse := make([]float32, len(c.AnomalousCount))
		for j, n := range c.AnomalousCount {
			if n > 0 {
				inverse[j] = 1 / float32(n*damaged[i])
			}
		}
		// Each cell's weight: the mean over cells, then over twins.
		weight := s.Mul(c.Anomalous, s.FromFloats(inverse, int64(len(inverse)), 1, 1))
		q := v.Metric.Square(s, l, s.Minus(v.Abnormal.Stages[l], s.Detach(v.Normal.Stages[l])), v.Class)
		target, q0 := (*tensor.Tensor)(nil), c.Displacement
		s.NoGrad(func() {
			if q0 == nil {
				q0 = v.Metric.Square(s, l, s.Minus(v.AbnormalStart.Stages[l], v.NormalStart.Stages[l]), v.Class)
			}
			q95, q99 := v.Metric.Quantiles(s, l, v.Class)
			least := s.Maximum(s.MulScalar(q0, a.Gain), s.Reshape(q95, -1, 1, 1))
			target = minimum(s, least, s.MulScalar(s.Reshape(q99, -1, 1, 1), a.Cap))
		})
		gap := s.Minus(s.Log(target), s.Log(s.AddScalar(q, faint)))
		hinge := s.MulScalar(softplus(s, s.MulScalar(gap, 1/a.Softness)), a.Softness)
		sums := v.Total(s, s.Sum(s.Mul(hinge, weight), false), s.Sum(s.Mul(reaches(s, s.Detach(q), target), weight), false))
		losses, right = append(losses, sums[0]), append(right, sums[1])
		noteGain(s, v, l, q, q0, weight)
	}
	return sum(s, losses), s.MulScalar(sum(s, right), 1/float64(max(1, len(right))))
}

// damaged counts the twins of the whole batch with damaged cells at each stage.
func (a Amplify) damaged(s *tensor.Scope, v View) []int {
	out := make([]int, len(a.Layers))
	for i, l := range a.Layers {
		for _, n := range v.Cells[l].AnomalousCount {
			if n > 0 {
				out[i]++
			}
		}
	}
	return v.totals(s, out...)
}

func minimum(s *tensor.Scope, a, b *tensor.Tensor) *tensor.Tensor {
	return s.Neg(s.Maximum(s.Neg(a), s.Neg(b)))
}

// softplus is ln(1 + exp(x)), which is -ln softmax of (x, 0) at its second place.
func softplus(s *tensor.Scope, x *tensor.Tensor) *tensor.Tensor {
	if s.Err() != nil {
		return x
	}
	x = s.Unsqueeze(x, 0)
	pair := s.Cat(0, x, s.MulScalar(s.Detach(x), 0))
	return s.Neg(s.Select(s.LogSoftmax(pair, 0), 0, 1))
}
