package tab

import (
	"fmt"
	"math/rand/v2"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/tensor"
)

// DenseCount says how [Dense] counts its cells.
type DenseCount string

const (
	// DenseBalanced is cross-entropy, half of it the mean over anomalous cells and
	// half that over clean ones; what the trials used.
	DenseBalanced DenseCount = "balanced"
	// DenseFocal is focal loss (Lin et al., arXiv 1708.02002; gamma 2, 0.75 for
	// anomalous cells) plus the dice losses of both states.
	DenseFocal DenseCount = "focal"
)

// Dense is the article's idea at every position: a linear map of a stage's
// features (divided by their root mean square) to the width of the anchors, and
// the cosines with the product's own two anchors decide between good and damaged.
// Cells that count are the inner ones of the good images and the anomalous and
// clean ones of the twins ([Cells]); the stages' terms are added. The maps are
// parameters of the objective and are thrown away with it.
type Dense struct {
	// Layers are the stages that are compared, at least one, none twice.
	Layers []backbone.Layer `json:"layers"`
	// Scale multiplies the cosines, > 0; it is not learnt.
	Scale float64 `json:"scale"`
	// Count is how cells are counted.
	Count DenseCount `json:"count"`
}

// DefaultDense returns the trials' settings: layers 1 to 3, temperature 0.07,
// balanced cross-entropy.
func DefaultDense() Dense {
	return Dense{Layers: detectorLayers(), Scale: clipScale, Count: DenseBalanced}
}

// Name implements [Objective].
func (Dense) Name() string { return "dense" }

// Needs implements [Objective].
func (d Dense) Needs() Needs {
	return Needs{Twin: true, Masks: true, Anchors: true, Stages: d.Layers, NoPooled: true, Cells: true, Tied: TiedLeftOut}
}

// Validate checks the settings.
func (d Dense) Validate() error {
	if err := checkLayers("Dense", d.Layers); err != nil {
		return err
	}
	if d.Count != DenseBalanced && d.Count != DenseFocal {
		return fmt.Errorf("tab: Dense.Count is %q: %w: want balanced or focal", d.Count, ErrConfig)
	}
	return positive("Dense.Scale", d.Scale)
}

func denseName(l backbone.Layer) string { return "objective.dense." + l.String() }

// Setup implements [Objective]: a linear map a stage.
func (d Dense) Setup(s *tensor.Scope, p *tensor.Params, dims Dims, rng *rand.Rand) error {
	if err := d.Validate(); err != nil {
		return err
	}
	for _, l := range d.Layers {
		if err := linear(s, p, denseName(l), int64(dims.Channels[l]), int64(dims.Text), rng); err != nil {
			return err
		}
	}
	return nil
}

// rootFloor keeps the division by the root mean square finite.
const rootFloor = 1e-3

// logits returns how much nearer each position of f [B, C, h, w] is to the
// abnormal anchor of its product than to the normal one, times the scale, as
// [B, h, w]. difference [B, T] is abnormal minus normal anchor.
func (d Dense) logits(s *tensor.Scope, p *tensor.Params, l backbone.Layer, f, difference *tensor.Tensor) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		if s.Err() != nil {
			return nil
		}
		b, c, h, w := f.Size(0), f.Size(1), f.Size(2), f.Size(3)
		x := s.Reshape(s.Permute(f, 0, 2, 3, 1), b, h*w, c)
		root := s.Sqrt(s.ClampMin(s.Mean(s.Square(x), true, 2), rootFloor*rootFloor))
		z := s.Linear(s.Div(x, root), p.Get(denseName(l)+".weight"), p.Get(denseName(l)+".bias"))
		cos := s.MatMul(s.Normalize(z, 2, 1e-12), s.Unsqueeze(difference, 2)) // [B, hw, 1]
		return s.Reshape(s.MulScalar(cos, d.Scale), b, h, w)
	})
}

// Loss implements [Objective].
func (d Dense) Loss(s *tensor.Scope, v View) (loss, accuracy *tensor.Tensor) {
	var losses, right []*tensor.Tensor
	difference := s.IndexSelect(s.Minus(v.AbnormalText, v.NormalText), 0, s.Cat(0, v.Class, v.Class))
	for _, l := range d.Layers {
		c := v.Cells[l]
		if s.Err() != nil {
			break
		}
		b, h, w := v.Class.Size(0), c.Inner.Size(1), c.Inner.Size(2)
		logits := d.logits(s, v.Params, l, s.Cat(0, v.Normal.Stages[l], v.Abnormal.Stages[l]), difference)
		good := s.Cat(0, s.Expand(c.Inner, b, h, w), c.Clean)
		if v.Tied != nil {
			free := s.Reshape(s.AddScalar(s.Neg(v.Tied), 1), b, 1, 1)
			good = s.Mul(good, s.Cat(0, free, free))
		}
		bad := s.Cat(0, s.MulScalar(s.Expand(c.Inner, b, h, w), 0), c.Anomalous)
		losses = append(losses, d.count(s, v, logits, good, bad))
		// Right is a logit above 0 at damaged cells and at most 0 at good ones.
		zero := s.Full(0, tensor.Float32, 1)
		isGood := reaches(s, zero, s.Detach(logits))
		hits := s.Add(s.Mul(isGood, good), s.Mul(s.AddScalar(s.Neg(isGood), 1), bad))
		share := v.Total(s, s.Sum(hits, false), s.Sum(s.Add(good, bad), false))
		right = append(right, s.Div(share[0], s.ClampMin(share[1], 1)))
	}
	return sum(s, losses), s.MulScalar(sum(s, right), 1/float64(max(1, len(right))))
}

// count turns logits into a loss; good and bad mark the cells of each state with
// 1. There may be no bad one, and no good one in a batch of tied classes alone.
func (d Dense) count(s *tensor.Scope, v View, logits, good, bad *tensor.Tensor) *tensor.Tensor {
	// Cross-entropy of the logit against "bad" and against "good".
	ceBad, ceGood := softplus(s, s.Neg(logits)), softplus(s, logits)
	total := func(t *tensor.Tensor) *tensor.Tensor { return s.Sum(t, false) }
	if d.Count == DenseBalanced {
		t := v.Total(s, total(good), total(bad), total(s.Mul(ceBad, bad)), total(s.Mul(ceGood, good)))
		return s.MulScalar(s.Add(s.Div(t[2], s.ClampMin(t[1], 1)), s.Div(t[3], s.ClampMin(t[0], 1))), 0.5)
	}
	p := s.Sigmoid(logits) // of "bad"
	q := s.Sigmoid(s.Neg(logits))
	use := s.Add(good, bad)
	t := v.Total(s, total(good), total(bad),
		total(s.Mul(s.Mul(s.Square(q), ceBad), bad)), total(s.Mul(s.Mul(s.Square(p), ceGood), good)),
		total(s.Mul(p, bad)), total(s.Mul(p, use)), total(s.Mul(q, good)), total(s.Mul(q, use)))
	nGood, nBad := t[0], t[1]
	focal := s.Div(s.Add(s.MulScalar(t[2], 0.75), s.MulScalar(t[3], 0.25)), s.ClampMin(s.Add(nGood, nBad), 1))
	// Dice with 1 added above and below, so that a batch without damage has a value.
	dice := func(both, of, n *tensor.Tensor) *tensor.Tensor {
		return s.AddScalar(s.Neg(s.Div(s.AddScalar(s.MulScalar(both, 2), 1), s.AddScalar(s.Add(of, n), 1))), 1)
	}
	return s.Add(focal, s.Add(dice(t[4], t[5], nBad), dice(t[6], t[7], nGood)))
}
