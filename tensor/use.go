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
// them: what a program does before its first Run. n above 0 is GOMAXPROCS and both Cores and PerRun
// of [Threads], whose Fixed stays. 0 keeps what is in force, which is all processors of the process until
// somebody bounds them, and brings GOMAXPROCS down to the quota of a container. It
// returns an error that wraps [ErrThreads] where the system refuses them, and one for n below 0 or
// above 4096; after an error all is as it was before.
func UseThreads(n int) (err error) {
	if n < 0 || n > maxUseThreads {
		return fmt.Errorf("tensor: use threads: %d, want 1 to %d, or 0", n, maxUseThreads)
	}
	procs, threads := runtime.GOMAXPROCS(0), GetThreads()
	use := threads
	if n > 0 {
		use.Cores, use.PerRun = n, n
	} else {
		n = cpus.Allowed() // decoding obeys a quota too
	}
	runtime.GOMAXPROCS(n)
	if err = SetThreads(use); err == nil {
		err = use.Try()
	}
	if err == nil {
		return nil
	}
	runtime.GOMAXPROCS(procs)
	if errors.Is(err, ErrThreads) && use.Cores > 1 {
		err = fmt.Errorf("%w; 1 takes the fewest", err)
	}
	return errors.Join(err, SetThreads(threads))
}
