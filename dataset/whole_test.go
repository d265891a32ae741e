package dataset_test

import (
	"context"
	"errors"
	"image"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// torn is a data set of which some samples cannot be read.
type torn struct {
	dataset.Dataset
	broken map[int]bool
}

func (t torn) Sample(ctx context.Context, i int) (dataset.Sample, error) {
	if t.broken[i] {
		return dataset.Sample{}, dataset.ErrDecode
	}
	return t.Dataset.Sample(ctx, i)
}

func TestWhole(t *testing.T) {
	ds := torn{plates(t), map[int]bool{1: true, 4: true}}
	r, err := dataset.Check(t.Context(), ds, dataset.DefaultCheck())
	require.NoError(t, err)
	whole, kept, err := r.Whole(ds)
	require.NoError(t, err)
	require.Equal(t, []int{0, 2, 3, 5}, kept)
	require.Equal(t, 4, whole.Len())
	require.Equal(t, ds.Item(5), whole.Item(3))
	_, _, err = r.Whole(whole)
	require.ErrorIs(t, err, dataset.ErrConfig)
	_, _, err = r.Whole(nil)
	require.ErrorIs(t, err, dataset.ErrConfig)

	r, err = dataset.Check(t.Context(), ds.Dataset, dataset.DefaultCheck())
	require.NoError(t, err)
	whole, kept, err = r.Whole(ds.Dataset)
	require.NoError(t, err)
	require.Len(t, kept, 6)
	require.Equal(t, ds.Dataset, whole)

	ds.broken = map[int]bool{0: true, 1: true, 2: true, 3: true, 4: true, 5: true}
	r, err = dataset.Check(t.Context(), ds, dataset.DefaultCheck())
	require.NoError(t, err)
	_, _, err = r.Whole(ds)
	require.True(t, errors.Is(err, dataset.ErrDecode))
	require.ErrorContains(t, err, "none of the 6 images can be read")
}

// The largest share that is cut off, of images of several sizes.
func TestUnseenBy(t *testing.T) {
	r := dataset.Report{Sizes: map[image.Point]int{{X: 40, Y: 40}: 3, {X: 80, Y: 40}: 1}}
	share, size, err := r.UnseenBy(dataset.Transform{Exact: image.Pt(20, 20)})
	require.NoError(t, err)
	require.Zero(t, share)
	require.Zero(t, size)
	share, size, err = r.UnseenBy(dataset.Transform{Shorter: 20, Crop: image.Pt(20, 20)})
	require.NoError(t, err)
	require.InDelta(t, 0.5, share, 1e-9)
	require.Equal(t, image.Pt(80, 40), size)
	_, _, err = r.UnseenBy(dataset.Transform{Crop: image.Pt(60, 60)})
	require.ErrorIs(t, err, dataset.ErrSize)
}
