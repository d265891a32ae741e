package setup

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFloors(t *testing.T) {
	for _, s := range []string{"gotch", "libtorch"} {
		f, err := ParseFloor(s)
		require.NoError(t, err)
		require.Equal(t, s, string(f))
	}
	_, err := ParseFloor("torch")
	require.ErrorContains(t, err, `"torch" is none of gotch, libtorch`)
}

func TestFloorsTakeTheirVersions(t *testing.T) {
	for _, c := range []struct {
		version         string
		gotch, libtorch bool
		note            bool
	}{
		{"2.1.0", true, true, false},
		{"2.1.2", true, true, false},
		{"2.2.0", false, true, false},
		{"2.15.0", false, true, false},
		{"2.16.1", false, true, true},
		{"2.0.1", false, false, false},
		{"1.13.1", false, false, false},
		{"3.0.0", false, false, false},
		{"new", false, false, false},
	} {
		_, err := Gotch.check(c.version)
		require.Equal(t, c.gotch, err == nil, "gotch, %s: %v", c.version, err)
		note, err := Libtorch.check(c.version)
		require.Equal(t, c.libtorch, err == nil, "libtorch, %s: %v", c.version, err)
		require.Equal(t, c.note, note != "", c.version)
		if err != nil {
			require.ErrorIs(t, err, ErrVersion)
		}
	}
	_, err := Gotch.check("2.15.0")
	require.ErrorContains(t, err, "-floor libtorch")
}

func TestGoFlagsHaveTheFloorsTag(t *testing.T) {
	for _, c := range []struct{ old, gotch, libtorch string }{
		{"", "", "-tags=gotab_libtorch"},
		{"-mod=mod", "-mod=mod", "-mod=mod -tags=gotab_libtorch"},
		{"-tags=gotab_libtorch", "-tags=", "-tags=gotab_libtorch"}, // an empty value would not hide that of go env -w
		{"--tags=a,gotab_libtorch,b -v", "-v -tags=a,b", "--tags=a,gotab_libtorch,b -v"},
		{"'-tags=a b' -v", "'-tags=a b' -v", "-v -tags=a,b,gotab_libtorch"},
		{`"-tags='a' gotab_libtorch" '-ldflags=-s -w'`, "'-ldflags=-s -w' -tags=a", `"-tags='a' gotab_libtorch" '-ldflags=-s -w'`},
		{`"-ldflags=-X 'main.v=1 2'"`, `"-ldflags=-X 'main.v=1 2'"`, `"-ldflags=-X 'main.v=1 2'" -tags=gotab_libtorch`},
		{"-tags=gotab_libtorch -tags=a", "-tags=gotab_libtorch -tags=a", "-tags=a,gotab_libtorch"}, // the last list counts
		{"-tags=a,,", "-tags=a,,", "-tags=a,gotab_libtorch"},
	} {
		got, err := Gotch.goFlags(c.old)
		require.NoError(t, err)
		require.Equal(t, c.gotch, got, c.old)
		got, err = Libtorch.goFlags(c.old)
		require.NoError(t, err)
		require.Equal(t, c.libtorch, got, c.old)
	}
	_, err := Libtorch.goFlags(`"-tags=a,b' c"`)
	require.ErrorContains(t, err, "no build tag")
	for _, bad := range []string{"'-tags=a", `-v "-ldflags=-s -w`} {
		_, err := Libtorch.goFlags(bad)
		require.ErrorIs(t, err, ErrQuote)
		require.ErrorContains(t, err, "has no end")
		_, err = Environ(Installation{Dir: "/t"}, "/c/stubs", Gotch, false, bad)
		require.ErrorIs(t, err, ErrQuote)
	}
}

// What is written is read back by the same rules, and a floor that has its tag changes nothing more.
func FuzzGoFlags(f *testing.F) {
	for _, s := range []string{"", "-tags=a,b", "'-tags=a b'", `"-tags='a'" -v`, "--tags=gotab_libtorch", "' ", "-tags"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, old string) {
		for _, floor := range []Floor{Gotch, Libtorch} {
			flags, err := floor.goFlags(old)
			if err != nil {
				require.ErrorIs(t, err, ErrQuote)
				continue
			}
			again, err := floor.goFlags(flags)
			require.NoError(t, err)
			require.Equal(t, flags, again)
		}
	})
}

func TestOwnFloorsEnvironment(t *testing.T) {
	dir := t.TempDir()
	vars, err := Environ(Installation{Dir: dir, ABI: 1}, "/c/stubs", Libtorch, false, "-v")
	require.NoError(t, err)
	require.Len(t, vars, 4)
	require.Contains(t, vars[1].Value, "-std=c++17")
	require.NotContains(t, vars[2].Value, "stubs")
	require.NotContains(t, vars[2].Value, "cuda")
	require.Equal(t, Var{"GOFLAGS", "-v -tags=" + Tag}, vars[3])

	// Newer headers ask for C++20 by themselves.
	aten := filepath.Join(dir, "include", "ATen")
	require.NoError(t, os.MkdirAll(aten, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(aten, "ATen.h"), []byte("#if __cplusplus < 202002L\n#error\n#endif\n"), 0o644))
	vars, err = Environ(Installation{Dir: dir, ABI: 1}, "/c/stubs", Libtorch, true, "-tags="+Tag)
	require.NoError(t, err)
	require.Len(t, vars, 3, "GOFLAGS is as it should be")
	require.Contains(t, vars[1].Value, "-std=c++20")
	require.Contains(t, vars[2].Value, "-lc10_cuda -ltorch_cuda")
	require.Empty(t, Stubs(Libtorch, false))

	// A shell that comes from the other floor loses the tag.
	vars, err = Environ(Installation{Dir: dir}, "/c/stubs", Gotch, false, "-tags="+Tag)
	require.NoError(t, err)
	require.Equal(t, Var{"GOFLAGS", "-tags="}, vars[3])
}

// Newer releases say their version in another header.
func TestVersionOfNewerHeaders(t *testing.T) {
	dir := fakeTorch(t, t.TempDir(), "2.9.9", newABI, false)
	newer := filepath.Join(dir, "include", "torch", "headeronly")
	require.NoError(t, os.MkdirAll(newer, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(newer, "version.h"), []byte("#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 15\n#define TORCH_VERSION_PATCH 0\n"), 0o644))
	in, err := Inspect(dir, "TAB_LIBTORCH", Libtorch, false)
	require.NoError(t, err)
	require.Equal(t, "2.15.0", in.Version)
	_, err = Inspect(dir, "TAB_LIBTORCH", Gotch, false)
	require.ErrorIs(t, err, ErrVersion)
}
