package setup

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/tensor/libtorch/internal/elftest"
)

const (
	oldABI = "_ZN3c105ErrorC1ENS_14SourceLocationESs"
	newABI = "_ZN3c105ErrorC1ENS_14SourceLocationENSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
)

// fakeTorch makes a folder that looks like a libtorch of the version.
func fakeTorch(t *testing.T, dir, version, symbol string, cuda bool) string {
	t.Helper()
	v := strings.Split(version, ".")
	put := func(name string, data []byte) {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, data, 0o644))
	}
	put("include/torch/csrc/api/include/torch/version.h", fmt.Appendf(nil, "#pragma once\n/// Indicates the major version\n#define TORCH_VERSION_MAJOR %s\n# define TORCH_VERSION_MINOR %s\n#define TORCH_VERSION_PATCH %s\n", v[0], v[1], v[2]))
	put("lib/libc10.so", elftest.Build(elftest.File{Symbols: []string{symbol}}))
	put("lib/libtorch_cpu.so", elftest.Build(elftest.File{Needed: []string{"libc10.so"}}))
	if cuda {
		put("lib/libtorch_cuda.so", nil)
		put("lib/libc10_cuda.so", nil)
	}
	return dir
}

func TestInspect(t *testing.T) {
	dir := fakeTorch(t, t.TempDir(), "2.1.2", oldABI, false)
	in, err := Inspect(dir, "TAB_LIBTORCH", Gotch, false)
	require.NoError(t, err)
	require.Equal(t, Installation{Dir: dir, Source: "TAB_LIBTORCH", Version: "2.1.2", ABI: 0}, in)
	_, err = Inspect(dir, "TAB_LIBTORCH", Gotch, true)
	require.ErrorIs(t, err, ErrInstallation)
	require.ErrorContains(t, err, "built for the CPU alone")

	in, err = Inspect(fakeTorch(t, t.TempDir(), "2.1.0", newABI, true), "cache", Gotch, true)
	require.NoError(t, err)
	require.Equal(t, 1, in.ABI)
	require.True(t, in.CUDA)
}

func TestInspectABIFromCMake(t *testing.T) {
	dir := fakeTorch(t, t.TempDir(), "2.1.2", "stripped", false)
	_, err := Inspect(dir, "TAB_LIBTORCH", Gotch, false)
	require.ErrorIs(t, err, ErrInstallation)
	require.ErrorContains(t, err, "C++ ABI")
	for _, abi := range []int{0, 1} {
		path := filepath.Join(dir, "share/cmake/Torch/TorchConfig.cmake")
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, "if(TRUE)\n  set(TORCH_CXX_FLAGS \"-D_GLIBCXX_USE_CXX11_ABI=%d\")\nendif()\n", abi), 0o644))
		in, err := Inspect(dir, "TAB_LIBTORCH", Gotch, false)
		require.NoError(t, err)
		require.Equal(t, abi, in.ABI)
	}
}

func TestInspectRefuses(t *testing.T) {
	for _, v := range []string{"2.0.1", "2.2.0", "1.13.1", "2.10.0", "2.11.2"} {
		_, err := Inspect(fakeTorch(t, t.TempDir(), v, oldABI, false), "TAB_LIBTORCH", Gotch, false)
		require.ErrorIs(t, err, ErrVersion, v)
		require.ErrorContains(t, err, "it is "+v+", and 2.1 is needed")
	}
	_, err := Inspect(filepath.Join(t.TempDir(), "absent"), "TAB_LIBTORCH", Gotch, false)
	require.ErrorIs(t, err, ErrInstallation)

	site := t.TempDir()
	fakeTorch(t, filepath.Join(site, "torch"), "2.1.2", oldABI, false)
	_, err = Inspect(site, "TAB_LIBTORCH", Gotch, false)
	require.ErrorContains(t, err, "one level below: "+filepath.Join(site, "torch"))

	_, err = Inspect(t.TempDir(), "TAB_LIBTORCH", Gotch, false)
	require.ErrorContains(t, err, "there is no lib/libc10.so")

	bad := fakeTorch(t, t.TempDir(), "2.1.2", oldABI, false)
	require.NoError(t, os.WriteFile(filepath.Join(bad, "lib/libc10.so"), []byte("truncated"), 0o644))
	_, err = Inspect(bad, "TAB_LIBTORCH", Gotch, false)
	require.ErrorIs(t, err, ErrInstallation)
	require.NoError(t, os.RemoveAll(filepath.Join(bad, "include")))
	_, err = Inspect(bad, "TAB_LIBTORCH", Gotch, false)
	require.ErrorContains(t, err, "headers are not complete")
}

