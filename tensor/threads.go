package tensor

import (
	"fmt"

	"github.com/gotab/gotab/internal/cpus"
)

// Threads bounds the operating-system threads that libtorch work uses in this
// process. Cores is a budget: Runs that are going on at the same time never use
// more threads together than that.
//
// A Run of mode Training takes PerRun threads. One of mode Evaluation takes PerRun
// threads when it is alone, so that a lone image is answered soon, and a share of
// the cores, at least one, when others run or wait, because many Runs of one thread
// get more done than one Run of many. Results of different numbers of threads may
// differ in the last bits; a Run takes exactly the number that its context names
// ([WithThreads]), and every Run takes PerRun where Fixed is set.
type Threads struct {
	// Cores is the number of threads that all Runs together may keep busy, at
	// least 1; default: runtime.GOMAXPROCS, or what a container's quota leaves of it.
	Cores int
	// PerRun is the number of threads that one Run's operations use at most, 1 to
	// Cores; default: Cores, which is right for training and for a service.
	PerRun int
	// Fixed makes Runs of mode Evaluation wait for PerRun threads, as training
	// does, instead of sharing the cores.
	Fixed bool
}

// DefaultThreads returns all processors that the process may use, for one Run where
// it is alone: runtime.GOMAXPROCS, or the quota of its control group on Linux, rounded up, where
// that is less and the environment does not set GOMAXPROCS. More threads than that are
// slower, because the system stops all of them until the quota is full again.
func DefaultThreads() Threads {
	n := cpus.Allowed()
	return Threads{Cores: n, PerRun: n}
}

// Validate checks the ranges.
func (t Threads) Validate() error {
	if t.Cores < 1 || t.Cores > 4096 {
		return fmt.Errorf("tensor: Threads.Cores is %d, want 1 to 4096", t.Cores)
	}
	if t.PerRun < 1 || t.PerRun > t.Cores {
		return fmt.Errorf("tensor: Threads.PerRun is %d, want 1 to Cores = %d", t.PerRun, t.Cores)
	}
	return nil
}

// SetThreads changes the process-wide budget for Runs that start from now on.
// Runs that are going on keep what they have.
func SetThreads(t Threads) error {
	if err := t.Validate(); err != nil {
		return err
	}
	pool.configure(t)
	return nil
}

// GetThreads returns the budget in force.
func GetThreads() Threads { return pool.settings() }
