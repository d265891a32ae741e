package tab

import (
	"fmt"
	"math/rand/v2"

	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/tensor"
)

// Classification is the article's baseline "Cls" (Tables 5 and 7): a linear layer
// of its own and no text. Binary tells normal from abnormal, the article's words;
// otherwise there is an output for each class and state (2N), as in the released
// code's exploratory version.
type Classification struct {
	Binary bool `json:"binary"`
}

// Name implements [Objective].
func (c Classification) Name() string {
	if c.Binary {
		return "binary"
	}
	return "classes"
}

// Needs implements [Objective].
func (Classification) Needs() Needs { return Needs{Twin: true} }

// outputs returns the number of classes that the layer tells apart.
func (c Classification) outputs(classes int) int {
	if c.Binary {
		return 2
	}
	return 2 * classes
}

// Setup implements [Objective]: the linear layer, drawn as PyTorch draws one.
func (c Classification) Setup(s *tensor.Scope, p *tensor.Params, d Dims, rng *rand.Rand) error {
	out := int64(c.outputs(d.Classes))
	return linear(s, p, "objective.linear", int64(d.Pooled), out, rng)
}

// linear puts a linear layer with PyTorch's initialisation into p.
func linear(s *tensor.Scope, p *tensor.Params, name string, in, out int64, rng *rand.Rand) error {
	w, b, err := layers.Linear(rng, in, out)
	if err != nil {
		return fmt.Errorf("tab: %s: %w", name, err)
	}
	if err := p.Put(s, name+".weight", s.FromFloats(w, out, in)); err != nil {
		return err
	}
	return p.Put(s, name+".bias", s.FromFloats(b, out))
}

// Loss implements [Objective]: cross-entropy of both twins, mean over 2B.
func (c Classification) Loss(s *tensor.Scope, v View) (loss, accuracy *tensor.Tensor) {
	w := v.Params.Get("objective.linear.weight")
	logits := s.Linear(s.Cat(0, v.Normal.Pooled, v.Abnormal.Pooled), w, v.Params.Get("objective.linear.bias"))
	normal := v.Class
	shift := float64(w.Size(0) / 2)
	if c.Binary {
		normal = s.Cast(s.MulScalar(v.Class, 0), tensor.Int64)
		shift = 1
	}
	class := s.Cat(0, normal, s.Cast(s.AddScalar(normal, shift), tensor.Int64))
	right := s.Mean(s.Cast(s.Equal(s.ArgMax(logits, 1), class), tensor.Float32), false)
	return s.CrossEntropy(logits, class), right
}
