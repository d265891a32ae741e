package machine

import (
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"strings"

	"github.com/gotab/gotab/internal/cpus"
)

// Cores compares the processors that a program sees with the quota of its container. processors is what the kernel
// shows to the process, gomaxprocs the variable GOMAXPROCS.
func Cores(root fs.FS, processors int, gomaxprocs string) Finding {
	quota := cpus.Quota(root)
	set, err := strconv.Atoi(gomaxprocs)
	switch {
	case gomaxprocs != "" && (err != nil || set < 1):
		return Finding{Note, "cores", fmt.Sprintf("GOMAXPROCS is %q, which is no number of processors; Go takes all %d; unset it", gomaxprocs, processors)}
	case math.IsInf(quota, 1) && gomaxprocs == "":
		return Finding{OK, "cores", fmt.Sprintf("%d, and no quota of a container; tensor uses as many threads", processors)}
	case math.IsInf(quota, 1):
		return Finding{OK, "cores", fmt.Sprintf("%d, and no quota of a container; tensor uses GOMAXPROCS = %d threads", processors, min(set, 4096))}
	case gomaxprocs != "" && float64(set) > math.Ceil(quota):
		return Finding{Note, "cores", fmt.Sprintf("the container's quota is %.3g processors and GOMAXPROCS is %d: with more threads than the quota the system stops all of them in every period; unset GOMAXPROCS, or set it to %d",
			quota, set, int(math.Ceil(quota)))}
	case gomaxprocs != "":
		return Finding{OK, "cores", fmt.Sprintf("the container's quota is %.3g of %d processors; tensor uses GOMAXPROCS = %d threads", quota, processors, set)}
	}
	n := max(1, min(processors, int(math.Ceil(quota))))
	return Finding{OK, "cores", fmt.Sprintf("the container's quota is %.3g of %d processors; tensor uses %d threads (C programs that ask for the processors see %d: set OMP_NUM_THREADS=%d for those)",
		quota, processors, n, processors, n)}
}

// Threads looks at how many more threads the process may make: the limit of its control groups, and of the user
// (ulimit -u). A build runs the go command and compilers side by side, and libtorch makes two threads a core.
func Threads(root fs.FS, processors int) Finding {
	left, who := cpus.PIDs(root), "the control group (pids.max) allows %d more threads and processes"
	if n, ok := userLimit(root); ok && n < left {
		left, who = n, "the user (ulimit -u) may have %d threads and processes"
	}
	who = fmt.Sprintf(who, left)
	if left == cpus.Unlimited {
		return Finding{OK, "threads", "no limit"}
	}
	need := int64(64 + 4*processors)
	if left < need {
		return Finding{Note, "threads", fmt.Sprintf("%s; a build and libtorch take up to %d and end where they get none: raise the limit (docker run --pids-limit, TasksMax of systemd), or use fewer (make P=1, tensor.SetThreads)", who, need)}
	}
	return Finding{OK, "threads", who}
}

// userLimit reads the soft limit of processes for the user.
func userLimit(root fs.FS) (int64, bool) {
	for line := range strings.Lines(read(root, "proc/self/limits")) {
		rest, ok := strings.CutPrefix(line, "Max processes")
		if fields := strings.Fields(rest); ok && len(fields) > 0 {
			n, err := strconv.ParseInt(fields[0], 10, 64)
			return n, err == nil // "unlimited" is none
		}
	}
	return 0, false
}

// Memory compares the memory that can still be taken, of the machine and of the container, with what the first build
// needs.
func Memory(root fs.FS, need int64) Finding {
	free, ok := available(root)
	room := cpus.Memory(root)
	if !ok && room == cpus.Unlimited {
		return Finding{Note, "memory", "the kernel does not say how much is available"}
	}
	where := "available"
	if room < free || !ok {
		free, where = room, "left by the container's limit"
	}
	gb := func(n int64) string { return fmt.Sprintf("%.1f GB", float64(n)/1e9) }
	if free < need {
		advice := "close something, or raise the limit"
		if need > 2e9 {
			advice += ", or take -floor libtorch, which needs 1 GB"
		}
		return Finding{Note, "memory", fmt.Sprintf("%s are %s; the first build needs about %s and is killed without them: %s", gb(free), where, gb(need), advice)}
	}
	return Finding{OK, "memory", fmt.Sprintf("%s %s; the first build needs about %s", gb(free), where, gb(need))}
}

// available is the memory that programs can still take on the machine.
func available(root fs.FS) (int64, bool) {
	for line := range strings.Lines(read(root, "proc/meminfo")) {
		rest, ok := strings.CutPrefix(line, "MemAvailable:")
		if fields := strings.Fields(rest); ok && len(fields) > 0 {
			kb, err := strconv.ParseInt(fields[0], 10, 64)
			if err == nil && kb >= 0 && kb < 1<<50 {
				return kb << 10, true
			}
			return 0, false
		}
	}
	return 0, false
}
