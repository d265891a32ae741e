package ycc

import (
	"runtime"
	"slices"
	"syscall"
	"testing"
)

// turns measures two ways of doing the same in turns, in processor time of this
// thread, so that other work on the machine touches neither figure much.
type turns struct{ ours, theirs, ratios []float64 }

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
	start := busy(b)
	ours()
	middle := busy(b)
	theirs()
	end := busy(b)
	t.ours, t.theirs = append(t.ours, middle-start), append(t.theirs, end-middle)
	t.ratios = append(t.ratios, (middle-start)/(end-middle))
}

func (t *turns) report(b *testing.B) {
	median := func(v []float64) float64 {
		slices.Sort(v)
		return v[len(v)/2]
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(1e3*median(t.ours), "ms-ours")
	b.ReportMetric(1e3*median(t.theirs), "ms-theirs")
	b.ReportMetric(median(t.ratios), "ratio")
}
