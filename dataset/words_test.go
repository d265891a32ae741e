package dataset_test

import (
	"bytes"
	"image"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

func TestReadManifestFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "m.jsonl")
	items := []dataset.Item{{Name: "a/0.png", Class: "a", Split: dataset.Train, Defect: dataset.Good, Label: dataset.LabelGood}}
	var b bytes.Buffer
	require.NoError(t, dataset.WriteManifest(&b, items))
	require.NoError(t, os.WriteFile(name, b.Bytes(), 0o644))
	got, err := dataset.ReadManifestFile(name)
	require.NoError(t, err)
	require.Equal(t, items, got)
	require.NoError(t, os.WriteFile(name, []byte("{}"), 0o644))
	_, err = dataset.ReadManifestFile(name)
	require.ErrorIs(t, err, dataset.ErrLayout)
	require.ErrorContains(t, err, name)
	_, err = dataset.ReadManifestFile(name + "x")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestParseParts(t *testing.T) {
	got, err := dataset.ParseParts("train=0.75,validation=.25")
	require.NoError(t, err)
	require.Equal(t, []dataset.Part{{Name: "train", Fraction: 0.75}, {Name: "validation", Fraction: 0.25}}, got)
	for _, text := range []string{"", "train", "train=", "train=0.8,", "train=much"} {
		_, err := dataset.ParseParts(text)
		require.ErrorIs(t, err, dataset.ErrConfig, text)
		require.ErrorContains(t, err, "such as train=0.8")
	}
}

func TestGroupByName(t *testing.T) {
	items := []dataset.Item{{Name: "a/7-left.png"}, {Name: "a/7-right.png"}, {Name: "a/lone.png", Group: "own"}}
	require.NoError(t, dataset.GroupByName(items, `/(\d+)-`))
	require.Equal(t, []string{"7", "7", "own"}, []string{items[0].Group, items[1].Group, items[2].Group})
	for _, expression := range []string{"(", "no bracket", ""} {
		require.ErrorIs(t, dataset.GroupByName(items, expression), dataset.ErrConfig)
	}
}

// A layout that is named opens what FindLayout would find, and what it would find several of.
func TestOpenLayout(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"bolt/good/0.png", "bolt/good/1.png", "nut/good/0.png"} {
		path := filepath.Join(root, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, pngBytes(t, image.NewGray(image.Rect(0, 0, 6, 4))), 0o644))
	}
	ds, closer, err := dataset.OpenLayout(t.Context(), root, dataset.LayoutFolders, dataset.DefaultConfig())
	require.NoError(t, err)
	require.Equal(t, []string{"bolt", "nut"}, ds.Classes())
	require.NoError(t, closer.Close())
	one, closer, err := dataset.OpenLayout(t.Context(), filepath.Join(root, "bolt", "good"), dataset.LayoutFolders, dataset.DefaultConfig())
	require.NoError(t, err)
	require.Equal(t, []string{"good"}, one.Classes(), "a root without classes is one, of its own name")
	require.NoError(t, closer.Close())
	_, _, err = dataset.OpenLayout(t.Context(), root, dataset.LayoutVisA, dataset.DefaultConfig())
	require.ErrorIs(t, err, dataset.ErrLayout)
	_, _, err = dataset.OpenLayout(t.Context(), filepath.Join(root, "none"), dataset.LayoutFolders, dataset.DefaultConfig())
	require.ErrorIs(t, err, os.ErrNotExist)
}
