package training

import (
	"testing"
	"time"
)

// ShortenBeat lets processes meet a thousand times a second for one test.
func ShortenBeat(t *testing.T) {
	was := beat
	beat = time.Millisecond
	t.Cleanup(func() { beat = was })
}
