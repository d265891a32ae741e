package testutil

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

const limitedEnv = "GOTAB_TEST_OTHER_USER"

// processes is RLIMIT_NPROC, which package syscall has no name for.
const processes = 6

// AsOtherUser runs the test that calls it once more in a child of a user that nobody
// else is, because a limit of processes counts a user's and does not bind root, and
// returns what the child has printed. In the child it returns false: the test goes on
// there. It skips the test, with the reason, where the system does not let it, and
// fails it where the child fails or takes more than a minute.
func AsOtherUser(t *testing.T) (out string, parent bool) {
	t.Helper()
	if os.Getenv(limitedEnv) != "" {
		return "", false
	}
	if os.Getuid() != 0 {
		t.Skip("only root can start a child as another user, whose processes are counted apart")
	}
	// Where go test puts the program, others may not look. The capabilities, with which the
	// child reads libtorch wherever it lies, count once it runs.
	dir, err := os.MkdirTemp("", "limited")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "test")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(self)
	if err == nil {
		err = os.WriteFile(program, data, 0o755)
	}
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), limitedEnv+"=1", "OMP_WAIT_POLICY=passive")
	cmd.Dir = "/"
	const override, search = 1, 2 // CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
	const free = 48179            // a user that nobody else is
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: free, Gid: free}, AmbientCaps: []uintptr{override, search}}
	text, err := cmd.CombinedOutput()
	switch {
	case cmd.ProcessState == nil:
		t.Skipf("this system does not let a child be of another user: %v", err)
	case ctx.Err() != nil:
		t.Fatalf("the child hangs\n%s", text)
	case err != nil:
		t.Fatalf("the child: %v\n%s", err, text)
	}
	return string(text), true
}

// LimitThreads allows the process so many more threads than it has; a negative number
// takes the limit back. It is for a child of [AsOtherUser].
func LimitThreads(t *testing.T, more int) {
	t.Helper()
	var l syscall.Rlimit
	if err := syscall.Getrlimit(processes, &l); err != nil {
		t.Fatal(err)
	}
	l.Cur = l.Max
	if more >= 0 {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		l.Cur = uint64(len(tasks) + more)
	}
	if err := syscall.Setrlimit(processes, &l); err != nil {
		t.Fatal(err)
	}
}
