package tensor

import (
	"fmt"
	"slices"

	"github.com/gotab/gotab/tensor/internal/native"
)

// lowerRows is how many rows of a packed lower triangular matrix stand together.
const lowerRows = 8

// LowerLen returns the number of values of a lower triangular k x k matrix as
// [Scope.Mahalanobis] takes it: eight rows at a time, without the columns that are zero in
// all eight; the last rows are filled up to eight. k is 0 to 2^20, else the length is 0.
func LowerLen(k int) int {
	if k < 0 || k > 1<<20 {
		return 0
	}
	full := (k + lowerRows - 1) / lowerRows * lowerRows
	return full * (full + lowerRows) / 2
}

// LowerAt returns where the value of a row and a column, which is at most the row, stands among
// those: after the blocks of eight rows before it, column by column.
func LowerAt(row, column int) int {
	block := row / lowerRows
	return lowerRows*lowerRows*block*(block+1)/2 + column*lowerRows + row%lowerRows
}

// lower checks operands on the CPU, x [N, P, C] and the last one packed in one of these forms: of float32, or also of bfloat16.
func (s *Scope) lower(op string, halves bool, in ...*Tensor) {
	if !s.ready(op, in) {
		return
	}
	x, packed := in[0], in[len(in)-1]
	for _, t := range in {
		if t.Device().IsCUDA() {
			s.fail(op, in, fmt.Errorf("%w: it is for the CPU", ErrDevice))
		}
		if t.DType() != Float32 && !(halves && t == packed && t.DType() == BFloat16) {
			s.fail(op, in, fmt.Errorf("%w: want float32", ErrDType))
		}
	}
	if x.Dim() != 3 || x.Size(0) < 1 || x.Size(2) < 1 || x.Size(2) > 1<<20 || !isFactor(packed, x.Size(1), x.Size(2)) {
		s.fail(op, in, fmt.Errorf("%w: want [N P C], and last [P LowerLen(C)]", ErrShape))
		return
	}
	if len(in) == 3 && (in[1].Dim() != 2 || in[1].Size(0) != x.Size(1) || in[1].Size(1) != x.Size(2)) {
		s.fail(op, in, fmt.Errorf("%w: mean must be [P C]", ErrShape))
	}
}

// isFactor says whether t has the shape of as many matrices of k rows, in one of the forms of its type.
func isFactor(t *Tensor, positions, k int64) bool {
	last := t.Dim() - 1
	flat := last == 1 || last == 2 && t.DType() == BFloat16 && t.Size(1) == 2
	return flat && t.Size(0) == positions && t.Size(last) == int64(LowerLen(int(k)))
}

// Mahalanobis returns |L_p (x - m_p)| of vectors x [N, P, C], with a mean m_p of mean [P, C] and a lower triangular
// matrix L_p of factor [P, LowerLen(C)] for each position p: [N, P]. Values of factor above the diagonals are zero. All
// three are float32 and on the CPU. It is not recorded for Backward. For one image it takes the
// time of reading factor once.
//
// factor may also be what [Scope.HalvesInto] made of such a one, with the same result to the last bit, or
// the first halves of that, [P, LowerLen(C)] of Select(halves, 1, 0): then its values are rounded to bfloat16 and half as much is read.
func (s *Scope) Mahalanobis(x, mean, factor *Tensor) *Tensor {
	s.lower("Mahalanobis", true, x, mean, factor)
	return s.op("Mahalanobis", func() (native.Handle, error) { return native.Mahalanobis(x.h, mean.h, factor.h) }, x, mean, factor)
}

// MahalanobisMaps is [Scope.Mahalanobis] of vectors that lie in maps [N, C_k, H_k, W_k] of one network, in one go: of map k they take
// the values of channels[k], where a deeper map has one value for several positions of the first. Position y W_0 + x of the first map's
// grid finds its value in map k at row y H_k / H_0, rounded down, and likewise its column. mean [P, C] and factor [P, LowerLen(C)] have
// P = H_0 W_0 positions and C channels in all, at least one; factor has any form that Mahalanobis takes. The result is [N, P].
func (s *Scope) MahalanobisMaps(maps []*Tensor, channels [][]int64, mean, factor *Tensor) *Tensor {
	const op = "MahalanobisMaps"
	in := append(slices.Clone(maps), mean, factor)
	none := &Tensor{dev: s.st.dev}
	if !s.ready(op, in) {
		return none
	}
	refuse := func(err error) *Tensor {
		s.fail(op, in, err)
		return none
	}
	if len(maps) == 0 || len(channels) != len(maps) {
		return refuse(fmt.Errorf("%w: %d maps and %d lists of channels, want as many and at least one", ErrShape, len(maps), len(channels)))
	}
	for _, t := range in {
		if t.Device().IsCUDA() {
			return refuse(fmt.Errorf("%w: it is for the CPU", ErrDevice))
		}
		if t.DType() != Float32 && !(t == factor && t.DType() == BFloat16) {
			return refuse(fmt.Errorf("%w: want float32", ErrDType))
		}
	}
	count := int64(0)
	for k, m := range maps {
		if m.Dim() != 4 || m.Len() < 1 || m.Size(0) != maps[0].Size(0) || m.Size(2) > maps[0].Size(2) || m.Size(3) > maps[0].Size(3) {
			return refuse(fmt.Errorf("%w: want maps [N C H W] of as many images, none finer than the first", ErrShape))
		}
		for _, c := range channels[k] {
			if c < 0 || c >= m.Size(1) {
				return refuse(fmt.Errorf("%w: channels of map %d name %d, it has 0 to %d", ErrShape, k, c, m.Size(1)-1))
			}
		}
		count += int64(len(channels[k]))
	}
	positions := maps[0].Size(2) * maps[0].Size(3)
	if count < 1 || count > 1<<20 || mean.Dim() != 2 || mean.Size(0) != positions || mean.Size(1) != count ||
		!isFactor(factor, positions, count) {
		return refuse(fmt.Errorf("%w: want a mean [P C] and a factor [P LowerLen(C)] for %d positions and %d channels", ErrShape, positions, count))
	}
	return s.op(op, func() (native.Handle, error) {
		hs := make([]native.Handle, len(maps))
		for i, m := range maps {
			hs[i] = m.h
		}
		return native.MahalanobisMaps(hs, channels, mean.h, factor.h)
	}, in...)
}

