package downstream_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// gated tells begun when its first sample is read and gives none before open is
// closed.
type gated struct {
	dataset.Dataset
	once  sync.Once
	begun chan struct{}
	open  chan struct{}
	deaf  bool // to the context, as a stranger's data set may be
}

func newGated(ds dataset.Dataset) *gated {
	return &gated{Dataset: ds, begun: make(chan struct{}), open: make(chan struct{})}
}

func (d *gated) Sample(ctx context.Context, i int) (dataset.Sample, error) {
	d.once.Do(func() { close(d.begun) })
	if d.deaf {
		<-d.open
		return d.Dataset.Sample(context.WithoutCancel(ctx), i)
	}
	select {
	case <-d.open:
		return d.Dataset.Sample(ctx, i)
	case <-ctx.Done():
		return dataset.Sample{}, ctx.Err()
	}
}

// within returns what comes out of c; a minute without is a hang.
func within[T any](t testing.TB, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(time.Minute):
		require.FailNow(t, "it hangs", what)
	}
	return v
}

// started runs f on a goroutine and returns where its error will come.
func started(f func() error) <-chan error {
	out := make(chan error, 1)
	go func() { out <- f() }()
	return out
}

// A Fit that waits for another ends with its context; one that waits longer comes
// after the other, and its model stays.
func TestFitsTakeTurns(t *testing.T) {
	first, second := textures(6, 201, fakeSide), textures(6, 202, fakeSide)
	img := textures(1, 203, fakeSide)[0]
	for name, make := range subjects() {
		t.Run(name, func(t *testing.T) {
			noLeak(t)
			want := quiet(t, make, memory(t, second), img)
			require.Greater(t, relative(t, want, quiet(t, make, memory(t, first), img)), 100*batchTolerance, "the two models must differ")
			s := make(t)
			gate := newGated(memory(t, first))
			a := started(func() error { return s.fit(t.Context(), gate) })
			within(t, "the first fit reads no image", gate.begun)
			untouched := newGated(memory(t, second))
			ctx, cancel := context.WithCancel(t.Context())
			b := started(func() error { return s.fit(ctx, untouched) })
			c := started(func() error { return s.fit(t.Context(), memory(t, second)) })
			cancel()
			require.ErrorIs(t, within(t, "a fit that waits does not see that its context has ended", b), context.Canceled)
			require.Empty(t, a, "the first fit is over")
			close(gate.open)
			require.NoError(t, within(t, "the first fit", a))
			require.NoError(t, within(t, "the last fit", c))
			select {
			case <-untouched.begun:
				t.Error("a fit that was cancelled while it waited has read an image")
			default:
			}
			requireAnswers(t, s, want, img)
		})
	}
}

// Close ends the Fit that goes on, and those that wait: they install nothing and
// leave nothing behind.
func TestCloseEndsFits(t *testing.T) {
	good := textures(6, 204, fakeSide)
	for name, make := range subjects() {
		for _, deaf := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				noLeak(t)
				s := make(t)
				require.NoError(t, s.fit(t.Context(), memory(t, good)))
				gate := newGated(memory(t, good))
				gate.deaf = deaf
				a := started(func() error { return s.fit(t.Context(), gate) })
				within(t, "the fit reads no image", gate.begun)
				b := started(func() error { return s.fit(t.Context(), memory(t, good)) })
				require.NoError(t, s.Close())
				if deaf {
					close(gate.open)
				}
				require.ErrorIs(t, within(t, "the fit that was going on", a), downstream.ErrClosed)
				require.ErrorIs(t, within(t, "the fit that waited", b), downstream.ErrClosed)
				_, err := s.answer(t.Context(), good[0])
				require.ErrorIs(t, err, downstream.ErrClosed)
			})
		}
	}
}

