package tensor

import (
	"errors"
	"fmt"
	"slices"

	"github.com/gotab/gotab/tensor/internal/native"
)

// optional is the handle of an operand that need not be given.
func optional(t *Tensor) native.Handle {
	if t == nil {
		return nil
	}
	return t.h
}

// Conv describes a square two-dimensional convolution. Zero Stride, Dilation and
// Groups mean 1. Stride, Padding and Dilation are at most 65,535, Groups at most the
// number of channels.
type Conv struct {
	Stride, Padding, Dilation, Groups int64
}

func (c Conv) filled() Conv {
	for _, v := range []*int64{&c.Stride, &c.Dilation, &c.Groups} {
		if *v == 0 {
			*v = 1
		}
	}
	return c
}

func (c Conv) String() string {
	return fmt.Sprintf("Stride %d, Padding %d, Dilation %d, Groups %d", c.Stride, c.Padding, c.Dilation, c.Groups)
}

// check holds the numbers of a filled c against the input [N, C, H, W] and the sizes
// of the weight, [O, C/Groups, k, k] or transposed [C, O/Groups, k, k].
func (c Conv) check(input, weight []int64, transposed bool) error {
	if len(input) != 4 || len(weight) != 4 {
		return fmt.Errorf("%w: want [N C H W] and a weight of four dimensions", ErrShape)
	}
	if err := errors.Join(within("Stride", c.Stride, 1, maxStep), within("Padding", c.Padding, 0, maxStep), within("Dilation", c.Dilation, 1, maxStep),
		within("Groups", c.Groups, 1, max(input[1], 1))); err != nil {
		return err
	}
	out := weight[0]
	if transposed {
		out = weight[1] * c.Groups
	}
	switch {
	case !transposed && (input[1] != weight[1]*c.Groups || weight[0]%c.Groups != 0):
		return fmt.Errorf("%w: want [N C H W] and [O C/Groups k k], Groups is %d", ErrShape, c.Groups)
	case transposed && (input[1] != weight[0] || weight[0]%c.Groups != 0):
		return fmt.Errorf("%w: want [N C H W] and [C O/Groups k k], Groups is %d", ErrShape, c.Groups)
	}
	sides := []int64{c.side(input[2], weight[2], transposed), c.side(input[3], weight[3], transposed)}
	if min(weight[2], weight[3]) < 1 || min(sides[0], sides[1]) < 1 {
		return fmt.Errorf("%w: nothing is left of the input with %s", ErrShape, c)
	}
	return holds(c.String(), input[0], out, sides[0], sides[1])
}

// side is the result's length of an input's side n and a kernel's side k.
func (c Conv) side(n, k int64, transposed bool) int64 {
	extent := c.Dilation*(k-1) + 1
	if transposed {
		return (n-1)*c.Stride - 2*c.Padding + extent
	}
	if n+2*c.Padding < extent {
		return 0
	}
	return (n+2*c.Padding-extent)/c.Stride + 1
}