func TestCheckPlatform(t *testing.T) {
	there := filepath.Join(t.TempDir(), "ld.so")
	require.NoError(t, os.WriteFile(there, nil, 0o644))
	require.NoError(t, CheckPlatform("linux", "amd64", there))
	for _, p := range [][2]string{{"darwin", "arm64"}, {"linux", "arm64"}, {"windows", "amd64"}} {
		err := CheckPlatform(p[0], p[1], there)
		require.ErrorIs(t, err, ErrPlatform)
		require.ErrorContains(t, err, p[0]+"/"+p[1])
	}
	err := CheckPlatform("linux", "amd64", there+".absent")
	require.ErrorIs(t, err, ErrPlatform)
	require.ErrorContains(t, err, "glibc")
}

func TestStubs(t *testing.T) {
	require.Len(t, Stubs(Gotch, false), 11)
	require.NotContains(t, Stubs(Gotch, true), "torch_cuda", "with CUDA the real one is linked")
	dir := filepath.Join(t.TempDir(), "stubs")
	require.NoError(t, WriteStubs(dir, []string{"cuda", "torch"}))
	raw, err := os.ReadFile(filepath.Join(dir, "libcuda.a"))
	require.NoError(t, err)
	require.Equal(t, "!<arch>\n", string(raw))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "libcuda.a"), []byte("half"), 0o644))
	require.NoError(t, WriteStubs(dir, []string{"cuda", "torch"}))
	raw, err = os.ReadFile(filepath.Join(dir, "libcuda.a"))
	require.NoError(t, err)
	require.Equal(t, "!<arch>\n", string(raw), "a damaged one is made anew")

	// All there: nothing is written, also where nothing could be.
	before, err := os.Stat(filepath.Join(dir, "libtorch.a"))
	require.NoError(t, err)
	require.NoError(t, WriteStubs(dir, []string{"cuda", "torch"}))
	after, err := os.Stat(filepath.Join(dir, "libtorch.a"))
	require.NoError(t, err)
	require.Equal(t, before.ModTime(), after.ModTime())

	blocked := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(blocked, nil, 0o644))
	require.ErrorContains(t, WriteStubs(filepath.Join(blocked, "stubs"), []string{"cuda"}), "TAB_CACHE")
}

func TestEnviron(t *testing.T) {
	vars, err := Environ(Installation{Dir: "/opt/lib torch", ABI: 1}, "/c/stubs", Gotch, false, "")
	require.NoError(t, err)
	require.Equal(t, []Var{
		{"CGO_ENABLED", "1"},
		{"CGO_CXXFLAGS", "-O2 -D_GLIBCXX_USE_CXX11_ABI=1 -isystem '/opt/lib torch/include' -isystem '/opt/lib torch/include/torch/csrc/api/include'"},
		{"CGO_LDFLAGS", "-Wl,--no-as-needed -L/c/stubs '-L/opt/lib torch/lib' -Wl,-rpath,$ORIGIN/lib '-Wl,-rpath,/opt/lib torch/lib'"},
	}, vars)
	require.Equal(t, []string{"-Wl,--no-as-needed", "-L/c/stubs", "-L/opt/lib torch/lib", "-Wl,-rpath,$ORIGIN/lib", "-Wl,-rpath,/opt/lib torch/lib"}, split(vars[2].Value))
	for _, dir := range []string{`/o'"/t`, "/a\nb", "/a,b", "/a:b"} {
		_, err := Environ(Installation{Dir: dir}, "/c/stubs", Gotch, false, "")
		require.ErrorIs(t, err, ErrQuote, dir)
	}
}

