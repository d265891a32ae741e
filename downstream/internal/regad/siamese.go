package regad

import (
	"fmt"
	"math/rand/v2"

	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/tensor"
)

// pointwise is a stack of 1x1 convolutions without bias that keep the number of
// channels: all but the last are followed by batch norm and ReLU. It is only used
// in training.
type pointwise struct {
	units []layers.ConvNorm
	last  layers.Spec
	w     *tensor.Tensor // of the last
}

// newPointwise describes a stack of so many convolutions on c channels.
func newPointwise(prefix string, depth, c int) *pointwise {
	p := &pointwise{last: layers.Spec{Name: fmt.Sprintf("%sconv%d.weight", prefix, depth), Shape: []int64{int64(c), int64(c), 1, 1}}}
	for i := 1; i < depth; i++ {
		p.units = append(p.units, layers.ConvNorm{Name: fmt.Sprintf("%sconv%d", prefix, i), Norm: fmt.Sprintf("%sbn%d", prefix, i),
			In: int64(c), Out: int64(c), Kernel: 1})
	}
	return p
}

func (p *pointwise) specs() (out []layers.Spec) {
	for i := range p.units {
		out = append(out, p.units[i].Specs()...)
	}
	return append(out, p.last)
}

func (p *pointwise) bind(from *tensor.Params) error {
	for i := range p.units {
		if err := p.units[i].Bind(from); err != nil {
			return err
		}
	}
	p.w = from.Get(p.last.Name)
	return nil
}

// fresh draws the weights as PyTorch's layers start.
func (p *pointwise) fresh(rng *rand.Rand) (out []tensor.Array, err error) {
	for i := range p.units {
		a, err := freshUnit(&p.units[i], rng)
		if err != nil {
			return nil, err
		}
		out = append(out, a...)
	}
	c := p.last.Shape[0]
	w, err := tensor.Uniform(rng, c*c, tensor.LinearBound(c))
	if err != nil {
		return nil, err
	}
	return append(out, tensor.FloatArray(p.last.Name, w, p.last.Shape...)), nil
}

// forward runs the stack on x [N, C, h, w] with batch statistics.
func (p *pointwise) forward(s *tensor.Scope, x *tensor.Tensor) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		for i := range p.units {
			x = s.ReLUInto(p.units[i].Forward(s, x, true))
		}
		return s.Conv2d(x, p.w, nil, tensor.Conv{})
	})
}

// siamese is RegAD's head (Chen and He, arXiv 2011.10566, with 1x1 convolutions
// in place of linear layers, so that positions stay): an encoder of three
// convolutions and a predictor of two.
type siamese struct{ encoder, predictor *pointwise }

func newSiamese(channels int) siamese {
	const encoding, prediction = 3, 2
	return siamese{newPointwise("encoder.", encoding, channels), newPointwise("predictor.", prediction, channels)}
}

// loss is the symmetric negative cosine of aligned features a and b
// [N, C, h, w],
//
//	-1/2 [cos(P(E(a)), E(b)) + cos(P(E(b)), E(a))],
//
// where nothing flows back through the second operand of a cosine. Cosines are
// over the channels, their mean is over images and positions.
func (h siamese) loss(s *tensor.Scope, a, b *tensor.Tensor) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		za, zb := h.encoder.forward(s, a), h.encoder.forward(s, b)
		pa, pb := h.predictor.forward(s, za), h.predictor.forward(s, zb)
		cosine := func(p, z *tensor.Tensor) *tensor.Tensor {
			const least = 1e-8 // length below which PyTorch's cosine takes a vector for it
			return s.Mean(s.CosineSimilarity(p, s.Detach(z), 1, least), false)
		}
		return s.MulScalar(s.Add(cosine(pa, zb), cosine(pb, za)), -0.5)
	})
}
