package atomicfile_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/atomicfile"
)

const childEnv = "ATOMICFILE_TEST_LIMITED_PATH"

// A write that the operating system itself refuses, as on a full disk: a child
// process (a limit belongs to the whole process) may write files of 64 KiB only.
// One writer passes the refusal on, one overlooks it.
func TestRefusedByTheSystem(t *testing.T) {
	if path := os.Getenv(childEnv); path != "" {
		limitedChild(t, path)
		return
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "a.ckpt")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o644))
	cmd := exec.Command(os.Args[0], "-test.run=^TestRefusedByTheSystem$", "-test.v")
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "refused twice")
	require.Equal(t, "old", content(t, path))
	holds(t, dir, "a.ckpt")
}

func limitedChild(t *testing.T, path string) {
	const limit = 64 << 10
	signal.Ignore(syscall.SIGXFSZ) // so that the write fails with EFBIG, as it does with ENOSPC on a full disk
	var old syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old))
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: old.Max}))
	block := make([]byte, 4<<10)
	honest := atomicfile.Write(path, func(w io.Writer) error {
		for i := range 64 {
			if _, err := w.Write(block); err != nil {
				return fmt.Errorf("block %d: %w", i, err)
			}
		}
		return nil
	})
	careless := atomicfile.Write(path, func(w io.Writer) error {
		for range 64 {
			_, _ = w.Write(block)
		}
		return nil
	})
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old))
	if errors.Is(honest, syscall.EFBIG) && errors.Is(careless, syscall.EFBIG) {
		fmt.Println("refused twice")
		return
	}
	t.Fatalf("want EFBIG from both, got %v and %v", honest, careless)
}
