package dataset_test

import (
	"bytes"
	"image/jpeg"
	"io"
	"io/fs"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"github.com/gotab/gotab/dataset"
)

// counted counts the bytes that are read of files, and how often they are opened.
type counted struct {
	fstest.MapFS
	bytes, opened *atomic.Int64
}

type countedFile struct {
	fs.File
	bytes *atomic.Int64
}

func (c counted) Open(name string) (fs.File, error) {
	f, err := c.MapFS.Open(name)
	if err != nil {
		return nil, err
	}
	if _, dir := f.(fs.ReadDirFile); dir {
		return f, nil
	}
	c.opened.Add(1)
	return countedFile{f, c.bytes}, nil
}

func (f countedFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	f.bytes.Add(int64(n))
	return n, err
}

func (f countedFile) ReadAt(p []byte, at int64) (int, error) {
	n, err := f.File.(io.ReaderAt).ReadAt(p, at)
	f.bytes.Add(int64(n))
	return n, err
}

// Of pictures without a mask the check reads the head, once, whatever the format:
// the directory of a TIFF stands behind its pixels.
func TestCheckReadsHeads(t *testing.T) {
	picture := smooth(300, 200, false)
	var jpg, tif, bm bytes.Buffer
	require.NoError(t, jpeg.Encode(&jpg, picture, &jpeg.Options{Quality: 100}))
	require.NoError(t, tiff.Encode(&tif, picture, nil))
	require.NoError(t, bmp.Encode(&bm, picture))
	for name, data := range map[string][]byte{"a.png": pngBytes(t, picture), "a.jpg": jpg.Bytes(), "a.tif": tif.Bytes(), "a.bmp": bm.Bytes()} {
		fsys := counted{fstest.MapFS{"part/" + name: file(data)}, new(atomic.Int64), new(atomic.Int64)}
		ds, err := dataset.NewFolders(fsys, dataset.DefaultFolders())
		require.NoError(t, err)
		r := check(t, ds)
		require.NoError(t, r.Err())
		require.Equal(t, 1, r.Sizes[picture.Rect.Size()])
		require.Greater(t, len(data), 20000, name)
		require.LessOrEqual(t, fsys.bytes.Load(), int64(6000), "%s of %d bytes", name, len(data))
		require.Equal(t, int64(1), fsys.opened.Load(), name)
	}
}

// A file beyond the limit is found without reading it.
func TestCheckComparesTheSizeOfFiles(t *testing.T) {
	data := append(pngBytes(t, smooth(10, 10, false)), make([]byte, 2<<20)...)
	cfg := dataset.DefaultFolders()
	cfg.Decoder.MaxPixels = 100
	ds, err := dataset.NewFolders(fstest.MapFS{"part/a.png": file(data)}, cfg)
	require.NoError(t, err)
	require.ErrorIs(t, check(t, ds).Err(), dataset.ErrTooLarge)
	_, err = ds.Sample(t.Context(), 0)
	require.ErrorIs(t, err, dataset.ErrTooLarge)
}
