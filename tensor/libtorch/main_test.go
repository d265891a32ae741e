package main

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/tensor/libtorch/internal/elftest"
	"github.com/gotab/gotab/tensor/libtorch/internal/gloo"
	"github.com/gotab/gotab/tensor/libtorch/internal/setup"
	"github.com/gotab/gotab/tensor/libtorch/internal/wheels"
)

// world is a machine of its own: an empty cache folder, tools on the PATH that do what the test wants, an index with
// one small wheel that looks like libtorch.
type world struct {
	app            app
	env            map[string]string
	bin            string
	stdout, stderr bytes.Buffer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{bin: t.TempDir(), env: map[string]string{"TAB_CACHE": filepath.Join(t.TempDir(), "cache")}}
	there := filepath.Join(w.bin, "ld.so")
	require.NoError(t, os.WriteFile(there, nil, 0o644))
	shop := t.TempDir()
	pin := torchWheel(t, shop)
	w.app = app{getenv: func(n string) string { return w.env[n] }, stdout: &w.stdout, stderr: &w.stderr, goos: "linux", goarch: "amd64", loader: there,
		free: func(string) (int64, error) { return 1 << 40, nil }, pins: func(string, bool) []wheels.Pin { return []wheels.Pin{pin} }, floor: setup.Gotch,
		root: fstest.MapFS{}, processors: 4, nvidia: func(context.Context, ...string) (string, error) { return "", errors.New("no nvidia-smi") }}
	w.tool(t, "gcc", `echo "fake 12"`)
	w.tool(t, "g++", `[ "$1" = "--version" ] && { echo "fake 12"; exit 0; }
while [ $# -gt 0 ]; do [ "$1" = "-o" ] && out=$2; shift; done
printf '#!/bin/sh\necho gotab-proof 2.1.2 sum=12 config=1 cuda=0\n' > "$out"; chmod +x "$out"`)
	w.tool(t, "python3", fmt.Sprintf(`[ "$3" = "--version" ] && { echo pip 23; exit 0; }
while [ $# -gt 0 ]; do [ "$1" = "-d" ] && to=$2; shift; done
cp %q "$to/"`, filepath.Join(shop, pin.File)))
	t.Setenv("PATH", w.bin+":/usr/bin:/bin")
	return w
}

func (w *world) tool(t *testing.T, name, script string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(w.bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755))
}

func (w *world) run(t *testing.T, args ...string) error {
	w.stdout.Reset()
	w.stderr.Reset()
	return w.app.run(t.Context(), args)
}

func torchFiles(version string) map[string][]byte {
	v := strings.Split(version, ".")
	return map[string][]byte{
		"torch/include/torch/csrc/api/include/torch/version.h": fmt.Appendf(nil, "#define TORCH_VERSION_MAJOR %s\n#define TORCH_VERSION_MINOR %s\n#define TORCH_VERSION_PATCH %s\n", v[0], v[1], v[2]),
		"torch/lib/libc10.so":       elftest.Build(elftest.File{Symbols: []string{"_ZN3c105ErrorC1ENS_14SourceLocationESs"}}),
		"torch/lib/libtorch_cpu.so": elftest.Build(elftest.File{}),
	}
}

func torchWheel(t *testing.T, dir string) wheels.Pin {
	t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for name, data := range torchFiles("2.1.2") {
		e, err := z.Create(name)
		require.NoError(t, err)
		_, err = e.Write(data)
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	pin := wheels.Pins(wheels.Version, false)[2]
	sum := sha256.Sum256(buf.Bytes())
	pin.SHA256, pin.Size = hex.EncodeToString(sum[:]), int64(buf.Len())
	require.NoError(t, os.WriteFile(filepath.Join(dir, pin.File), buf.Bytes(), 0o644))
	return pin
}

// torchDir is an existing installation.
func torchDir(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range torchFiles(version) {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, data, 0o644))
	}
	return filepath.Join(dir, "torch")
}

