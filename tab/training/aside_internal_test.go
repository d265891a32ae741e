package training

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/ranktest"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/card"
)

// counted tells of every meeting.
type counted struct {
	tab.Group
	met func()
}

func (c counted) Gather(ctx context.Context, v []byte) ([][]byte, error) {
	c.met()
	return c.Group.Gather(ctx, v)
}

// both has two ranks call aside and returns what each got.
func both(t *testing.T, ctx context.Context, met func(), work func(context.Context) ([]byte, error)) (made [2][]byte, errs [2]error) {
	t.Helper()
	ShortenBeat(t)
	group := ranktest.New(2, 5*time.Second)
	var all sync.WaitGroup
	for i, g := range group {
		all.Add(1)
		go func() {
			defer all.Done()
			defer g.Leave()
			if made[i], errs[i] = aside(ctx, counted{g, func() {
				if i == 1 && met != nil {
					met()
				}
			}}, work); errs[i] != nil {
				return
			}
			_, errs[i] = g.Gather(ctx, nil) // both are at the same place
		}()
	}
	all.Wait()
	return made, errs
}

// However long the work of the first rank takes, the others do not wait in one call for it: this work ends only when
// they have met often.
func TestAsideMeetsWhileTheFirstWorks(t *testing.T) {
	testutil.NoLeak(t)
	n, often := 0, make(chan struct{})
	made, errs := both(t, t.Context(), func() {
		if n++; n == 5 {
			close(often)
		}
	}, func(ctx context.Context) ([]byte, error) {
		select {
		case <-often:
			return []byte("made"), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	require.Equal(t, [2]error{}, errs)
	require.Equal(t, [2][]byte{[]byte("made"), []byte("made")}, made)

	// The checksums of the card are such work.
	n, often = 0, make(chan struct{})
	found := ofOne(func() (io.ReadCloser, error) {
		<-often
		return io.NopCloser(strings.NewReader("image")), nil
	})
	var sums []card.Class
	_, errs = both(t, t.Context(), func() {
		if n++; n == 5 {
			close(often)
		}
	}, func(ctx context.Context) (_ []byte, err error) {
		sums, err = found.sums(ctx)
		return nil, err
	})
	require.Equal(t, [2]error{}, errs)
	require.Len(t, sums, 1)
}

// A failure of the first rank is one of all at once, with its cause.
func TestAsideTellsOfAFailure(t *testing.T) {
	testutil.NoLeak(t)
	for _, c := range []struct{ err, cause error }{
		{errors.New("no luck"), nil}, {fmt.Errorf("class steel: %w", tab.ErrNoTwin), tab.ErrNoTwin}, {context.DeadlineExceeded, context.DeadlineExceeded},
		{errors.New(strings.Repeat("long ", 1000)), nil},
	} {
		_, errs := both(t, t.Context(), nil, func(context.Context) ([]byte, error) { return nil, c.err })
		require.Equal(t, c.err, errs[0])
		var peer *tab.PeerError
		require.ErrorAs(t, errs[1], &peer)
		require.Zero(t, peer.Rank)
		require.Equal(t, c.cause, peer.Cause)
		require.True(t, strings.HasPrefix(c.err.Error(), peer.Message) && len(peer.Message) <= longest)
	}
	_, errs := both(t, t.Context(), nil, func(context.Context) ([]byte, error) {
		runtime.Goexit()
		return nil, nil
	})
	require.ErrorContains(t, errs[0], "ended its goroutine")
	require.ErrorIs(t, errs[1], tab.ErrPeer)
}

// The end of the context, and that of another rank, end the work.
func TestAsideEnds(t *testing.T) {
	testutil.NoLeak(t)
	wait := func(ctx context.Context) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	_, errs := both(t, ctx, func() {
		if n++; n == 3 {
			cancel()
		}
	}, wait)
	require.Equal(t, context.Canceled, errs[0])
	require.Error(t, errs[1])

	group := ranktest.New(2, time.Minute)
	group[1].Leave()
	_, err := aside(t.Context(), group[0], wait)
	require.ErrorIs(t, err, ranktest.ErrMissing)

	_, err = aside(t.Context(), nil, func(context.Context) ([]byte, error) { return nil, errors.New("alone") })
	require.EqualError(t, err, "alone")

	// The first rank is at something else.
	group = ranktest.New(2, time.Minute)
	for _, said := range [][]byte{nil, {0, 3}, {'f'}, {'b', 'b'}} {
		heard := make(chan error, 1)
		go func() {
			_, err := aside(t.Context(), group[1], nil)
			heard <- err
		}()
		_, err := group[0].Gather(t.Context(), said)
		require.NoError(t, err)
		require.ErrorIs(t, <-heard, tab.ErrPeer)
	}
}
