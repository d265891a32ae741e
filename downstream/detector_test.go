package downstream_test

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

// detector is what all detectors can do.
type detector interface {
	downstream.Detector
	io.WriterTo
	Recalibrate(ctx context.Context, rule metrics.Rule) (*downstream.Calibration, error)
	Calibration() (*downstream.Calibration, error)
}

// batchTolerance allows for libtorch's products of other shapes, which add in
// another order.
const batchTolerance = 1e-5

func requireBatchEqualsOneByOne(t *testing.T, p detector, imgs []image.Image) {
	t.Helper()
	all, err := p.Score(t.Context(), imgs...)
	require.NoError(t, err)
	require.Len(t, all, len(imgs))
	for i, img := range imgs {
		one, err := p.Score(t.Context(), img)
		require.NoError(t, err)
		require.LessOrEqual(t, relative(t, one[0].Map.Data, all[i].Map.Data), batchTolerance)
		require.InEpsilon(t, one[0].Score, all[i].Score, batchTolerance)
	}
	i := 0
	for sc, err := range p.ScoreSet(t.Context(), memory(t, imgs)) {
		require.NoError(t, err)
		require.Equal(t, all[i], sc.Result)
		i++
	}
	require.Equal(t, len(imgs), i)
	none, err := p.Score(t.Context())
	require.NoError(t, err)
	require.Empty(t, none)
}

// requireBreakEndsAllGoroutines needs libtorch's threads warmed up.
func requireBreakEndsAllGoroutines(t *testing.T, p detector, imgs []image.Image) {
	t.Helper()
	before, n := runtime.NumGoroutine(), 0
	for _, err := range p.ScoreSet(t.Context(), memory(t, imgs)) {
		require.NoError(t, err)
		n++
		break
	}
	require.Equal(t, 1, n)
	require.LessOrEqual(t, runtime.NumGoroutine(), before)
}

// requireConcurrent asks s, which is fitted on a, about img while it is fitted on b
// and on a in turns: every answer is that of one of the two models, and an asker
// sees them come in the order of the Fits. Then it closes s in the middle of set.
func requireConcurrent(t *testing.T, s subject, a, b dataset.Dataset, img, set []image.Image) {
	t.Helper()
	const fits = 4 // on b, a, b, a
	models := make([][][]float32, 2)
	for i, ds := range []dataset.Dataset{b, a} {
		require.NoError(t, s.fit(t.Context(), ds))
		var err error
		models[i], err = s.answer(t.Context(), img...)
		require.NoError(t, err)
	}
	for k := range img {
		require.Greater(t, relative(t, models[0][k], models[1][k]), 100*batchTolerance, "the two models must differ")
	}
	// which returns whose answers these are.
	which := func(got [][]float32) (int, error) {
		for m, want := range models {
			all := len(got) == len(want)
			for k := range want {
				all = all && relative(t, want[k], got[k]) <= batchTolerance
			}
			if all {
				return m, nil
			}
		}
		return 0, errors.New("the answers are those of neither model, or of both")
	}
	var wg sync.WaitGroup
	errs := make(chan error, 16)
	over := make(chan struct{})
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			last, changes := 1, 0
			for done := false; !done; {
				select {
				case <-over:
					done = true // and once more: the last model
				default:
				}
				got, err := s.answer(t.Context(), img...)
				m := 0
				if err == nil {
					m, err = which(got)
				}
				if err != nil {
					errs <- err
					return
				}
				if m != last {
					last = m
					changes++
				}
			}
			switch {
			case last != 1:
				errs <- errors.New("the model of the last Fit is not in force")
			case changes > fits:
				errs <- fmt.Errorf("%d Fits changed the model %d times", fits, changes)
			}
		}()
	}
	// Two at a time: the second of each pair waits for the first.
	for range fits / 2 {
		gate := newGated(b)
		first := started(func() error { return s.fit(t.Context(), gate) })
		within(t, "a fit reads no image", gate.begun)
		second := started(func() error { return s.fit(t.Context(), a) })
		close(gate.open)
		require.NoError(t, within(t, "a fit", first))
		require.NoError(t, within(t, "a fit", second))
		got, err := s.answer(t.Context(), img...)
		require.NoError(t, err)
		m, err := which(got)
		require.NoError(t, err)
		require.Equal(t, 1, m, "the first Fit has overtaken the second")
	}
	close(over)
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	// Close in the middle of an iteration takes nothing away from it.
	n := 0
	for _, err := range s.answerSet(t.Context(), memory(t, set)) {
		require.NoError(t, err)
		if n == 0 {
			require.NoError(t, s.Close())
		}
		n++
	}
	require.Equal(t, len(set), n)
	_, err := s.answer(t.Context(), img...)
	require.ErrorIs(t, err, downstream.ErrClosed)
}

