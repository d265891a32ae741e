//go:build soak

package downstream_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/tensor"
)

const (
	soakWindows = 12
	soakSamples = 20 // in a window
	// Memory is flat where the last four windows have no more than this beyond the
	// four before them, in parts and MB: the C library's arenas and Go's collector
	// leave that much to chance.
	soakGrowth, soakSlack = 1.05, 24.0
	// soakThreads is how many threads there may be in the end beyond those of the
	// third window: Go's runtime starts one where a call blocks and keeps it.
	soakThreads = 8
)

// tally counts operations of kinds, those that ended with an error apart.
type tally struct {
	mu sync.Mutex
	n  map[[2]string][2]int64
}

func (c *tally) add(kind, op string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[[2]string][2]int64{}
	}
	v := c.n[[2]string{kind, op}]
	if err == nil {
		v[0]++
	} else {
		v[1]++
	}
	c.n[[2]string{kind, op}] = v
}

func (c *tally) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	keys := slices.SortedFunc(maps.Keys(c.n), func(a, b [2]string) int { return strings.Compare(a[0]+a[1], b[0]+b[1]) })
	var b strings.Builder
	var all, failed int64
	for _, k := range keys {
		v := c.n[k]
		fmt.Fprintf(&b, "%-20s %-24s %8d done %8d ended with an error that may be\n", k[0], k[1], v[0], v[1])
		all, failed = all+v[0]+v[1], failed+v[1]
	}
	fmt.Fprintf(&b, "%d operations, %d of them with such an error", all, failed)
	return b.String()
}

// soakState is what must be at the end as it was at the start.
type soakState struct {
	live              int64
	goroutines, files int
}

func (s soakState) String() string {
	return fmt.Sprintf("%d native tensors, %d goroutines, %d files", s.live, s.goroutines, s.files)
}

func readState(t testing.TB) soakState {
	fds, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return soakState{live: tensor.Live(), goroutines: runtime.NumGoroutine(), files: len(fds)}
}

// soakSeen is what was seen in each window.
type soakSeen struct {
	rss     []float64 // MB, the mean
	threads []int     // the most
}

// watch looks at the process until the time is over, or stop is closed.
func watch(t testing.TB, d time.Duration, stop <-chan struct{}) *soakSeen {
	seen := &soakSeen{}
	tick := time.NewTicker(d / (soakWindows * soakSamples))
	defer tick.Stop()
	for range soakWindows {
		sum, threads := 0.0, 0
		for range soakSamples {
			select {
			case <-tick.C:
			case <-stop:
				return seen
			}
			sum += residentMB(t)
			tasks, err := os.ReadDir("/proc/self/task")
			require.NoError(t, err)
			threads = max(threads, len(tasks))
		}
		seen.rss, seen.threads = append(seen.rss, float64(int(sum/soakSamples))), append(seen.threads, threads)
	}
	return seen
}

func (s *soakSeen) requireFlat(t testing.TB) {
	t.Helper()
	require.Len(t, s.rss, soakWindows)
	mean := func(v []float64) (sum float64) {
		for _, x := range v {
			sum += x / float64(len(v))
		}
		return sum
	}
	before, after := mean(s.rss[4:8]), mean(s.rss[8:])
	require.LessOrEqual(t, after, before*soakGrowth+soakSlack, "memory grows: %v MB", s.rss)
	require.LessOrEqual(t, slices.Max(s.threads[8:]), slices.Max(s.threads[:3])+soakThreads, "threads grow: %v", s.threads)
}

// residentMB is the resident memory of the process.
func residentMB(t testing.TB) float64 {
	b, err := os.ReadFile("/proc/self/statm")
	require.NoError(t, err)
	pages, err := strconv.ParseFloat(string(bytes.Fields(b)[1]), 64)
	require.NoError(t, err)
	return pages * float64(os.Getpagesize()) / (1 << 20)
}
