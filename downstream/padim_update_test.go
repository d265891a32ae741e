package downstream_test

import (
	"context"
	"image"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/tensor"
)

// update adds imgs to p.
func update(t *testing.T, p *downstream.PaDiM, imgs []image.Image) {
	t.Helper()
	require.NoError(t, p.Update(t.Context(), memory(t, imgs)))
}

// reopened is p after a file.
func reopened(t *testing.T, p *downstream.PaDiM, fe downstream.Extractor) *downstream.PaDiM {
	t.Helper()
	path := t.TempDir() + "/padim"
	require.NoError(t, p.Save(path))
	q, err := downstream.OpenPaDiM(t.Context(), path, fe)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, q.Close()) })
	return q
}

// TestPaDiMUpdateEqualsAFitOnAll holds updates, of one image too, and through a
// file, against a Gaussian a position in double precision over all images, and
// against Fit.
func TestPaDiMUpdateEqualsAFitOnAll(t *testing.T) {
	noLeak(t)
	fe, cfg := &fake{scale: 1}, fakeConfig()
	good := textures(31, 41, 40)
	test := append(textures(2, 42, 40), scratched(good[0]))
	p := fitted(t, fe, cfg, good[:9])
	earlier, err := p.Score(t.Context(), test...)
	require.NoError(t, err)

	update(t, p, good[9:20])
	update(t, p, good[20:21])
	q := reopened(t, p, fe)
	update(t, q, good[21:])
	got, err := q.Score(t.Context(), test...)
	require.NoError(t, err)
	fit, err := fitted(t, fe, cfg, good).Score(t.Context(), test...)
	require.NoError(t, err)
	for i, r := range got {
		want := slowMap(t, fe, cfg, good, test[i])
		require.LessOrEqual(t, relative(t, want, r.Map.Data), roundingTolerance)
		require.LessOrEqual(t, relative(t, fit[i].Map.Data, r.Map.Data), roundingTolerance)
		require.Greater(t, relative(t, want, earlier[i].Map.Data), 100*roundingTolerance, "the further images change nothing: the comparison is empty")
		// Forgetting the shift of the mean between the parts must show.
		require.Greater(t, relative(t, slowMap(t, fe, cfg, good[21:], test[i]), r.Map.Data), 100*roundingTolerance)
	}

	// Many updates, each through a file, add no error that grows.
	r := fitted(t, fe, cfg, good[:2])
	for i := 2; i < len(good); i++ {
		update(t, r, good[i:i+1])
		if i%5 == 0 {
			r = reopened(t, r, fe)
		}
	}
	one, err := r.Score(t.Context(), test...)
	require.NoError(t, err)
	for i := range one {
		require.LessOrEqual(t, relative(t, fit[i].Map.Data, one[i].Map.Data), roundingTolerance)
	}
}

// TestPaDiMUpdateOfFarImages adds images whose features lie far from those of the
// fit, which is what a formula without the term between the means gets wrong most.
func TestPaDiMUpdateOfFarImages(t *testing.T) {
	noLeak(t)
	fe, cfg := &fake{scale: 3}, fakeConfig()
	dark, bright := textures(12, 43, fakeSide), textures(14, 44, fakeSide)
	for _, img := range bright {
		px := img.(*image.RGBA).Pix
		for i, v := range px {
			px[i] = uint8(min(int(v)+100, 255))
		}
	}
	p := fitted(t, fe, cfg, dark)
	update(t, p, bright)
	all := slices.Concat(dark, bright)
	img := textures(1, 45, fakeSide)[0]
	got, err := p.Score(t.Context(), img)
	require.NoError(t, err)
	require.LessOrEqual(t, relative(t, slowMap(t, fe, cfg, all, img), got[0].Map.Data), roundingTolerance)
}

