package tab

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gotab/gotab/tensor"
)

// Form is a way to compare image features with anchors.
type Form string

const (
	// FormPaper is Eq. (5) and (6): the normal images of a batch against the N
	// normal anchors, the twins against the N abnormal ones, and the sum of both
	// cross-entropies. No term compares a normal image with an abnormal anchor.
	FormPaper Form = "paper"
	// FormOfficial is FormPaper with the released code's text bank: it stacks the
	// class vectors to [C, N] and reshapes, instead of transposing, to [N, C], so
	// that each row holds some C/N dimensions of all classes mixed, is no class's
	// vector and has no unit length.
	FormOfficial Form = "official"
	// FormJoint is one softmax over the 2N normal and abnormal anchors, so that
	// both states of all classes compete; the mean over the 2B images. Our own.
	FormJoint Form = "joint"
	// FormNormal is FormPaper without the twins: row "normal only" of Table 7.
	FormNormal Form = "normal"
)

// Alignment pulls image features towards text anchors: cross-entropy over
// cosine similarities times a learnable temperature.
type Alignment struct {
	Form Form `json:"form"`
	// Scale is the initial factor on the cosines (the inverse temperature), > 0.
	Scale float64 `json:"scale"`
	// Exponential learns the logarithm of the factor, as CLIP does; without it the
	// factor itself is learnt.
	Exponential bool `json:"exponential"`
	// Limit bounds the factor from above where Exponential is set; CLIP: 100. 0
	// means no bound.
	Limit float64 `json:"limit"`
	// Fixed keeps the factor.
	Fixed bool `json:"fixed"`
}

// clipScale is CLIP's initial factor, one over the temperature 0.07.
const clipScale = 1 / 0.07

// Paper returns Eq. (1) to (6). The article is silent on the temperature; it is
// CLIP's here: exp(t), starting at 1/0.07, at most 100.
func Paper() Alignment {
	return Alignment{Form: FormPaper, Scale: clipScale, Exponential: true, Limit: 100}
}

// Official returns what the released code computes: the scrambled text bank (see
// FormOfficial) and the raw parameter ln(1/0.07) = 2.659 used as the factor
// without the exponential. Set [Config.SeparatePasses] for its third quirk, batch
// norm statistics of the twins apart.
func Official() Alignment {
	return Alignment{Form: FormOfficial, Scale: math.Log(clipScale)}
}

// Joint returns one softmax over all 2N anchors with CLIP's temperature.
func Joint() Alignment {
	return Alignment{Form: FormJoint, Scale: clipScale, Exponential: true, Limit: 100}
}

// NormalOnly returns the row "normal only" of Table 7: normal images against
// normal anchors and nothing else.
func NormalOnly() Alignment {
	a := Paper()
	a.Form = FormNormal
	return a
}

// Name implements [Objective].
func (a Alignment) Name() string { return string(a.Form) }

// Needs implements [Objective].
func (a Alignment) Needs() Needs {
	return Needs{Twin: a.Form != FormNormal, Anchors: true, Project: true}
}

// Validate checks the settings.
func (a Alignment) Validate() error {
	switch a.Form {
	case FormPaper, FormOfficial, FormJoint, FormNormal:
	default:
		return fmt.Errorf("tab: Alignment.Form is %q: %w: want paper, official, joint or normal", a.Form, ErrConfig)
	}
	if !(a.Scale > 0) || math.IsInf(a.Scale, 0) {
		return fmt.Errorf("tab: Alignment.Scale is %g: %w: want > 0", a.Scale, ErrConfig)
	}
	if a.Limit != 0 && !(a.Limit >= a.Scale) {
		return fmt.Errorf("tab: Alignment.Limit is %g: %w: want 0 or at least Scale = %g", a.Limit, ErrConfig, a.Scale)
	}
	return nil
}

const scaleName = "objective.scale"

// Setup implements [Objective]: one parameter, the factor or its logarithm.
func (a Alignment) Setup(s *tensor.Scope, p *tensor.Params, _ Dims, _ *rand.Rand) error {
	if err := a.Validate(); err != nil {
		return err
	}
	v := a.Scale
	if a.Exponential {
		v = math.Log(v)
	}
	t := s.FromFloats([]float32{float32(v)}, 1)
	if a.Fixed {
		return p.PutBuffer(s, scaleName, t)
	}
	return p.Put(s, scaleName, t)
}

// factor returns the multiplier of the cosines [1].
func (a Alignment) factor(s *tensor.Scope, p *tensor.Params) *tensor.Tensor {
	t := p.Get(scaleName)
	if !a.Exponential {
		return t
	}
	if a.Limit > 0 {
		t = s.Neg(s.ClampMin(s.Neg(t), -math.Log(a.Limit)))
	}
	return s.Exp(t)
}

// scramble is the released code's reshape of the bank; see FormOfficial.
func scramble(s *tensor.Scope, bank *tensor.Tensor) *tensor.Tensor {
	n, c := bank.Size(0), bank.Size(1)
	return s.Reshape(s.Contiguous(s.Transpose(bank, 0, 1)), n, c)
}

// Loss implements [Objective].
func (a Alignment) Loss(s *tensor.Scope, v View) (loss, accuracy *tensor.Tensor) {
	k := a.factor(s, v.Params)
	logits := func(f, bank *tensor.Tensor) *tensor.Tensor { // [B, C], [N, C] -> [B, N]
		return s.Mul(s.MatMul(s.Normalize(f, 1, 1e-12), s.Transpose(bank, 0, 1)), k)
	}
	right := func(logits, class *tensor.Tensor) *tensor.Tensor {
		return s.Mean(s.Cast(s.Equal(s.ArgMax(logits, 1), class), tensor.Float32), false)
	}
	switch a.Form {
	case FormJoint:
		n := float64(v.NormalText.Size(0))
		class := s.Cat(0, v.Class, s.Cast(s.AddScalar(v.Class, n), tensor.Int64)) // k for normal, k+N for abnormal
		l := logits(s.Cat(0, v.Normal.Pooled, v.Abnormal.Pooled), s.Cat(0, v.NormalText, v.AbnormalText))
		return s.CrossEntropy(l, class), right(l, class)
	case FormNormal:
		l := logits(v.Normal.Pooled, v.NormalText)
		return s.CrossEntropy(l, v.Class), right(l, v.Class)
	}
	tn, ta := v.NormalText, v.AbnormalText
	if a.Form == FormOfficial {
		tn, ta = scramble(s, tn), scramble(s, ta)
	}
	ln, la := logits(v.Normal.Pooled, tn), logits(v.Abnormal.Pooled, ta)
	return s.Add(s.CrossEntropy(ln, v.Class), s.CrossEntropy(la, v.Class)),
		s.MulScalar(s.Add(right(ln, v.Class), right(la, v.Class)), 0.5)
}
