package tensor

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/gotab/gotab/internal/cpus"
)

// maxUseThreads bounds the argument of [UseThreads].
const maxUseThreads = 4096

// UseThreads bounds the threads of a process, Go's too, and tries whether the system lets it have
// them: what a program does before its first Run. 0 takes as many as the processors that the
// process may use, a container's quota included; n above 0 is both Cores and PerRun of [Threads].
// It returns an error that wraps [ErrThreads] where the system refuses them, and one for n below 0 or
// above 4096.
func UseThreads(n int) error {
	switch {
	case n < 0 || n > maxUseThreads:
		return fmt.Errorf("tensor: use threads: %d, want 1 to %d, or 0", n, maxUseThreads)
	case n == 0:
		runtime.GOMAXPROCS(cpus.Allowed()) // decoding obeys a quota too
	default:
		runtime.GOMAXPROCS(n)
		if err := SetThreads(Threads{Cores: n, PerRun: n}); err != nil {
			return err
		}
	}
	err := GetThreads().Try()
	if errors.Is(err, ErrThreads) && GetThreads().Cores > 1 {
		return fmt.Errorf("%w; 1 takes the fewest", err)
	}
	return err
}