func TestPaDiMUpdateLeavesNothingHalfDone(t *testing.T) {
	noLeak(t)
	fe := &fake{scale: 1}
	good := textures(12, 46, fakeSide)
	p := fitted(t, fe, fakeConfig(), good)
	before, err := p.Score(t.Context(), good[0])
	require.NoError(t, err)
	inside := tensor.Live()
	same := func(t *testing.T) {
		t.Helper()
		fe.bad.Store(0)
		again, err := p.Score(t.Context(), good[0])
		require.NoError(t, err)
		require.Equal(t, before, again)
		require.Equal(t, inside, tensor.Live())
	}

	more := textures(40, 47, fakeSide)
	for _, after := range []int{0, 1, 10} {
		ctx, cancel := context.WithCancel(t.Context())
		if after == 0 {
			cancel()
		}
		err = p.Update(ctx, &interrupting{Dataset: memory(t, more), after: after, cancel: cancel})
		require.ErrorIs(t, err, context.Canceled)
		cancel()
		same(t)
	}
	for name, c := range map[string]struct {
		is   error
		says string
		more func() dataset.Dataset
	}{
		"nil": {downstream.ErrTooFewImages, "update PaDiM", func() dataset.Dataset { return nil }},
		"empty": {downstream.ErrTooFewImages, "there is none", func() dataset.Dataset {
			return dataset.Filter(memory(t, more), func(dataset.Item) bool { return false })
		}},
		"anomalous": {downstream.ErrNotNormal, `sample b: label does not fit: it is labelled "hole"`, func() dataset.Dataset {
			ds, err := dataset.NewMemory([]dataset.Sample{{Item: dataset.Item{Name: "b", Defect: "hole", Label: dataset.LabelDefective}, Image: good[1].(*image.RGBA)}})
			require.NoError(t, err)
			return ds
		}},
		"not finite": {downstream.ErrNotFinite, "image", func() dataset.Dataset {
			return reading{memory(t, more), func() { fe.bad.Store(1) }} // after the fingerprint
		}},
	} {
		err := p.Update(t.Context(), c.more())
		require.ErrorIs(t, err, c.is, name)
		require.ErrorContains(t, err, c.says, name)
		same(t)
	}

	fe.scale = 1.1 // as if the network had been trained since
	err = p.Update(t.Context(), memory(t, more))
	require.ErrorIs(t, err, downstream.ErrExtractor)
	fe.scale = 1
	same(t)

	cfg := fakeConfig()
	cfg.Transform = dataset.Transform{} // leaves the size, which then must be that of the fit
	q := fitted(t, fe, cfg, good)
	require.ErrorIs(t, q.Update(t.Context(), memory(t, textures(1, 48, 48))), downstream.ErrImage)
	require.NoError(t, q.Close())
	require.ErrorIs(t, q.Update(t.Context(), memory(t, more)), downstream.ErrNotFitted)
}

// reading calls f before each sample.
type reading struct {
	dataset.Dataset
	f func()
}

func (r reading) Sample(ctx context.Context, i int) (dataset.Sample, error) {
	r.f()
	return r.Dataset.Sample(ctx, i)
}

// TestPaDiMConcurrentUpdates runs updates beside each other and beside scoring:
// none is lost, and what is scored belongs to one of the states.
func TestPaDiMConcurrentUpdates(t *testing.T) {
	noLeak(t)
	good, img := textures(12, 49, fakeSide), textures(1, 50, fakeSide)
	p := fitted(t, &fake{scale: 1}, fakeConfig(), good[:4])
	errs := make(chan error, 64)
	var wg sync.WaitGroup
	do := func(n int, f func() error) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range n {
				errs <- f()
			}
		}()
	}
	for i := 4; i < len(good); i += 2 {
		do(1, func() error { return p.Update(t.Context(), memory(t, good[i:i+2])) })
		do(4, func() error { _, err := p.Score(t.Context(), img...); return err })
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	got, err := p.Score(t.Context(), img...)
	require.NoError(t, err)
	want, err := fitted(t, &fake{scale: 1}, fakeConfig(), good).Score(t.Context(), img...)
	require.NoError(t, err)
	require.LessOrEqual(t, relative(t, want[0].Map.Data, got[0].Map.Data), roundingTolerance)
}

func TestPaDiMUpdateTellsItsProgress(t *testing.T) {
	noLeak(t)
	var seen []downstream.Progress
	p, err := downstream.NewPaDiM(&fake{scale: 1}, fakeConfig(), nil, downstream.WithProgress(func(p downstream.Progress) { seen = append(seen, p) }))
	require.NoError(t, err)
	defer p.Close()
	good := textures(9, 53, fakeSide)
	require.NoError(t, p.Fit(t.Context(), memory(t, good[:4])))
	seen = nil
	update(t, p, good[4:])
	require.Len(t, seen, 2)
	require.Equal(t, downstream.Progress{Detector: "PaDiM", Stage: "update", Done: 5, Total: 5}, seen[1])
}
