package bundle

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/tensor/libtorch/internal/elfs"
	"github.com/gotab/gotab/tensor/libtorch/internal/elftest"
)

func put(t *testing.T, path string, f elftest.File) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, elftest.Build(f), 0o755))
	return path
}

// TestClosureCPU lays files out as the wheels do: libraries find their siblings by their own search path.
func TestClosureCPU(t *testing.T) {
	site := t.TempDir()
	const rpath = "$ORIGIN/../../nvidia/cuda_runtime/lib:$ORIGIN"
	prog := put(t, site+"/app/service", elftest.File{Needed: []string{"libc10.so", "libtorch_cpu.so", "libm.so.6", "libc.so.6"},
		Runpath: "$ORIGIN/lib:" + site + "/torch/lib", Glibc: []string{"2.17"}})
	put(t, site+"/torch/lib/libc10.so", elftest.File{Needed: []string{"libc.so.6", "ld-linux-x86-64.so.2"}, Runpath: rpath, Glibc: []string{"2.28"}})
	put(t, site+"/torch/lib/libtorch_cpu.so", elftest.File{Needed: []string{"libc10.so", "libcudart.so.12", "libgomp-1.so.1", "libpthread.so.0"}, Runpath: rpath})
	put(t, site+"/torch/lib/libgomp-1.so.1", elftest.File{})
	put(t, site+"/torch/lib/libunused.so", elftest.File{})
	put(t, site+"/nvidia/cuda_runtime/lib/libcudart.so.12", elftest.File{})
	libs, glibc, err := closure(prog, nil)
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"libc10.so":       site + "/torch/lib/libc10.so",
		"libtorch_cpu.so": site + "/torch/lib/libtorch_cpu.so",
		"libgomp-1.so.1":  site + "/torch/lib/libgomp-1.so.1",
		"libcudart.so.12": site + "/nvidia/cuda_runtime/lib/libcudart.so.12",
	}, libs)
	require.Equal(t, "2.28", glibc, "the newest that any of them asks for")

	require.NoError(t, os.Remove(site+"/nvidia/cuda_runtime/lib/libcudart.so.12"))
	_, _, err = closure(prog, nil)
	require.ErrorIs(t, err, ErrLibrary)
	require.ErrorContains(t, err, "libcudart.so.12, which libtorch_cpu.so needs, is not found")
	put(t, site+"/extra/libcudart.so.12", elftest.File{})
	libs, _, err = closure(prog, []string{site + "/extra"})
	require.NoError(t, err)
	require.Equal(t, site+"/extra/libcudart.so.12", libs["libcudart.so.12"])
}

// TestClosureCUDA checks that what libtorch opens by name comes along, with what that needs, and that the driver stays.
func TestClosureCUDA(t *testing.T) {
	site := t.TempDir()
	const rpath = "$ORIGIN/../../nvidia/cudnn/lib:$ORIGIN/../../nvidia/cuda_nvrtc/lib:$ORIGIN/../../nvidia/cusolver/lib:$ORIGIN"
	prog := put(t, site+"/service", elftest.File{Needed: []string{"libtorch_cuda.so"}, Runpath: site + "/torch/lib"})
	put(t, site+"/torch/lib/libtorch_cuda.so", elftest.File{Needed: []string{"libcudnn.so.8"}, Runpath: rpath})
	put(t, site+"/torch/lib/libtorch_cuda_linalg.so", elftest.File{Needed: []string{"libtorch_cuda.so", "libcusolver.so.11"}, Runpath: rpath})
	put(t, site+"/torch/lib/libcaffe2_nvrtc.so", elftest.File{Needed: []string{"libcuda.so.1", "libnvrtc.so.12"}, Runpath: rpath})
	put(t, site+"/nvidia/cudnn/lib/libcudnn.so.8", elftest.File{Runpath: "$ORIGIN"})
	put(t, site+"/nvidia/cudnn/lib/libcudnn_cnn_infer.so.8", elftest.File{Needed: []string{"libcudnn_ops_infer.so.8"}, Runpath: "$ORIGIN"})
	put(t, site+"/nvidia/cudnn/lib/libcudnn_ops_infer.so.8", elftest.File{})
	put(t, site+"/nvidia/cuda_nvrtc/lib/libnvrtc.so.12", elftest.File{})
	put(t, site+"/nvidia/cuda_nvrtc/lib/libnvrtc-builtins.so.12.1", elftest.File{})
	put(t, site+"/nvidia/cusolver/lib/libcusolver.so.11", elftest.File{Needed: []string{"libnvJitLink.so.12"}, Runpath: "$ORIGIN/../../nvjitlink/lib"})
	put(t, site+"/nvidia/nvjitlink/lib/libnvJitLink.so.12", elftest.File{})
	libs, _, err := closure(prog, nil)
	require.NoError(t, err)
	names := []string{}
	for n := range libs {
		names = append(names, n)
	}
	require.ElementsMatch(t, []string{"libtorch_cuda.so", "libtorch_cuda_linalg.so", "libcaffe2_nvrtc.so", "libcudnn.so.8", "libcudnn_cnn_infer.so.8",
		"libcudnn_ops_infer.so.8", "libnvrtc.so.12", "libnvrtc-builtins.so.12.1", "libcusolver.so.11", "libnvJitLink.so.12"}, names)
}