// requireCancelledFitChangesNothing cancels fits on others at several places.
func requireCancelledFitChangesNothing(t *testing.T, p detector, img image.Image, others []image.Image) {
	t.Helper()
	before, err := p.Score(t.Context(), img)
	require.NoError(t, err)
	inside := tensor.Live()
	for _, after := range []int{0, 1, 10} {
		ctx, cancel := context.WithCancel(t.Context())
		if after == 0 {
			cancel()
		}
		err = p.Fit(ctx, &interrupting{Dataset: memory(t, others), after: after, cancel: cancel})
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, inside, tensor.Live())
		cancel()
	}
	again, err := p.Score(t.Context(), img)
	require.NoError(t, err)
	require.Equal(t, before, again)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.Score(ctx, img)
	require.ErrorIs(t, err, context.Canceled)
}

// interrupting cancels when sample after is read.
type interrupting struct {
	dataset.Dataset
	after  int
	cancel func()
}

func (d *interrupting) Sample(ctx context.Context, i int) (dataset.Sample, error) {
	if i == d.after {
		d.cancel()
	}
	return d.Dataset.Sample(ctx, i)
}

// requireNotFitted asks a new detector for what it cannot do yet.
func requireNotFitted(t *testing.T, p detector, good []image.Image) {
	t.Helper()
	_, err := p.Score(t.Context(), good[0])
	require.ErrorIs(t, err, downstream.ErrNotFitted)
	n := 0
	for _, err := range p.ScoreSet(t.Context(), memory(t, good)) {
		require.ErrorIs(t, err, downstream.ErrNotFitted)
		n++
	}
	require.Equal(t, 1, n, "the error is yielded once")
	require.ErrorIs(t, p.Save(t.TempDir()+"/x"), downstream.ErrNotFitted)
	require.ErrorIs(t, p.Fit(t.Context(), nil), downstream.ErrTooFewImages)
}

// requireRefusesBadImages fits and scores with fe giving NaN for a number of
// passes, and with images that do not fit; p is closed afterwards.
func requireRefusesBadImages(t *testing.T, p detector, fe *fake, passes int64, good []image.Image) {
	t.Helper()
	bad, err := dataset.NewMemory([]dataset.Sample{
		{Item: dataset.Item{Name: "a", Label: dataset.LabelGood}, Image: good[0].(*image.RGBA)},
		{Item: dataset.Item{Name: "b", Defect: "hole", Label: dataset.LabelDefective}, Image: good[1].(*image.RGBA)},
	})
	require.NoError(t, err)
	err = p.Fit(t.Context(), bad)
	require.ErrorIs(t, err, downstream.ErrNotNormal)
	require.ErrorContains(t, err, `sample b: label does not fit: it is labelled "hole"`)

	fe.bad.Store(passes)
	err = p.Fit(t.Context(), memory(t, good))
	require.ErrorIs(t, err, downstream.ErrNotFinite)
	fe.bad.Store(0)
	require.NoError(t, p.Fit(t.Context(), memory(t, good)))
	fe.bad.Store(passes)
	_, err = p.Score(t.Context(), good[0])
	require.ErrorIs(t, err, downstream.ErrNotFinite)
	require.ErrorContains(t, err, "image 0")
	fe.bad.Store(0)
	_, err = p.Score(t.Context(), good[0], nil)
	require.ErrorIs(t, err, downstream.ErrImage)
	require.NoError(t, p.Close())
	require.NoError(t, p.Close())
}
