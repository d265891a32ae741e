package regad

import (
	"fmt"
	"math/rand/v2"

	"github.com/gotab/gotab/downstream/internal/network"
	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/tensor"
)

// Warp is what the transformers may do: the constants of downstream.Warp.
type Warp int

// part is one number that a transformer predicts.
type part int

const (
	partAngle part = iota // radians
	partScaleX
	partScaleY
	partShearX
	partShearY
	partShiftX
	partShiftY
	parts // how many there are
)

// identity returns the value of a part that changes nothing.
func (p part) identity() float32 {
	if p == partScaleX || p == partScaleY {
		return 1
	}
	return 0
}

// warps says what each warp predicts, in the order of the transformer's output; they stand in the order of the
// constants.
var warps = [...]struct {
	name  string
	parts []part
}{
	{"rotation_scale", []part{partAngle, partScaleX, partScaleY}},
	{"affine", []part{partScaleX, partShearX, partShiftX, partShearY, partScaleY, partShiftY}},
	{"translation", []part{partShiftX, partShiftY}},
	{"rotation", []part{partAngle}},
	{"scale", []part{partScaleX, partScaleY}},
	{"shear", []part{partShearX, partShearY}},
	{"translation_scale", []part{partShiftX, partShiftY, partScaleX, partScaleY}},
	{"rotation_translation", []part{partAngle, partShiftX, partShiftY}},
	{"rotation_translation_scale", []part{partAngle, partShiftX, partShiftY, partScaleX, partScaleY}},
}

// Valid says whether w is one of the constants.
func (w Warp) Valid() bool { return w >= 0 && int(w) < len(warps) }

// Name is the name of a warp in a file, such as "rotation_scale"; empty for one that is none.
func (w Warp) Name() string {
	if !w.Valid() {
		return ""
	}
	return warps[w].name
}

// WarpNamed is the reverse of [Warp.Name]; false for a name of none.
func WarpNamed(name string) (Warp, bool) {
	for i, w := range warps {
		if w.name == name {
			return Warp(i), true
		}
	}
	return 0, false
}

// WarpNames are the names of all warps.
func WarpNames() (names []string) {
	for _, w := range warps {
		names = append(names, w.name)
	}
	return names
}

// matrix makes the affine matrices [N, 2, 3] of predictions [N, parts of w]:
//
//	cos(angle) scaleX    shearX - sin(angle)    shiftX
//	shearY + sin(angle)  cos(angle) scaleY      shiftY
//
// in the units of [tensor.Scope.AffineGrid]. No warp has both angle and shears.
func (w Warp) matrix(s *tensor.Scope, predicted *tensor.Tensor) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		n := predicted.Size(0)
		var have [parts]*tensor.Tensor
		for i, p := range warps[w].parts {
			have[p] = s.Narrow(predicted, 1, int64(i), 1)
		}
		or := func(p part) *tensor.Tensor {
			if have[p] == nil {
				return s.Full(float64(p.identity()), tensor.Float32, n, 1)
			}
			return have[p]
		}
		a, b, c, d := or(partScaleX), or(partShearX), or(partShearY), or(partScaleY)
		if angle := have[partAngle]; angle != nil {
			cos, sin := s.Cos(angle), s.Sin(angle)
			a, b, c, d = s.Mul(cos, a), s.Neg(sin), sin, s.Mul(cos, d)
		}
		return s.Reshape(s.Cat(1, a, b, or(partShiftX), c, d, or(partShiftY)), n, 2, 3)
	})
}

// invert returns the inverses of affine matrices [N, 2, 3]. One without an
// inverse gives values that are not finite, which the features are then, too.
func invert(s *tensor.Scope, theta *tensor.Tensor) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		n := theta.Size(0)
		flat := s.Reshape(theta, n, 6)
		at := func(i int64) *tensor.Tensor { return s.Narrow(flat, 1, i, 1) }
		a, b, x, c, d, y := at(0), at(1), at(2), at(3), at(4), at(5)
		det := s.Minus(s.Mul(a, d), s.Mul(b, c))
		back := s.Cat(1,
			d, s.Neg(b), s.Minus(s.Mul(b, y), s.Mul(d, x)),
			s.Neg(c), a, s.Minus(s.Mul(c, x), s.Mul(a, y)))
		return s.Reshape(s.Div(back, det), n, 2, 3)
	})
}

