package tensor

import (
	"fmt"

	"github.com/gotab/gotab/tensor/internal/native"
)

// Nearest returns for each row of q [N, C] the squared distance to its nearest row of bank [M, C], [N], and which that is,
// int64 [N]. Most rows of the bank are left out by a bound: axes [C, K] are K directions of length 1 at right angles to each other,
// those in which the rows differ most for the least work; low [M, K+1] has the rows' parts along them and the length of what is left;
// half [M] the squared lengths of the rows times -1/2. Rows that are equally near but for rounding, 1e-5 of the squared lengths, count as
// equal. With exact false the row with the smallest bound is taken as it is. The distance is always that to the row. A row of q that is not
// finite has a distance that is not a number. All are float32 and on the CPU; N, M, C and K are 1 or more. It is not recorded
// for Backward.
func (s *Scope) Nearest(q, bank, axes, low, half *Tensor, exact bool) (dist, at *Tensor) {
	none := &Tensor{dev: s.st.dev}
	in := []*Tensor{q, bank, axes, low, half}
	if !s.ready("Nearest", in) {
		return none, none
	}
	for _, t := range in {
		if t.Device().IsCUDA() {
			s.fail("Nearest", in, fmt.Errorf("%w: it is for the CPU", ErrDevice))
			return none, none
		}
		if t.DType() != Float32 {
			s.fail("Nearest", in, fmt.Errorf("%w: want float32", ErrDType))
			return none, none
		}
	}
	fits := q.Dim() == 2 && bank.Dim() == 2 && axes.Dim() == 2 && low.Dim() == 2 && half.Dim() == 1 && q.Len() > 0 && bank.Len() > 0 && axes.Len() > 0 &&
		bank.Size(1) == q.Size(1) && axes.Size(0) == q.Size(1) && low.Size(0) == bank.Size(0) && low.Size(1) == axes.Size(1)+1 && half.Size(0) == bank.Size(0)
	if !fits {
		s.fail("Nearest", in, fmt.Errorf("%w: want [N C], [M C], [C K], [M K+1] and [M]", ErrShape))
		return none, none
	}
	d, i, err := native.Nearest(q.h, bank.h, axes.h, low.h, half.h, exact)
	if err != nil {
		s.fail("Nearest", in, err)
		return none, none
	}
	return s.keep(d, q.dev), s.keep(i, q.dev)
}
