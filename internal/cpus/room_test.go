package cpus

import (
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRoom(t *testing.T) {
	const (
		two = "30 24 0:26 / /cg rw shared:4 - cgroup2 cgroup2 rw\n"
		one = "33 25 0:29 / /cg/memory ro - cgroup cgroup rw,memory\n34 25 0:30 / /cg/pids ro - cgroup cgroup rw,pids\n"
	)
	for what, c := range map[string]struct {
		cgroup, mounts string
		files          map[string]string
		memory, pids   int64
	}{
		"nothing": {"0::/\n", two, nil, Unlimited, Unlimited},
		"version 2": {"0::/a\n", two, map[string]string{"cg/a/memory.max": "1000\n", "cg/a/memory.current": "400\n", "cg/a/memory.stat": "file 350\ninactive_file 300\n",
			"cg/a/pids.max": "100\n", "cg/a/pids.current": "30\n"}, 900, 70},
		"no limit, version 2": {"0::/a\n", two, map[string]string{"cg/a/memory.max": "max\n", "cg/a/memory.current": "4\n", "cg/a/pids.max": "max\n", "cg/a/pids.current": "9\n"}, Unlimited, Unlimited},
		"the group above": {"0::/a\n", two, map[string]string{"cg/a/memory.max": "max\n", "cg/memory.max": "50\n", "cg/memory.current": "60\n", "cg/a/pids.max": "100\n",
			"cg/pids.max": "10\n", "cg/pids.current": "3\n"}, 0, 7},
		"version 1": {"2:memory:/\n1:pids:/b\n", one, map[string]string{"cg/memory/memory.limit_in_bytes": "1000\n", "cg/memory/memory.usage_in_bytes": "400\n",
			"cg/memory/memory.stat": "inactive_file 1\ntotal_inactive_file 100\n", "cg/pids/b/pids.max": "5\n"}, 700, 5},
		"no limit, version 1": {"2:memory:/\n1:pids:/\n", one, map[string]string{"cg/memory/memory.limit_in_bytes": "9223372036854771712\n", "cg/pids/pids.max": "max\n"}, Unlimited, Unlimited},
		"not numbers":         {"0::/\n", two, map[string]string{"cg/memory.max": "-5\n", "cg/pids.max": "many\n"}, Unlimited, Unlimited},
		"more idle than held": {"0::/\n", two, map[string]string{"cg/memory.max": "10\n", "cg/memory.current": "4\n", "cg/memory.stat": "inactive_file 7\n"}, 10, Unlimited},
	} {
		root := groups(c.cgroup, c.mounts, c.files)
		require.Equal(t, c.memory, Memory(root), what)
		require.Equal(t, c.pids, PIDs(root), what)
	}
}

// The lines of this machine's kernel are read as well: they leave this process something.
func TestRoomOfThisProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("control groups are Linux's")
	}
	require.Positive(t, Memory(os.DirFS("/")))
	require.Positive(t, PIDs(os.DirFS("/")))
}

func FuzzRoom(f *testing.F) {
	f.Add("0::/a\n", "1 2 3 / /cg rw - cgroup2 x rw\n", "9", "3", "inactive_file 2\n")
	f.Add("3:memory,pids:/..\n", "1 2 3 /.. /cg rw - cgroup x memory,pids\n", "-1", "max", "inactive_file x")
	f.Fuzz(func(t *testing.T, cgroup, mounts, most, now, stat string) {
		root := groups(cgroup, mounts, map[string]string{"cg/memory.max": most, "cg/memory.current": now, "cg/memory.stat": stat, "cg/pids.max": most, "cg/pids.current": now})
		if m, p := Memory(root), PIDs(root); m < 0 || p < 0 {
			t.Fatalf("%d bytes, %d threads", m, p)
		}
	})
}
