package dataset_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"image"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// kindFile is a small file that testdata/parity/files.py wrote, with the pixels
// that it must decode to.
type kindFile struct {
	File, Why          string
	Width, Height, Tol int
	White              float64
	Pages              int
	At, RGB            [2]int
	data, want         []byte
}

func kindFiles(t testing.TB) (out []kindFile) {
	t.Helper()
	for _, part := range []string{"tiff", "others", "colours"} {
		f, err := os.Open("testdata/parity/files_" + part + ".gz")
		require.NoError(t, err)
		z, err := gzip.NewReader(f)
		require.NoError(t, err)
		r := bufio.NewReader(z)
		line, err := r.ReadBytes('\n')
		require.NoError(t, err)
		body, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		var index struct{ Files []kindFile }
		require.NoError(t, json.Unmarshal(line, &index))
		for _, k := range index.Files {
			k.data = body[k.At[0]:][:k.At[1]:k.At[1]]
			k.want = body[k.RGB[0]:][:k.RGB[1]]
			out = append(out, k)
		}
	}
	return out
}

// Every kind of file against Pillow, or against the reason that the script gives
// for another value.
func TestEveryKindOfFileEqualsPillow(t *testing.T) {
	files := kindFiles(t)
	require.Greater(t, len(files), 200)
	for _, k := range files {
		t.Run(k.File, func(t *testing.T) {
			d := dataset.DefaultDecoder()
			d.White = k.White
			img, err := d.Image(bytes.NewReader(k.data))
			require.NoError(t, err)
			require.Equal(t, image.Rect(0, 0, k.Width, k.Height), img.Rect)
			requireBytes(t, k.want, rgb(t, img), k.Tol, k.File)
		})
	}
}

// A photograph with a small picture of itself, cut in its scan, is not whole
// because the small one has an end.
func TestCutPhotographWithAThumbnail(t *testing.T) {
	whole := kind(t, "surplus.jpg")
	whole = whole[:bytes.LastIndex(whole, []byte("\xff\xd9"))+2]
	small := append([]byte("Exif\x00\x00"), whole...)
	head := append([]byte("\xff\xd8\xff\xe1"), byte((2+len(small))>>8), byte(2+len(small)))
	data := append(append(head, small...), whole[2:]...)
	want, err := dataset.Decode(bytes.NewReader(data))
	require.NoError(t, err)
	got, err := dataset.Decode(bytes.NewReader(data[:len(data)-2]))
	require.NoError(t, err)
	require.Equal(t, want, got)
	_, err = dataset.Decode(bytes.NewReader(data[:len(data)-30]))
	require.ErrorContains(t, err, "the file ends too early")
}