// Conv2d convolves x [N, C, H, W] with w [O, C/Groups, k, k] and adds b [O]
// where it is not nil. The result is channels-last where x or w is. On the CPU, kernels of this package take float32
// convolutions of 3x3 without b, with Stride and Padding 1, C a multiple of 16, O of 32, C O at most 65,536, a result that is channels-last and maps of 64
// places or more, forward and backward, where [Scope.PackConv] says they take such a weight; rounding is less than that of plain sums.
func (s *Scope) Conv2d(x, w, b *Tensor, c Conv) *Tensor {
	c = c.filled()
	in := []*Tensor{x, w}
	if b != nil {
		in = append(in, b)
	}
	if s.ready("Conv2d", in) {
		s.check("Conv2d", in, c.check(x.Shape(), w.Shape(), false))
	}
	return s.opOf("Conv2d", c.String, func() (native.Handle, error) {
		return native.Conv2d(x.h, w.h, optional(b), c.Stride, c.Padding, c.Dilation, c.Groups)
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
	if s.ready("ConvTranspose2d", in) {
		s.check("ConvTranspose2d", in, c.check(x.Shape(), w.Shape(), true))
	}
	return s.opOf("ConvTranspose2d", c.String, func() (native.Handle, error) {
		return native.ConvTranspose2d(x.h, w.h, optional(b), c.Stride, c.Padding, c.Dilation, c.Groups)
	}, in...)
}

// PackConv lays the weight w [O, C/Groups, k, k] out as oneDNN wants it for
// inputs of the given shape [N, C, H, W] on the CPU. The result is only good for
// ConvFused and ConvAddReLU. Inputs of other shapes, and Runs with other numbers
// of threads, may want another layout: it is made when one comes that does, and
// kept beside the first. A weight has at most four layouts, each of the size of w
// with O rounded up to a block of 64; of more the one that was longest not used is
// dropped. Dilation is 1. A float32 weight of 3x3 with Stride and Padding 1, C a multiple of 16, O of 32 and
// C O at most 65,536 has one layout, of 4 times the size of w (16/9 times where C O is above 16,384), which serves inputs of all sizes: on processors with AVX2
// a kernel of this package takes it (Winograd's filtering, rounding within twice that of plain sums), whose results depend neither on the batch nor on the
// number of threads; a value of its input that is no number or infinite spoils the tiles that it goes into, four of 4x4 values at most. w is float32, or bfloat16 where [HasBFloat16]; inputs and bias
// are then of that type too. On processors with AMX, bfloat16 weights of common sizes (amx.cpp in internal/native says
// which) have one layout for all inputs, our own.
func (s *Scope) PackConv(w *Tensor, c Conv, input [4]int64) *Tensor {
	c = c.filled()
	if w.Valid() && w.dev.cuda {
		s.fail("PackConv", []*Tensor{w}, fmt.Errorf("%w: oneDNN packs for the CPU", ErrDevice))
	}
	if s.ready("PackConv", []*Tensor{w}) {
		var errs []error
		for _, d := range input {
			errs = append(errs, within("a size of the input", d, 1, maxPacked))
		}
		if !packable(w.DType()) || w.Len() == 0 || c.Dilation != 1 {
			errs = append(errs, fmt.Errorf("%w: want float32 [O C/Groups k k], or bfloat16 where the processor has it; Dilation is %d", ErrShape, c.Dilation))
		}
		if err := c.check(input[:], w.Shape(), false); err != nil {
			errs = append(errs, fmt.Errorf("input %s: %w", shapeString(input[:]), err))
		}
		s.check("PackConv", []*Tensor{w}, errs...)
	}
	t := s.op("PackConv", func() (native.Handle, error) { return native.PackConv(w.h, c.Stride, c.Padding, c.Groups, input) }, w)
	if t.Valid() {
		t.packed, t.shape = true, w.Shape()
	}
	return t
}

// packable says whether oneDNN has kernels for a type here.
func packable(t DType) bool { return t == Float32 || t == BFloat16 && HasBFloat16() }

// ConvFused is Conv2d with a packed weight and a bias, followed by ReLU where
// relu is true, in one pass over the memory. x must be channels-last. Nothing is
// recorded for Backward.
func (s *Scope) ConvFused(x, packed, b *Tensor, c Conv, relu bool) *Tensor {
	c = c.filled()
	s.fusable("ConvFused", []*Tensor{x, packed, b}, c)
	return s.op("ConvFused", func() (native.Handle, error) {
		return native.ConvFused(x.h, packed.h, b.h, c.Stride, c.Padding, c.Groups, relu)
	}, x, packed, b)
}

// ConvAddReLU changes dst to ReLU(dst + conv(x) + b), with a packed weight, in
// one pass. dst and x must be channels-last, dst of the type of the weight; x may
// share its memory, which costs a copy. Nothing is recorded for Backward, which
// fails where it would need dst as it was.
func (s *Scope) ConvAddReLU(dst, x, packed, b *Tensor, c Conv) {
	c = c.filled()
	if s.fusable("ConvAddReLU", []*Tensor{x, packed, b}, c) && dst.Valid() {
		want := fusedShape(x, packed, c)
		if dst.packed || dst.DType() != x.DType() || !slices.Equal(dst.Shape(), want) {
			s.fail("ConvAddReLU", []*Tensor{dst, x, packed}, fmt.Errorf("%w: dst, the sum, must be %s %s", ErrShape, x.DType(), shapeString(want)))
		}
	}
	s.effect("ConvAddReLU", func() error { return native.ConvAddReLU(dst.h, x.h, packed.h, b.h, c.Stride, c.Padding, c.Groups) }, dst, x, packed, b)
}

// fusedShape is the shape of a convolution with a packed weight.
func fusedShape(x, packed *Tensor, c Conv) []int64 {
	return []int64{x.Size(0), packed.Size(0), c.side(x.Size(2), packed.Size(2), false), c.side(x.Size(3), packed.Size(3), false)}
}

// fusable checks the operands x, packed weight and bias: oneDNN trusts its
// caller with their sizes. It says whether they are there and fit.
func (s *Scope) fusable(name string, in []*Tensor, c Conv) bool {
	x, w, b := in[0], in[1], in[2]
	if s.st.err != nil || !x.Valid() || !w.Valid() || !b.Valid() {
		return false
	}
	if !w.packed || x.packed || b.packed || x.DType() != w.DType() || x.Len() == 0 || b.Dim() != 1 || b.Len() != w.Size(0) || b.DType() != w.DType() || c.Dilation != 1 {
		s.fail(name, in, fmt.Errorf("%w: want [N C H W], a packed [O C/Groups k k] and a bias [O] of one type; Dilation is %d, want 1", ErrShape, c.Dilation))
		return false
	}
	return s.check(name, in, c.check(x.Shape(), w.Shape(), false))
}

// BatchNorm normalises each channel of x [N, C, ...]. With train it uses the
// batch's statistics and moves running mean and variance towards them by
// momentum (the variance unbiased, as PyTorch); without, it uses the running
// ones and leaves them. The batch is that of all processes in a step with
// [Exchange].Statistics.
func (s *Scope) BatchNorm(x, weight, bias, mean, variance *Tensor, train bool, momentum, eps float64) *Tensor {
	in := []*Tensor{x, weight}
	if x.Valid() && weight.Valid() && (x.Dim() < 2 || x.Size(1) != weight.Len()) {
		s.fail("BatchNorm", in, ErrShape)
	}
	if _ = s.check("BatchNorm", in, finite("momentum", momentum), positive("eps", eps)); momentum < 0 || momentum > 1 {
		s.fail("BatchNorm", in, fmt.Errorf("momentum is %g, want 0 to 1", momentum))
	}
	if train && s.st.sync != nil {
		return s.syncBatchNorm(x, weight, bias, mean, variance, momentum, eps)
	}
	return s.op("BatchNorm", func() (native.Handle, error) {
		return native.BatchNorm(x.h, weight.h, bias.h, mean.h, variance.h, train, momentum, eps)
	}, x, weight, bias, mean, variance)
}

// LayerNorm normalises the last dimension of x [.., n] and applies weight and
// bias [n].
func (s *Scope) LayerNorm(x, weight, bias *Tensor, eps float64) *Tensor {
	if x.Valid() && weight.Valid() && (x.Dim() < 1 || x.Size(-1) != weight.Len()) {
		s.fail("LayerNorm", []*Tensor{x, weight}, ErrShape)
	}
	s.check("LayerNorm", []*Tensor{x, weight}, positive("eps", eps))
	return s.op("LayerNorm", func() (native.Handle, error) {
		return native.LayerNorm(x.h, weight.h, bias.h, x.Size(-1), eps)
	}, x, weight, bias)
}

// Embedding looks rows of weight [V, D] up by the int64 ids [..], giving [.., D].
func (s *Scope) Embedding(weight, ids *Tensor) *Tensor {
	if weight.Valid() && weight.Dim() != 2 {
		s.fail("Embedding", []*Tensor{weight, ids}, fmt.Errorf("%w: want [V D]", ErrShape))
	}
	return s.op("Embedding", func() (native.Handle, error) { return native.Embedding(weight.h, ids.h) }, weight, ids)
}

// pooled checks the numbers of a pooling with k x k windows of x.
func (s *Scope) pooled(op string, x *Tensor, k, stride, padding int64) {
	in := []*Tensor{x}
	if !s.ready(op, in) || !s.check(op, in, within("k", k, 1, maxStep), within("stride", stride, 1, maxStep), within("padding", padding, 0, k/2)) {
		return
	}
	if c := (Conv{Stride: stride, Padding: padding, Dilation: 1}); x.Dim() != 4 || min(c.side(x.Size(2), k, false), c.side(x.Size(3), k, false)) < 1 {
		s.fail(op, in, fmt.Errorf("%w: want [N C H W] of at least one window; k is %d, padding %d", ErrShape, k, padding))
	}
}

// MaxPool2d takes the maximum over k x k windows of x [N, C, H, W]. k and stride are
// 1 to 65,535, padding is at most k/2.
func (s *Scope) MaxPool2d(x *Tensor, k, stride, padding int64) *Tensor {
	s.pooled("MaxPool2d", x, k, stride, padding)
	return s.op("MaxPool2d", func() (native.Handle, error) { return native.MaxPool2d(x.h, k, stride, padding) }, x)
}

// AvgPool2d averages over k x k windows of x [N, C, H, W]; padding counts. The
// numbers are bounded as MaxPool2d's.
func (s *Scope) AvgPool2d(x *Tensor, k, stride, padding int64) *Tensor {
	s.pooled("AvgPool2d", x, k, stride, padding)
	return s.op("AvgPool2d", func() (native.Handle, error) { return native.AvgPool2d(x.h, k, stride, padding) }, x)
}

// GlobalAvgPool averages x [N, C, H, W] over its positions, giving [N, C].
func (s *Scope) GlobalAvgPool(x *Tensor) *Tensor {
	if s.ready("GlobalAvgPool", []*Tensor{x}) && x.Dim() != 4 {
		s.fail("GlobalAvgPool", []*Tensor{x}, fmt.Errorf("%w: want [N C H W]", ErrShape))
	}
	return s.op("GlobalAvgPool", func() (native.Handle, error) { return native.Mean(x.h, []int64{2, 3}, false) }, x)
}

// upsampled checks the size that x is resized to.
func (s *Scope) upsampled(op string, x *Tensor, h, w int64) (what func() string) {
	what = func() string { return fmt.Sprintf("h is %d, w %d", h, w) }
	in := []*Tensor{x}
	if x.Valid() && x.Dim() != 4 {
		s.fail(op, in, fmt.Errorf("%w: want [N C H W]", ErrShape))
	}
	s.check(op, in, within("h", h, 1, maxSide), within("w", w, 1, maxSide), holds(what(), x.Size(0), x.Size(1), h, w))
	return what
}

// UpsampleBilinear resizes x [N, C, H, W] to h x w with half-pixel centres
// (PyTorch's align_corners=false).
func (s *Scope) UpsampleBilinear(x *Tensor, h, w int64) *Tensor {
	return s.opOf("UpsampleBilinear", s.upsampled("UpsampleBilinear", x, h, w), func() (native.Handle, error) { return native.UpsampleBilinear(x.h, h, w) }, x)
}

// UpsampleNearest resizes x [N, C, H, W] to h x w by repeating values.
func (s *Scope) UpsampleNearest(x *Tensor, h, w int64) *Tensor {
	return s.opOf("UpsampleNearest", s.upsampled("UpsampleNearest", x, h, w), func() (native.Handle, error) { return native.UpsampleNearest(x.h, h, w) }, x)
}

// CrossEntropy returns the mean over the batch of -log softmax(logits)[target]:
// logits [N, K] or [N, K, H, W], target int64 [N] or [N, H, W] with 0 to K-1.
func (s *Scope) CrossEntropy(logits, target *Tensor) *Tensor {
	return s.op("CrossEntropy", func() (native.Handle, error) { return native.CrossEntropy(logits.h, target.h, nil) }, logits, target)
}

// BCEWithLogits returns the mean binary cross-entropy of sigmoid(logits) and
// target, both of one shape.
func (s *Scope) BCEWithLogits(logits, target *Tensor) *Tensor {
	if logits.Valid() && target.Valid() && !slices.Equal(logits.Shape(), target.Shape()) {
		s.fail("BCEWithLogits", []*Tensor{logits, target}, ErrShape)
	}
	return s.op("BCEWithLogits", func() (native.Handle, error) { return native.BCEWithLogits(logits.h, target.h, nil) }, logits, target)
}
