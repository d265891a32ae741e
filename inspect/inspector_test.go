package inspect_test

import (
	"context"
	"errors"
	"image"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/metrics"
)

// until waits for a condition that other goroutines bring about.
func until(t testing.TB, holds func() bool) {
	t.Helper()
	for !holds() {
		if t.Context().Err() != nil {
			t.Fatal("it never came")
		}
		runtime.Gosched()
	}
}

// held is an inspector of a fake whose batches begin when they are let.
type held struct {
	*inspect.Inspector
	begun chan int      // sizes of batches
	let   chan struct{} // one for each batch
}

func newHeld(t testing.TB, change func(*inspect.Config), opts ...inspect.Option) *held {
	t.Helper()
	h := &held{begun: make(chan int, 1000), let: make(chan struct{}, 1000)}
	b := fakePrepared(t, h.prepare)
	cfg := inspect.DefaultConfig()
	cfg.Workers, cfg.Delay, cfg.Batch, cfg.Queue = 1, 0, 4, 8
	if change != nil {
		change(&cfg)
	}
	i, err := inspect.New(b, cfg, opts...)
	require.NoError(t, err)
	h.Inspector = i
	return h
}

func (h *held) prepare(f *inspect.Fake) {
	f.Before = func(ctx context.Context, imgs []image.Image) error {
		h.begun <- len(imgs)
		select {
		case <-h.let:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

type answer struct {
	v   inspect.Verdict
	err error
}

func (h *held) ask(ctx context.Context, img image.Image) chan answer {
	c := make(chan answer, 1)
	go func() {
		v, err := h.Inspect(ctx, img)
		c <- answer{v, err}
	}()
	return c
}

func TestInspectBatches(t *testing.T) {
	h := newHeld(t, nil)
	first := h.ask(t.Context(), grey(0.2))
	require.Equal(t, 1, <-h.begun, "a lone picture is a batch")
	var more []chan answer
	for range 5 {
		more = append(more, h.ask(t.Context(), grey(0.9)))
	}
	until(t, func() bool { return h.Stats().Queued == 5 })
	require.Equal(t, 1, h.Stats().Running)
	for range 3 {
		h.let <- struct{}{}
	}
	a := <-first
	require.NoError(t, a.err)
	require.False(t, a.v.Reject)
	require.Positive(t, a.v.Took)
	for _, c := range more {
		a := <-c
		require.NoError(t, a.err)
		require.True(t, a.v.Reject)
		require.Positive(t, a.v.Waited)
	}
	require.Equal(t, 4, <-h.begun)
	require.Equal(t, 1, <-h.begun)
	s := h.Stats()
	require.Equal(t, []uint64{1, 5, 0}, []uint64{s.Accepted, s.Rejected, s.Failed})
	require.Zero(t, s.Queued+s.Running)
	require.NoError(t, h.Close())
}

func TestBusyAndExpired(t *testing.T) {
	h := newHeld(t, func(c *inspect.Config) { c.Queue = 2 })
	first := h.ask(t.Context(), grey(0.2))
	<-h.begun
	ctx, cancel := context.WithCancelCause(t.Context())
	second, third := h.ask(ctx, grey(0.2)), h.ask(t.Context(), grey(0.3))
	until(t, func() bool { return h.Stats().Queued == 2 })
	_, err := h.Inspect(t.Context(), grey(0.2))
	require.ErrorIs(t, err, inspect.ErrBusy)
	cancel(nil)
	require.ErrorIs(t, (<-second).err, context.Canceled)
	past, stop := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer stop()
	_, err = h.Inspect(past, grey(0.2))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	s := h.Stats()
	require.Equal(t, []uint64{1, 1}, []uint64{s.Busy, s.Expired})
	h.let <- struct{}{}
	h.let <- struct{}{}
	require.NoError(t, (<-first).err)
	require.NoError(t, (<-third).err)
	// More than the queue ever holds.
	_, err = h.InspectAll(t.Context(), grey(0.1), grey(0.1), grey(0.1))
	require.ErrorIs(t, err, inspect.ErrBusy)
	require.NoError(t, h.Close())
}

// A context that ends while its picture is scored is answered at once; the batch ends
// when nobody waits for it.
func TestContextEndsWhileScoring(t *testing.T) {
	h := newHeld(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	c := h.ask(ctx, grey(0.2))
	<-h.begun
	cancel()
	require.ErrorIs(t, (<-c).err, context.Canceled)
	until(t, func() bool { return h.Stats().Running == 0 })
	require.Zero(t, h.Stats().Failed)
	require.NoError(t, h.Close())
}

// One picture that is broken takes no other along.
func TestBrokenPictures(t *testing.T) {
	i, err := inspect.New(fakeBundle(t), inspect.DefaultConfig())
	require.NoError(t, err)
	_, err = i.InspectAll(t.Context(), grey(0.2), broken(), grey(0.9))
	require.ErrorIs(t, err, inspect.ErrBright)
	require.ErrorContains(t, err, "image 1")
	s := i.Stats()
	require.Equal(t, []uint64{1, 1, 1}, []uint64{s.Accepted, s.Rejected, s.Failed})
	for _, img := range []image.Image{nil, (*image.RGBA)(nil)} {
		_, err = i.Inspect(t.Context(), img)
		require.ErrorIs(t, err, downstream.ErrImage)
	}
	v, err := i.InspectAll(t.Context())
	require.NoError(t, err)
	require.Empty(t, v)
	require.NoError(t, i.Close())
}

// A detector that panics is an error of its pictures.
func TestPanics(t *testing.T) {
	b := fakePrepared(t, func(f *inspect.Fake) {
		f.Before = func(context.Context, []image.Image) error { panic("out of its mind") }
	})
	i, err := inspect.New(b, inspect.DefaultConfig())
	require.NoError(t, err)
	_, err = i.Inspect(t.Context(), grey(0.2))
	require.ErrorContains(t, err, "out of its mind")
	require.Equal(t, uint64(1), i.Stats().Failed)
	require.NoError(t, i.Close())
}

func TestNewRefuses(t *testing.T) {
	_, err := inspect.New(nil, inspect.DefaultConfig())
	require.ErrorIs(t, err, downstream.ErrConfig)
	b := fakeBundle(t)
	for _, change := range []func(*inspect.Config){
		func(c *inspect.Config) { c.Batch = 0 },
		func(c *inspect.Config) { c.Queue = 1<<20 + 1 },
		func(c *inspect.Config) { c.Workers = 0 },
		func(c *inspect.Config) { c.Delay = -1 },
		func(c *inspect.Config) { c.MapPixels = 0 },
		func(c *inspect.Config) { c.DriftWindow = 9 },
		func(c *inspect.Config) { c.DriftRate = 1 },
	} {
		cfg := inspect.DefaultConfig()
		change(&cfg)
		_, err := inspect.New(b, cfg)
		require.ErrorIs(t, err, downstream.ErrConfig)
	}
	require.NoError(t, b.Close())
	_, err = inspect.New(b, inspect.DefaultConfig())
	require.ErrorIs(t, err, inspect.ErrClosed)
}

// A map is the picture's size, or the detector's own where that is too large.
func TestMapPixels(t *testing.T) {
	cfg := inspect.DefaultConfig()
	cfg.MapPixels = 16*12 - 1
	i, err := inspect.New(fakeBundle(t), cfg)
	require.NoError(t, err)
	v, err := i.Inspect(t.Context(), grey(0.2))
	require.NoError(t, err)
	require.Equal(t, inspect.FakeSide, v.Map.W)
	require.Equal(t, 16.0, v.Map.Rect.MaxX)
	require.NoError(t, i.Close())
}

// Of 200 pictures that come while bundles are exchanged, each is decided by one of them.
func TestReplaceDropsNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	h := newHeld(t, func(c *inspect.Config) { c.Queue, c.Workers = 1000, 2 })
	old := h.Info().Bundle
	inFlight := h.ask(t.Context(), grey(0.2))
	<-h.begun

	// What is being scored ends on the old bundle, which is closed after.
	file := fakeFile(t, calibrated(t), func(s *inspect.Spec) { s.Product = "bolt" })
	next, err := inspect.OpenBytes(t.Context(), file)
	require.NoError(t, err)
	replaced := make(chan error, 1)
	go func() { replaced <- h.Replace(t.Context(), next) }()
	until(t, func() bool { return h.Info().Product == "bolt" })
	v, err := h.Inspect(t.Context(), grey(0.3))
	require.NoError(t, err, "the new bundle decides while the old one is at work")
	require.Equal(t, "bolt", v.Product)
	select {
	case <-replaced:
		t.Fatal("the old bundle was closed under its picture")
	default:
	}
	h.let <- struct{}{}
	a := <-inFlight
	require.NoError(t, a.err)
	require.Equal(t, old, a.v.Bundle)
	require.NoError(t, <-replaced)

	var wg sync.WaitGroup
	var decided atomic.Int64
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 25 {
				v, err := h.Inspect(t.Context(), grey(0.2))
				if err != nil || v.Product != "bolt" && v.Product != "nut" {
					t.Errorf("%q, %v", v.Product, err)
				}
				decided.Add(1)
			}
		}()
	}
	for k := range 10 {
		b, err := inspect.OpenBytes(t.Context(), fakeFile(t, calibrated(t), func(s *inspect.Spec) { s.Product = []string{"nut", "bolt"}[k%2] }))
		require.NoError(t, err)
		require.NoError(t, h.Replace(t.Context(), b))
		require.NoError(t, h.Replace(t.Context(), b), "once more is nothing")
	}
	wg.Wait()
	require.Equal(t, int64(200), decided.Load())
	require.Equal(t, uint64(11), h.Stats().Replaced)
	require.NoError(t, h.Close())
	until(t, func() bool { return runtime.NumGoroutine() <= before })
}

// A bundle that does not score as it did is not put in force.
func TestReplaceRefusesBadBundles(t *testing.T) {
	i, err := inspect.New(fakeBundle(t), inspect.DefaultConfig())
	require.NoError(t, err)
	file := fakeFile(t, calibrated(t), func(s *inspect.Spec) { s.Product = "bolt" })
	undo := inspect.PrepareFakes(func(f *inspect.Fake) { f.Gain = 2 })
	bad, err := inspect.OpenBytes(t.Context(), file)
	undo()
	require.NoError(t, err)
	require.ErrorIs(t, i.Replace(t.Context(), bad), inspect.ErrGolden)
	require.ErrorIs(t, i.Replace(t.Context(), nil), downstream.ErrConfig)
	require.Equal(t, "nut", i.Info().Product)
	_, err = i.Inspect(t.Context(), grey(0.2))
	require.NoError(t, err)
	require.NoError(t, bad.Close())
	require.ErrorIs(t, i.Replace(t.Context(), bad), inspect.ErrClosed)
	good, err := inspect.OpenBytes(t.Context(), file)
	require.NoError(t, err)
	require.NoError(t, i.Close())
	require.ErrorIs(t, i.Replace(t.Context(), good), inspect.ErrClosed)
	require.NoError(t, good.Close())
}

// Close decides about what waits, refuses the rest, and closes the bundle once.
func TestCloseDrains(t *testing.T) {
	var det *inspect.Fake
	h := &held{begun: make(chan int, 100), let: make(chan struct{}, 100)}
	b := fakePrepared(t, func(f *inspect.Fake) { det = f; h.prepare(f) })
	cfg := inspect.DefaultConfig()
	cfg.Workers = 1
	i, err := inspect.New(b, cfg)
	require.NoError(t, err)
	h.Inspector = i
	first := h.ask(t.Context(), grey(0.2))
	<-h.begun
	var waiting []chan answer
	for range 5 {
		waiting = append(waiting, h.ask(t.Context(), grey(0.2)))
	}
	until(t, func() bool { return h.Stats().Queued == 5 })
	closed := make(chan error, 2)
	for range 2 {
		go func() { closed <- h.Close() }()
	}
	until(t, func() bool {
		_, err := h.InspectAll(t.Context(), make([]image.Image, 0)...)
		_, err2 := h.InspectAll(t.Context(), manyGreys(cfg.Queue+1)...)
		return err == nil && errors.Is(err2, inspect.ErrClosed)
	})
	for range 10 {
		h.let <- struct{}{}
	}
	require.NoError(t, (<-first).err)
	for _, c := range waiting {
		require.NoError(t, (<-c).err)
	}
	require.NoError(t, <-closed)
	require.NoError(t, <-closed)
	require.Equal(t, 1, det.Closed())
	require.Equal(t, "nut", h.Info().Product)
	h.ResetDrift()
	require.Equal(t, uint64(6), h.Stats().Accepted)
}

func manyGreys(n int) []image.Image {
	out := make([]image.Image, n)
	for i := range out {
		out[i] = grey(0.1)
	}
	return out
}

// fakePrepared is a bundle whose detector is prepared.
func fakePrepared(t testing.TB, prepare func(*inspect.Fake)) *inspect.Bundle {
	t.Helper()
	file := fakeFile(t, calibrated(t), nil)
	defer inspect.PrepareFakes(prepare)()
	b, err := inspect.OpenBytes(t.Context(), file)
	require.NoError(t, err)
	return b
}

// The drift monitor hears of accepted parts alone, and tells once.
func TestDriftAlarm(t *testing.T) {
	var alarms []inspect.Drift
	cfg := inspect.DefaultConfig()
	cfg.Workers = 1
	i, err := inspect.New(fakeBundle(t), cfg, inspect.WithAlarm(func(d inspect.Drift) { alarms = append(alarms, d) }), nil)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 50 { // as the calibration's: 0.1 to 0.2
		_, err := i.Inspect(t.Context(), grey(0.1+0.098*rng.Float64()))
		require.NoError(t, err)
	}
	require.False(t, i.Stats().Drift.Alarm)
	for range 60 { // rejected: nothing that the monitor sees
		_, err := i.Inspect(t.Context(), grey(0.9))
		require.NoError(t, err)
	}
	d := i.Stats().Drift
	require.Equal(t, 50, d.Seen)
	require.False(t, d.Alarm)
	require.Empty(t, d.Message)
	for range 40 { // brighter, and accepted
		_, err := i.Inspect(t.Context(), grey(0.3+0.1*rng.Float64()))
		require.NoError(t, err)
	}
	d = i.Stats().Drift
	require.True(t, d.Alarm)
	require.LessOrEqual(t, d.PValue, cfg.DriftRate)
	require.Contains(t, d.Message, "score above its median")
	require.Len(t, alarms, 1)
	require.NotEmpty(t, alarms[0].Message)
	i.ResetDrift()
	require.Equal(t, inspect.Drift{PValue: 1}, i.Stats().Drift)
	require.NoError(t, i.Close())
}

// What calibration and drift monitor promise holds on parts to come, for rules that
// count: of 200 lines, the false rejects are as many as the rule says on average, and
// few of the monitors raise an alarm.
func TestPromises(t *testing.T) {
	const lines, parts, rate = 200, 250, 0.1
	for _, rule := range []metrics.Rule{metrics.Overkill(0.05), metrics.Conformal(0.05)} {
		rejected, alarms, covered := 0, 0, 0
		for k := range uint64(lines) {
			rng := rand.New(rand.NewPCG(k, 5))
			good := make([]float64, 100)
			for j := range good {
				good[j] = rng.ExpFloat64()
			}
			c, err := downstream.NewCalibration(good, nil, downstream.ColourScale{High: 1}, rule)
			require.NoError(t, err)
			m := inspect.MonitorOf(c, parts, rate, k)
			of := 0
			for range parts {
				s := rng.ExpFloat64()
				if c.Verdict(s).Reject {
					of++
				} else if m(s) {
					alarms++
				}
			}
			rejected += of
			if p := c.Point().Overkill; float64(of)/parts <= p.High {
				covered++
			}
		}
		t.Logf("%s: %.2f %% rejected, %d of %d lines within the interval, %d alarms", rule, 100*float64(rejected)/lines/parts, covered, lines, alarms)
		// Overkill by rank rejects 6 of 101 on average, conformal 5: three deviations of
		// the mean of 200 thresholds, each of which has a rate of deviation 2.4 %.
		require.InDelta(t, 0.055, float64(rejected)/lines/parts, 0.005+3*0.024/14.1)
		require.GreaterOrEqual(t, covered, lines*95/100)
		require.LessOrEqual(t, alarms, 33) // of a binomial number with 200 and 0.1, in all but one of 1,000 cases
	}
}
