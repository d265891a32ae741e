package downstream_test

import (
	"image"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// A data set whose images have gone through the detector's transform already is
// fitted on and scored as it is: a second pass would cut out the centre of the
// centre.
func TestTransformedImagesAreUsedAsTheyAre(t *testing.T) {
	noLeak(t)
	good, test := textures(4, 81, 50), append(textures(2, 82, 50), scratched(textures(1, 83, 50)[0]))
	cfg := fakeConfig()
	cfg.Transform = dataset.Transform{Shorter: fakeSide + 10, Filter: dataset.Lanczos, Crop: image.Pt(fakeSide, fakeSide)} // not idempotent
	want := fitted(t, &fake{scale: 1}, cfg, good)
	whole, err := want.Score(t.Context(), test...)
	require.NoError(t, err)
	cached := func(imgs []image.Image) dataset.Dataset {
		c, err := dataset.NewCached(memory(t, imgs), cfg.Transform, 1<<20)
		require.NoError(t, err)
		return c
	}
	all := func(dataset.Item) bool { return true }
	for name, of := range map[string]func(dataset.Dataset) dataset.Dataset{
		"cached": func(ds dataset.Dataset) dataset.Dataset { return ds },
		"filter": func(ds dataset.Dataset) dataset.Dataset { return dataset.Filter(ds, all) },
		"concat": func(ds dataset.Dataset) dataset.Dataset { return dataset.Concat(dataset.Filter(ds, all)) },
	} {
		p := fitted(t, &fake{scale: 1}, cfg, textures(4, 84, 50))
		require.NoError(t, p.Fit(t.Context(), of(cached(good))), name)
		i := 0
		for sc, err := range p.ScoreSet(t.Context(), of(cached(test))) {
			require.NoError(t, err, name)
			require.Equal(t, whole[i].Score, sc.Score, name)
			require.Equal(t, whole[i].Map.Data, sc.Map.Data, name)
			// What the network sees is all of what the data set gives.
			require.Equal(t, dataset.Rect{MaxX: fakeSide, MaxY: fakeSide}, sc.Map.Rect, name)
			i++
		}
		require.Equal(t, len(test), i)
	}
	// Of another transform, the images are like any others.
	other, err := dataset.NewCached(memory(t, good), dataset.Square(45), 1<<20)
	require.NoError(t, err)
	plain := make([]image.Image, len(good))
	for i := range plain {
		s, err := other.Sample(t.Context(), i)
		require.NoError(t, err)
		plain[i] = s.Image
	}
	a, b := fitted(t, &fake{scale: 1}, cfg, plain), fitted(t, &fake{scale: 1}, cfg, good)
	require.NoError(t, b.Fit(t.Context(), other))
	ra, err := a.Score(t.Context(), test...)
	require.NoError(t, err)
	rb, err := b.Score(t.Context(), test...)
	require.NoError(t, err)
	require.Equal(t, ra, rb)
}
