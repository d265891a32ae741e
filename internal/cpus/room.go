package cpus

import (
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// Unlimited is the room where no control group sets a limit.
const Unlimited = math.MaxInt64

// Memory is how many bytes the control groups of this process let it take beyond what
// they hold already, of version 2 (memory.max) and 1 (memory.limit_in_bytes). Pages of
// files that were not used lately do not count as held. It is [Unlimited] without a
// limit, and 0 where the limit is passed. root is the root of the file system. Files
// that are not there or not readable set none.
func Memory(root fs.FS) int64 {
	least := int64(Unlimited)
	each(root, "memory", func(dir string, two bool) {
		limit, held, idle := "memory.max", "memory.current", "inactive_file"
		if !two {
			limit, held, idle = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
		}
		// Version 1 writes the largest number of whole pages where there is no limit.
		most, ok := number(root, path.Join(dir, limit))
		if !ok || most > 1<<62 {
			return
		}
		now, _ := number(root, path.Join(dir, held))
		now -= min(now, statistic(root, path.Join(dir, "memory.stat"), idle))
		least = min(least, max(0, most-now))
	})
	return least
}

// PIDs is how many more threads and processes the control groups of this process allow
// (pids.max less pids.current), as Memory does for bytes.
func PIDs(root fs.FS) int64 {
	least := int64(Unlimited)
	each(root, "pids", func(dir string, _ bool) {
		most, ok := number(root, path.Join(dir, "pids.max"))
		if !ok {
			return
		}
		now, _ := number(root, path.Join(dir, "pids.current"))
		least = min(least, max(0, most-now))
	})
	return least
}

// number reads a file of one whole number from 0 on; "max" is none.
func number(root fs.FS, name string) (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(read(root, name)), 10, 64)
	return n, err == nil && n >= 0
}

// statistic reads one line of a file of names and numbers, 0 where it is not there.
func statistic(root fs.FS, file, name string) int64 {
	for line := range strings.Lines(read(root, file)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && key == name {
			if n, err := strconv.ParseInt(value, 10, 64); err == nil && n > 0 {
				return n
			}
		}
	}
	return 0
}
