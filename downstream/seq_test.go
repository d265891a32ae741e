package downstream_test

import (
	"context"
	"image"
	"iter"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

// watchers are the detectors among the subjects.
func watchers(t *testing.T, opts ...downstream.Option) iter.Seq2[string, subject] {
	return func(yield func(string, subject) bool) {
		for name, make := range subjects() {
			s := make(t, opts...)
			if _, ok := s.learner.(downstream.Detector); ok && !yield(name, s) {
				return
			}
		}
	}
}

// What comes as a sequence is scored as what comes at once, in order, and marked with
// the calibration.
func TestScoreSeqEqualsScore(t *testing.T) {
	noLeak(t)
	good, imgs := textures(20, 501, fakeSide), textures(5, 502, fakeSide)
	imgs[3] = scratched(imgs[3])
	for name, s := range watchers(t) {
		d := s.learner.(downstream.Detector)
		require.NoError(t, s.fit(t.Context(), memory(t, good[:10])), name)
		_, err := d.Calibrate(t.Context(), memory(t, good[10:]), metrics.Overkill(0.2))
		require.NoError(t, err, name)
		want, err := d.Score(t.Context(), imgs...)
		require.NoError(t, err, name)
		i := 0
		for r, err := range d.ScoreSeq(t.Context(), slices.Values(imgs)) {
			require.NoError(t, err, name)
			require.LessOrEqual(t, relative(t, want[i].Map.Data, r.Map.Data), batchTolerance, name)
			require.InEpsilon(t, want[i].Score, r.Score, batchTolerance, name)
			require.Equal(t, want[i].Map.Rect, r.Map.Rect, name)
			a, err := want[i].Verdict()
			require.NoError(t, err, name)
			b, err := r.Verdict()
			require.NoError(t, err, name)
			require.Equal(t, a.Threshold, b.Threshold, name)
			i++
		}
		require.Equal(t, len(imgs), i, name)
	}
}

// Errors come once, and name the image.
func TestScoreSeqErrors(t *testing.T) {
	noLeak(t)
	good := textures(6, 503, fakeSide)
	once := func(seq iter.Seq2[downstream.Result, error]) (results int, last error) {
		for _, err := range seq {
			require.NoError(t, last, "something follows an error")
			if last = err; err == nil {
				results++
			}
		}
		return results, last
	}
	for name, s := range watchers(t) {
		d := s.learner.(downstream.Detector)
		_, err := once(d.ScoreSeq(t.Context(), slices.Values(good)))
		require.ErrorIs(t, err, downstream.ErrNotFitted, name)
		require.NoError(t, s.fit(t.Context(), memory(t, good)), name)
		_, err = once(d.ScoreSeq(t.Context(), nil))
		require.ErrorIs(t, err, downstream.ErrImage, name)
		n, err := once(d.ScoreSeq(t.Context(), slices.Values([]image.Image{good[0], good[1], nil, good[2]})))
		require.ErrorIs(t, err, downstream.ErrImage, name)
		require.ErrorContains(t, err, "image 2", name)
		require.Equal(t, 2, n, name)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = once(d.ScoreSeq(ctx, slices.Values(good)))
		require.ErrorIs(t, err, context.Canceled, name)
		after := d.ScoreSeq(t.Context(), slices.Values(good))
		require.NoError(t, d.Close(), name)
		_, err = once(after)
		require.ErrorIs(t, err, downstream.ErrClosed, name)
	}
}

// A camera gives its next picture when the one before it is judged: the result does
// not wait for more. Where pictures come faster they are not taken without bound, and a
// break ends sequence and scoring.
func TestScoreSeqOfACamera(t *testing.T) {
	noLeak(t)
	good := textures(6, 504, fakeSide)
	p := fitted(t, &fake{scale: 1}, fakeConfig(), good)
	for _, d := range []downstream.Detector{p, tiledOf(t, p)} {
		for _, err := range d.ScoreSeq(t.Context(), slices.Values(good)) { // warms libtorch's threads up
			require.NoError(t, err)
		}
		judged := make(chan struct{})
		camera := func(yield func(image.Image) bool) {
			for i, img := range good {
				if i > 0 {
					<-judged
				}
				if !yield(img) {
					return
				}
			}
		}
		n := 0
		for _, err := range d.ScoreSeq(t.Context(), camera) {
			require.NoError(t, err)
			if n++; n < len(good) {
				judged <- struct{}{}
			}
		}
		require.Equal(t, len(good), n)

		before, taken := runtime.NumGoroutine(), 0
		endless := func(yield func(image.Image) bool) {
			for {
				taken++
				if !yield(good[taken%len(good)]) {
					return
				}
			}
		}
		n = 0
		for _, err := range d.ScoreSeq(t.Context(), endless) {
			require.NoError(t, err)
			if n++; n == 12 {
				break
			}
		}
		// Both have ended, so that taken may be read.
		require.LessOrEqual(t, taken, n+tensor.GetThreads().Cores+2)
		// A goroutine past its last statement is counted until its thread runs again.
		for range 1_000_000 {
			if runtime.NumGoroutine() <= before {
				break
			}
			runtime.Gosched()
		}
		require.LessOrEqual(t, runtime.NumGoroutine(), before)
	}
}

// tiledOf is a detector around d, which the test closes itself.
func tiledOf(t *testing.T, d downstream.Detector) *downstream.Tiled {
	t.Helper()
	tiled, err := downstream.NewTiled(d, downstream.DefaultTiled())
	require.NoError(t, err)
	return tiled
}

// A Fit in the middle of a sequence takes nothing away from it.
func TestScoreSeqKeepsItsModel(t *testing.T) {
	noLeak(t)
	good, other := textures(6, 505, fakeSide), textures(6, 506, fakeSide)
	p := fitted(t, &fake{scale: 1}, fakeConfig(), good)
	want, err := p.Score(t.Context(), good...)
	require.NoError(t, err)
	i := 0
	for r, err := range p.ScoreSeq(t.Context(), slices.Values(good)) {
		require.NoError(t, err)
		require.InEpsilon(t, want[i].Score, r.Score, batchTolerance)
		if i == 0 {
			require.NoError(t, p.Fit(t.Context(), memory(t, other)))
		}
		i++
	}
	require.Equal(t, len(good), i)
}
