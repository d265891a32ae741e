package tensor

import (
	"fmt"
	"slices"

	"github.com/sugarme/gotch/libtch"
)

// absent is libtorch's undefined tensor, which stands for an optional operand
// that is not given. It is made once and never freed; it holds no memory.
var absent = libtch.AtNewTensor()

func optional(t *Tensor) libtch.Ctensor {
	if t == nil {
		return absent
	}
	return t.h
}

// Conv describes a square two-dimensional convolution. Zero Stride, Dilation and
// Groups mean 1.
type Conv struct {
	Stride, Padding, Dilation, Groups int64
}

func (c Conv) filled() Conv {
	c.Stride, c.Dilation, c.Groups = max(c.Stride, 1), max(c.Dilation, 1), max(c.Groups, 1)
	return c
}

// Conv2d convolves x [N, C, H, W] with w [O, C/Groups, k, k] and adds b [O]
// where it is not nil. The result is channels-last where x or w is.
func (s *Scope) Conv2d(x, w, b *Tensor, c Conv) *Tensor {
	c = c.filled()
	in := []*Tensor{x, w}
	if b != nil {
		in = append(in, b)
	}
	if x.Valid() && w.Valid() && (x.Dim() != 4 || w.Dim() != 4 || x.Size(1) != w.Size(1)*c.Groups) {
		s.fail("Conv2d", in, fmt.Errorf("%w: want [N C H W] and [O C/%d k k]", ErrShape, c.Groups))
	}
	st, pd, dl := []int64{c.Stride, c.Stride}, []int64{c.Padding, c.Padding}, []int64{c.Dilation, c.Dilation}
	return s.op("Conv2d", func(out *libtch.Ctensor) {
		libtch.AtgConv2d(out, x.h, w.h, optional(b), st, 2, pd, 2, dl, 2, c.Groups)
	}, in...)
}

// ConvTranspose2d is the transpose of Conv2d as a linear map, which enlarges: x
// [N, C, H, W] with w [C, O/Groups, k, k] gives
// [N, O, (H-1) Stride - 2 Padding + Dilation (k-1) + 1, ..], plus b [O] where it
// is not nil.
func (s *Scope) ConvTranspose2d(x, w, b *Tensor, c Conv) *Tensor {
	c = c.filled()
	in := []*Tensor{x, w}
	if b != nil {
		in = append(in, b)
	}
	if x.Valid() && w.Valid() && (x.Dim() != 4 || w.Dim() != 4 || x.Size(1) != w.Size(0)) {
		s.fail("ConvTranspose2d", in, fmt.Errorf("%w: want [N C H W] and [C O/%d k k]", ErrShape, c.Groups))
	}
	st, pd, dl := []int64{c.Stride, c.Stride}, []int64{c.Padding, c.Padding}, []int64{c.Dilation, c.Dilation}
	return s.op("ConvTranspose2d", func(out *libtch.Ctensor) {
		libtch.AtgConvTranspose2d(out, x.h, w.h, optional(b), st, 2, pd, 2, []int64{0, 0}, 2, c.Groups, dl, 2)
	}, in...)
}

// PackConv lays the weight w [O, C/Groups, k, k] out as oneDNN wants it for
// inputs of the given shape [N, C, H, W] on the CPU. The result is only good for
// ConvFused and ConvAddReLU. Inputs of other shapes, and Runs with other numbers
// of threads, may want another layout: it is made when one comes that does, and
// kept beside the first. A weight has at most four layouts, each of the size of w
// with O rounded up to a block of 64; of more the one that was longest not used is
// dropped. Dilation is 1.
func (s *Scope) PackConv(w *Tensor, c Conv, input [4]int64) *Tensor {
	c = c.filled()
	if w.Valid() && w.dev.cuda {
		s.fail("PackConv", []*Tensor{w}, fmt.Errorf("%w: oneDNN packs for the CPU", ErrDevice))
	}
	if w.Valid() && (w.packed || w.Dim() != 4 || w.DType() != Float32 || input[1] != w.Size(1)*c.Groups || w.Size(0)%c.Groups != 0) {
		s.fail("PackConv", []*Tensor{w}, fmt.Errorf("%w: want float32 [O C/%d k k] for inputs %s", ErrShape, c.Groups, shapeString(input[:])))
	}
	t := s.shim("PackConv", func(out *libtch.Ctensor) error { return nativePackConv(out, w.h, c, input[:]) }, w)
	if t.Valid() {
		t.packed, t.shape = true, w.Shape()
	}
	return t
}

