package inspect_test

import (
	"bytes"
	"context"
	"errors"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/metrics"
)

func entry(said inspect.Word, picture string) inspect.Entry {
	return inspect.Entry{Said: said, Product: "nut", Bundle: "b", Scorer: "s", Score: 0.6, Threshold: 0.5, Reject: true, Picture: picture, Note: "ü\n<b>", Time: inspect.FixedTime()}
}

func TestJournal(t *testing.T) {
	path := inspect.JournalOf(filepath.Join(t.TempDir(), "nut.gotab"))
	j, err := inspect.OpenJournal(path)
	require.NoError(t, err)
	first, second := entry(inspect.GoodAfterAll, "a.png"), entry(inspect.MissedDefect, "")
	second.Image = []byte{1, 2, 3}
	require.NoError(t, j.Append(first))
	require.NoError(t, j.Append(second))
	require.NoError(t, j.Close())
	require.NoError(t, j.Close())
	require.ErrorIs(t, j.Append(first), inspect.ErrClosed)
	got, torn, err := inspect.OpenEntries(t.Context(), path)
	require.NoError(t, err)
	require.Zero(t, torn)
	require.Equal(t, []inspect.Entry{first, second}, got)

	// Cut anywhere in the last line, the first entry is there, and one that comes later.
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	end := bytes.IndexByte(whole, '\n') + 1
	for n := end; n <= len(whole); n++ {
		require.NoError(t, os.WriteFile(path, whole[:n], 0o600))
		j, err := inspect.OpenJournal(path)
		require.NoError(t, err)
		require.NoError(t, j.Append(second))
		require.NoError(t, j.Close())
		got, torn, err := inspect.OpenEntries(t.Context(), path)
		require.NoError(t, err)
		require.Equal(t, first, got[0])
		require.Equal(t, second, got[len(got)-1])
		switch n {
		case end:
			require.Zero(t, torn)
		case len(whole), len(whole) - 1: // the end of the line alone was missing
			require.Len(t, got, 3)
		default:
			require.Equal(t, 1, torn)
			require.Len(t, got, 2)
		}
	}
}

func TestJournalRefuses(t *testing.T) {
	j, err := inspect.OpenJournal(filepath.Join(t.TempDir(), "j"))
	require.NoError(t, err)
	defer func() { require.NoError(t, j.Close()) }()
	for _, change := range []func(*inspect.Entry){
		func(e *inspect.Entry) { e.Said = "fine" },
		func(e *inspect.Entry) { e.Score = math.NaN() },
		func(e *inspect.Entry) { e.Threshold = math.Inf(1) },
		func(e *inspect.Entry) { e.Note = "\xff" },
		func(e *inspect.Entry) { e.Note = strings.Repeat("x", 64<<10) },
		func(e *inspect.Entry) { e.Image = make([]byte, 8<<20+1) },
		func(e *inspect.Entry) { e.Time = e.Time.AddDate(9000, 0, 0) },
	} {
		e := entry(inspect.GoodAfterAll, "")
		change(&e)
		require.ErrorIs(t, j.Append(e), inspect.ErrJournal)
	}
	largest := entry(inspect.GoodAfterAll, "")
	largest.Image, largest.Note = make([]byte, 8<<20), strings.Repeat("\x01", 63<<10)
	require.NoError(t, j.Append(largest))
	require.NoError(t, j.Append(entry(inspect.GoodAfterAll, "")))
	_, err = inspect.OpenJournal(t.TempDir())
	require.Error(t, err)

	_, _, err = inspect.ReadJournal(t.Context(), nil)
	require.ErrorIs(t, err, inspect.ErrJournal)
	_, _, err = inspect.ReadJournal(t.Context(), strings.NewReader(strings.Repeat("no entry\n", 20)))
	require.ErrorIs(t, err, inspect.ErrJournal)
	_, torn, err := inspect.ReadJournal(t.Context(), strings.NewReader(strings.Repeat("x", 13<<20)))
	require.NoError(t, err)
	require.Equal(t, 1, torn)
	cause := errors.New("the disk is gone")
	_, _, err = inspect.ReadJournal(t.Context(), iotest.ErrReader(cause))
	require.ErrorIs(t, err, cause)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = inspect.ReadJournal(ctx, strings.NewReader("x"))
	require.ErrorIs(t, err, context.Canceled)
	_, _, err = inspect.OpenEntries(t.Context(), filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// Lines of many goroutines, and of two processes' worth of files, are whole.
func TestJournalConcurrent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	var wg sync.WaitGroup
	for range 2 {
		j, err := inspect.OpenJournal(path)
		require.NoError(t, err)
		defer func() { require.NoError(t, j.Close()) }()
		for range 4 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for range 5 {
					if err := j.Append(entry(inspect.GoodAfterAll, "")); err != nil {
						t.Error(err)
					}
				}
			}()
		}
	}
	wg.Wait()
	got, torn, err := inspect.OpenEntries(t.Context(), path)
	require.NoError(t, err)
	require.Len(t, got, 40)
	require.Zero(t, torn)
}

