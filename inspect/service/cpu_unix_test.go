//go:build unix

package service_test

import (
	"syscall"
	"testing"
)

// processorTime is what this process has used, in seconds.
func processorTime(t testing.TB) float64 {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return 1e-9 * float64(u.Utime.Nano()+u.Stime.Nano())
}
