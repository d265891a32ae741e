package evaluate_test

import (
	"context"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/evaluate"
)

func putImages(t *testing.T, root string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		f, err := os.Create(path)
		require.NoError(t, err)
		require.NoError(t, png.Encode(f, image.NewGray(image.Rect(0, 0, 4, 4))))
		require.NoError(t, f.Close())
	}
}

// A class whose folder is broken costs itself alone in MVTec AD's layout; another layout is opened whole.
func TestRoot(t *testing.T) {
	dir := t.TempDir()
	mvtec, other := filepath.Join(dir, "mvtec"), filepath.Join(dir, "ksdd2")
	putImages(t, mvtec, "can/train/good/0.png", "can/test/good/0.png", "can/test/dent/0.png", "half/train/good/0.png")
	putImages(t, other, "train/10000.png", "train/10000_GT.png", "test/20000.png", "test/20000_GT.png")
	r, err := evaluate.OpenRoot(t.Context(), mvtec, dataset.DefaultDecoder())
	require.NoError(t, err)
	classes, _, err := r.Classes()
	require.NoError(t, err)
	require.Equal(t, []string{"can", "half"}, classes)
	require.True(t, r.Has("half"))
	require.True(t, r.Has("mvtec"), "the root may be the class")
	require.False(t, r.Has("gone"))
	ds, _, err := r.Split("can", dataset.Test)
	require.NoError(t, err)
	require.Equal(t, 2, ds.Len())
	_, _, err = r.Split("half", dataset.Test)
	require.ErrorIs(t, err, dataset.ErrLayout)
	require.NoError(t, r.Close())
	require.NoError(t, r.Close())

	k, err := evaluate.OpenRoot(t.Context(), other, dataset.DefaultDecoder())
	require.NoError(t, err)
	classes, _, err = k.Classes()
	require.NoError(t, err)
	require.Equal(t, []string{dataset.KSDD2Class}, classes)
	require.True(t, k.Has(dataset.KSDD2Class))
	ds, _, err = k.Split("", dataset.Train)
	require.NoError(t, err)
	require.Equal(t, 1, ds.Len())
	_, _, err = k.Split("gone", dataset.Train)
	require.ErrorIs(t, err, dataset.ErrLayout)
	_, _, err = k.Split(dataset.KSDD2Class, dataset.Validation)
	require.ErrorIs(t, err, dataset.ErrLayout)
	require.NoError(t, k.Close())

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = evaluate.OpenRoot(ctx, other, dataset.DefaultDecoder())
	require.ErrorIs(t, err, context.Canceled)
	_, err = evaluate.OpenRoot(t.Context(), other, dataset.Decoder{Bits16: 99})
	require.ErrorIs(t, err, dataset.ErrConfig)
}
