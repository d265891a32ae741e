package dataset_test

import (
	"context"
	"image"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

func TestMemory(t *testing.T) {
	ds := samples(t, 5)
	require.Equal(t, 5, ds.Len())
	require.Equal(t, []string{"carpet", "wood"}, ds.Classes())
	ds.Classes()[0] = "changed"
	require.Equal(t, []string{"carpet", "wood"}, ds.Classes())
	_, err := ds.Sample(t.Context(), 5)
	require.ErrorIs(t, err, dataset.ErrIndex)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = ds.Sample(ctx, 0)
	require.ErrorIs(t, err, context.Canceled)

	img := smooth(4, 4, false)
	_, err = dataset.NewMemory([]dataset.Sample{{}})
	require.ErrorIs(t, err, dataset.ErrSize)
	_, err = dataset.NewMemory([]dataset.Sample{{Item: dataset.Item{Name: "a"}, Image: img, Mask: image.NewGray(image.Rect(0, 0, 3, 4))}})
	require.ErrorIs(t, err, dataset.ErrMask)
	require.ErrorContains(t, err, "mask of a is 3x4, the image is 4x4")
	_, err = dataset.NewMemory([]dataset.Sample{{Image: img.SubImage(image.Rect(1, 1, 3, 3)).(*image.RGBA)}})
	require.ErrorIs(t, err, dataset.ErrSize)

	few, err := dataset.NewImages("wood", img, image.NewGray(image.Rect(5, 5, 7, 8)))
	require.NoError(t, err)
	require.Equal(t, []string{"wood"}, few.Classes())
	require.Equal(t, dataset.Item{Name: "1", Class: "wood", Defect: "good", Label: dataset.LabelGood}, few.Item(1))
	s, err := few.Sample(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, image.Rect(0, 0, 2, 3), s.Image.Rect)
	_, err = dataset.NewImages("wood", nil)
	require.ErrorIs(t, err, dataset.ErrSize)
}

func TestSubsetFilterConcat(t *testing.T) {
	ds := samples(t, 6)
	sub, err := dataset.Subset(ds, []int{4, 0, 4})
	require.NoError(t, err)
	require.Equal(t, []string{"s04", "s00", "s04"}, names(sub))
	require.Equal(t, []string{"wood"}, sub.Classes())
	_, err = dataset.Subset(ds, []int{0, 6})
	require.ErrorIs(t, err, dataset.ErrIndex)
	_, err = dataset.Subset(ds, []int{-1})
	require.ErrorIs(t, err, dataset.ErrIndex)

	normal := dataset.Filter(ds, dataset.Item.IsGood)
	require.Equal(t, []string{"s01", "s02", "s04", "s05"}, names(normal))
	require.Equal(t, []string{"carpet", "wood"}, normal.Classes())
	nothing := dataset.Filter(ds, func(dataset.Item) bool { return false })
	require.Zero(t, nothing.Len())
	require.Empty(t, nothing.Classes())

	all := dataset.Concat(sub, nothing, normal)
	require.Equal(t, 7, all.Len())
	require.Equal(t, []string{"s04", "s00", "s04", "s01", "s02", "s04", "s05"}, names(all))
	require.Equal(t, []string{"carpet", "wood"}, all.Classes())
	for i := range all.Len() {
		s, err := all.Sample(t.Context(), i)
		require.NoError(t, err)
		require.Equal(t, all.Item(i), s.Item)
	}
	require.Zero(t, dataset.Concat().Len())
	for _, d := range []dataset.Dataset{sub, all, dataset.Concat(), nothing} {
		for _, i := range []int{-1, d.Len()} {
			_, err := d.Sample(t.Context(), i)
			require.ErrorIs(t, err, dataset.ErrIndex)
			require.Equal(t, dataset.Item{}, d.Item(i))
		}
	}
}

func TestCached(t *testing.T) {
	base := samples(t, 10)
	var reads atomic.Int64
	ds := hooked{base, func(context.Context, int) error { reads.Add(1); return nil }}
	tr := dataset.Square(16)
	const each, mask = 4 * 16 * 16, 16 * 16
	// Room for samples 0 (with a mask), 1 and 2, and for no other.
	c, err := dataset.NewCached(ds, tr, 3*each+mask)
	require.NoError(t, err)
	require.Equal(t, base.Classes(), c.Classes())
	require.Equal(t, base.Item(3), c.Item(3))
	for round := range 3 {
		for i := range c.Len() {
			s, err := c.Sample(t.Context(), i)
			require.NoError(t, err)
			raw, err := base.Sample(t.Context(), i)
			require.NoError(t, err)
			want, err := tr.Image(raw.Image)
			require.NoError(t, err)
			wantMask, err := tr.Mask(raw.Mask)
			require.NoError(t, err)
			require.Equal(t, want, s.Image)
			require.Equal(t, wantMask, s.Mask)
			require.Equal(t, raw.Item, s.Item)
		}
		require.Equal(t, int64(3*each+mask), c.Bytes())
		require.Equal(t, int64(10+7*round), reads.Load())
	}
	_, err = c.Sample(t.Context(), 10)
	require.ErrorIs(t, err, dataset.ErrIndex)

	// Many callers at once: each byte is counted once.
	c, err = dataset.NewCached(base, tr, 1<<20)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range c.Len() {
				if _, err := c.Sample(t.Context(), i); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	wg.Wait()
	require.Equal(t, int64(10*each+4*mask), c.Bytes())

	for _, f := range []func() error{
		func() error { _, err := dataset.NewCached(nil, tr, 1); return err },
		func() error { _, err := dataset.NewCached(base, tr, -1); return err },
		func() error { _, err := dataset.NewCached(base, dataset.Transform{Shorter: -1}, 1); return err },
	} {
		require.ErrorIs(t, f(), dataset.ErrConfig)
	}
	bad, err := dataset.NewCached(base, dataset.Transform{Crop: image.Pt(500, 500)}, 1)
	require.NoError(t, err)
	_, err = bad.Sample(t.Context(), 2)
	require.ErrorIs(t, err, dataset.ErrSize)
	require.ErrorContains(t, err, "s02")
	broken, err := dataset.NewCached(lying{base}, tr, 1<<20)
	require.NoError(t, err)
	_, err = broken.Sample(t.Context(), 3)
	require.ErrorIs(t, err, dataset.ErrMask)
}
