package life

import (
	"errors"
	"sync"

	"github.com/gotab/gotab/tensor"
)

// Counted is something native that lives as long as somebody holds it: a pointer
// with a count of holders, which the slot guards, and a way to let go.
type Counted interface {
	comparable
	Holders() *int
	Free() error
}

// Slot has what is in force, a fitted model or a trained network, or nothing. A
// user holds it while working with it, so that what replaces it takes nothing
// away. Once closed it stays empty.
type Slot[T Counted] struct {
	mu      sync.Mutex // guards current, closed and the counts of all that was ever in force
	current T
	closed  bool
}

// Hold returns what is in force, for release to follow, or false.
func (s *Slot[T]) Hold() (T, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var none T
	if s.current == none {
		return none, false
	}
	*s.current.Holders()++
	return s.current, true
}

// Share adds a holder to v, which the caller holds.
func (s *Slot[T]) Share(v T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*v.Holders()++
}

// Release ends a hold; the last one of what is no longer in force frees it.
func (s *Slot[T]) Release(v T) error {
	s.mu.Lock()
	n := v.Holders()
	*n--
	last := *n == 0
	s.mu.Unlock()
	if last {
		return v.Free()
	}
	return nil
}

// Install puts v, which may be nil, in force and lets go of what was. A closed
// slot takes nothing: v is freed, and the error is [tensor.ErrClosed].
func (s *Slot[T]) Install(v T) error {
	var none T
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		if v == none {
			return tensor.ErrClosed
		}
		return errors.Join(tensor.ErrClosed, v.Free())
	}
	if v != none {
		*v.Holders() = 1
	}
	return s.exchange(v)
}

// Shut empties the slot for good.
func (s *Slot[T]) Shut() error {
	var none T
	s.mu.Lock()
	s.closed = true
	return s.exchange(none)
}

// exchange puts v in the place of what is in force, unlocks s and lets go of that.
func (s *Slot[T]) exchange(v T) error {
	var none T
	old := s.current
	s.current = v
	s.mu.Unlock()
	if old != none {
		return s.Release(old)
	}
	return nil
}

// IsClosed says whether the slot has been shut.
func (s *Slot[T]) IsClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}
