package dataset_test

import (
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

func TestView(t *testing.T) {
	padim := dataset.PaDiM224()
	for _, c := range []struct {
		view       string
		from, want dataset.Transform
	}{
		{"", padim, padim},
		{"centre", padim, padim},
		{"square", padim, dataset.Square(224)},
		{"square", dataset.Square(64), dataset.Square(64)},
		{"square", dataset.Transform{Shorter: 64}, dataset.Transform{Shorter: 64}},
		{"centre", dataset.Square(224), padim},
		{"448x128", padim, dataset.Transform{Exact: image.Pt(448, 128)}},
		{"tiles", padim, dataset.Square(224)},
		{"tiles:96", dataset.Square(64), dataset.Square(64)},
	} {
		v, err := dataset.ParseView(c.view)
		require.NoError(t, err)
		require.Equal(t, c.view, v.String())
		r := dataset.DefaultReading()
		r.View = v
		require.Equal(t, c.want.Fingerprint(), r.Transform(c.from).Fingerprint(), c.view)
	}
	deep := dataset.DefaultReading()
	deep.Decoder.Bits16 = 12
	require.Equal(t, dataset.Transform{Shorter: 256, Crop: image.Pt(224, 224), Bits16: 12}.Fingerprint(), deep.Transform(padim).Fingerprint())
	for _, text := range []string{"448", "448x128x3", "0448x128", "448x9000", "tiles:", "tiles:16", "tiles:9000", "tiles:x", "tiles:096x", "tile", "Square"} {
		_, err := dataset.ParseView(text)
		require.ErrorIs(t, err, dataset.ErrConfig, text)
	}
}

func TestViewOfTiles(t *testing.T) {
	view := func(text string) dataset.Reading {
		v, err := dataset.ParseView(text)
		require.NoError(t, err)
		return dataset.Reading{Decoder: dataset.DefaultDecoder(), View: v}
	}
	_, ok := view("square").View.Tiles()
	require.False(t, ok)
	tiles, ok := view("tiles").View.Tiles()
	require.True(t, ok)
	require.Equal(t, dataset.DefaultTiles(), tiles)
	tiles, _ = view("tiles:96").View.Tiles()
	require.Equal(t, 96, tiles.Side)

	// Too many are found while the files are looked at.
	ds, err := dataset.NewImages("c", image.NewGray(image.Rect(0, 0, 9000, 6)))
	require.NoError(t, err)
	_, err = view("").Look(t.Context(), ds, nil)
	require.NoError(t, err)
	_, err = view("tiles").Look(t.Context(), ds, nil)
	require.ErrorIs(t, err, dataset.ErrSize)
	require.ErrorContains(t, err, "view tiles")
}

func TestLook(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.png", "b.png"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "bolt"), 0o755))
		f, err := os.Create(filepath.Join(dir, "bolt", name))
		require.NoError(t, err)
		require.NoError(t, png.Encode(f, image.NewGray(image.Rect(0, 0, 8, 8))))
		require.NoError(t, f.Close())
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bolt", "c.png"), []byte("no image"), 0o644))
	r := dataset.DefaultReading()
	ds, err := r.OpenGood(dir, nil)
	require.NoError(t, err)
	require.Equal(t, 3, ds.Len())
	_, err = r.Look(t.Context(), ds, nil)
	require.ErrorIs(t, err, dataset.ErrBroken)
	require.ErrorContains(t, err, "c.png")
	r.SkipBroken = true
	var notes strings.Builder
	seen, err := r.Look(t.Context(), ds, &notes)
	require.NoError(t, err)
	require.Equal(t, []string{"bolt/c.png"}, seen.Skipped)
	require.Equal(t, []int{0, 1}, seen.Kept)
	require.Equal(t, 2, seen.Data.Len())
	require.Contains(t, notes.String(), "note: left out: ")
	_, err = r.OpenGood(filepath.Join(dir, "none"), nil)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// A part that is four times as wide as high loses its ends: of 1024x256, the centre of
// 224x224 after a shorter side of 256 keeps 224*224/(1024*256).
func TestUnseenNote(t *testing.T) {
	r := dataset.Report{Sizes: map[image.Point]int{{X: 256, Y: 256}: 9, {X: 1024, Y: 256}: 1}}
	share, size, err := r.UnseenBy(dataset.PaDiM224())
	require.NoError(t, err)
	require.InDelta(t, 1-224.0*224/(1024*256), share, 1e-12)
	require.Equal(t, image.Pt(1024, 256), size)
	note, err := r.UnseenNote(dataset.PaDiM224())
	require.NoError(t, err)
	require.Contains(t, note, "81 % of an image of 1024x256 pixels is not seen")
	note, err = r.UnseenNote(dataset.Square(224))
	require.NoError(t, err)
	require.Empty(t, note)
}

// What is read says itself again, and gives transforms that hold.
func FuzzParseView(f *testing.F) {
	for _, s := range []string{"", "centre", "square", "tiles", "tiles:96", "448x128", "0x0", "tiles:+96"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := dataset.ParseView(text)
		if err != nil {
			require.ErrorIs(t, err, dataset.ErrConfig)
			return
		}
		again, err := dataset.ParseView(v.String())
		require.NoError(t, err)
		require.Equal(t, v, again)
		require.NoError(t, v.Of(dataset.PaDiM224()).Validate())
		if tiles, ok := v.Tiles(); ok {
			require.NoError(t, tiles.Validate())
		}
	})
}