func TestEnvFetchesProvesAndPrints(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.run(t, "env"), w.stderr.String())
	torch := filepath.Join(w.env["TAB_CACHE"], "libtorch-2.1.2-cpu", "torch")
	want := "export CGO_ENABLED='1'\n" +
		"export CGO_CXXFLAGS='-O2 -D_GLIBCXX_USE_CXX11_ABI=0 -isystem " + torch + "/include -isystem " + torch + "/include/torch/csrc/api/include'\n" +
		"export CGO_LDFLAGS='-Wl,--no-as-needed -L" + w.env["TAB_CACHE"] + "/stubs-cpu -L" + torch + "/lib -Wl,-rpath,$ORIGIN/lib -Wl,-rpath," + torch + "/lib'\n"
	require.Equal(t, want, w.stdout.String(), "nothing but the environment goes to the standard output")
	require.Contains(t, w.stderr.String(), "fetching libtorch 2.1.2")

	// The second time neither pip nor the compiler is needed to do anything, and nothing is said.
	w.tool(t, "python3", "exit 1")
	require.NoError(t, w.run(t, "env", "-format", "json"))
	require.Empty(t, w.stderr.String())
	var m map[string]string
	require.NoError(t, json.Unmarshal(w.stdout.Bytes(), &m))
	require.Equal(t, "1", m["CGO_ENABLED"])
	require.Len(t, m, 3)

	require.NoError(t, w.run(t, "fetch"))
	require.Equal(t, torch+"\n", w.stdout.String())
}

// What `go env -w` has written counts where the variable is empty, as for the go command.
func TestEnvReadsWhatGoEnvHasWritten(t *testing.T) {
	for _, c := range []struct{ floor, written, variable, want string }{
		{"libtorch", "-mod=mod", "", "export GOFLAGS='-mod=mod -tags=gotab_libtorch'\n"},
		{"libtorch", "-mod=mod", "-v", "export GOFLAGS='-v -tags=gotab_libtorch'\n"},
		{"libtorch", "-tags=gotab_libtorch", "", ""},
		{"gotch", "-tags=gotab_libtorch", "", "export GOFLAGS='-tags='\n"},
		{"gotch", "'-tags=a b'", "", ""},
	} {
		w := newWorld(t)
		w.tool(t, "go", `[ "$1 $2" = "env GOFLAGS" ] && echo "`+c.written+`"; exit 0`)
		w.env["GOFLAGS"] = c.variable
		require.NoError(t, w.run(t, "env", "-floor", c.floor), w.stderr.String())
		_, tail, _ := strings.Cut(w.stdout.String(), "/lib'\n")
		require.Equal(t, c.want, tail, "%+v", c)
	}
	w := newWorld(t)
	w.env["GOFLAGS"] = "'-tags=a"
	require.ErrorIs(t, w.run(t, "env"), setup.ErrQuote)
	require.Empty(t, w.stdout.String())
}

func TestEnvTakesExisting(t *testing.T) {
	w := newWorld(t)
	w.env["TAB_LIBTORCH"] = torchDir(t, "2.1.0")
	w.tool(t, "g++", `[ "$1" = "--version" ] && { echo "fake 12"; exit 0; }
while [ $# -gt 0 ]; do [ "$1" = "-o" ] && out=$2; shift; done
printf '#!/bin/sh\necho gotab-proof 2.1.0 sum=12 config=1 cuda=0\n' > "$out"; chmod +x "$out"`)
	require.NoError(t, w.run(t, "env", "-format=make"))
	require.Contains(t, w.stdout.String(), "export CGO_LDFLAGS := ")
	require.Contains(t, w.stdout.String(), w.env["TAB_LIBTORCH"]+"/lib")
	require.NoDirExists(t, filepath.Join(w.env["TAB_CACHE"], "libtorch-2.1.2-cpu"))

	w.env["TAB_LIBTORCH"] = torchDir(t, "2.3.0")
	err := w.run(t, "env")
	require.ErrorIs(t, err, setup.ErrVersion)
	require.Empty(t, w.stdout.String())

	w.env["TAB_LIBTORCH"] = torchDir(t, "2.1.2")
	require.ErrorIs(t, w.run(t, "env", "-cuda"), setup.ErrInstallation)
}