// build compiles a program that needs liba, which needs libb; both lie in a folder that only their search paths name.
func build(t *testing.T, runpath string) (root, prog string) {
	t.Helper()
	cc := ""
	for _, name := range []string{"gcc", "cc", "clang"} {
		if p, err := exec.LookPath(name); err == nil {
			cc = p
			break
		}
	}
	if cc == "" {
		t.Skip("no C compiler on the PATH to build a program with shared libraries")
	}
	root = t.TempDir()
	site := filepath.Join(root, "site")
	run := func(args ...string) {
		t.Helper()
		out, err := exec.Command(cc, args...).CombinedOutput()
		require.NoError(t, err, string(out))
	}
	for _, d := range []string{"torch/lib", "nvidia/x/lib", "torch-2.1.2.dist-info", "nvidia_x-1.dist-info/licenses"} {
		require.NoError(t, os.MkdirAll(filepath.Join(site, d), 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(site, "torch-2.1.2.dist-info", "LICENSE"), []byte("licence"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(site, "nvidia_x-1.dist-info/licenses/License.txt"), []byte("licence"), 0o644))
	for name, text := range map[string]string{"a.c": "int b(void); int a(void) { return b() + 1; }", "b.c": "int b(void) { return 41; }",
		"main.c": "#include <stdio.h>\nint a(void); int main(void) { printf(\"%d\\n\", a()); return 0; }"} {
		require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(text), 0o644))
	}
	b := filepath.Join(site, "nvidia/x/lib/libb.so.1")
	a := filepath.Join(site, "torch/lib/liba.so")
	prog = filepath.Join(root, "service")
	run("-shared", "-fPIC", "-Wl,-soname,libb.so.1", "-o", b, filepath.Join(root, "b.c"))
	run("-shared", "-fPIC", "-Wl,-soname,liba.so", "-Wl,--disable-new-dtags,-rpath,$ORIGIN/../../nvidia/x/lib:$ORIGIN", "-o", a, filepath.Join(root, "a.c"), b)
	args := []string{"-o", prog, filepath.Join(root, "main.c"), a, "-Wl,-rpath-link," + filepath.Dir(b)}
	if runpath != "" {
		args = append(args, "-Wl,-rpath,"+runpath+filepath.Dir(a))
	}
	run(args...)
	return root, prog
}

func TestMake(t *testing.T) {
	for name, runpath := range map[string]string{"as env links": "$ORIGIN/lib:", "linked with the folder alone": "/nowhere:"} {
		t.Run(name, func(t *testing.T) {
			root, prog := build(t, runpath)
			var log bytes.Buffer
			dir := filepath.Join(t.TempDir(), "deep", "dist")
			res, err := Make(t.Context(), prog, dir, nil, &log)
			require.NoError(t, err)
			require.Equal(t, []string{"liba.so", "libb.so.1"}, res.Libraries)
			require.Equal(t, filepath.Join(dir, "service"), res.Program)
			require.NotEmpty(t, res.Glibc)
			info, err := elfs.Read(res.Program)
			require.NoError(t, err)
			require.Equal(t, []string{"$ORIGIN/lib"}, info.Runpath)
			require.FileExists(t, filepath.Join(dir, "licenses/torch-2.1.2/LICENSE"))
			require.FileExists(t, filepath.Join(dir, "licenses/nvidia_x-1/License.txt"))

			// The real proof: where it came from is gone, and the bundle itself moves.
			require.NoError(t, os.RemoveAll(root))
			moved := filepath.Join(t.TempDir(), "elsewhere")
			require.NoError(t, os.Rename(dir, moved))
			cmd := exec.Command(filepath.Join(moved, "service"))
			cmd.Env = []string{}
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, string(out))
			require.Equal(t, "42\n", string(out))
		})
	}
}

func TestMakeWithoutRunpath(t *testing.T) {
	root, prog := build(t, "")
	_, err := Make(t.Context(), prog, filepath.Join(t.TempDir(), "dist"), []string{filepath.Join(root, "site/torch/lib")}, &bytes.Buffer{})
	require.ErrorIs(t, err, ErrProgram)
	require.ErrorIs(t, err, elfs.ErrNoRunpath)
	require.ErrorContains(t, err, "libtorch env")
}

func TestMakeRefuses(t *testing.T) {
	_, err := Make(t.Context(), filepath.Join(t.TempDir(), "absent"), t.TempDir(), nil, &bytes.Buffer{})
	require.ErrorIs(t, err, ErrProgram)
	require.ErrorContains(t, err, "go build -o")
	_, err = Make(t.Context(), t.TempDir(), t.TempDir(), nil, &bytes.Buffer{})
	require.ErrorIs(t, err, ErrProgram)

	dir := t.TempDir()
	script := filepath.Join(dir, "script")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755))
	_, err = Make(t.Context(), script, dir, nil, &bytes.Buffer{})
	require.ErrorIs(t, err, ErrTarget, "a folder with something in it is left alone")
	_, err = Make(t.Context(), script, filepath.Join(dir, "new"), nil, &bytes.Buffer{})
	require.ErrorIs(t, err, elfs.ErrFormat)

	lost := put(t, filepath.Join(dir, "lost"), elftest.File{Needed: []string{"libgotab-nowhere.so.1"}, Runpath: "/nowhere/at/all"})
	_, err = Make(t.Context(), lost, filepath.Join(dir, "new"), nil, &bytes.Buffer{})
	require.ErrorIs(t, err, ErrLibrary)
	require.NoDirExists(t, filepath.Join(dir, "new"), "nothing is left behind")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 2, fmt.Sprint(entries))
}
