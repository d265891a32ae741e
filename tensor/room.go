package tensor

import (
	"fmt"

	"github.com/gotab/gotab/tensor/internal/native"
)

// Threads that libtorch cannot make do not come back as errors: its pool waits for
// ever for those that never came, and OpenMP ends the process. So they are tried
// before it is asked.

// beside is how many threads are left for Go's runtime, which ends the process
// where it wants one and gets none.
const beside = 4

// helpers is how many threads libtorch makes for operations of n: those of OpenMP,
// which stay with the calling thread, and those of a pool of the process.
func helpers(n int) int { return 2 * (n - 1) }

// roomFor returns an error that wraps ErrThreads unless n threads and some for Go
// can be made now. It does not ask where n is 0.
func roomFor(n int) error {
	if n <= 0 {
		return nil
	}
	if can := native.TryThreads(n + beside); can < n+beside {
		return fmt.Errorf("%w: libtorch needs %d more beside %d for Go, and the system lets this process have %d (ulimit -u, or pids.max of its control group): raise that, or use fewer (tensor.SetThreads)",
			ErrThreads, n, beside, can)
	}
	return nil
}

// Try makes as many threads as Runs with these settings and Go's runtime may take
// and ends them again. The error wraps [ErrThreads] where the system allows fewer,
// by a limit of processes for the user or the control group. A program asks before
// its first Run, because Go's runtime ends the process where it wants a thread and
// gets none. A Run asks for its own operations by itself. Try is safe for
// concurrent use; it takes some 20 microseconds a thread.
func (t Threads) Try() error {
	if err := t.Validate(); err != nil {
		return err
	}
	// One Run of PerRun threads, and side by side as many as there are cores.
	need := t.Cores + helpers(t.PerRun) + beside
	if can := native.TryThreads(need); can < need {
		return fmt.Errorf("tensor: try threads: %w: %d cores may take %d more, and the system lets this process have %d (ulimit -u, or pids.max of its control group): raise that, or use fewer",
			ErrThreads, t.Cores, need, can)
	}
	return nil
}