// ConvFused is Conv2d with a packed weight and a bias, followed by ReLU where
// relu is true, in one pass over the memory. x must be channels-last. Nothing is
// recorded for Backward.
func (s *Scope) ConvFused(x, packed, b *Tensor, c Conv, relu bool) *Tensor {
	c = c.filled()
	s.fusable("ConvFused", []*Tensor{x, packed, b}, c)
	return s.shim("ConvFused", func(out *libtch.Ctensor) error { return nativeConvFused(out, x.h, packed.h, b.h, c, relu) }, x, packed, b)
}

// ConvAddReLU changes dst to ReLU(dst + conv(x) + b), with a packed weight, in
// one pass. dst and x must be channels-last.
func (s *Scope) ConvAddReLU(dst, x, packed, b *Tensor, c Conv) {
	c = c.filled()
	if s.fusable("ConvAddReLU", []*Tensor{x, packed, b}, c) && dst.Valid() {
		want := fusedShape(x, packed, c)
		if dst.packed || dst.DType() != Float32 || !slices.Equal(dst.Shape(), want) {
			s.fail("ConvAddReLU", []*Tensor{dst, x, packed}, fmt.Errorf("%w: the sum must be float32 %s", ErrShape, shapeString(want)))
		}
	}
	s.effect("ConvAddReLU", func() error { return nativeConvAddReLU(dst.h, x.h, packed.h, b.h, c) }, dst, x, packed, b)
}

// fusedShape is the shape of a convolution with a packed weight.
func fusedShape(x, packed *Tensor, c Conv) []int64 {
	side := func(d int) int64 { return (x.Size(d)+2*c.Padding-packed.Size(d))/c.Stride + 1 }
	return []int64{x.Size(0), packed.Size(0), side(2), side(3)}
}

// fusable checks the operands x, packed weight and bias: oneDNN trusts its
// caller with their sizes. It says whether they are there and fit.
func (s *Scope) fusable(name string, in []*Tensor, c Conv) bool {
	x, w, b := in[0], in[1], in[2]
	if s.st.err != nil || !x.Valid() || !w.Valid() || !b.Valid() {
		return false
	}
	if !w.packed || x.packed || b.packed || x.Dim() != 4 || x.DType() != Float32 || x.Size(1) != w.Size(1)*c.Groups ||
		b.Dim() != 1 || b.Len() != w.Size(0) || b.DType() != Float32 || w.Size(0)%c.Groups != 0 ||
		x.Size(2)+2*c.Padding < w.Size(2) || x.Size(3)+2*c.Padding < w.Size(3) || c.Padding < 0 || c.Dilation != 1 {
		s.fail(name, in, fmt.Errorf("%w: want float32 [N C H W], a packed [O C/%d k k] and a bias [O], dilation 1", ErrShape, c.Groups))
		return false
	}
	return true
}

// BatchNorm normalises each channel of x [N, C, ...]. With train it uses the
// batch's statistics and moves running mean and variance towards them by
// momentum (the variance unbiased, as PyTorch); without, it uses the running
// ones and leaves them.
func (s *Scope) BatchNorm(x, weight, bias, mean, variance *Tensor, train bool, momentum, eps float64) *Tensor {
	if x.Valid() && weight.Valid() && x.Size(1) != weight.Len() {
		s.fail("BatchNorm", []*Tensor{x, weight}, ErrShape)
	}
	return s.op("BatchNorm", func(out *libtch.Ctensor) {
		libtch.AtgBatchNorm(out, x.h, weight.h, bias.h, mean.h, variance.h, flag(train), momentum, eps, 1)
	}, x, weight, bias, mean, variance)
}

