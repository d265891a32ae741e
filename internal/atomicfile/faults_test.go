package atomicfile_test

import (
	"errors"
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/internal/faulttest"
)

// writers are one of a short file and one that empties the buffer many times.
func writers() []faulttest.Writer {
	of := func(name string, n int) faulttest.Writer {
		return faulttest.Writer{Name: name, Write: func(dir string, version int) error {
			return atomicfile.Write(filepath.Join(dir, name), func(w io.Writer) error {
				for range n {
					if _, err := io.WriteString(w, strings.Repeat(string(rune('a'+version)), 1000)); err != nil {
						return err
					}
				}
				return nil
			})
		}}
	}
	return []faulttest.Writer{of("short", 1), of("long", 300)}
}

func TestEverySystemCallFails(t *testing.T) { faulttest.Check(t, writers()...) }

func TestKilled(t *testing.T) { faulttest.Kill(t, "TestKilled", 110, 10, writers()...) }

// After a failure to sync the folder, the error says that the new file is there.
func TestFolderNotSynced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	defer atomicfile.Inject(func(s atomicfile.Step, of string) error {
		if s == atomicfile.SyncFolder {
			require.Equal(t, path, of)
			return syscall.EIO
		}
		return nil
	})()
	err := atomicfile.Write(path, text("new"))
	require.ErrorIs(t, err, atomicfile.ErrNotDurable)
	require.ErrorIs(t, err, syscall.EIO)
	require.Equal(t, "new", content(t, path))
}

// A careless content function does not hide a full disk.
func TestOverlookedFailure(t *testing.T) {
	dir := t.TempDir()
	defer atomicfile.Inject(func(s atomicfile.Step, _ string) error {
		if s == atomicfile.WriteSome {
			return syscall.ENOSPC
		}
		return nil
	})()
	err := atomicfile.Write(filepath.Join(dir, "a"), func(w io.Writer) error {
		_, _ = w.Write(make([]byte, 1<<20))
		_, _ = w.Write(make([]byte, 1<<20))
		return nil
	})
	require.ErrorIs(t, err, syscall.ENOSPC)
	holds(t, dir)
}

func TestTemporaryNames(t *testing.T) {
	dir := t.TempDir()
	require.False(t, atomicfile.IsTemporary("a.ckpt"))
	require.False(t, atomicfile.IsTemporary(".a.tmp"))
	stop := errors.New("stop")
	err := atomicfile.Write(filepath.Join(dir, "a.ckpt"), func(io.Writer) error {
		names, err := filepath.Glob(filepath.Join(dir, ".*"))
		require.NoError(t, err)
		require.Len(t, names, 1)
		require.True(t, atomicfile.IsTemporary(filepath.Base(names[0])))
		return stop
	})
	require.ErrorIs(t, err, stop)
}
