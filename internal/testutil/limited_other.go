//go:build !linux

package testutil

import "testing"

// AsOtherUser skips the test: see the file for Linux.
func AsOtherUser(t *testing.T) (out string, parent bool) {
	t.Skip("limits of processes are tried on Linux")
	return "", true
}

// LimitThreads is for Linux.
func LimitThreads(*testing.T, int) {}
