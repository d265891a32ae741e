package atomicfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/atomicfile"
)

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

// holds fails unless dir contains exactly the named files.
func holds(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	got := []string{}
	for _, e := range entries {
		got = append(got, e.Name())
	}
	require.ElementsMatch(t, names, got)
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}

func TestWriteCreatesAndReplaces(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.ckpt")
	require.NoError(t, atomicfile.Write(path, text("one")))
	require.Equal(t, "one", content(t, path))
	require.NoError(t, atomicfile.Write(path, text("two, longer than a buffer: "+strings.Repeat("x", 1<<17))))
	require.Len(t, content(t, path), 27+1<<17)
	require.NoError(t, atomicfile.Write(path, text("")))
	require.Empty(t, content(t, path))
	holds(t, dir, "a.ckpt")
}

func TestFailuresKeepTheOldFile(t *testing.T) {
	broken := errors.New("broken")
	cases := map[string]struct {
		fn   func(io.Writer) error
		want error
	}{
		"fails at once": {func(io.Writer) error { return broken }, broken},
		"full disk in the middle": {func(w io.Writer) error {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return err
			}
			return fmt.Errorf("writing tensor 17: %w", syscall.ENOSPC)
		}, syscall.ENOSPC},
		"fails after everything was written": {func(w io.Writer) error {
			_, err := io.WriteString(w, "complete")
			return errors.Join(err, broken)
		}, broken},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "a.ckpt")
			// With no old file there must be none afterwards either.
			err := atomicfile.Write(path, c.fn)
			require.ErrorIs(t, err, c.want)
			require.ErrorContains(t, err, path)
			holds(t, dir)

			require.NoError(t, os.WriteFile(path, []byte("old"), 0o644))
			require.ErrorIs(t, atomicfile.Write(path, c.fn), c.want)
			require.Equal(t, "old", content(t, path))
			holds(t, dir, "a.ckpt")
		})
	}
}

func TestPanicKeepsTheOldFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.ckpt")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o644))
	require.PanicsWithValue(t, "boom", func() {
		_ = atomicfile.Write(path, func(w io.Writer) error {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return err
			}
			panic("boom")
		})
	})
	require.Equal(t, "old", content(t, path))
	holds(t, dir, "a.ckpt")
}

func TestTheOldFileIsThereUntilTheEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ckpt")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o644))
	require.NoError(t, atomicfile.Write(path, func(w io.Writer) error {
		if _, err := w.Write(bytes.Repeat([]byte("new"), 1<<18)); err != nil {
			return err
		}
		require.Equal(t, "old", content(t, path))
		return nil
	}))
	require.Len(t, content(t, path), 3<<18)
}

func TestPermissions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ckpt")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, os.Chmod(path, 0o640))
	require.NoError(t, atomicfile.Write(path, text("x")))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), info.Mode().Perm())

	// A new file has the permissions that os.Create gives.
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "reference"))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	want, err := os.Stat(f.Name())
	require.NoError(t, err)
	require.NoError(t, atomicfile.Write(filepath.Join(dir, "new"), text("x")))
	got, err := os.Stat(filepath.Join(dir, "new"))
	require.NoError(t, err)
	require.Equal(t, want.Mode(), got.Mode())
}

func TestSymbolicLinks(t *testing.T) {
	dir := t.TempDir()
	real := filepath.Join(dir, "step-100.ckpt")
	link := filepath.Join(dir, "latest.ckpt")
	require.NoError(t, os.Symlink("step-100.ckpt", link))
	require.ErrorIs(t, atomicfile.Write(link, text("x")), atomicfile.ErrNotRegular)
	holds(t, dir, "latest.ckpt")

	require.NoError(t, os.WriteFile(real, []byte("old"), 0o644))
	require.NoError(t, atomicfile.Write(link, text("new")))
	require.Equal(t, "new", content(t, real))
	to, err := os.Readlink(link)
	require.NoError(t, err)
	require.Equal(t, "step-100.ckpt", to)
}

func TestImpossibleTargets(t *testing.T) {
	dir := t.TempDir()
	never := func(io.Writer) error {
		t.Error("the function was called although the file can never be written")
		return nil
	}
	require.ErrorIs(t, atomicfile.Write(dir, never), atomicfile.ErrNotRegular)
	require.ErrorIs(t, atomicfile.Write(filepath.Join(dir, "missing", "a"), never), os.ErrNotExist)
	require.ErrorIs(t, atomicfile.Write(filepath.Join(dir, "missing")+"/", never), os.ErrNotExist)
	require.Error(t, atomicfile.Write("", never))
	require.ErrorContains(t, atomicfile.Write(filepath.Join(dir, "a"), nil), "nil")
	holds(t, dir)
}

func TestLongNameAndStaleTemporaryFile(t *testing.T) {
	dir := t.TempDir()
	name := strings.Repeat("n", 255)
	require.NoError(t, atomicfile.Write(filepath.Join(dir, name), text("x")))
	// What a killed process with our id left behind must not stand in the way.
	stale := fmt.Sprintf(".a.%d-0.tmp", os.Getpid())
	require.NoError(t, os.WriteFile(filepath.Join(dir, stale), []byte("stale"), 0o644))
	require.NoError(t, atomicfile.Write(filepath.Join(dir, "a"), text("x")))
	require.Equal(t, "stale", content(t, filepath.Join(dir, stale)))
	holds(t, dir, name, stale, "a")
}

func TestConcurrentWritersLeaveOneWholeFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.ckpt")
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			errs[i] = atomicfile.Write(path, text(strings.Repeat(string(rune('a'+i)), 1<<17)))
		}()
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	got := content(t, path)
	require.Equal(t, strings.Repeat(got[:1], 1<<17), got)
	holds(t, dir, "a.ckpt")
}