// LayerNorm normalises the last dimension of x [.., n] and applies weight and
// bias [n].
func (s *Scope) LayerNorm(x, weight, bias *Tensor, eps float64) *Tensor {
	if x.Valid() && weight.Valid() && x.Size(-1) != weight.Len() {
		s.fail("LayerNorm", []*Tensor{x, weight}, ErrShape)
	}
	return s.op("LayerNorm", func(out *libtch.Ctensor) {
		libtch.AtgLayerNorm(out, x.h, []int64{x.Size(-1)}, 1, weight.h, bias.h, eps, 1)
	}, x, weight, bias)
}

// Embedding looks rows of weight [V, D] up by the int64 ids [..], giving [.., D].
func (s *Scope) Embedding(weight, ids *Tensor) *Tensor {
	return s.op("Embedding", func(out *libtch.Ctensor) { libtch.AtgEmbedding(out, weight.h, ids.h, -1, 0, 0) }, weight, ids)
}

// MaxPool2d takes the maximum over k x k windows of x [N, C, H, W].
func (s *Scope) MaxPool2d(x *Tensor, k, stride, padding int64) *Tensor {
	return s.op("MaxPool2d", func(out *libtch.Ctensor) {
		libtch.AtgMaxPool2d(out, x.h, []int64{k, k}, 2, []int64{stride, stride}, 2, []int64{padding, padding}, 2, []int64{1, 1}, 2, 0)
	}, x)
}

// AvgPool2d averages over k x k windows of x [N, C, H, W]; padding counts.
func (s *Scope) AvgPool2d(x *Tensor, k, stride, padding int64) *Tensor {
	return s.op("AvgPool2d", func(out *libtch.Ctensor) {
		libtch.AtgAvgPool2d(out, x.h, []int64{k, k}, 2, []int64{stride, stride}, 2, []int64{padding, padding}, 2, 0, 1, 1, 1)
	}, x)
}

// GlobalAvgPool averages x [N, C, H, W] over its positions, giving [N, C].
func (s *Scope) GlobalAvgPool(x *Tensor) *Tensor { return s.Mean(x, false, 2, 3) }

// UpsampleBilinear resizes x [N, C, H, W] to h x w with half-pixel centres
// (PyTorch's align_corners=false).
func (s *Scope) UpsampleBilinear(x *Tensor, h, w int64) *Tensor {
	return s.op("UpsampleBilinear", func(out *libtch.Ctensor) {
		libtch.AtgUpsampleBilinear2d(out, x.h, []int64{h, w}, 2, 0, 0, 1, 0, 1)
	}, x)
}

// UpsampleNearest resizes x [N, C, H, W] to h x w by repeating values.
func (s *Scope) UpsampleNearest(x *Tensor, h, w int64) *Tensor {
	return s.op("UpsampleNearest", func(out *libtch.Ctensor) {
		libtch.AtgUpsampleNearest2d(out, x.h, []int64{h, w}, 2, 0, 1, 0, 1)
	}, x)
}

// CrossEntropy returns the mean over the batch of -log softmax(logits)[target]:
// logits [N, K] or [N, K, H, W], target int64 [N] or [N, H, W] with 0 to K-1.
func (s *Scope) CrossEntropy(logits, target *Tensor) *Tensor {
	const mean, ignore = 1, -100
	return s.op("CrossEntropy", func(out *libtch.Ctensor) {
		libtch.AtgCrossEntropyLoss(out, logits.h, target.h, absent, mean, ignore, 0)
	}, logits, target)
}

// BCEWithLogits returns the mean binary cross-entropy of sigmoid(logits) and
// target, both of one shape.
func (s *Scope) BCEWithLogits(logits, target *Tensor) *Tensor {
	const mean = 1
	return s.op("BCEWithLogits", func(out *libtch.Ctensor) {
		libtch.AtgBinaryCrossEntropyWithLogits(out, logits.h, target.h, absent, absent, mean)
	}, logits, target)
}
