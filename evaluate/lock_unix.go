//go:build unix

package evaluate

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockFile takes an exclusive lock, with the errors of [lockError].
func lockFile(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			return lockError(err)
		}
	}
}

// lockError says what the system's answer means: [ErrLocked] where another process has the lock, errNoLocks where
// nobody can have one, as on a file system over a network without a service for it. Any other answer is a fault.
func lockError(err error) error {
	for _, no := range []error{syscall.ENOSYS, syscall.ENOTSUP, syscall.ENOLCK} {
		if errors.Is(err, no) {
			return fmt.Errorf("%w: %w", errNoLocks, err)
		}
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("%w: %w", ErrLocked, err)
	}
	return err
}
