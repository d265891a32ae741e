package dist

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gotab/gotab/tensor"
)

// Sentinel errors; test for them with errors.Is.
var (
	// ErrNotBuilt reports that the engine is not compiled in.
	ErrNotBuilt = errors.New("built without the engine for several processes; set the environment of " +
		"`go run github.com/gotab/gotab/tensor/libtorch env -dist` and build again")
	// ErrConfig reports a setting that is out of its range.
	ErrConfig = errors.New("invalid configuration")
	// ErrLost reports that other ranks did not come; see [LostError].
	ErrLost = errors.New("ranks are lost")
	// ErrClosed reports the use of a closed Group. It is [tensor.ErrClosed].
	ErrClosed = tensor.ErrClosed
)

// LostError says that a call has failed and which ranks it failed for, as far as the
// store tells. It wraps [ErrLost] and the cause. The group is of no more use.
type LostError struct {
	Rank, Size int    // this one
	Doing      string // the call, with its number
	// Dead are ranks without a sign of life, Stuck those that live and have not come to
	// this call, Left those that closed their group before it, Interrupted those whose
	// context ended in a call.
	Dead, Stuck, Left, Interrupted []int
	Waited                         time.Duration
	Cause                          error
}

// Error implements error.
func (e *LostError) Error() string {
	var parts []string
	for _, p := range []struct {
		ranks []int
		what  string
	}{{e.Dead, "dead or cut off"}, {e.Stuck, "alive and has not come"}, {e.Left, "has left"}, {e.Interrupted, "was interrupted"}} {
		if len(p.ranks) > 0 {
			parts = append(parts, fmt.Sprintf("%s: %s", list(p.ranks), p.what))
		}
	}
	if len(parts) == 0 {
		parts = []string{"no rank is known to be missing"}
	}
	return fmt.Sprintf("dist: rank %d of %d: %s, after %v: %v: %s: %v", e.Rank, e.Size, e.Doing, e.Waited.Round(100*time.Millisecond), ErrLost, strings.Join(parts, "; "), e.Cause)
}

// Unwrap returns ErrLost and the cause.
func (e *LostError) Unwrap() []error { return []error{ErrLost, e.Cause} }

// list writes ranks, the first of them where they are many.
func list(ranks []int) string {
	const most = 16
	word := "rank"
	if len(ranks) > 1 {
		word = "ranks"
	}
	var b strings.Builder
	b.WriteString(word)
	for i, r := range ranks {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(ranks)-most)
			break
		}
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " %d", r)
	}
	return b.String()
}
