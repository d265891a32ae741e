package elfs_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/tensor/libtorch/internal/elfs"
	"github.com/gotab/gotab/tensor/libtorch/internal/elftest"
)

func write(t *testing.T, f elftest.File) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.so")
	require.NoError(t, os.WriteFile(path, elftest.Build(f), 0o755))
	return path
}

func TestRead(t *testing.T) {
	path := write(t, elftest.File{Needed: []string{"libc10.so", "libc.so.6"}, Runpath: "$ORIGIN/lib:/a/b", Glibc: []string{"2.2.5", "2.34", "2.4"}})
	in, err := elfs.Read(path)
	require.NoError(t, err)
	require.Equal(t, []string{"libc10.so", "libc.so.6"}, in.Needed)
	require.Equal(t, []string{"$ORIGIN/lib", "/a/b"}, in.Runpath)
	require.Equal(t, "2.34", in.Glibc, "2.34 is newer than 2.4")
}

func TestNewer(t *testing.T) {
	require.True(t, elfs.Newer("2.34", "2.4"))
	require.True(t, elfs.Newer("2.2.5", "2.2"))
	require.True(t, elfs.Newer("2.2.5", ""))
	require.False(t, elfs.Newer("2.2", "2.2"))
	require.False(t, elfs.Newer("PRIVATE", "2.2"))
}

func TestABI(t *testing.T) {
	for name, tc := range map[string]struct {
		symbols []string
		want    int
		err     error
	}{
		"old":  {[]string{"_ZN3c107anythingE", "_ZN3c105ErrorC1ENS_14SourceLocationESs"}, 0, nil},
		"new":  {[]string{"_ZN3c105ErrorC2ENS_14SourceLocationENSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"}, 1, nil},
		"none": {[]string{"_ZN3c105ErrorC1Ev", "_ZNSs4sizeEv"}, 0, elfs.ErrNoABI},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := elfs.ABI(write(t, elftest.File{Symbols: tc.symbols}))
			require.ErrorIs(t, err, tc.err)
			require.Equal(t, tc.want, got)
		})
	}
}

func TestNotELF(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755))
	_, err := elfs.Read(path)
	require.ErrorIs(t, err, elfs.ErrFormat)
	_, err = elfs.ABI(path)
	require.ErrorIs(t, err, elfs.ErrFormat)
	require.ErrorIs(t, elfs.SetRunpath(path, "$ORIGIN/lib"), elfs.ErrFormat)
	_, err = elfs.Read(filepath.Join(t.TempDir(), "absent"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestSetRunpath(t *testing.T) {
	const old, want = "/home/someone/.cache/gotab/torch/lib", "$ORIGIN/lib"
	f := elftest.File{Symbols: []string{"lib", "main"}, Needed: []string{"libc10.so"}, Runpath: old, Glibc: []string{"2.34"}}
	path := write(t, f)
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, elfs.SetRunpath(path, want))
	in, err := elfs.Read(path)
	require.NoError(t, err)
	require.Equal(t, elfs.Info{Needed: []string{"libc10.so"}, Runpath: []string{want}, Glibc: "2.34"}, in)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, bytes.Replace(before, []byte(old), append([]byte(want), make([]byte, len(old)-len(want))...), 1), after, "nothing else changes")
	require.NoError(t, elfs.SetRunpath(path, want), "a second time changes nothing")
}

func TestSetRunpathRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		file elftest.File
		want error
	}{
		"none":   {elftest.File{Needed: []string{"libc10.so"}}, elfs.ErrNoRunpath},
		"short":  {elftest.File{Runpath: "/opt/lib"}, elfs.ErrRunpathLong},
		"shared": {elftest.File{Runpath: "/opt/libtorch/lib", Shared: len("/opt/libtorch/")}, elfs.ErrRunpathShared},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, tc.file)
			before, err := os.ReadFile(path)
			require.NoError(t, err)
			require.ErrorIs(t, elfs.SetRunpath(path, "$ORIGIN/lib"), tc.want)
			after, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, before, after)
		})
	}
}

// FuzzELF feeds damaged files: whatever they say, an answer or an error comes back.
func FuzzELF(f *testing.F) {
	f.Add(elftest.Build(elftest.File{Symbols: []string{"_ZN3c105ErrorC1ENS_14SourceLocationESs"}, Needed: []string{"liba.so"}, Runpath: "/long/enough/path", Glibc: []string{"2.34", "2.2.5"}}))
	f.Add(elftest.Build(elftest.File{}))
	f.Add([]byte("\x7fELF"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, "x")
		require.NoError(t, os.WriteFile(path, data, 0o644))
		_, _ = elfs.Read(path) // any error will do; a panic or an endless loop is what is looked for
		_, _ = elfs.ABI(path)
		if elfs.SetRunpath(path, "$ORIGIN/lib") == nil {
			st, err := os.Stat(path)
			require.NoError(t, err)
			require.Equal(t, int64(len(data)), st.Size())
		}
	})
}
