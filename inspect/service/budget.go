package service

import "sync/atomic"

// budget is the memory that requests may take together. It never waits: who waits for
// memory holds a connection, and with it some of its own.
type budget struct {
	most int64
	used atomic.Int64
}

// share is what one request has of a budget.
type share struct {
	b *budget
	n int64
}

// take sets the share to n bytes, and says whether there were as many.
func (s *share) take(n int64) bool {
	more := n - s.n
	if s.b.used.Add(more) > s.b.most && more > 0 {
		s.b.used.Add(-more)
		return false
	}
	s.n = n
	return true
}

// free gives all back.
func (s *share) free() {
	s.b.used.Add(-s.n)
	s.n = 0
}