// TestFormat gives awkward values through a real shell and a real make and expects them back unchanged.
func TestFormat(t *testing.T) {
	vars := []Var{{"TAB_A", `-L'/a b' "x" $ORIGIN # \ & <`}, {"TAB_B", "it's"}}
	text, err := Format(vars, "json")
	require.NoError(t, err)
	var m map[string]string
	require.NoError(t, json.Unmarshal([]byte(text), &m))
	require.Equal(t, map[string]string{"TAB_A": vars[0].Value, "TAB_B": vars[1].Value}, m)

	_, err = Format(vars, "yaml")
	require.ErrorContains(t, err, "none of shell, make, json")

	t.Run("shell", func(t *testing.T) {
		text, err := Format(vars, "shell")
		require.NoError(t, err)
		cmd := exec.Command("/bin/sh", "-c", `eval "$1"; printf '%s|%s' "$TAB_A" "$TAB_B"`, "sh", text)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		require.Equal(t, vars[0].Value+"|"+vars[1].Value, string(out))
	})
	t.Run("make", func(t *testing.T) {
		if _, err := exec.LookPath("make"); err != nil {
			t.Skip("make is not installed")
		}
		text, err := Format(vars, "make")
		require.NoError(t, err)
		file := filepath.Join(t.TempDir(), "Makefile")
		require.NoError(t, os.WriteFile(file, []byte(text+"all:\n\t@printf '%s|%s' \"$$TAB_A\" \"$$TAB_B\"\n"), 0o644))
		out, err := exec.Command("make", "-s", "--no-print-directory", "-f", file).CombinedOutput()
		require.NoError(t, err, string(out))
		require.Equal(t, vars[0].Value+"|"+vars[1].Value, string(out))
	})
}

// fakeTools makes a folder with commands that do what their scripts say, and puts it on the PATH, before the shell's
// tools only if tools is set.
func fakeTools(t *testing.T, tools bool, scripts map[string]string) string {
	t.Helper()
	bin := t.TempDir()
	for name, s := range scripts {
		require.NoError(t, os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+s+"\n"), 0o755))
	}
	path := bin
	if tools {
		path += ":/usr/bin:/bin"
	}
	t.Setenv("PATH", path)
	return bin
}

func noEnv(string) string { return "" }

func TestFindCompiler(t *testing.T) {
	ok := `echo "fake 12.0"; echo more`
	t.Run("default", func(t *testing.T) {
		fakeTools(t, false, map[string]string{"g++": ok, "gcc": ok, "clang++": ok})
		c, err := FindCompiler(t.Context(), noEnv)
		require.NoError(t, err)
		require.Equal(t, Compiler{CC: []string{"gcc"}, CXX: []string{"g++"}, About: "fake 12.0"}, c)
	})
	t.Run("other", func(t *testing.T) {
		fakeTools(t, false, map[string]string{"clang++": ok, "clang": ok})
		c, err := FindCompiler(t.Context(), noEnv)
		require.NoError(t, err)
		require.Equal(t, []Var{{"CXX", "clang++"}, {"CC", "clang"}}, c.Extra, "go would run g++ and gcc")
	})
	t.Run("set", func(t *testing.T) {
		fakeTools(t, false, map[string]string{"wrap": ok, "gcc": ok})
		c, err := FindCompiler(t.Context(), func(n string) string { return map[string]string{"CXX": "wrap g++-12 -m64"}[n] })
		require.NoError(t, err)
		require.Equal(t, []string{"wrap", "g++-12", "-m64"}, c.CXX)
		require.Empty(t, c.Extra)
	})
	t.Run("go env", func(t *testing.T) {
		fakeTools(t, false, map[string]string{"go": `[ "$2" = CXX ] && echo mycxx || echo mycc`, "mycxx": ok, "mycc": ok})
		c, err := FindCompiler(t.Context(), noEnv)
		require.NoError(t, err)
		require.Equal(t, []string{"mycxx"}, c.CXX)
		require.Equal(t, []string{"mycc"}, c.CC)
	})
	t.Run("none", func(t *testing.T) {
		fakeTools(t, false, nil)
		_, err := FindCompiler(t.Context(), noEnv)
		require.ErrorIs(t, err, ErrCompiler)
		require.ErrorContains(t, err, "apt install g++")
	})
	t.Run("set but absent", func(t *testing.T) {
		fakeTools(t, false, map[string]string{"g++": ok, "gcc": ok})
		_, err := FindCompiler(t.Context(), func(string) string { return "/no/such/g++" })
		require.ErrorIs(t, err, ErrCompiler)
		require.ErrorContains(t, err, "/no/such/g++")
	})
	t.Run("broken", func(t *testing.T) {
		fakeTools(t, false, map[string]string{"g++": "echo cannot; exit 1", "gcc": ok})
		_, err := FindCompiler(t.Context(), noEnv)
		require.ErrorIs(t, err, ErrCompiler)
	})
}

// compilerThatMakes is a script of a compiler that writes a program which does what script says.
func compilerThatMakes(script string) string {
	return `[ "$1" = "--version" ] && { echo "fake 12.0"; exit 0; }
echo "$@" >> "$(dirname "$0")/calls"
while [ $# -gt 0 ]; do [ "$1" = "-o" ] && out=$2; shift; done
printf '#!/bin/sh\n%s\n' '` + script + `' > "$out"; chmod +x "$out"`
}

