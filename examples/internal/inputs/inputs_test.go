package inputs

import (
	"flag"
	"image"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

func parsed(t *testing.T, args ...string) Flags {
	t.Helper()
	var f Flags
	fs := flag.NewFlagSet("test", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	f.AddReading(fs)
	f.AddPrefix(fs)
	f.AddTransform(fs)
	require.NoError(t, fs.Parse(args))
	return f
}

func TestTune(t *testing.T) {
	padim := dataset.PaDiM224()
	for _, c := range []struct {
		args []string
		from dataset.Transform
		want dataset.Transform
	}{
		{nil, padim, padim},
		{[]string{"-transform", "centre"}, padim, padim},
		{[]string{"-transform", "square"}, padim, dataset.Square(224)},
		{[]string{"-transform", "square"}, dataset.Square(64), dataset.Square(64)},
		{[]string{"-transform", "centre"}, dataset.Square(224), padim},
		{[]string{"-transform", "448x128"}, padim, dataset.Transform{Exact: image.Pt(448, 128)}},
		{[]string{"-transform", "tiles"}, padim, dataset.Square(224)},
		{[]string{"-transform", "tiles:96"}, dataset.Square(64), dataset.Square(64)},
		{[]string{"-bits", "12"}, padim, dataset.Transform{Shorter: 256, Crop: image.Pt(224, 224), Bits16: 12}},
	} {
		f := parsed(t, c.args...)
		require.NoError(t, f.Validate())
		require.Equal(t, c.want.Fingerprint(), f.Tune(c.from).Fingerprint(), c.args)
	}
	for _, args := range [][]string{{"-transform", "448"}, {"-transform", "448x128x3"}, {"-transform", "0448x128"}, {"-transform", "448x9000"}, {"-transform", "tiles:"}, {"-transform", "tiles:16"}, {"-transform", "tiles:9000"}, {"-transform", "tiles:x"}, {"-transform", "tile"}, {"-bits", "17"}, {"-threads", "5000"}} {
		require.ErrorContains(t, parsed(t, args...).Validate(), args[0]+" is")
	}
}

func TestTiles(t *testing.T) {
	_, ok := parsed(t, "-transform", "square").Tiles()
	require.False(t, ok)
	tiles, ok := parsed(t, "-transform", "tiles").Tiles()
	require.True(t, ok)
	require.Equal(t, dataset.DefaultTiles(), tiles)
	tiles, _ = parsed(t, "-transform", "tiles:96").Tiles()
	require.Equal(t, 96, tiles.Side)

	// Too many are found while the files are looked at.
	ds, err := dataset.NewImages("c", image.NewGray(image.Rect(0, 0, 9000, 6)))
	require.NoError(t, err)
	_, err = parsed(t).Look(t.Context(), ds, io.Discard)
	require.NoError(t, err)
	_, err = parsed(t, "-transform", "tiles").Look(t.Context(), ds, io.Discard)
	require.ErrorIs(t, err, dataset.ErrSize)
	require.ErrorContains(t, err, "-transform tiles")
}

// A part that is four times as wide as high loses its ends: of 1024x256, the centre of
// 224x224 after a shorter side of 256 keeps 224*224/(1024*256).
func TestUnseen(t *testing.T) {
	share, size, err := dataset.Report{Sizes: map[image.Point]int{{X: 256, Y: 256}: 9, {X: 1024, Y: 256}: 1}}.UnseenBy(dataset.PaDiM224())
	require.NoError(t, err)
	require.InDelta(t, 1-224.0*224/(1024*256), share, 1e-12)
	require.Equal(t, image.Pt(1024, 256), size)
	note, err := UnseenNote(dataset.PaDiM224(), map[image.Point]int{{X: 1024, Y: 256}: 1})
	require.NoError(t, err)
	require.Contains(t, note, "81 % of a picture of 1024x256 pixels is not seen")
	note, err = UnseenNote(dataset.Square(224), map[image.Point]int{{X: 1024, Y: 256}: 1})
	require.NoError(t, err)
	require.Empty(t, note)
}

func TestOutputsAreTried(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, CheckFolder(filepath.Join(dir, "a", "b")))
	require.NoError(t, CheckFile(filepath.Join(dir, "a", "f")))
	require.ErrorContains(t, CheckFile(dir), "is a folder; name a file")
	require.ErrorIs(t, CheckFile(filepath.Join(dir, "none", "f")), os.ErrNotExist)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o644))
	require.Error(t, CheckFolder(filepath.Join(dir, "file")))
	require.ErrorContains(t, CheckFile(filepath.Join(dir, "file", "f")), "is no folder")
	entries, err := os.ReadDir(filepath.Join(dir, "a"))
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing but b is left")
	require.NoError(t, CheckWeightsName("a.safetensors"))
	require.NoError(t, CheckWeightsName("a"))
	require.ErrorContains(t, CheckWeightsName("a.PT"), "call it a.safetensors")
}
