package tab

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/tensor"
)

// echo is a group whose other rank says what it is told to.
type echo struct{ says []byte }

func (echo) Rank() int                                    { return 0 }
func (echo) Size() int                                    { return 2 }
func (echo) Sum(context.Context, []float32) error         { return nil }
func (echo) Broadcast(context.Context, int, []byte) error { return nil }
func (e echo) Gather(_ context.Context, v []byte) ([][]byte, error) {
	return [][]byte{append([]byte{}, v...), e.says}, nil
}

func TestMessages(t *testing.T) {
	r := ranks{group: echo{message("step", []byte("abc"), nil)}}
	all, err := r.exchange(t.Context(), "step", []byte("x"), nil)
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte("x"), []byte("abc")}, all)

	_, err = r.exchange(t.Context(), "update", nil, nil)
	require.ErrorIs(t, err, ErrPeer)
	require.ErrorContains(t, err, `rank 1 is at "step"`)
	require.Error(t, r.broken, "they will not come together again")

	// Who has failed tells it wherever the other one is, and both can go on.
	r = ranks{group: echo{message("sums of an objective", []byte("abc"), nil)}}
	failure := errors.New("no")
	_, err = r.exchange(t.Context(), "step", nil, failure)
	require.Equal(t, failure, err)
	require.NoError(t, r.broken)

	for _, c := range codes {
		code, cause := c.name, c.err
		r = ranks{group: echo{message("step", nil, errors.Join(errors.New("so"), cause))}}
		_, err = r.exchange(t.Context(), "anything", nil, nil)
		require.ErrorIs(t, err, ErrPeer, code)
		require.ErrorIs(t, err, cause, code)
		require.NoError(t, r.broken)
		_, again := r.exchange(t.Context(), "anything", nil, nil)
		require.Equal(t, err.Error(), again.Error(), "nothing is exchanged before the next work")
		r.begin()
		require.NoError(t, r.told)
	}
}

func FuzzRankMessage(f *testing.F) {
	f.Add(message("step", []byte(`{"loss":1,"has":"AQ=="}`), nil))
	f.Add(message("step", nil, errors.New("no")))
	f.Add([]byte{1, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		p := Pretrainer{ranks: ranks{group: echo{b}}}
		own := []byte(`{"loss":1,"has":"AQ=="}`)
		all, err := p.ranks.exchange(t.Context(), "step", own, nil)
		if err != nil {
			require.Error(t, errors.Join(p.ranks.told, p.ranks.broken))
			return
		}
		_, _ = p.hear(all, 0, &Step{}, &tensor.Update{}, 1)
		if n := shareOfLargest(all, 0, 5); n > len(all[0])/4 {
			t.Fatalf("%d of %d", n, len(all[0])/4)
		}
		p.ranks = ranks{group: echo{b}}
		_, _ = p.ranks.sum(t.Context(), "step", []float64{1, 2}, nil)
	})
}

// Ranks with unequal batches would weigh their pairs unequally: all of them refuse the step, whoever differs.
func TestUnequalBatchesAreRefused(t *testing.T) {
	said := func(pairs string) []byte { return []byte(`{"loss":1,"has":"AQ==","pairs":` + pairs + `}`) }
	for _, own := range []int{4, 8} {
		p := Pretrainer{}
		_, err := p.hear([][]byte{said("4"), said("8"), said("4")}, own, &Step{}, &tensor.Update{}, 1)
		require.ErrorIs(t, err, ErrConfig)
		require.ErrorContains(t, err, "batches of [4 8 4] pairs, want equally many")
		require.NoError(t, p.ranks.broken)
	}
	p := Pretrainer{}
	any, err := p.hear([][]byte{said("4"), said("4")}, 4, &Step{}, &tensor.Update{}, 1)
	require.NoError(t, err)
	require.Equal(t, []bool{true}, any)
}

func TestShareOfLargest(t *testing.T) {
	list := func(v ...float32) []byte {
		var b []byte
		for _, x := range v {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
		}
		return b
	}
	all := [][]byte{list(9, 5, 1), list(8, 7, 5, -1), list()}
	for k, want := range [][3]int{{0, 0, 0}, {1, 0, 0}, {1, 1, 0}, {1, 2, 0}, {2, 2, 0}, {2, 3, 0}, {3, 3, 0}, {3, 4, 0}, {3, 4, 0}} {
		for r := range all {
			require.Equal(t, want[r], shareOfLargest(all, r, k), "%d of %d", r, k)
		}
	}
}

// A context that ends is waited for a while, and one that does not, or whose wait is
// over, leaves nothing behind.
func TestLinger(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	late, stop := linger(ctx)
	cancel()
	require.NoError(t, late.Err())
	stop()
	<-late.Done()
	late, stop = linger(context.WithoutCancel(ctx))
	require.Nil(t, late.Done())
	stop()
	require.Less(t, patience, time.Minute)
}
