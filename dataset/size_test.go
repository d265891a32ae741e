package dataset_test

import (
	"bytes"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

func TestSizeIsThatOfTheDecodedPicture(t *testing.T) {
	f := readDecodeFixture(t)
	d := dataset.DefaultDecoder()
	d.KeepOrientation = true
	for _, c := range f.Files {
		data, err := os.ReadFile(filepath.Join("testdata/parity/decode", c.File))
		require.NoError(t, err)
		got, err := d.Size(data)
		require.NoError(t, err, c.File)
		img, err := d.Image(bytes.NewReader(data))
		require.NoError(t, err, c.File)
		require.Equal(t, img.Rect.Size(), got, c.File)
	}
}

func TestSizeNeedsTheHeaderOnly(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, image.NewGray(image.Rect(0, 0, 7, 5))))
	d := dataset.DefaultDecoder()
	got, err := d.Size(b.Bytes()[:40])
	require.NoError(t, err)
	require.Equal(t, image.Pt(7, 5), got)

	d.MaxPixels = 34
	_, err = d.Size(b.Bytes())
	require.ErrorIs(t, err, dataset.ErrTooLarge)
	require.ErrorContains(t, err, "7x5")
	d.MaxPixels = 0
	_, err = d.Size(b.Bytes())
	require.ErrorIs(t, err, dataset.ErrConfig)
	for _, data := range [][]byte{nil, []byte("text"), b.Bytes()[:20], {0xff, 0xd8, 0xff}, []byte("GIF89a")} {
		_, err = dataset.DefaultDecoder().Size(data)
		require.ErrorIs(t, err, dataset.ErrDecode, "%q", data)
	}
}

// Sides whose product is more than an int64 are too large, and not small.
func TestSizeOfSidesWhoseProductOverflows(t *testing.T) {
	head := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\xda000\xb3000\x08\x02\x00\x00\x00\x00\x00\x00\x00")
	_, err := dataset.DefaultDecoder().Size(head)
	require.ErrorIs(t, err, dataset.ErrTooLarge)
	_, err = dataset.DefaultDecoder().Image(bytes.NewReader(head))
	require.ErrorIs(t, err, dataset.ErrTooLarge)
}
