//go:build unix

package evaluate

import (
	"os"
	"syscall"
)

// lockFile takes an exclusive lock, or fails where another process has it.
func lockFile(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