func TestEnvFailures(t *testing.T) {
	for name, tc := range map[string]struct {
		break_ func(w *world)
		want   error
		says   string
	}{
		"platform": {func(w *world) { w.app.goos, w.app.goarch = "darwin", "arm64" }, setup.ErrPlatform, "darwin/arm64"},
		"musl":     {func(w *world) { w.app.loader += ".absent" }, setup.ErrPlatform, "musl"},
		"compiler": {func(w *world) { w.env["CXX"] = "/no/such/cxx" }, setup.ErrCompiler, "/no/such/cxx"},
		"pip":      {func(w *world) { w.env["TAB_PYTHON"] = "/no/such/python" }, wheels.ErrPip, "apt install python3-pip"},
		"space":    {func(w *world) { w.app.free = func(string) (int64, error) { return 1, nil } }, wheels.ErrSpace, "TAB_CACHE"},
		"cache":    {func(w *world) { w.env["TAB_CACHE"] = filepath.Join(w.app.loader, "below-a-file") }, wheels.ErrCache, "TAB_CACHE"},
		"proof": {func(w *world) {
			w.tool(t, "g++", `[ "$1" = "--version" ] && { echo fake; exit 0; }; echo "undefined reference"; exit 1`)
		}, setup.ErrProof, "do not fit"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tc.break_(w)
			err := w.run(t, "env")
			require.ErrorIs(t, err, tc.want)
			require.ErrorContains(t, err, tc.says)
			require.Empty(t, w.stdout.String(), "a failure must not be evaluated by a shell")
		})
	}
}

func TestUsage(t *testing.T) {
	w := newWorld(t)
	for _, args := range [][]string{{}, {"nonsense"}, {"env", "more"}, {"env", "-format", "xml"}, {"env", "-nonsense"}, {"bundle", "one"}, {"version", "x"}} {
		require.ErrorIs(t, w.run(t, args...), errUsage, "%v", args)
		require.Empty(t, w.stdout.String())
	}
	require.NoError(t, w.run(t, "help"))
	require.Contains(t, w.stdout.String(), "TAB_LIBTORCH")
	w.app.pins = wheels.Pins
	require.NoError(t, w.run(t, "version"))
	require.Equal(t, 31, strings.Count(w.stdout.String(), "\n"))
	require.Equal(t, 6, strings.Count(w.stdout.String(), "\ncpu "))
}

func TestDoctor(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.run(t, "doctor"), w.stdout.String())
	require.Contains(t, w.stdout.String(), "not here yet")
	require.NoDirExists(t, w.env["TAB_CACHE"], "doctor makes nothing")
	require.NoError(t, w.run(t, "env"))
	require.NoError(t, w.run(t, "doctor"), w.stdout.String())
	require.Contains(t, w.stdout.String(), "ok  proof      gotab-proof 2.1.2")

	lib := filepath.Join(w.env["TAB_CACHE"], "libtorch-2.1.2-cpu/torch/lib/libtorch_cpu.so")
	require.NoError(t, os.Remove(lib))
	require.ErrorIs(t, w.run(t, "doctor"), errDoctor)
	require.Contains(t, w.stdout.String(), "!!  libtorch")
	require.Contains(t, w.stdout.String(), "fetches it again")

	w = newWorld(t)
	w.env["CXX"] = "/no/such/cxx"
	w.env["TAB_PYTHON"] = "/no/such/python"
	require.ErrorIs(t, w.run(t, "doctor"), errDoctor)
	require.Contains(t, w.stdout.String(), "!!  compiler")
	require.Contains(t, w.stdout.String(), "!!  pip")
}