// warpMap reads x [N, C, h, w] where the matrices theta say, bilinearly, beyond
// the border as its reflection, and returns it channels-last.
func warpMap(s *tensor.Scope, x, theta *tensor.Tensor) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		return s.ChannelsLast(s.GridSample(x, s.AffineGrid(theta, x.Size(2), x.Size(3))))
	})
}

// Channels of a transformer's two convolutions.
const (
	warpWide   = 64
	warpNarrow = 16
)

// transformer is a spatial transformer (Jaderberg et al., arXiv 1506.02025) as
// RegAD has it: two convolutions of 3x3, each with batch norm, ReLU and a maximum
// over 3x3 with stride 2, a hidden layer, and one output a part of the warp.
type transformer struct {
	warp   Warp
	units  [2]layers.ConvNorm
	hidden linear
	out    linear
	folded [2]*layers.Folded
}

// newTransformer describes the transformer of maps of a shape.
func newTransformer(prefix string, warp Warp, m network.MapShape, hidden int) *transformer {
	half := func(n int) int { return (n + 1) / 2 } // what the maximum over 3x3 leaves
	unit := func(i int, in, out int64) layers.ConvNorm {
		return layers.ConvNorm{Name: fmt.Sprintf("%sconv%d", prefix, i), Norm: fmt.Sprintf("%sbn%d", prefix, i),
			In: in, Out: out, Kernel: 3, Conv: tensor.Conv{Padding: 1}}
	}
	flat := warpNarrow * half(half(m.H)) * half(half(m.W))
	return &transformer{warp: warp,
		units:  [2]layers.ConvNorm{unit(1, int64(m.C), warpWide), unit(2, warpWide, warpNarrow)},
		hidden: linear{name: prefix + "fc1", in: int64(flat), out: int64(hidden)},
		out:    linear{name: prefix + "fc2", in: int64(hidden), out: int64(len(warps[warp].parts))},
	}
}

func (t *transformer) specs() []layers.Spec {
	return append(append(append(t.units[0].Specs(), t.units[1].Specs()...), t.hidden.specs()...), t.out.specs()...)
}

func (t *transformer) bind(p *tensor.Params) error {
	for i := range t.units {
		if err := t.units[i].Bind(p); err != nil {
			return err
		}
	}
	t.hidden.bind(p)
	t.out.bind(p)
	return nil
}

// fresh draws the weights as PyTorch's layers start; the last layer predicts the
// identity for every map.
func (t *transformer) fresh(rng *rand.Rand) (out []tensor.Array, err error) {
	for i := range t.units {
		a, err := freshUnit(&t.units[i], rng)
		if err != nil {
			return nil, err
		}
		out = append(out, a...)
	}
	a, err := t.hidden.fresh(rng)
	if err != nil {
		return nil, err
	}
	bias := make([]float32, t.out.out)
	for i, p := range warps[t.warp].parts {
		bias[i] = p.identity()
	}
	return append(append(out, a...), t.out.arrays(make([]float32, t.out.in*t.out.out), bias)...), nil
}

// fold makes the evaluation form for maps of a shape; its tensors go to to.
func (t *transformer) fold(s *tensor.Scope, to *tensor.Params, m network.MapShape) (err error) {
	h, w := int64(m.H), int64(m.W)
	for i := range t.units {
		u := &t.units[i]
		if t.folded[i], err = u.Fold(s, to, [4]int64{1, u.In, h, w}); err != nil {
			return err
		}
		h, w = (h+1)/2, (w+1)/2
	}
	return nil
}