// ScatterInto adds the products v v^T of the N vectors v of x [N, P, C] at each position to sums
// [P, LowerLen(C)], which is no view: below the diagonals, and somewhere above them too. Both are float32 and on the CPU.
func (s *Scope) ScatterInto(sums, x *Tensor) {
	s.lower("ScatterInto", false, x, sums)
	s.effect("ScatterInto", func() error { return native.ScatterLower(sums.h, x.h) }, sums, x)
}

// HalvesInto parts the values of x [P, R] into halves and puts these in their place: what it returns, [P, 2, R] of bfloat16, lies in the memory of
// x, whose values are no numbers any more. x is float32, no view, on the CPU, and R a multiple of 16, as LowerLen is. Of each row the first half
// has its values rounded to the nearest bfloat16, of two that are as near the one farther from zero, and the second one the bits that those
// lack; in which order they lie is known to those that take halves. [Scope.JoinHalves] gives the values back to the
// last bit; NaN stays NaN.
func (s *Scope) HalvesInto(x *Tensor) *Tensor {
	const op = "HalvesInto"
	s.onCPU(op, x, Float32, 2)
	return s.op(op, func() (native.Handle, error) { return native.Halve(x.h) }, x)
}

// JoinHalves returns the values [P, R] of halves [P, 2, R] that [Scope.HalvesInto] made, or of a part of their positions.
func (s *Scope) JoinHalves(x *Tensor) *Tensor {
	const op = "JoinHalves"
	if s.onCPU(op, x, BFloat16, 3) && x.Size(1) != 2 {
		s.fail(op, []*Tensor{x}, fmt.Errorf("%w: want [P 2 R]", ErrShape))
	}
	return s.op(op, func() (native.Handle, error) { return native.Join(x.h) }, x)
}

// onCPU says whether x lies on the CPU, of a type and with a number of sides, the last of which is a multiple of 16.
func (s *Scope) onCPU(op string, x *Tensor, dt DType, sides int) bool {
	in := []*Tensor{x}
	if !s.ready(op, in) {
		return false
	}
	switch {
	case x.Device().IsCUDA():
		s.fail(op, in, fmt.Errorf("%w: it is for the CPU", ErrDevice))
	case x.DType() != dt:
		s.fail(op, in, fmt.Errorf("%w: want %s", ErrDType, dt))
	case x.Dim() != sides || x.Size(sides-1)%(2*lowerRows) != 0:
		s.fail(op, in, fmt.Errorf("%w: want %d sides, the last a multiple of %d", ErrShape, sides, 2*lowerRows))
	default:
		return true
	}
	return false
}

// PackLowerInto packs lower triangular matrices of k rows, 1 to 2^20, as [Scope.Mahalanobis] takes them: into dst [P, LowerLen(k)] of
// float32, or into halves [P, 2, LowerLen(k)] of bfloat16, which is no view of parts that do not follow one another, on the CPU. rows has
// the P k (k+1) / 2 values as float32 in little-endian bytes, each matrix row by row without what is above its diagonal.
func (s *Scope) PackLowerInto(dst *Tensor, rows []byte, k int) {
	const op = "PackLowerInto"
	in := []*Tensor{dst}
	if !s.ready(op, in) {
		return
	}
	switch {
	case dst.Device().IsCUDA():
		s.fail(op, in, fmt.Errorf("%w: it is for the CPU", ErrDevice))
	case dst.DType() != Float32 && dst.DType() != BFloat16:
		s.fail(op, in, fmt.Errorf("%w: want float32, or bfloat16 for halves", ErrDType))
	case k < 1 || k > 1<<20 || dst.Dim() < 2 || (dst.DType() == BFloat16) != (dst.Dim() == 3) || !isFactor(dst, dst.Size(0), int64(k)):
		s.fail(op, in, fmt.Errorf("%w: k is %d, want 1 to 2^20 and [P LowerLen(k)] or halves of that", ErrShape, k))
	case int64(len(rows)) != dst.Size(0)*int64(2*k*(k+1)):
		s.fail(op, in, fmt.Errorf("%w: rows has %d bytes for %d triangles, k is %d", ErrShape, len(rows), dst.Size(0), k))
	case len(rows) > 0:
		s.effect(op, func() error { return native.PackLower(dst.h, rows, k) }, dst)
	}
}