func TestProve(t *testing.T) {
	in, err := Inspect(fakeTorch(t, t.TempDir(), "2.1.2", oldABI, false), "cache", Gotch, false)
	require.NoError(t, err)
	vars, err := Environ(in, "/c/stubs", Gotch, false, "")
	require.NoError(t, err)
	good := "echo gotab-proof 2.1.2 sum=12 config=1 cuda=0"
	c := Compiler{CXX: []string{"g++"}, CC: []string{"gcc"}, About: "fake"}

	t.Run("success is kept", func(t *testing.T) {
		root := t.TempDir()
		bin := fakeTools(t, true, map[string]string{"g++": compilerThatMakes(good)})
		var log bytes.Buffer
		for range 2 {
			line, err := Prove(t.Context(), root, in, Gotch, c, vars, &log)
			require.NoError(t, err)
			require.Equal(t, "gotab-proof 2.1.2 sum=12 config=1 cuda=0", line)
		}
		calls, err := os.ReadFile(filepath.Join(bin, "calls"))
		require.NoError(t, err)
		require.Equal(t, 1, strings.Count(string(calls), "\n"), "compiled once")
		for _, want := range append(Gotch.libraries(), "-std=c++17", "-D_GLIBCXX_USE_CXX11_ABI=0", "-L/c/stubs", "-Wl,-rpath,$ORIGIN/lib") {
			require.Contains(t, " "+string(calls), " "+want)
		}
		entries, err := os.ReadDir(filepath.Join(root, "proof"))
		require.NoError(t, err)
		require.Len(t, entries, 1, "only the record stays")

		other := append([]Var{{"CGO_CXXFLAGS", "-O0"}}, vars[2])
		_, err = Prove(t.Context(), root, in, Gotch, c, other, &log)
		require.NoError(t, err)
		calls, err = os.ReadFile(filepath.Join(bin, "calls"))
		require.NoError(t, err)
		require.Equal(t, 2, strings.Count(string(calls), "\n"), "other flags are proved anew")
	})
	for name, tc := range map[string]struct{ script, advice string }{
		"too old":    {`echo "error: unrecognized command line option -std=c++17"; exit 1`, "too old"},
		"abi":        {`echo "undefined reference to c10::Error"; exit 1`, "do not fit together"},
		"siblings":   {`echo "ld: warning: libcudart.so.12, needed by libtorch_cpu.so, not found"; echo "undefined reference to cudaFree"; exit 1`, "sibling folder nvidia/"},
		"headers":    {`echo "fatal error: iostream: No such file or directory"; exit 1`, "libc6-dev"},
		"memory":     {`echo "c++: fatal error: Killed signal terminated program cc1plus"; exit 1`, "3 GB"},
		"disk":       {`echo "No space left on device"; exit 1`, "disk is full"},
		"other":      {`echo "strange words"; exit 1`, "strange words"},
		"no library": {compilerThatMakes("echo error while loading shared libraries: libcudart.so.12: cannot open shared object file; exit 127"), "cuda_runtime"},
		"glibc":      {compilerThatMakes("echo version GLIBC_2.99 not found; exit 1"), "older"},
		"processor":  {compilerThatMakes(`kill -ILL $$`), "libtorch doctor"},
		"crash":      {compilerThatMakes("exit 3"), "LD_LIBRARY_PATH"},
		"mixed":      {compilerThatMakes("echo gotab-proof 2.0.0 sum=12 config=1 cuda=0"), "another libtorch is in the way"},
		"wrong":      {compilerThatMakes("echo gotab-proof 2.1.2 sum=11 config=1 cuda=0"), "sum=11"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			fakeTools(t, true, map[string]string{"g++": tc.script})
			_, err := Prove(t.Context(), root, in, Gotch, c, vars, &bytes.Buffer{})
			require.ErrorIs(t, err, ErrProof)
			require.ErrorContains(t, err, tc.advice)
			entries, err := os.ReadDir(filepath.Join(root, "proof"))
			require.NoError(t, err)
			require.Empty(t, entries, "a failure is not remembered")
		})
	}
	t.Run("read-only cache", func(t *testing.T) {
		root := filepath.Join(t.TempDir(), "file")
		require.NoError(t, os.WriteFile(root, nil, 0o644))
		fakeTools(t, true, map[string]string{"g++": compilerThatMakes(good)})
		_, err := Prove(t.Context(), root, in, Gotch, c, vars, &bytes.Buffer{})
		require.ErrorContains(t, err, "TAB_CACHE")
	})
}