// The machine's findings stand among the others, and one that is wrong decides.
func TestDoctorLooksAtTheMachine(t *testing.T) {
	w := newWorld(t)
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	root := fstest.MapFS{
		"proc/cpuinfo":               {Data: []byte("model name\t: Some CPU\nflags\t: sse4_1 avx2 fma\n")},
		"proc/meminfo":               file("MemAvailable: 1000000 kB\n"),
		"proc/self/cgroup":           file("0::/\n"),
		"proc/self/mountinfo":        file("30 24 0:26 / /cg rw - cgroup2 cgroup2 rw\n"),
		"cg/cpu.max":                 file("150000 100000\n"),
		"cg/pids.max":                file("20\n"),
		"proc/driver/nvidia/version": file("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat\n"),
		"dev/nvidiactl":              file(""),
	}
	w.app.root = root
	w.app.nvidia = func(_ context.Context, args ...string) (string, error) {
		if args[0] == "-q" {
			return "CUDA Version : 12.2\n", nil
		}
		return "12.0, 32607, NVIDIA GeForce RTX 5090\n", nil
	}
	require.NoError(t, w.run(t, "doctor"), w.stdout.String())
	for _, line := range []string{"ok  processor  Some CPU: AVX2\n", "ok  cores      the container's quota is 1.5 of 4 processors", "--  threads    the control group (pids.max) allows 20 more",
		"--  memory     1.0 GB are available; the first build needs about 3.0 GB", "for the first build\n", "ok  driver     NVIDIA's driver 535.104, for CUDA up to 12.2; libtorch 2.1.2 needs CUDA 12",
		"--  gpu        cuda:0, NVIDIA GeForce RTX 5090, 34 GB, compute capability 12.0"} {
		require.Contains(t, w.stdout.String(), line)
	}
	require.ErrorIs(t, w.run(t, "doctor", "-cuda"), errDoctor, "a program is to be linked for a GPU that it has no kernels for")
	require.Contains(t, w.stdout.String(), "!!  gpu        cuda:0")
	require.ErrorIs(t, w.run(t, "doctor", "-cuda", "-floor", "libtorch"), errDoctor)
	require.Contains(t, w.stdout.String(), "!!  driver     NVIDIA's driver 535.104, for CUDA up to 12.2; libtorch 2.15.0 needs CUDA 13: install release 580")
	require.NotContains(t, w.stdout.String(), "!!  gpu")

	root["proc/cpuinfo"] = file("model name\t: Virtual CPU\nflags\t: sse2\n")
	w.app.free = func(string) (int64, error) { return 100 << 20, nil }
	require.ErrorIs(t, w.run(t, "doctor"), errDoctor)
	require.Contains(t, w.stdout.String(), "!!  processor  Virtual CPU has no SSE4.1")
	require.Contains(t, w.stdout.String(), "--  disk       /tmp has 104 MB free; the first build needs up to")
}

func TestBundleSaysWhatIsWrong(t *testing.T) {
	w := newWorld(t)
	err := w.run(t, "bundle", filepath.Join(w.bin, "absent"), filepath.Join(t.TempDir(), "dist"))
	require.ErrorContains(t, err, "build it first")
	require.NoDirExists(t, w.env["TAB_CACHE"], "bundle fetches nothing")
}

func TestCacheRoot(t *testing.T) {
	a := &app{getenv: func(string) string { return "" }, stdout: io.Discard, stderr: io.Discard}
	t.Setenv("XDG_CACHE_HOME", "/x/y")
	root, err := a.cacheRoot()
	require.NoError(t, err)
	require.Equal(t, "/x/y/gotab", root)
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "")
	_, err = a.cacheRoot()
	require.ErrorContains(t, err, "set TAB_CACHE")
}

