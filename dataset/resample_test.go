package dataset_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"image"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// pictureBytes is the formula of testdata/parity/resize.py.
func pictureBytes(n int, hard bool) []byte {
	out := make([]byte, n)
	for i := range out {
		v := uint32(i)*2654435761 + 12345
		v ^= v >> 15
		v *= 2246822519
		v ^= v >> 13
		out[i] = byte(v)
		if hard {
			out[i] = byte(int8(v) >> 7)
		}
	}
	return out
}

func picture(w, h int, kind string) image.Image {
	if kind == "grey" {
		return &image.Gray{Pix: pictureBytes(w*h, false), Stride: w, Rect: image.Rect(0, 0, w, h)}
	}
	return fromRGB(w, h, pictureBytes(3*w*h, kind == "hard"))
}

func fromRGB(w, h int, rgb []byte) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		copy(img.Pix[4*i:], rgb[3*i:3*i+3])
		img.Pix[4*i+3] = 255
	}
	return img
}

// rgb returns the colour bytes and fails where alpha is not 255.
func rgb(t *testing.T, img *image.RGBA) []byte {
	t.Helper()
	require.Equal(t, image.Point{}, img.Rect.Min)
	var out []byte
	for y := range img.Rect.Dy() {
		row := img.Pix[y*img.Stride:][:4*img.Rect.Dx()]
		for x := 0; x < len(row); x += 4 {
			if row[x+3] != 255 {
				require.Equal(t, byte(255), row[x+3], "alpha at %d,%d", x/4, y)
			}
			out = append(out, row[x:x+3]...)
		}
	}
	return out
}

func red(b []byte) []byte {
	out := make([]byte, 0, len(b)/3)
	for i := 0; i < len(b); i += 3 {
		out = append(out, b[i])
	}
	return out
}

type resizeCase struct {
	In, Out, Crop [2]int
	Shorter       int
	Filter, Kind  string
	CRC32         uint32 `json:"crc32"`
	Pixels        string
}

func (c resizeCase) filter(t *testing.T) dataset.Kernel {
	t.Helper()
	for f := dataset.Lanczos; f <= dataset.Nearest; f++ {
		if f.String() == c.Filter {
			return f
		}
	}
	t.Fatalf("filter %q in the fixture", c.Filter)
	return 0
}

func readResizeFixture(t *testing.T) (f struct {
	Versions                       map[string]string
	Resize, Small, RowsFirst, Crop []resizeCase
},
) {
	t.Helper()
	b, err := os.ReadFile("testdata/parity/resize.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &f))
	require.GreaterOrEqual(t, len(f.Resize), 40)
	require.NotEmpty(t, f.Small)
	require.NotEmpty(t, f.Crop)
	return f
}

func TestResizeEqualsPillow(t *testing.T) {
	shared := map[dataset.Kernel]*dataset.Transform{}
	for _, c := range readResizeFixture(t).Resize {
		name := fmt.Sprintf("%v to %v %s %s", c.In, c.Out, c.Filter, c.Kind)
		tr := dataset.Transform{Exact: image.Pt(c.Out[0], c.Out[1]), Filter: c.filter(t)}
		in := picture(c.In[0], c.In[1], c.Kind)
		got, err := tr.Image(in)
		require.NoError(t, err, name)
		require.Equal(t, image.Rect(0, 0, c.Out[0], c.Out[1]), got.Rect, name)
		b := rgb(t, got)
		if c.Kind == "grey" {
			// The same picture as RGB must come out alike in all channels.
			wide, err := tr.Image(dataset.ToRGBA(in))
			require.NoError(t, err, name)
			require.Equal(t, got, wide, name)
			b = red(b)
		}
		require.Equal(t, c.CRC32, crc32.ChecksumIEEE(b), name)

		// With remembered tables, one value for all sizes.
		if shared[tr.Filter] == nil {
			s := dataset.Transform{Filter: tr.Filter}.Shared()
			shared[tr.Filter] = &s
		}
		if c.Kind != "noise" {
			continue
		}
		s := *shared[tr.Filter]
		s.Exact = tr.Exact
		again, err := s.Image(in)
		require.NoError(t, err, name)
		require.Equal(t, got, again, name)
	}
}

func TestResizeEqualsPillowPixelByPixel(t *testing.T) {
	for _, c := range readResizeFixture(t).Small {
		name := fmt.Sprintf("%v to %v %s", c.In, c.Out, c.Filter)
		want, err := base64.StdEncoding.DecodeString(c.Pixels)
		require.NoError(t, err)
		got, err := dataset.Transform{Exact: image.Pt(c.Out[0], c.Out[1]), Filter: c.filter(t)}.Image(picture(c.In[0], c.In[1], c.Kind))
		require.NoError(t, err, name)
		require.Equal(t, want, rgb(t, got), name)
	}
}

func TestShorterSideAndCentreCropEqualTorchvision(t *testing.T) {
	for _, c := range readResizeFixture(t).Crop {
		name := fmt.Sprintf("%v shorter %d crop %v %s", c.In, c.Shorter, c.Crop, c.Filter)
		tr := dataset.Transform{Shorter: c.Shorter, Filter: c.filter(t), Crop: image.Pt(c.Crop[0], c.Crop[1])}
		got, err := tr.Image(picture(c.In[0], c.In[1], "noise"))
		require.NoError(t, err, name)
		require.Equal(t, image.Rect(0, 0, c.Crop[0], c.Crop[1]), got.Rect, name)
		require.Equal(t, c.CRC32, crc32.ChecksumIEEE(rgb(t, got)), name)
	}
}

func TestRowsFirstEqualsOlderPillow(t *testing.T) {
	cases := readResizeFixture(t).RowsFirst
	require.NotEmpty(t, cases)
	differ := 0
	for _, c := range cases {
		name := fmt.Sprintf("%v to %v %s", c.In, c.Out, c.Filter)
		tr := dataset.Transform{Exact: image.Pt(c.Out[0], c.Out[1]), Filter: c.filter(t), RowsFirst: true}
		got, err := tr.Image(picture(c.In[0], c.In[1], c.Kind))
		require.NoError(t, err, name)
		require.Equal(t, c.CRC32, crc32.ChecksumIEEE(rgb(t, got)), name)

		tr.RowsFirst = false
		other, err := tr.Image(picture(c.In[0], c.In[1], c.Kind))
		require.NoError(t, err, name)
		if !bytes.Equal(got.Pix, other.Pix) {
			differ++
		}
	}
	require.NotZero(t, differ, "the order of the passes never mattered")
}
