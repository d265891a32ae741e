package machine

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/tensor/libtorch/internal/elftest"
)

func files(pairs ...string) fstest.MapFS {
	out := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return out
}

func TestProcessor(t *testing.T) {
	const v2 = "fpu sse sse2 pni ssse3 cx16 sse4_1 sse4_2 popcnt "
	const v4 = v2 + "avx avx2 fma avx512f avx512bw avx512dq avx512vl"
	for _, c := range []struct {
		flags, version string
		level          Level
		says           string
	}{
		{"fpu sse sse2 pni ssse3 cx16", "2.1.2", Bad, "has no SSE4.1"},
		{"fpu sse sse2 pni ssse3 cx16", "2.15.0", Note, "has no AVX2"},
		{v2 + "avx", "2.1.2", Note, "has no AVX2"},
		{v2 + "avx avx2", "2.1.2", Note, "has no AVX2"},
		{v2 + "avx avx2 fma", "2.1.2", OK, ": AVX2"},
		{v2 + "avx avx2 fma avx512f", "2.1.2", OK, ": AVX2"},
		{v4, "2.1.2", OK, "AVX-512"},
		{v4 + " avx512_bf16", "2.1.2", OK, "bfloat16 products"},
		{v4 + " avx512_bf16 amx_bf16", "2.1.2", OK, "(AMX)"},
	} {
		f := Processor(files("proc/cpuinfo", "processor\t: 0\nmodel name\t: Some CPU @ 2.00GHz: fast\nflags\t\t: "+c.flags+"\n\nprocessor\t: 1\nflags\t\t: none\n"), c.version)
		require.Equal(t, c.level, f.Level, c.flags)
		require.Contains(t, f.Text, c.says)
		require.True(t, strings.HasPrefix(f.Text, "Some CPU @ 2.00GHz: fast"), f.Text)
	}
	require.Equal(t, Note, Processor(files(), "2.1.2").Level)
	require.Equal(t, Note, Processor(files("proc/cpuinfo", "Features : neon\n"), "2.1.2").Level)
}

const mounted = "30 24 0:26 / /cg rw shared:4 - cgroup2 cgroup2 rw\n"

func grouped(pairs ...string) fstest.MapFS {
	return files(append([]string{"proc/self/cgroup", "0::/\n", "proc/self/mountinfo", mounted}, pairs...)...)
}

func TestCores(t *testing.T) {
	for _, c := range []struct {
		quota, set string
		level      Level
		says       string
	}{
		{"max 100000", "", OK, "8, and no quota"},
		{"max 100000", "3", OK, "GOMAXPROCS = 3"},
		{"150000 100000", "", OK, "quota is 1.5 of 8 processors; tensor uses 2 threads"},
		{"150000 100000", "8", Note, "unset GOMAXPROCS, or set it to 2"},
		{"150000 100000", "2", OK, "GOMAXPROCS = 2"},
		{"1600000 100000", "", OK, "tensor uses 8 threads"},
		{"150000 100000", "all", Note, `GOMAXPROCS is "all"`},
	} {
		f := Cores(grouped("cg/cpu.max", c.quota), 8, c.set)
		require.Equal(t, c.level, f.Level, "%+v", c)
		require.Contains(t, f.Text, c.says)
	}
}

func TestThreads(t *testing.T) {
	limits := func(n string) string {
		return "Limit                     Soft Limit           Hard Limit           Units\nMax processes             " + n + "                96365                processes\n"
	}
	for _, c := range []struct {
		max, user string
		level     Level
		says      string
	}{
		{"max", "unlimited", OK, "no limit"},
		{"100", "unlimited", Note, "the control group (pids.max) allows 90 more threads and processes; a build and libtorch take up to 96"},
		{"1000", "unlimited", OK, "allows 990 more threads and processes"},
		{"1000", "40", Note, "the user (ulimit -u) may have 40 threads and processes; a build"},
	} {
		f := Threads(grouped("cg/pids.max", c.max, "cg/pids.current", "10", "proc/self/limits", limits(c.user)), 8)
		require.Equal(t, c.level, f.Level, "%+v", c)
		require.Contains(t, f.Text, c.says)
	}
	require.Equal(t, "no limit", Threads(files(), 2).Text)
}

func TestMemory(t *testing.T) {
	const have = "MemTotal:       8000000 kB\nMemAvailable:    4000000 kB\n"
	for _, c := range []struct {
		info, limit string
		level       Level
		says        string
	}{
		{have, "max", OK, "4.1 GB available; the first build needs about 3.0 GB"},
		{have, "2000000000", Note, "2.0 GB are left by the container's limit"},
		{"MemAvailable: 1000 kB\n", "max", Note, "0.0 GB are available"},
		{"MemAvailable: lots kB\n", "max", Note, "does not say"},
		{"", "9000000000", OK, "9.0 GB left by the container's limit"},
	} {
		f := Memory(grouped("proc/meminfo", c.info, "cg/memory.max", c.limit), 3e9)
		require.Equal(t, c.level, f.Level, "%+v", c)
		require.Contains(t, f.Text, c.says)
	}
}