// -dist fetches gloo's headers once and sets the tag; a run without it takes the tag out.
func TestEnvForSeveralProcesses(t *testing.T) {
	w := newWorld(t)
	deb := []byte("a package")
	sum := sha256.Sum256(deb)
	w.app.headers = gloo.Pin{Name: "libgloo-dev", Version: "0.0~git1-3", SHA256: hex.EncodeToString(sum[:])}
	w.tool(t, "apt-get", `printf '%s' "a package" > "libgloo-dev_1.deb"; echo "$@" >> "$0.log"`)
	w.tool(t, "dpkg-deb", `mkdir -p "$3/usr/include/gloo"; echo > "$3/usr/include/gloo/config.h"`)
	w.env["GOFLAGS"], w.env["CPLUS_INCLUDE_PATH"] = "-v -tags=mine", "/opt/include"
	include := filepath.Join(w.env["TAB_CACHE"], "gloo-0.0-git1-3", "usr", "include")
	for range 2 {
		require.NoError(t, w.run(t, "env", "-dist"), &w.stderr)
		require.Contains(t, w.stdout.String(), "export GOFLAGS='-v -tags=mine,gotab_dist'\n")
		require.Contains(t, w.stdout.String(), "export CPLUS_INCLUDE_PATH='"+include+":/opt/include'\n")
		require.FileExists(t, filepath.Join(include, "gloo", "config.h"))
	}
	asked, err := os.ReadFile(filepath.Join(w.bin, "apt-get.log"))
	require.NoError(t, err)
	require.Equal(t, "download libgloo-dev=0.0~git1-3\n", string(asked), "once")
	left, err := filepath.Glob(filepath.Join(w.env["TAB_CACHE"], "tmp-*"))
	require.NoError(t, err)
	require.Empty(t, left)

	w.env["GOFLAGS"] = "-v -tags=mine,gotab_dist"
	require.NoError(t, w.run(t, "env"), &w.stderr)
	require.Contains(t, w.stdout.String(), "export GOFLAGS='-v -tags=mine'\n")
	require.NotContains(t, w.stdout.String(), "CPLUS_INCLUDE_PATH")

	// Headers of one's own.
	w.env["TAB_GLOO"], w.env["GOFLAGS"], w.env["CPLUS_INCLUDE_PATH"] = include, "", ""
	require.NoError(t, os.RemoveAll(filepath.Join(w.bin, "apt-get")))
	require.NoError(t, w.run(t, "env", "-dist"), &w.stderr)
	require.Contains(t, w.stdout.String(), "export GOFLAGS='-tags=gotab_dist'\n")
	require.Contains(t, w.stdout.String(), "export CPLUS_INCLUDE_PATH='"+include+"'\n")
	w.env["TAB_GLOO"] = t.TempDir()
	require.ErrorIs(t, w.run(t, "env", "-dist"), gloo.ErrHeaders)
}

func TestEnvForSeveralProcessesFails(t *testing.T) {
	for name, c := range map[string]struct {
		apt, deb, says string
		want           error
	}{
		"no apt":        {"exit 127", "", "TAB_GLOO", gloo.ErrHeaders},
		"no package":    {"exit 0", "", "fetched 0 packages", gloo.ErrHeaders},
		"another one":   {"echo other > x.deb", "", "x.deb has", wheels.ErrHash},
		"dpkg fails":    {`printf '%s' "a package" > x.deb`, "echo broken archive; exit 2", "broken archive", gloo.ErrHeaders},
		"nothing in it": {`printf '%s' "a package" > x.deb`, `mkdir -p "$3"`, "holds none", gloo.ErrHeaders},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			sum := sha256.Sum256([]byte("a package"))
			w.app.headers = gloo.Pin{Name: "libgloo-dev", Version: "1", SHA256: hex.EncodeToString(sum[:])}
			w.tool(t, "apt-get", c.apt)
			w.tool(t, "dpkg-deb", c.deb)
			err := w.run(t, "env", "-dist")
			require.ErrorIs(t, err, c.want)
			require.ErrorContains(t, err, c.says)
			require.Empty(t, w.stdout.String())
			left, err := filepath.Glob(filepath.Join(w.env["TAB_CACHE"], "*gloo*"))
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
	_, err := setup.WithDist(nil, setup.Installation{Version: "2.15.0"}, setup.Libtorch, "/i", "", "")
	require.ErrorIs(t, err, setup.ErrDist)
}
