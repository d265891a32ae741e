package downstream_test

import (
	"context"
	"errors"
	"image"
	"io"
	"iter"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/tensor"
)

// detector is what all detectors can do.
type detector interface {
	downstream.Detector
	io.WriterTo
	ScoreSet(ctx context.Context, ds dataset.Dataset) iter.Seq2[downstream.Scored, error]
	Save(path string) error
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
	before := runtime.NumGoroutine()
	for _, err := range p.ScoreSet(t.Context(), memory(t, imgs)) {
		require.NoError(t, err)
		break
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), before)
}

// requireConcurrent scores img while p is fitted on good again, and closes p in
// the middle of set.
func requireConcurrent(t *testing.T, p detector, good, img, set []image.Image) {
	t.Helper()
	want, err := p.Score(t.Context(), img...)
	require.NoError(t, err)
	var wg sync.WaitGroup
	errs := make(chan error, 64)
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 4 {
				got, err := p.Score(t.Context(), img...)
				if err == nil && relative(t, want[1].Map.Data, got[1].Map.Data) > batchTolerance {
					err = errors.New("another map")
				}
				errs <- err
			}
		}()
	}
	errs <- p.Fit(t.Context(), memory(t, good)) // the same model again
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	// Close in the middle of an iteration takes nothing away from it.
	n := 0
	for _, err := range p.ScoreSet(t.Context(), memory(t, set)) {
		require.NoError(t, err)
		if n == 0 {
			require.NoError(t, p.Close())
		}
		n++
	}
	require.Equal(t, len(set), n)
	_, err = p.Score(t.Context(), img...)
	require.ErrorIs(t, err, downstream.ErrNotFitted)
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
	for _, err := range p.ScoreSet(t.Context(), memory(t, good)) {
		require.ErrorIs(t, err, downstream.ErrNotFitted)
	}
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