// predict returns the matrices [N, 2, 3] for maps x [N, C, h, w]. In a Run of
// mode Training batch norm uses the batch's statistics.
func (t *transformer) predict(s *tensor.Scope, x *tensor.Tensor) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		for i := range t.units {
			in := x
			x = s.Sub(func(s *tensor.Scope) *tensor.Tensor {
				if s.Mode() == tensor.Training {
					return s.ReLUInto(s.MaxPool2d(t.units[i].Forward(s, in, true), 3, 2, 1)) // in this order, as in a ResNet's stem
				}
				return s.MaxPool2d(t.folded[i].Forward(s, in, true), 3, 2, 1)
			})
		}
		flat := s.Reshape(x, x.Size(0), -1)
		return t.warp.matrix(s, t.out.forward(s, s.ReLU(t.hidden.forward(s, flat))))
	})
}

// linear is a fully connected layer with a bias.
type linear struct {
	name    string
	in, out int64
	w, b    *tensor.Tensor
}

func (l *linear) specs() []layers.Spec {
	return []layers.Spec{{Name: l.name + ".weight", Shape: []int64{l.out, l.in}}, {Name: l.name + ".bias", Shape: []int64{l.out}}}
}

func (l *linear) bind(p *tensor.Params) {
	l.w, l.b = p.Get(l.name+".weight"), p.Get(l.name+".bias")
}

func (l *linear) arrays(w, b []float32) []tensor.Array {
	return []tensor.Array{tensor.FloatArray(l.name+".weight", w, l.out, l.in), tensor.FloatArray(l.name+".bias", b, l.out)}
}

func (l *linear) fresh(rng *rand.Rand) ([]tensor.Array, error) {
	w, b, err := layers.Linear(rng, l.in, l.out)
	if err != nil {
		return nil, err
	}
	return l.arrays(w, b), nil
}

func (l *linear) forward(s *tensor.Scope, x *tensor.Tensor) *tensor.Tensor {
	return s.Linear(x, l.w, l.b)
}

// freshUnit draws a convolution as PyTorch's own start, uniform up to
// 1/sqrt(in k k), and a batch norm of 1 and 0.
func freshUnit(u *layers.ConvNorm, rng *rand.Rand) ([]tensor.Array, error) {
	arrays, err := u.Fresh(rng)
	if err != nil {
		return nil, err
	}
	fan := u.In * u.Kernel * u.Kernel
	w, err := tensor.Uniform(rng, u.Out*fan, tensor.LinearBound(fan))
	if err != nil {
		return nil, err
	}
	arrays[0] = tensor.FloatArray(arrays[0].Name, w, arrays[0].Shape...)
	return arrays, nil
}

// held returns how many values of one map a training step keeps until Backward.
func (t *transformer) held(m network.MapShape) int64 {
	half := func(m network.MapShape, c int) network.MapShape {
		return network.MapShape{H: (m.H + 1) / 2, W: (m.W + 1) / 2, C: c}
	}
	wide := network.MapShape{H: m.H, W: m.W, C: warpWide}
	second := half(m, warpNarrow)
	last := half(second, warpNarrow)
	places := func(n int) int { return (n + 3) / 4 }  // a byte each
	n := m.Len() + 2*m.H*m.W                          // warped, and the points where it was read
	n += wide.Len() + half(m, warpWide).Len()         // what batch norm reads, and the maximum
	n += second.Len() + 2*last.Len()                  // likewise, and the maximum once more as a row
	n += places(half(m, warpWide).Len() + last.Len()) // of the maxima
	return int64(n) + 2*t.hidden.out
}

// Step returns how many weights transformers and head have for layers with such maps, and how many values of an image
// the transformers keep in a training step until Backward.
func Step(of Shape, maps []network.MapShape) (weights, held int64) {
	count := func(specs []layers.Spec) {
		for _, sp := range specs {
			weights += sp.Values()
		}
	}
	for _, m := range maps {
		t := newTransformer("", of.Warp, m, of.Hidden)
		count(t.specs())
		held += t.held(m)
	}
	head := newSiamese(maps[len(maps)-1].C)
	count(head.encoder.specs())
	count(head.predictor.specs())
	return weights, held
}
