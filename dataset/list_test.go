package dataset_test

import (
	"bytes"
	"image"
	"image/png"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

func TestNewList(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, image.NewGray(image.Rect(0, 0, 6, 4))))
	root := fstest.MapFS{"cam 1/a.png": {Data: b.Bytes()}, "cam 2/b.png": {Data: b.Bytes()}, "m.png": {Data: b.Bytes()}}
	items := []dataset.Item{
		{Name: "cam 2/b.png", Class: "nut", Split: dataset.Test, Defect: "dent", Label: dataset.LabelDefective, MaskName: "m.png"},
		{Name: "cam 1/a.png", Class: "bolt", Split: dataset.Train, Defect: dataset.Good, Label: dataset.LabelGood},
		{Name: "gone.png", Class: "bolt"},
	}
	ds, err := dataset.NewList(root, items, dataset.DefaultDecoder())
	require.NoError(t, err)
	require.Equal(t, []string{"bolt", "nut"}, ds.Classes())
	require.Equal(t, items, dataset.Items(ds))
	s, err := ds.Sample(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, image.Pt(6, 4), s.Image.Rect.Size())
	require.NotNil(t, s.Mask)
	_, err = ds.Sample(t.Context(), 2)
	require.ErrorIs(t, err, fs.ErrNotExist)
	items[0].Class = "changed"
	require.Equal(t, "nut", ds.Item(0).Class, "the slice is copied")

	for name, bad := range map[string]struct {
		item dataset.Item
		want error
	}{
		"no name":  {dataset.Item{}, dataset.ErrLayout},
		"above":    {dataset.Item{Name: "../a.png"}, dataset.ErrLayout},
		"rooted":   {dataset.Item{Name: "/a.png"}, dataset.ErrLayout},
		"no image": {dataset.Item{Name: "a.txt"}, dataset.ErrLayout},
		"mask":     {dataset.Item{Name: "a.png", MaskName: "/m.png"}, dataset.ErrLayout},
		"label":    {dataset.Item{Name: "a.png", Defect: "dent", Label: dataset.LabelGood}, dataset.ErrLabel},
	} {
		_, err := dataset.NewList(root, []dataset.Item{bad.item}, dataset.DefaultDecoder())
		require.ErrorIs(t, err, bad.want, name)
	}
	_, err = dataset.NewList(root, nil, dataset.DefaultDecoder())
	require.ErrorIs(t, err, dataset.ErrConfig)
	_, err = dataset.NewList(nil, items, dataset.DefaultDecoder())
	require.ErrorIs(t, err, dataset.ErrConfig)
	_, err = dataset.NewList(root, items, dataset.Decoder{Bits16: 99})
	require.ErrorIs(t, err, dataset.ErrConfig)
}
