package dist

import (
	"context"
	"encoding/binary"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// book is a store in memory.
type book struct {
	mu   sync.Mutex
	m    map[string]string
	away error
	// growing are ranks that give a sign of life whenever they are asked.
	growing map[string]bool
}

func (b *book) Set(key string, v []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away != nil {
		return b.away
	}
	b.m[key] = string(v)
	return nil
}

func (b *book) Get(key string) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away != nil {
		return nil, b.away
	}
	if b.growing[key] {
		n, _ := strconv.Atoi(b.m[key])
		b.m[key] = strconv.Itoa(n + 1)
	}
	v, ok := b.m[key]
	if !ok {
		return nil, nil
	}
	return []byte(v), nil
}

const tick = time.Millisecond

func TestWhoIsLost(t *testing.T) {
	b := &book{m: map[string]string{}, growing: map[string]bool{"alive/1": true, "alive/3": true, "alive/4": true, "alive/8": true}}
	at := func(rank int, n string) { b.m["at/"+strconv.Itoa(rank)] = n }
	at(1, "6")    // alive and not at call 7
	at(2, "7")    // came and died
	at(3, "7")    // fine
	at(4, "junk") // nobody of ours
	at(5, "3")    // left before
	at(6, "7")    // left since
	at(7, "6")    // knows of the loss
	at(8, "7")    // was interrupted in the call, and waits for its end
	at(9, "6")    // was interrupted before it
	b.m["left/5"], b.m["left/6"], b.m["left/7"], b.m["left/8"], b.m["left/9"] = "closed", "closed", "failed", "interrupted", "interrupted"
	r := newRoster(b, 0, 10, tick)
	boom := errors.New("Connection closed by peer")
	e := r.who(t.Context(), &LostError{Rank: 0, Size: 10, Doing: "sum", Cause: boom}, 7)
	require.Equal(t, []int{2}, e.Dead)
	require.Equal(t, []int{1, 4}, e.Stuck)
	require.Equal(t, []int{5}, e.Left)
	require.Equal(t, []int{8, 9}, e.Interrupted)
	require.ErrorContains(t, e, "ranks 8, 9: was interrupted")
	require.ErrorIs(t, e, ErrLost)
	require.ErrorIs(t, e, boom)
	require.ErrorContains(t, e, "rank 2: dead")
	require.ErrorContains(t, e, "ranks 1, 4: alive")
	require.Equal(t, "failed", b.m["left/0"], "the others are not to blame this one")

	b.away = errors.New("Broken pipe\nmore")
	e = r.who(t.Context(), &LostError{Cause: boom}, 7)
	require.ErrorContains(t, e, "the store")
	require.NotContains(t, e.Error(), "more")
	require.ErrorContains(t, e, "no rank is known")
}

func TestMeeting(t *testing.T) {
	b := &book{m: map[string]string{}}
	r := []*roster{newRoster(b, 0, 3, tick), newRoster(b, 1, 3, tick)}
	err := r[0].join(t.Context(), 0)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	var lost *LostError
	require.ErrorAs(t, err, &lost)
	require.Equal(t, []int{1, 2}, lost.Stuck)
	r[0].leave()
	r[0].beat = time.Hour
	r[0].others() // does not wait for those that have not come
	r[0].beat = tick
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, r[1].join(ctx, time.Hour), context.Canceled)
	b.m["joined/2"] = "1"
	require.NoError(t, r[1].join(t.Context(), 0))
	b.away = errors.New("gone")
	require.ErrorIs(t, r[1].join(t.Context(), 0), ErrLost)
}

func TestRosterLivesAndLeaves(t *testing.T) {
	b := &book{m: map[string]string{}}
	r, other := newRoster(b, 0, 2, tick), newRoster(b, 1, 2, tick)
	go r.live()
	require.Eventually(t, func() bool { n, err := other.number(keyAlive, 0); return err == nil && n > 1 }, 10*time.Second, tick)
	r.close()
	r.leave()
	require.Equal(t, "closed", b.m["left/0"])
	r.others() // waits for the other one, but not for ever
	other.leave()
	r.others()
	b.away = errors.New("gone")
	r.leave()
	r.others()
}

// stuck answers when it is let go.
type stuck struct{ free chan struct{} }

func (s stuck) Set(string, []byte) error { <-s.free; return nil }

func (s stuck) Get(string) ([]byte, error) { <-s.free; return nil, nil }

func TestAStoreThatDoesNotAnswer(t *testing.T) {
	s := stuck{make(chan struct{})}
	b := &bounded{t: s, limit: tick}
	require.ErrorIs(t, b.Set("a", nil), errHung)
	b.limit = time.Hour
	_, err := b.Get("a") // at once
	require.ErrorIs(t, err, errHung)
	close(s.free)
	b = &bounded{t: &book{m: map[string]string{}}, limit: time.Hour}
	require.NoError(t, b.Set("a", []byte("b")))
	v, err := b.Get("a")
	require.NoError(t, err)
	require.Equal(t, "b", string(v))
}

func FuzzLengths(f *testing.F) {
	f.Add(uint64(3), frame)
	f.Add(uint64(1)<<63, frame)
	f.Add(uint64(0), 7)
	f.Fuzz(func(t *testing.T, n uint64, size int) {
		if size < 8 || size > 2*frame {
			size = 8
		}
		h := make([]byte, size)
		binary.LittleEndian.PutUint64(h, n)
		sizes, longest, err := lengths([][]byte{make([]byte, frame), h})
		if err != nil {
			require.ErrorIs(t, err, ErrLost)
			return
		}
		require.Equal(t, []int{0, int(n)}, sizes)
		require.LessOrEqual(t, longest, maxGather)
	})
}
