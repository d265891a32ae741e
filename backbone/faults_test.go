package backbone_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/tensor"
)

// The file of a network is large, so that it is not made to fail at every call:
// that is done in package tensor, which writes it.
func TestSaveOnAFullDisk(t *testing.T) {
	m, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 2)))
	require.NoError(t, err)
	defer m.Close()
	dir := t.TempDir()
	path := filepath.Join(dir, "net.safetensors")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o600))
	for _, at := range []atomicfile.Step{atomicfile.Create, atomicfile.WriteSome, atomicfile.Sync, atomicfile.Rename} {
		restore := atomicfile.Inject(func(s atomicfile.Step, _ string) error {
			if s == at {
				return syscall.ENOSPC
			}
			return nil
		})
		err := m.Save(path)
		restore()
		require.ErrorIs(t, err, syscall.ENOSPC, at)
		require.ErrorContains(t, err, path)
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, "old", string(b), at)
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, entries, 1, at)
	}
}
