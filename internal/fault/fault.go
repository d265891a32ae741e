// Package fault lets tests make native memory run out. Only tests use it.
package fault

// Hook is how package tensor lets its allocator be watched.
type Hook struct {
	// Watch counts, from 0 anew, the allocations of host memory that Runs of mode
	// Training make, and lets every one from number from on fail; with from 0 none.
	Watch func(from int64)
	// Stop ends it and returns how many there were.
	Stop func() int64
}

var hook Hook

// Install is called by package tensor, once, when the program starts.
func Install(h Hook) { hook = h }

// Allocations runs f while every allocation of host memory in a Run of mode
// Training fails, from number from on, counted from 1; with from 0 none does. It
// returns how many f asked for. Package tensor must be linked in. Only one may
// run at a time, and nothing else may train meanwhile.
func Allocations(from int64, f func()) (asked int64) {
	hook.Watch(from)
	defer func() { asked = hook.Stop() }()
	f()
	return 0
}
