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

// lower checks operands of which each is float32 on the CPU, x [N, P, C] and the last one packed.
func (s *Scope) lower(op string, in ...*Tensor) {
	if !s.ready(op, in) {
		return
	}
	for _, t := range in {
		if t.Device().IsCUDA() {
			s.fail(op, in, fmt.Errorf("%w: it is for the CPU", ErrDevice))
		}
		if t.DType() != Float32 {
			s.fail(op, in, fmt.Errorf("%w: want float32", ErrDType))
		}
	}
	x, packed := in[0], in[len(in)-1]
	if x.Dim() != 3 || packed.Dim() != 2 || x.Size(0) < 1 || x.Size(2) < 1 || x.Size(2) > 1<<20 ||
		packed.Size(0) != x.Size(1) || packed.Size(1) != int64(LowerLen(int(x.Size(2)))) {
		s.fail(op, in, fmt.Errorf("%w: want [N P C], and last [P LowerLen(C)]", ErrShape))
		return
	}
	if len(in) == 3 && (in[1].Dim() != 2 || in[1].Size(0) != x.Size(1) || in[1].Size(1) != x.Size(2)) {
		s.fail(op, in, fmt.Errorf("%w: mean must be [P C]", ErrShape))
	}
}

// Mahalanobis returns |L_p (x - m_p)| of vectors x [N, P, C], with a mean m_p of mean [P, C] and a lower triangular
// matrix L_p of factor [P, LowerLen(C)] for each position p: [N, P]. Values of factor above the diagonals are zero. All
// three are float32 and on the CPU. It is not recorded for Backward. For one image it takes the
// time of reading factor once.
func (s *Scope) Mahalanobis(x, mean, factor *Tensor) *Tensor {
	s.lower("Mahalanobis", x, mean, factor)
	return s.op("Mahalanobis", func() (native.Handle, error) { return native.Mahalanobis(x.h, mean.h, factor.h) }, x, mean, factor)
}

// MahalanobisMaps is [Scope.Mahalanobis] of vectors that lie in maps [N, C_k, H_k, W_k] of one network, in one go: of map k they take
// the values of channels[k], where a deeper map has one value for several positions of the first. Position y W_0 + x of the first map's
// grid finds its value in map k at row y H_k / H_0, rounded down, and likewise its column. mean [P, C] and factor [P, LowerLen(C)] have
// P = H_0 W_0 positions and C channels in all, at least one. The result is [N, P].
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
		if t.DType() != Float32 {
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
		factor.Dim() != 2 || factor.Size(0) != positions || factor.Size(1) != int64(LowerLen(int(count))) {
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
	s.lower("ScatterInto", x, sums)
	s.effect("ScatterInto", func() error { return native.ScatterLower(sums.h, x.h) }, sums, x)
}
