package atomicfile_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/atomicfile"
)

func TestOutputsAreTried(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, atomicfile.TryFolder(filepath.Join(dir, "a", "b")))
	require.NoError(t, atomicfile.Try(filepath.Join(dir, "a", "f")))
	require.ErrorContains(t, atomicfile.Try(dir), "is a folder; name a file")
	require.ErrorIs(t, atomicfile.Try(filepath.Join(dir, "none", "f")), os.ErrNotExist)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o644))
	require.Error(t, atomicfile.TryFolder(filepath.Join(dir, "file")))
	require.ErrorContains(t, atomicfile.Try(filepath.Join(dir, "file", "f")), "is no folder")
	entries, err := os.ReadDir(filepath.Join(dir, "a"))
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing but b is left")
}
