// Package cpus says how many processors a process may use, where a container gives it
// fewer than the machine has, and what else a container holds back. Go's runtime asks for
// the processors itself only in programs whose go.mod says 1.25 or later.
package cpus

import (
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync"
)

// Allowed is the number of processors that the process keeps busy without being
// throttled: runtime.GOMAXPROCS, or the quota of its control group, rounded up, where
// that is less. The environment's GOMAXPROCS is obeyed. It is at least 1 and safe for
// concurrent use.
func Allowed() int {
	n := runtime.GOMAXPROCS(0)
	if os.Getenv("GOMAXPROCS") != "" {
		return n
	}
	return bounded(n, quota())
}

// quota is read once: a quota that is changed while a program runs is not followed.
var quota = sync.OnceValue(func() float64 {
	if runtime.GOOS != "linux" {
		return math.Inf(1)
	}
	return Quota(os.DirFS("/"))
})

func bounded(n int, quota float64) int {
	if math.IsInf(quota, 1) {
		return n
	}
	return max(1, min(n, int(math.Ceil(quota))))
}

// Quota is how many processors the control groups of this process allow, of version 2
// (cpu.max) and 1 (cpu.cfs_quota_us), in processors; infinity for as many as there
// are. root is the root of the file system. Files that are not there or not readable
// allow everything.
func Quota(root fs.FS) float64 {
	least := math.Inf(1)
	each(root, "cpu", func(dir string, two bool) { least = min(least, quotaOf(root, dir, two)) })
	return least
}

// each calls f with the folder of every control group that this process is in, and of
// those that they lie in: a group has no more than they. two says of which version it is.
func each(root fs.FS, controller string, f func(dir string, two bool)) {
	mounts := read(root, "proc/self/mountinfo")
	for line := range strings.Lines(read(root, "proc/self/cgroup")) {
		// number, controllers, path; version 2 has the number 0 and no controllers
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) < 3 {
			continue
		}
		two := parts[0] == "0" && parts[1] == ""
		if !two && !has(parts[1], controller) {
			continue
		}
		for _, m := range mountsOf(mounts, two, controller) {
			at, ok := below(parts[2], m.root)
			if !ok {
				at = "." // another view of the groups than the mount's
			}
			for {
				f(path.Join(m.point, at), two)
				if at == "." {
					break
				}
				at = path.Dir(at)
			}
		}
	}
}

// mount is a tree of control groups in the file system.
type mount struct{ root, point string } // the group at its root; its path without the first slash

// mountsOf lists the trees of a version, of version 1 those with the controller.
func mountsOf(mountinfo string, two bool, controller string) (out []mount) {
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(strings.TrimSpace(line), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 5 || len(right) < 3 {
			continue
		}
		if two && right[0] == "cgroup2" || !two && right[0] == "cgroup" && has(right[2], controller) {
			out = append(out, mount{plain(left[3]), strings.TrimPrefix(plain(left[4]), "/")})
		}
	}
	return out
}

// plain takes the octal signs out of a path of mountinfo.
func plain(name string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(name)
}

// below is the path of a group below the root of a mount.
func below(group, root string) (string, bool) {
	group, root = path.Clean("/"+group), path.Clean("/"+root)
	if group == root {
		return ".", true
	}
	if root != "/" {
		root += "/"
	}
	rest, ok := strings.CutPrefix(group, root)
	return rest, ok && rest != "" && fs.ValidPath(rest)
}

func has(list, name string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if one == name {
			return true
		}
	}
	return false
}

// quotaOf reads the quota of one group.
func quotaOf(root fs.FS, dir string, two bool) float64 {
	var quota, period string
	if two {
		quota, period, _ = strings.Cut(strings.TrimSpace(read(root, path.Join(dir, "cpu.max"))), " ")
	} else {
		quota = strings.TrimSpace(read(root, path.Join(dir, "cpu.cfs_quota_us")))
		period = strings.TrimSpace(read(root, path.Join(dir, "cpu.cfs_period_us")))
	}
	q, err := strconv.ParseFloat(quota, 64)
	if err != nil || !(q > 0) { // "max", -1, or no such file
		return math.Inf(1)
	}
	p, err := strconv.ParseFloat(period, 64)
	if err != nil || !(p > 0) || math.IsInf(p, 1) {
		return math.Inf(1)
	}
	return q / p
}

// read is the beginning of a file, empty where it cannot be read.
func read(root fs.FS, name string) string {
	f, err := root.Open(name)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }() // nothing was written
	data, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return ""
	}
	return string(data)
}
