//go:build unix

package evaluate

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// What keeps a file from being locked is not taken for another process: without locks a store goes on and says so, and a
// fault is a fault.
func TestStoreWithoutLocks(t *testing.T) {
	for _, c := range []struct {
		lock     error
		want     error // nil for a store
		unlocked bool
	}{
		{nil, nil, false},
		{syscall.ENOSYS, nil, true}, {syscall.ENOTSUP, nil, true}, {syscall.ENOLCK, nil, true},
		{syscall.EWOULDBLOCK, ErrLocked, false}, {syscall.EIO, syscall.EIO, false}, {syscall.EBADF, syscall.EBADF, false},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "r.jsonl")
		s, err := openStore(path, false, func(*os.File) error { return lockError(c.lock) })
		if c.want != nil {
			require.ErrorIs(t, err, c.want)
			require.Equal(t, c.want == ErrLocked, errors.Is(err, ErrLocked), "%v", err)
			continue
		}
		require.NoError(t, err)
		if c.unlocked {
			require.ErrorIs(t, s.Unlocked(), c.lock)
			require.ErrorContains(t, s.Unlocked(), path)
		} else {
			require.NoError(t, s.Unlocked())
		}
		require.NoError(t, s.Add(made("alpha", "1")))
		require.NoError(t, s.Close())
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, entries, 1, "the file of the lock is gone")
	}
}
