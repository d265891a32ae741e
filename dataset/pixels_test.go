package dataset_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// Orientation, CMYK and pictures of 12 bits against Pillow; the tolerance of
// each file is in the fixture: JPEG decoders round differently.
func TestPixelsEqualPillow(t *testing.T) {
	b, err := os.ReadFile("testdata/parity/pixels.json")
	require.NoError(t, err)
	var f struct {
		Files []struct {
			File, RGB                string
			Width, Height, Tol, Bits int
		}
	}
	require.NoError(t, json.Unmarshal(b, &f))
	require.Len(t, f.Files, 26)
	for _, c := range f.Files {
		data, err := os.ReadFile(filepath.Join("testdata/parity/pixels", c.File))
		require.NoError(t, err)
		want, err := base64.StdEncoding.DecodeString(c.RGB)
		require.NoError(t, err)
		d := dataset.DefaultDecoder()
		d.Bits16 = c.Bits
		img, err := d.Image(bytes.NewReader(data))
		require.NoError(t, err, c.File)
		require.Equal(t, image.Rect(0, 0, c.Width, c.Height), img.Rect, c.File)
		requireBytes(t, want, rgb(t, img), c.Tol, c.File)
		m, err := d.Mask(bytes.NewReader(data))
		require.NoError(t, err, c.File)
		require.Equal(t, img.Rect, m.Rect)

		d.KeepOrientation = true
		img, err = d.Image(bytes.NewReader(data))
		require.NoError(t, err)
		if filepath.Base(c.File) == "orient6.png" {
			require.Equal(t, image.Rect(0, 0, 13, 9), img.Rect)
			require.NotEqual(t, want, rgb(t, img))
		}
	}
	d := dataset.DefaultDecoder()
	for _, bits := range []int{-1, 7, 17} {
		d.Bits16 = bits
		require.ErrorIs(t, d.Validate(), dataset.ErrConfig)
	}
}

// A mask of 16 bits with the number of a defect in its low byte.
func TestDeepMask(t *testing.T) {
	g := image.NewGray16(image.Rect(0, 0, 3, 2))
	g.SetGray16(1, 1, color.Gray16{Y: 3})
	g.SetGray16(2, 1, color.Gray16{Y: 0x9000})
	d := dataset.DefaultDecoder()
	m, err := d.Mask(bytes.NewReader(pngBytes(t, g)))
	require.NoError(t, err)
	require.Equal(t, []byte{0, 0, 0, 0, 255, 255}, m.Pix)
	d.MaskAbove = 127
	m, err = d.Mask(bytes.NewReader(pngBytes(t, g)))
	require.NoError(t, err)
	require.Equal(t, []byte{0, 0, 0, 0, 0, 255}, m.Pix)
	d.MaskAbove = 0
	m, err = d.Mask(bytes.NewReader(pngBytes(t, g)))
	require.NoError(t, err)
	require.Equal(t, []byte{0, 0, 0, 0, 255, 255}, m.Pix)
}

func TestRegion(t *testing.T) {
	ds := samples(t, 4)
	raw, err := ds.Sample(t.Context(), 0)
	require.NoError(t, err)
	require.NotNil(t, raw.Mask)
	ignore := image.NewGray(raw.Image.Rect)
	ignore.SetGray(7, 6, ignore.GrayAt(0, 0))
	ignore.Pix[ignore.PixOffset(8, 9)] = 1
	cut := image.Rect(5, 4, 15, 18)
	r, err := dataset.NewRegion(ds, dataset.RegionConfig{Rect: cut, Ignore: ignore, Fill: 77})
	require.NoError(t, err)
	before := append([]byte(nil), raw.Image.Pix...)
	s, err := r.Sample(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, raw.Item, s.Item)
	require.Equal(t, image.Rect(0, 0, 10, 14), s.Image.Rect)
	require.Equal(t, s.Image.Rect, s.Mask.Rect)
	for y := range 14 {
		for x := range 10 {
			want, mask := raw.Image.RGBAAt(x+5, y+4), raw.Mask.GrayAt(x+5, y+4)
			if x+5 == 8 && y+4 == 9 {
				want.R, want.G, want.B, mask.Y = 77, 77, 77, 0
			}
			require.Equal(t, want, s.Image.RGBAAt(x, y))
			require.Equal(t, mask, s.Mask.GrayAt(x, y))
		}
	}
	require.Equal(t, before, raw.Image.Pix, "the sample is shared and must stay")
	_, err = r.Sample(t.Context(), 1) // of another size than Ignore
	require.ErrorIs(t, err, dataset.ErrSize)
	_, err = r.Sample(t.Context(), 9)
	require.ErrorIs(t, err, dataset.ErrIndex)
	wide, err := dataset.NewRegion(ds, dataset.RegionConfig{Rect: image.Rect(0, 0, 500, 5)})
	require.NoError(t, err)
	_, err = wide.Sample(t.Context(), 0)
	require.ErrorIs(t, err, dataset.ErrSize)
	for _, cfg := range []dataset.RegionConfig{
		{}, {Rect: image.Rect(-1, 0, 5, 5)}, {Rect: image.Rect(3, 3, 3, 9)}, {Ignore: image.NewGray(image.Rect(1, 1, 4, 4))},
		{Rect: image.Rect(0, 0, 9, 9), Ignore: image.NewGray(image.Rect(0, 0, 8, 9))},
	} {
		_, err = dataset.NewRegion(ds, cfg)
		require.ErrorIs(t, err, dataset.ErrConfig, cfg)
	}
	_, err = dataset.NewRegion(nil, dataset.RegionConfig{Rect: cut})
	require.ErrorIs(t, err, dataset.ErrConfig)
}