func TestKernelsRun(t *testing.T) {
	l := Library{Kernels: []string{"sm_50", "sm_86", "compute_90", "sm_100a", "sm_12", "sm_x"}}
	for c, want := range map[Capability]bool{
		{5, 0}: true, {5, 2}: true, {6, 0}: false, {8, 0}: false, {8, 6}: true, {8, 9}: true, {9, 0}: true, {10, 0}: true, {12, 1}: true, {1, 1}: false, {1, 2}: true,
	} {
		require.Equal(t, want, l.Runs(c), c)
	}
	exact := Library{Kernels: []string{"sm_90a", "sm_103f"}}
	require.True(t, exact.Runs(Capability{9, 0}))
	require.True(t, exact.Runs(Capability{10, 3}))
	require.False(t, exact.Runs(Capability{9, 1}))
}

func TestFindKernels(t *testing.T) {
	const list = "\x00sm_75 sm_80 compute_90\x00"
	for _, at := range []int{0, 1, 1<<20 - 10, 1<<20 + 3, 3 << 20} { // also across the ends of blocks
		raw := append(bytes.Repeat([]byte{'x'}, at), list...)
		got, err := findKernels(bytes.NewReader(append(raw, bytes.Repeat([]byte{0}, 100)...)))
		require.NoError(t, err)
		require.Equal(t, []string{"sm_75", "sm_80", "compute_90"}, got, at)
	}
	got, err := findKernels(strings.NewReader("no list: sm_80 sm_90"))
	require.NoError(t, err)
	require.Nil(t, got)
	broken := errors.New("broken")
	_, err = findKernels(failing{broken})
	require.ErrorIs(t, err, broken)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestDescribe(t *testing.T) {
	l, err := Describe(t.TempDir(), "2.15.0")
	require.NoError(t, err)
	require.Equal(t, known["2.15.0"], l, "of the fetched wheels it is known")
	l, err = Describe(t.TempDir(), "2.7.0")
	require.NoError(t, err)
	require.Equal(t, Library{Version: "2.7.0"}, l)

	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "lib"), 0o755))
	write := func(name string, data []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "lib", name), data, 0o644))
	}
	write("libtorch_cuda.so", elftest.Build(elftest.File{Needed: []string{"libc10.so", "libcudart.so.11.0"}}))
	write("libtorch_python.so", []byte("..\x00sm_37 sm_90\x00.."))
	l, err = Describe(dir, "2.1.2")
	require.NoError(t, err)
	require.Equal(t, Library{"2.1.2", 11, []string{"sm_37", "sm_90"}}, l, "the files come before what is known")
	write("libtorch_cuda.so", []byte("cut off"))
	_, err = Describe(dir, "2.1.2")
	require.Error(t, err)
}

// smiOf answers as nvidia-smi does.
func smiOf(cuda, query string, old bool) smi {
	return func(_ context.Context, args ...string) (string, error) {
		switch {
		case args[0] == "-q":
			return "==============NVSMI LOG==============\n\nTimestamp : now\nDriver Version                            : 1\nCUDA Version                              : " + cuda + "\n", nil
		case old && strings.Contains(args[0], "compute_cap"):
			return "", errors.New(`Field "compute_cap" is not a valid field to query.`)
		}
		return query, nil
	}
}

