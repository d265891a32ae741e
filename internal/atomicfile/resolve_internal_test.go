package atomicfile

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A file that another writer makes or removes between two looks at it is a file or none, never a link to nothing.
func TestFileThatComesAndGoes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if f, err := os.Create(path); assert.NoError(t, err) {
				assert.NoError(t, f.Close())
			}
			assert.NoError(t, os.Remove(path))
		}
	}()
	defer func() { close(stop); <-stopped }()
	for range 3000 {
		target, _, err := resolve(path)
		require.NoError(t, err)
		require.Equal(t, path, target)
	}
}
