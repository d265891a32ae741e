package ycc

import (
	"runtime"
	"syscall"
	"testing"
)

// turns measures two ways of doing the same in turns, in processor time of this
// thread, so that other work on the machine touches neither figure much.
type turns struct {
	n            int
	ours, theirs float64 // seconds
}

// rusageThread is Linux's number for the thread that asks.
const rusageThread = 1

func busy(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(rusageThread, &u); err != nil {
		b.Fatal(err)
	}
	return 1e-9 * float64(u.Utime.Nano()+u.Stime.Nano())
}

func (t *turns) take(b *testing.B, ours, theirs func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	first, second := ours, theirs
	swap := t.n%2 == 1 // who comes second finds the caches warm
	if swap {
		first, second = second, first
	}
	start := busy(b)
	first()
	middle := busy(b)
	second()
	a, z := middle-start, busy(b)-middle
	if swap {
		a, z = z, a
	}
	t.n, t.ours, t.theirs = t.n+1, t.ours+a, t.theirs+z
}

// report gives sums, because the clock of a thread is coarse.
func (t *turns) report(b *testing.B) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(1e3*t.ours/float64(t.n), "ms-ours")
	b.ReportMetric(1e3*t.theirs/float64(t.n), "ms-theirs")
	b.ReportMetric(t.ours/t.theirs, "ratio")
}