// The last moment at which Close can meet a Fit is after its last batch.
func TestCloseInTheLastMomentOfAFit(t *testing.T) {
	good := textures(6, 205, fakeSide)
	for name, make := range subjects() {
		t.Run(name, func(t *testing.T) {
			noLeak(t)
			var s subject
			fitting, seen, last := false, 0, 0
			s = make(t, downstream.WithProgress(func(downstream.Progress) {
				if fitting {
					if seen++; seen == last {
						require.NoError(t, s.Close())
					}
				}
			}))
			fitting = true
			require.NoError(t, s.fit(t.Context(), memory(t, good)))
			seen, last = 0, seen
			require.Positive(t, last)
			require.ErrorIs(t, s.fit(t.Context(), memory(t, good)), downstream.ErrClosed)
			require.Equal(t, last, seen)
		})
	}
}

// After Close every method says so.
func TestCloseIsTerminal(t *testing.T) {
	good := textures(6, 206, fakeSide)
	for name, make := range subjects() {
		t.Run(name, func(t *testing.T) {
			noLeak(t)
			for _, fitted := range []bool{false, true} {
				s := make(t)
				if fitted {
					require.NoError(t, s.fit(t.Context(), memory(t, good)))
				}
				held := s.answerSet(t.Context(), memory(t, good)) // begins after Close
				require.NoError(t, s.Close())
				n := 0
				for _, err := range held {
					require.ErrorIs(t, err, downstream.ErrClosed)
					n++
				}
				require.Equal(t, 1, n)
				testutil.RequireClosed(t, s.learner, downstream.ErrClosed, nil)
				testutil.RequireClosed(t, s.learner, downstream.ErrClosed, []any{memory(t, good)})
			}
		})
	}
}

// Reset forgets what was fitted before it, and what follows begins anew.
func TestResetForgets(t *testing.T) {
	good, img := textures(6, 207, fakeSide), textures(1, 208, fakeSide)[0]
	for name, make := range subjects() {
		t.Run(name, func(t *testing.T) {
			noLeak(t)
			want := quiet(t, make, memory(t, good), img)
			s := make(t)
			inside := tensor.Live()
			require.NoError(t, s.Reset(t.Context()), "nothing is fitted yet")
			gate := newGated(memory(t, good))
			fit := started(func() error { return s.fit(t.Context(), gate) })
			if name == "RegAD" { // its Reset takes the network away too
				require.ErrorIs(t, within(t, "a fit after Reset", fit), downstream.ErrNotTrained)
				require.Less(t, tensor.Live(), inside)
				r := s.learner.(*downstream.RegAD)
				require.NoError(t, r.Train(t.Context(), products()))
				require.Equal(t, inside, tensor.Live())
				fit = started(func() error { return s.fit(t.Context(), gate) })
			}
			within(t, "the fit reads no image", gate.begun)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			require.ErrorIs(t, s.Reset(ctx), context.Canceled)
			reset := started(func() error { return s.Reset(t.Context()) })
			close(gate.open)
			require.NoError(t, within(t, "the fit", fit))
			require.NoError(t, within(t, "Reset", reset))
			_, err := s.answer(t.Context(), img)
			require.ErrorIs(t, err, downstream.ErrNotFitted)
			if r, ok := s.learner.(*downstream.RegAD); ok {
				require.NoError(t, r.Train(t.Context(), products()))
			}
			require.Equal(t, inside, tensor.Live())
			require.NoError(t, s.fit(t.Context(), memory(t, good)))
			requireAnswers(t, s, want, img)
		})
	}
}

// A Train that Close meets ends as a Fit does.
func TestCloseEndsTrain(t *testing.T) {
	noLeak(t)
	r := newTiny(t, &fake{}, regadConfig())
	gate := newGated(products())
	train := started(func() error { return r.Train(t.Context(), gate) })
	within(t, "the training reads no image", gate.begun)
	require.NoError(t, r.Close())
	require.ErrorIs(t, within(t, "the training", train), downstream.ErrClosed)
}
