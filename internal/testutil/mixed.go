package testutil

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mixed is what MixedSizes goes through: sizes of batches.
var mixed = []int{1, 2, 4, 8, 16, 32}

const mixedRounds = 4

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
// size comes first in one. fresh makes what is measured anew for each order, and
// pass runs a batch of n. An order is gone through once, and then again for the
// least time of each size. The log has each size's best and worst order, the
// metrics the largest ratio of worst to best.
func MixedSizes(b *testing.B, orders int, fresh func() (pass func(n int), done func())) {
	b.Helper()
	rng := rand.New(rand.NewPCG(13, 1))
	for b.Loop() {
		got := make([][]cost, orders)
		names := make([]string, orders)
		perm := rng.Perm(len(mixed))
		for o := range orders {
			if o > 0 && o%len(mixed) == 0 {
				perm = rng.Perm(len(mixed))
			}
			got[o] = make([]cost, len(mixed))
			order := append(append([]int(nil), perm[o%len(mixed):]...), perm[:o%len(mixed)]...)
			pass, done := fresh()
			for _, k := range order {
				names[o] += fmt.Sprint(" ", mixed[k])
				pass(mixed[k])
			}
			for range mixedRounds {
				for _, k := range order {
					for range max(1, 4/mixed[k]) {
						cpu, wall := CPUSeconds(), time.Now()
						pass(mixed[k])
						got[o][k].take(cost{wall: time.Since(wall).Seconds(), cpu: CPUSeconds() - cpu})
					}
				}
			}
			done()
		}
		report(b, got, names)
	}
}

func report(b *testing.B, got [][]cost, names []string) {
	b.Helper()
	var table strings.Builder
	fmt.Fprintf(&table, "\nbatch  ms an image, best order and worst, and their ratio: wall; processor; worst order (processor)\n")
	var top cost
	for k, n := range mixed {
		var best, worst cost
		at := 0
		for o := range got {
			best.take(got[o][k])
			worst.wall = max(worst.wall, got[o][k].wall)
			if got[o][k].cpu > worst.cpu {
				worst.cpu, at = got[o][k].cpu, o
			}
		}
		ratio := cost{wall: worst.wall / best.wall, cpu: worst.cpu / best.cpu}
		top.wall, top.cpu = max(top.wall, ratio.wall), max(top.cpu, ratio.cpu)
		ms := 1e3 / float64(n)
		fmt.Fprintf(&table, "%5d  %7.2f %7.2f %5.2f; %7.2f %7.2f %5.2f; %s\n", n,
			ms*best.wall, ms*worst.wall, ratio.wall, ms*best.cpu, ms*worst.cpu, ratio.cpu, names[at])
	}
	b.Log(table.String())
	b.ReportMetric(top.wall, "worst/best-wall")
	b.ReportMetric(top.cpu, "worst/best-cpu")
}
