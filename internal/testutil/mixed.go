package testutil

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mixed is what MixedSizes goes through: sizes of batches.
var mixed = []int{1, 2, 4, 8, 16, 32}

// CPUSeconds is the processor time that this process has used. It tells a slow
// program from a busy machine.
func CPUSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// cost is the least time that a size took, in seconds.
type cost struct{ wall, cpu float64 }

func (c *cost) take(o cost) {
	if c.wall == 0 || o.wall < c.wall {
		c.wall = o.wall
	}
	if c.cpu == 0 || o.cpu < c.cpu {
		c.cpu = o.cpu
	}
}

// MixedSizes measures whether the time of a batch depends on which batches came
// before. It draws orders of the sizes 1, 2, 4, 8, 16 and 32; of six orders each
// size comes first in one. fresh makes what is measured, one for each order, and
// pass runs a batch of n. Each order is gone through once, and then rounds times
// again, all orders in turns: what disturbs the machine for a while disturbs all of
// them, and the least time of a size in an order is one without it. With -benchtime Nx
// all of that is done N times with fresh ones, and the least time is that of all: where
// the system puts a network's weights makes it faster or slower for as long as it
// lives, whatever the order. The collector works between the measured passes only.
//
// The log has each size's best and worst order. The metrics are the largest ratio
// of an order to the best one, of wall and of processor time, and the batch at which
// the latter is found; only the ratio of processor times means anything on a busy
// machine.
func MixedSizes(b *testing.B, orders, rounds int, fresh func() (pass func(n int), done func())) {
	b.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	all := drawOrders(orders)
	for b.Loop() {
		for i := range all {
			all[i].pass, all[i].done = fresh()
			for _, k := range all[i].sizes {
				all[i].pass(mixed[k])
			}
		}
		for range rounds {
			for place := range mixed {
				for i := range all {
					all[i].measure(place)
				}
			}
		}
		for i := range all {
			all[i].done()
		}
	}
	report(b, all)
}

// order is a sequence of sizes with what is measured in it.
type order struct {
	sizes []int // indices of mixed
	pass  func(n int)
	done  func()
	least [6]cost // of a pass, by the index of its size
}

func (o *order) String() string {
	var text strings.Builder
	for _, k := range o.sizes {
		fmt.Fprint(&text, " ", mixed[k])
	}
	return text.String()[1:]
}

// measure runs the size at a place of the order; small ones several times, since
// the clocks are coarse. The first pass after another size is not timed: its memory
// comes from the system anew where a larger batch has just given it back, whatever
// the order was before.
func (o *order) measure(place int) {
	k := o.sizes[place]
	times := max(1, 4/mixed[k])
	runtime.GC()
	o.pass(mixed[k])
	cpu, wall := CPUSeconds(), time.Now()
	for range times {
		o.pass(mixed[k])
	}
	o.least[k].take(cost{wall: time.Since(wall).Seconds() / float64(times), cpu: (CPUSeconds() - cpu) / float64(times)})
}

// drawOrders draws n orders; of each six all begin with another size.
func drawOrders(n int) []*order {
	rng := rand.New(rand.NewPCG(13, 1))
	var perm []int
	out := make([]*order, n)
	for i := range out {
		at := i % len(mixed)
		if at == 0 {
			perm = rng.Perm(len(mixed))
		}
		out[i] = &order{sizes: append(append([]int(nil), perm[at:]...), perm[:at]...)}
	}
	return out
}

// cell is a size with its best and its worst order.
type cell struct {
	size        int // index of mixed
	best, worst cost
	order       *order // the worst by processor time
}

func (c cell) ratio() cost {
	return cost{wall: c.worst.wall / c.best.wall, cpu: c.worst.cpu / c.best.cpu}
}

func cells(all []*order) []cell {
	out := make([]cell, len(mixed))
	for k := range out {
		c := cell{size: k}
		for _, o := range all {
			c.best.take(o.least[k])
			c.worst.wall = max(c.worst.wall, o.least[k].wall)
			if o.least[k].cpu > c.worst.cpu {
				c.worst.cpu, c.order = o.least[k].cpu, o
			}
		}
		out[k] = c
	}
	return out
}

func report(b *testing.B, all []*order) {
	b.Helper()
	var table strings.Builder
	fmt.Fprintf(&table, "\nbatch  ms an image, best order and worst, and their ratio: wall; processor; worst order (processor)\n")
	var top cost
	var at cell
	for _, c := range cells(all) {
		r := c.ratio()
		if r.cpu > top.cpu {
			at = c
		}
		top.wall, top.cpu = max(top.wall, r.wall), max(top.cpu, r.cpu)
		ms := 1e3 / float64(mixed[c.size])
		fmt.Fprintf(&table, "%5d  %7.2f %7.2f %5.2f; %7.2f %7.2f %5.2f; %s\n", mixed[c.size],
			ms*c.best.wall, ms*c.worst.wall, r.wall, ms*c.best.cpu, ms*c.worst.cpu, r.cpu, c.order)
	}
	fmt.Fprintf(&table, "worst by processor time: %.2f, batch %d in the order %s", top.cpu, mixed[at.size], at.order)
	b.Log(table.String())
	b.ReportMetric(0, "ns/op") // of all orders and rounds together it says nothing
	b.ReportMetric(top.wall, "worst/best-wall")
	b.ReportMetric(top.cpu, "worst/best-cpu")
	b.ReportMetric(float64(mixed[at.size]), "worst-batch")
}
