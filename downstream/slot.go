package downstream

import (
	"errors"
	"sync"

	"github.com/gotab/gotab/tensor"
)

// counted is something native that lives as long as somebody holds it: a pointer
// with a count of holders, which the slot guards, and a way to let go.
type counted interface {
	comparable
	holders() *int
	free() error
}

// slot has what is in force, a fitted model or a trained network, or nothing. A
// user holds it while working with it, so that what replaces it takes nothing
// away. Once closed it stays empty.
type slot[T counted] struct {
	mu      sync.Mutex // guards current, closed and the counts of all that was ever in force
	current T
	closed  bool
}

// hold returns what is in force, for release to follow, or false.
func (s *slot[T]) hold() (T, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var none T
	if s.current == none {
		return none, false
	}
	*s.current.holders()++
	return s.current, true
}

// share adds a holder to v, which the caller holds.
func (s *slot[T]) share(v T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*v.holders()++
}

func (s *slot[T]) release(v T) error {
	s.mu.Lock()
	n := v.holders()
	*n--
	last := *n == 0
	s.mu.Unlock()
	if last {
		return v.free()
	}
	return nil
}

// install puts v, which may be nil, in force and lets go of what was. A closed
// slot takes nothing: v is freed, and the error is [tensor.ErrClosed].
func (s *slot[T]) install(v T) error {
	var none T
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		if v == none {
			return tensor.ErrClosed
		}
		return errors.Join(tensor.ErrClosed, v.free())
	}
	if v != none {
		*v.holders() = 1
	}
	return s.exchange(v)
}

// shut empties the slot for good.
func (s *slot[T]) shut() error {
	var none T
	s.mu.Lock()
	s.closed = true
	return s.exchange(none)
}

// exchange puts v in the place of what is in force, unlocks s and lets go of that.
func (s *slot[T]) exchange(v T) error {
	var none T
	old := s.current
	s.current = v
	s.mu.Unlock()
	if old != none {
		return s.release(old)
	}
	return nil
}

func (s *slot[T]) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}
