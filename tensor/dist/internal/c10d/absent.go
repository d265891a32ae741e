//go:build !gotab_dist

package c10d

import (
	"errors"
	"time"
)

// Built says whether the engine is compiled in.
const Built = false

// errAbsent is not seen by callers that ask for Built.
var errAbsent = errors.New("built without the tag gotab_dist")

// Store is a table that all ranks see; there is none.
type Store struct{}

// OpenStore fails.
func OpenStore(string, int, bool, time.Duration, time.Duration, string) (*Store, error) {
	return nil, errAbsent
}

// Set fails.
func (*Store) Set(string, []byte) error { return errAbsent }

// Get fails.
func (*Store) Get(string) ([]byte, error) { return nil, errAbsent }

// Close does nothing.
func (*Store) Close() {}

// Group is this rank's side of a group; there is none.
type Group struct{}

// OpenGroup fails.
func OpenGroup(*Store, int, int, string, bool, time.Duration) (*Group, error) { return nil, errAbsent }

// Close does nothing.
func (*Group) Close() {}

// Sum fails.
func (*Group) Sum([]float32) (*Work, error) { return nil, errAbsent }

// Gather fails.
func (*Group) Gather([]byte) (*Work, error) { return nil, errAbsent }

// Broadcast fails.
func (*Group) Broadcast(int, []byte) (*Work, error) { return nil, errAbsent }

// Work is what has been begun.
type Work struct{}

// Wait fails.
func (*Work) Wait(time.Duration) (bool, error) { return false, errAbsent }

// Floats fails.
func (*Work) Floats([]float32) error { return errAbsent }

// Bytes fails.
func (*Work) Bytes([]byte) error { return errAbsent }

// Free does nothing.
func (*Work) Free() {}
