package tensor

/*
#include <stdint.h>
extern char *tab_norm(void **out, void *self, int64_t dim);
*/
import "C"

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// Norm returns the Euclidean length along dimension dim, which disappears.
func (s *Scope) Norm(x *Tensor, dim int64) *Tensor {
	s.dims("Norm", x, []int64{dim})
	return s.shim("Norm", func(out *libtch.Ctensor) error {
		return shimOut(out, func(o *unsafe.Pointer) *C.char { return C.tab_norm(o, hp(x.h), C.int64_t(dim)) })
	}, x)
}
