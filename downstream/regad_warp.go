package downstream

import (
	"fmt"

	"github.com/gotab/gotab/downstream/internal/regad"
)

// Warp is what the spatial transformers of RegAD may do to a map: which entries
// of the affine matrix they predict. The others stay those of the identity.
type Warp int

// The warps of the authors' program, by the names that it has for them.
const (
	WarpRotationScale            Warp = iota // a turn and a scale each way: RegAD's own
	WarpAffine                               // all six entries
	WarpTranslation                          // a shift each way
	WarpRotation                             // a turn
	WarpScale                                // a scale each way
	WarpShear                                // a shear each way
	WarpTranslationScale                     // a shift and a scale each way
	WarpRotationTranslation                  // a turn and a shift each way
	WarpRotationTranslationScale             // a turn, a shift and a scale each way
)

func (w Warp) valid() bool { return regad.Warp(w).Valid() }

// String returns the name, such as "rotation_scale".
func (w Warp) String() string {
	if !w.valid() {
		return fmt.Sprintf("warp(%d)", int(w))
	}
	return regad.Warp(w).Name()
}

// ParseWarp reads what String writes. Anything else is an error that wraps
// [ErrConfig].
func ParseWarp(s string) (Warp, error) {
	w, ok := regad.WarpNamed(s)
	if !ok {
		return 0, fmt.Errorf("downstream: warp: %w: %q, want one of %v", ErrConfig, s, regad.WarpNames())
	}
	return Warp(w), nil
}
