//go:build linux

package tensor_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/tensor"
)

const (
	rlimitProcesses = 6 // RLIMIT_NPROC, which package syscall has no name for
	childOfRoom     = "GOTAB_TEST_ROOM"
)

// A limit of processes, which does not bind root, is put on a child of another
// user. It may read what root may, its own program and libtorch among that.
func TestProcessLimit(t *testing.T) {
	if os.Getenv(childOfRoom) != "" {
		limited(t)
		return
	}
	if os.Getuid() != 0 {
		t.Skip("only root can start a child as another user, whose processes are counted apart")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// Where go test puts the program, others may not look. What the child inherits
	// counts once it runs, for the libraries.
	dir, err := os.MkdirTemp("", "room")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	require.NoError(t, os.Chmod(dir, 0o755))
	self, err := os.Executable()
	require.NoError(t, err)
	program := filepath.Join(dir, "test")
	data, err := os.ReadFile(self)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(program, data, 0o755))
	cmd := exec.CommandContext(ctx, program, "-test.run", "^TestProcessLimit$", "-test.v")
	cmd.Env = append(os.Environ(), childOfRoom+"=1", "OMP_WAIT_POLICY=passive")
	cmd.Dir = "/"
	const override, search = 1, 2 // CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
	const free = 48179            // a user that nobody else is
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: free, Gid: free}, AmbientCaps: []uintptr{override, search}}
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Skipf("this system does not let a child be of another user: %v", err)
	}
	require.NoError(t, ctx.Err(), "the child hangs\n%s", out)
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "the limit was met")
}

// limited is the child: a Run that cannot have its threads fails, and one that
// needs none, or comes when the limit is gone, does not.
func limited(t *testing.T) {
	var whole syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(rlimitProcesses, &whole))
	bound := func(more int) {
		tasks, err := os.ReadDir("/proc/self/task")
		require.NoError(t, err)
		l := whole
		l.Cur = uint64(len(tasks) + more)
		require.NoError(t, syscall.Setrlimit(rlimitProcesses, &l))
	}
	require.NoError(t, tensor.SetThreads(tensor.Threads{Cores: 8, PerRun: 8}))
	run := func(n int) error {
		return tensor.Run(tensor.WithThreads(t.Context(), n), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
			x := s.Full(1, tensor.Float32, 64, 64)
			_ = s.MatMul(x, x)
			return s.Err()
		})
	}
	require.NoError(t, run(1))
	bound(9)
	require.ErrorIs(t, run(8), tensor.ErrThreads)
	require.ErrorContains(t, run(8), "ulimit -u")
	require.NoError(t, run(1), "one thread needs no other")
	require.ErrorIs(t, tensor.GetThreads().Try(), tensor.ErrThreads)
	require.NoError(t, tensor.Threads{Cores: 1, PerRun: 1}.Try())
	require.NoError(t, syscall.Setrlimit(rlimitProcesses, &whole))
	require.NoError(t, tensor.GetThreads().Try())
	require.NoError(t, run(8))
	fmt.Println("the limit was met")
}