func TestGPUs(t *testing.T) {
	const (
		nvrm = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version: 12\n"
		open = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\n"
	)
	none := func(context.Context, ...string) (string, error) { return "", errors.New("nvidia-smi is not there") }
	for what, c := range map[string]struct {
		root    fstest.MapFS
		library string
		cuda    bool
		ask     smi
		want    []Level
		says    []string
	}{
		"nothing":             {files(), "2.1.2", false, none, []Level{Note}, []string{"the CPU is used"}},
		"nothing, for CUDA":   {files(), "2.1.2", true, none, []Level{Note}, []string{"runs on the CPU on this machine"}},
		"no devices":          {files("proc/driver/nvidia/version", nvrm), "2.1.2", true, none, []Level{Bad}, []string{"--gpus all"}},
		"no devices, for CPU": {files("proc/driver/nvidia/version", nvrm), "2.1.2", false, none, []Level{Note}, []string{"--gpus all"}},
		"fits": {files("proc/driver/nvidia/version", nvrm, "dev/nvidiactl", ""), "2.1.2", true, smiOf("12.2", "9.0, 81559, NVIDIA H100 80GB HBM3\n", false),
			[]Level{OK, OK}, []string{"535.104, for CUDA up to 12.2", "cuda:0, NVIDIA H100 80GB HBM3, 86 GB, compute capability 9.0; libtorch 2.1.2 has kernels for it"}},
		"fits, not linked": {files("proc/driver/nvidia/version", nvrm, "dev/nvidiactl", ""), "2.1.2", false, smiOf("12.2", "8.9, 24564, NVIDIA L4\n", false),
			[]Level{OK, OK}, []string{"", "env -cuda"}},
		"too new a card": {files("proc/driver/nvidia/version", open, "dev/nvidiactl", ""), "2.1.2", true, smiOf("13.0", "9.0, 81559, H100\n12.0, 32607, NVIDIA GeForce RTX 5090\n", false),
			[]Level{OK, OK, Bad}, []string{"580.65, for CUDA up to 13.0", "cuda:0", "take -floor libtorch, whose libtorch 2.15.0 has them"}},
		"too old a card": {files("proc/driver/nvidia/version", open, "dev/nvidiactl", ""), "2.15.0", false, smiOf("13.0", "6.1, 8192, NVIDIA GeForce GTX 1080\n", false),
			[]Level{OK, Note}, []string{"", "has kernels for sm_75 sm_80 sm_86 sm_90 sm_100 sm_120 alone: take -floor gotch"}},
		"hopeless": {files("proc/driver/nvidia/version", open, "dev/nvidiactl", ""), "2.15.0", true, smiOf("13.0", "3.5, 8192, Tesla K40\n", false),
			[]Level{OK, Bad}, []string{"", "take another libtorch in TAB_LIBTORCH"}},
		"too old a driver": {files("proc/driver/nvidia/version", nvrm, "dev/nvidiactl", ""), "2.15.0", true, smiOf("12.2", "9.0, 81559, H100\n", false),
			[]Level{Bad, OK}, []string{"libtorch 2.15.0 needs CUDA 13: install release 580 or newer, or take -floor gotch, whose CUDA is 12", ""}},
		"no nvidia-smi": {files("proc/driver/nvidia/version", nvrm, "dev/nvidiactl", ""), "2.15.0", false, none,
			[]Level{Note, Note}, []string{"needs CUDA 13: install release 580", "does not list the GPUs (nvidia-smi is not there)"}},
		"old nvidia-smi": {files("proc/driver/nvidia/version", nvrm, "dev/nvidiactl", ""), "2.1.2", true, smiOf("12.2", "16384, Tesla V100, with a comma\n", true),
			[]Level{OK, Note}, []string{"", "Tesla V100, with a comma, 17 GB; it is not known"}},
		"no card":         {files("dev/nvidiactl", ""), "2.1.2", true, smiOf("12.2", "No devices were found\n", false), []Level{OK, Bad}, []string{"of an unknown version, for CUDA up to 12.2", "lists no GPU"}},
		"unknown library": {files("dev/nvidiactl", ""), "2.7.1", true, smiOf("12.2", "9.0, 81559, H100\n", false), []Level{Note, Note}, []string{"it is not known", "it is not known"}},
	} {
		l := known[c.library]
		l.Version = c.library
		got := GPUs(t.Context(), c.root, l, c.cuda, c.ask)
		require.Len(t, got, len(c.want), "%s: %+v", what, got)
		for i, f := range got {
			require.Equal(t, c.want[i], f.Level, "%s: %s", what, f.Text)
			require.Contains(t, f.Text, c.says[i], what)
		}
	}
}

// Whatever the kernel and nvidia-smi write, there is a sentence for it.
func FuzzFindings(f *testing.F) {
	f.Add("model name : x\nflags : sse4_2 avx2\n", "Kernel Module  535.1\n", "CUDA Version : 12.2", "9.0, 1, H100\n")
	f.Add("flags :", "Kernel Module 99999999999999999999.1", "CUDA Version : 99999999999999999999.9", ",,\n-1.-1,9999999999999999999,x")
	f.Fuzz(func(t *testing.T, info, version, q, list string) {
		root := grouped("proc/cpuinfo", info, "proc/meminfo", info, "proc/self/limits", info, "cg/cpu.max", q, "cg/pids.max", q, "cg/memory.max", q, "proc/driver/nvidia/version", version, "dev/nvidiactl", "")
		ask := func(_ context.Context, args ...string) (string, error) {
			if args[0] == "-q" {
				return q, nil
			}
			return list, nil
		}
		all := append(GPUs(t.Context(), root, known["2.1.2"], true, ask), Processor(root, "2.1.2"), Cores(root, 4, q), Threads(root, 4), Memory(root, 1e9))
		for _, finding := range all {
			if finding.What == "" || finding.Text == "" {
				t.Fatalf("%+v", finding)
			}
		}
		if _, err := findKernels(strings.NewReader(list)); err != nil {
			t.Fatal(err)
		}
	})
}
