package cpus

import (
	"math"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// groups is a file system with the lines that the kernel writes.
func groups(cgroup, mountinfo string, files map[string]string) fstest.MapFS {
	out := fstest.MapFS{"proc/self/cgroup": {Data: []byte(cgroup)}, "proc/self/mountinfo": {Data: []byte(mountinfo)}}
	for name, text := range files {
		out[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return out
}

func TestQuota(t *testing.T) {
	const (
		two = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
		one = "33 25 0:29 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro,nosuid master:11 - cgroup cgroup rw,cpu,cpuacct\n" +
			"34 25 0:30 / /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
	)
	inf := math.Inf(1)
	for what, c := range map[string]struct {
		fs   fstest.MapFS
		want float64
	}{
		"nothing":                  {fstest.MapFS{}, inf},
		"a container, version 2":   {groups("0::/\n", two, map[string]string{"sys/fs/cgroup/cpu.max": "150000 100000\n"}), 1.5},
		"no bound, version 2":      {groups("0::/\n", two, map[string]string{"sys/fs/cgroup/cpu.max": "max 100000\n"}), inf},
		"a group in a bounded one": {groups("0::/a/b\n", two, map[string]string{"sys/fs/cgroup/a/b/cpu.max": "max 100000\n", "sys/fs/cgroup/a/cpu.max": "300000 100000\n"}), 3},
		"the least of two":         {groups("0::/a/b\n", two, map[string]string{"sys/fs/cgroup/a/b/cpu.max": "50000 100000\n", "sys/fs/cgroup/a/cpu.max": "300000 100000\n"}), 0.5},
		"a container, version 1": {groups("4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/x\n", one,
			map[string]string{"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "200000\n", "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "50000\n"}), 4},
		"no bound, version 1": {groups("3:cpu,cpuacct:/docker/abc\n", one,
			map[string]string{"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n"}), inf},
		"another view, version 1": {groups("3:cpu,cpuacct:/\n", one,
			map[string]string{"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "100000\n", "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n"}), 1},
		"not a number": {groups("0::/\n", two, map[string]string{"sys/fs/cgroup/cpu.max": "many few\n"}), inf},
		"no period":    {groups("0::/\n", two, map[string]string{"sys/fs/cgroup/cpu.max": "100000 0\n"}), inf},
	} {
		require.Equal(t, c.want, Quota(c.fs), what)
	}
}

func TestAllowed(t *testing.T) {
	for _, c := range []struct {
		n     int
		quota float64
		want  int
	}{{8, math.Inf(1), 8}, {8, 1.5, 2}, {8, 0.2, 1}, {8, 16, 8}, {2, 2, 2}} {
		require.Equal(t, c.want, bounded(c.n, c.quota))
	}
	t.Setenv("GOMAXPROCS", "7")
	require.Equal(t, runtime.GOMAXPROCS(0), Allowed())
}

// The lines of this machine's kernel are read as well: they allow at least something.
func TestQuotaOfThisProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("control groups are Linux's")
	}
	require.Greater(t, Quota(os.DirFS("/")), 0.0)
}

func FuzzQuota(f *testing.F) {
	f.Add("0::/a\n", "1 2 3 / /sys/fs/cgroup rw - cgroup2 x rw\n", "1 2")
	f.Add("3:cpu:/../..\n", "1 2 3 /.. /sys rw - cgroup x cpu\n", "-1")
	f.Fuzz(func(t *testing.T, cgroup, mounts, text string) {
		q := Quota(groups(cgroup, mounts, map[string]string{"sys/fs/cgroup/cpu.max": text, "sys/fs/cgroup/a/cpu.max": text}))
		if n := bounded(8, q); !(q >= 0) || n < 1 || n > 8 || strings.Contains(cgroup, "\x00") && n < 0 {
			t.Fatalf("%v, %d", q, n)
		}
	})
}