// What people say becomes a report, and a bundle that decides otherwise.
func TestFromVerdictToRevision(t *testing.T) {
	b := fakeBundle(t)
	i, err := inspect.New(b, inspect.DefaultConfig())
	require.NoError(t, err)
	defer func() { require.NoError(t, i.Close()) }()
	path := filepath.Join(t.TempDir(), "j")
	j, err := inspect.OpenJournal(path)
	require.NoError(t, err)
	say := func(light float64, said inspect.Word, picture string, change func(*inspect.Entry)) {
		v, err := i.Inspect(t.Context(), grey(light))
		require.NoError(t, err)
		e := v.About(said, picture)
		if change != nil {
			change(&e)
		}
		require.NoError(t, j.Append(e))
	}
	var file bytes.Buffer
	require.NoError(t, png.Encode(&file, grey(0.55)))
	say(0.6, inspect.MissedDefect, "1", nil) // taken back below
	say(0.6, inspect.GoodAfterAll, "1", nil)
	say(0.7, inspect.GoodAfterAll, "2", nil)
	say(0.4, inspect.MissedDefect, "3", nil)
	say(0.8, inspect.MissedDefect, "", nil)
	say(0.6, inspect.GoodAfterAll, "4", func(e *inspect.Entry) { e.Scorer = "other" })
	say(0.6, inspect.GoodAfterAll, "5", func(e *inspect.Entry) { e.Scorer, e.Image = "other", file.Bytes() })
	say(0.6, inspect.GoodAfterAll, "6", func(e *inspect.Entry) { e.Scorer, e.Image = "other", []byte("no picture") })
	say(0.6, inspect.GoodAfterAll, "7", func(e *inspect.Entry) { e.Product = "bolt" })
	require.NoError(t, j.Close())
	entries, _, err := inspect.OpenEntries(t.Context(), path)
	require.NoError(t, err)

	r, err := b.Revise(t.Context(), entries, nil)
	require.NoError(t, err)
	require.Equal(t, []int{3, 2, 1, 3}, []int{r.Good, r.Defective, r.Rescored, r.Skipped})
	require.Equal(t, []int{3, 0, 1, 1}, []int{r.RejectedBefore, r.RejectedAfter, r.MissedBefore, r.MissedAfter})
	require.InDelta(t, 0.7, r.After.Cut.Threshold, 0.01)
	require.Contains(t, r.String(), "would become 0.7")
	require.InDelta(t, 0.5, i.Info().Threshold, 0.01, "nothing is in force")
	rule := metrics.Escape(0)
	byEscape, err := b.Revise(t.Context(), entries, &rule)
	require.NoError(t, err)
	require.Zero(t, byEscape.MissedAfter)
	require.InDelta(t, 0.4, byEscape.After.Cut.Threshold, 0.01)

	next := filepath.Join(t.TempDir(), "next")
	require.NoError(t, b.Recalibrated(t.Context(), next, r.Calibration))
	n, err := inspect.Open(t.Context(), next)
	require.NoError(t, err)
	require.Equal(t, len(b.Calibration().Good())+3, len(n.Calibration().Good()))
	require.Len(t, inspect.UsualOf(n), len(b.Calibration().Good())-1, "parts that people chose are none that the monitor compares with")
	require.NoError(t, i.Replace(t.Context(), n))
	v, err := i.Inspect(t.Context(), grey(0.6))
	require.NoError(t, err)
	require.False(t, v.Reject)

	_, err = n.Revise(t.Context(), nil, nil)
	require.ErrorIs(t, err, downstream.ErrTooFewImages)
	bad := metrics.Rule{}
	_, err = n.Revise(t.Context(), entries, &bad)
	require.Error(t, err)
}
