package dataset_test

import (
	"context"
	"errors"
	"image"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// plates are samples of all that the layout has and has not.
func plates(t *testing.T) *dataset.Memory {
	t.Helper()
	sample := func(name, split, defect string, v byte) dataset.Sample {
		s := dataset.Sample{Item: dataset.Item{Name: name, Class: "plate", Split: split, Defect: defect, Label: dataset.LabelOf(defect)},
			Image: image.NewRGBA(image.Rect(0, 0, 9, 5))}
		for i := range s.Image.Pix {
			s.Image.Pix[i] = v
			if i%4 == 3 {
				s.Image.Pix[i] = 255
			}
		}
		if s.IsDefective() {
			s.Mask = image.NewGray(s.Image.Rect)
			s.Mask.Pix[7] = 255
		}
		return s
	}
	coloured := sample("c", dataset.Test, dataset.Good, 3)
	coloured.Image.Pix[0] = 9
	ds, err := dataset.NewMemory([]dataset.Sample{sample("a", dataset.Train, dataset.Good, 1), sample("b", dataset.Test, "scratch", 2), coloured,
		sample("no split", "", dataset.Good, 4), sample("no label", dataset.Test, dataset.Unknown, 5), sample("taught", dataset.Train, "scratch", 6)})
	require.NoError(t, err)
	return ds
}

func TestWriteMVTecAD(t *testing.T) {
	ds, dir := plates(t), filepath.Join(t.TempDir(), "deep", "out")
	w, err := dataset.WriteMVTecAD(t.Context(), ds, dir)
	require.NoError(t, err)
	require.Equal(t, 3, w.Images)
	require.Equal(t, 1, w.Masks)
	require.Len(t, w.LeftOut, 3)
	all := errors.Join(w.LeftOut...)
	for _, says := range []string{"no split is in no split", "no label has no label", "taught shows scratch and is in train"} {
		require.ErrorContains(t, all, says)
	}
	got, err := dataset.OpenMVTecAD(dir, "", "")
	require.NoError(t, err)
	require.Empty(t, got.Issues())
	require.Equal(t, 3, got.Len())
	was := map[string]dataset.Sample{}
	for i := range ds.Len() {
		s, err := ds.Sample(t.Context(), i)
		require.NoError(t, err)
		was[s.Name+".png"] = s
	}
	for i := range got.Len() {
		s, err := got.Sample(t.Context(), i)
		require.NoError(t, err)
		from := was[filepath.Base(s.Name)]
		require.Equal(t, from.Image, s.Image)
		require.Equal(t, from.Mask, s.Mask)
		require.Equal(t, from.Label, s.Label)
	}
	_, err = dataset.WriteMVTecAD(t.Context(), ds, dir)
	require.ErrorIs(t, err, fs.ErrExist)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = dataset.WriteMVTecAD(ctx, ds, filepath.Join(t.TempDir(), "x"))
	require.ErrorIs(t, err, context.Canceled)
	_, err = dataset.WriteMVTecAD(t.Context(), nil, filepath.Join(t.TempDir(), "x"))
	require.ErrorIs(t, err, dataset.ErrConfig)

	// Of nothing that has a place there is no folder.
	none, err := dataset.Subset(ds, []int{3})
	require.NoError(t, err)
	to := filepath.Join(t.TempDir(), "none")
	w, err = dataset.WriteMVTecAD(t.Context(), none, to)
	require.NoError(t, err)
	require.Equal(t, 0, w.Images)
	require.NoDirExists(t, to)
}

// A kind of defect that readers take for something else is refused, and nothing is left.
func TestWriteMVTecADRefusesWhatReadsOtherwise(t *testing.T) {
	img := image.NewRGBA(image.Rect(0, 0, 4, 4))
	ds, err := dataset.NewMemory([]dataset.Sample{
		{Item: dataset.Item{Name: "a", Class: "c", Split: dataset.Train, Defect: dataset.Good, Label: dataset.LabelGood}, Image: img},
		{Item: dataset.Item{Name: "b", Class: "c", Split: dataset.Test, Defect: "OK", Label: dataset.LabelDefective}, Image: img}})
	require.NoError(t, err)
	parent := t.TempDir()
	_, err = dataset.WriteMVTecAD(t.Context(), ds, filepath.Join(parent, "out"))
	require.ErrorIs(t, err, dataset.ErrLayout)
	require.ErrorContains(t, err, "would be read as good")
	left, err := os.ReadDir(parent)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestOpenFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	_, err := dataset.WriteMVTecAD(t.Context(), plates(t), dir)
	require.NoError(t, err)
	files, err := dataset.OpenMVTecAD(dir, "", "")
	require.NoError(t, err)
	turned, err := dataset.Subset(dataset.Concat(plates(t), files), []int{8, 0})
	require.NoError(t, err)
	f, err := dataset.OpenFile(turned, 0)
	require.NoError(t, err)
	got, err := io.ReadAll(f)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	want, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(turned.Item(0).Name)))
	require.NoError(t, err)
	require.Equal(t, want, got)
	_, err = dataset.OpenFile(turned, 1)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	_, err = dataset.OpenFile(turned, 2)
	require.ErrorIs(t, err, dataset.ErrIndex)
	require.NoError(t, os.RemoveAll(dir))
	_, err = dataset.OpenFile(turned, 0)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestKind(t *testing.T) {
	for want, it := range map[string]dataset.Item{
		"good": {Label: dataset.LabelGood, Defect: dataset.Good}, "unknown": {}, "scratch": {Label: dataset.LabelDefective, Defect: "scratch"},
		"defective": {Label: dataset.LabelDefective, Defect: dataset.Unknown},
	} {
		require.Equal(t, want, it.Kind())
	}
}

func TestOnly(t *testing.T) {
	ds := plates(t)
	require.Equal(t, 2, dataset.Only(ds, "plate", dataset.Train).Len())
	require.Equal(t, 3, dataset.Only(ds, "", dataset.Test).Len())
	require.Equal(t, ds.Len(), dataset.Only(ds, "plate", "").Len())
	require.Zero(t, dataset.Only(ds, "bolt", "").Len())
}
