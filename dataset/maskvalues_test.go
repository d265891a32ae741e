package dataset_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// blob is the defect of these tests: a block in a mask of 24x16 pixels.
func blob() image.Rectangle { return image.Rect(6, 4, 15, 11) }

func drawn(img draw.Image, ground, defect color.Color) image.Image {
	draw.Draw(img, img.Bounds(), image.NewUniform(ground), image.Point{}, draw.Src)
	draw.Draw(img, blob(), image.NewUniform(defect), image.Point{}, draw.Src)
	return img
}

func wantBlob() *image.Gray {
	m := image.NewGray(image.Rect(0, 0, 24, 16))
	draw.Draw(m, blob(), image.White, image.Point{}, draw.Src)
	return m
}

// encodings are masks of the same defect as annotation tools write them.
func encodings(t testing.TB) map[string][]byte {
	t.Helper()
	r := image.Rect(0, 0, 24, 16)
	out := make(map[string][]byte)
	grey := func(ground, defect uint8) image.Image {
		return drawn(image.NewGray(r), color.Gray{Y: ground}, color.Gray{Y: defect})
	}
	for name, img := range map[string]image.Image{
		"0 and 255":         grey(0, 255),
		"0 and 236":         grey(0, 236),
		"inverted":          grey(255, 0),
		"inverted 1":        grey(1, 0),
		"inverted grey":     grey(200, 30),
		"red":               drawn(image.NewRGBA(r), color.Black, color.RGBA{255, 0, 0, 255}),
		"blue":              drawn(image.NewRGBA(r), color.Black, color.RGBA{0, 0, 255, 255}),
		"red on white":      drawn(image.NewRGBA(r), color.White, color.RGBA{255, 0, 0, 255}),
		"16 bits 255":       drawn(image.NewGray16(r), color.Black, color.Gray16{Y: 255}),
		"16 bits 1":         drawn(image.NewGray16(r), color.Black, color.Gray16{Y: 1}),
		"16 bits inverted":  drawn(image.NewGray16(r), color.Gray16{Y: 65535}, color.Gray16{Y: 65534}),
		"colour of 16 bits": drawn(image.NewRGBA64(r), color.Black, color.RGBA64{R: 3, A: 65535}),
		"alpha of black":    drawn(image.NewNRGBA(r), color.NRGBA{}, color.NRGBA{0, 0, 0, 255}),
		"alpha of white":    drawn(image.NewNRGBA(r), color.NRGBA{255, 255, 255, 0}, color.NRGBA{255, 255, 255, 255}),
		"alpha of 16 bits":  drawn(image.NewNRGBA64(r), color.NRGBA64{}, color.NRGBA64{0, 0, 0, 65535}),
		"hole in opaque":    drawn(image.NewNRGBA(r), color.NRGBA{0, 0, 0, 255}, color.NRGBA{}),
	} {
		out[name] = pngBytes(t, img)
	}
	for k := uint8(1); k <= 5; k++ {
		out[fmt.Sprint("0 and ", k)] = pngBytes(t, grey(0, k))
	}
	many := grey(0, 255)
	for i := range 60 {
		many.(*image.Gray).Pix[many.(*image.Gray).PixOffset(6+i%9, 4+i/9)] = uint8(1 + 4*i)
	}
	out["many values"] = pngBytes(t, many)
	for name, pal := range map[string]color.Palette{
		"palette":              {color.Black, color.RGBA{128, 0, 0, 255}},
		"palette of one black": {color.Black, color.RGBA{0, 0, 0, 255}, color.White},
		"palette inverted":     {color.White, color.Black},
	} {
		p := image.NewPaletted(r, pal)
		for y := blob().Min.Y; y < blob().Max.Y; y++ {
			for x := blob().Min.X; x < blob().Max.X; x++ {
				p.SetColorIndex(x, y, 1)
			}
		}
		out[name] = pngBytes(t, p)
	}
	return out
}

func TestMasksOfEveryEncodingAreTheSame(t *testing.T) {
	d := dataset.DefaultDecoder()
	for name, data := range encodings(t) {
		m, err := d.Mask(bytes.NewReader(data))
		require.NoError(t, err, name)
		require.Equal(t, wantBlob(), m, name)
	}
	// JPEG blurs edges: by a pixel of each side at most, in blocks of eight.
	for _, v := range [][2]uint8{{0, 255}, {255, 0}, {0, 90}} {
		var buf bytes.Buffer
		require.NoError(t, jpeg.Encode(&buf, drawn(image.NewGray(wantBlob().Rect), color.Gray{Y: v[0]}, color.Gray{Y: v[1]}), &jpeg.Options{Quality: 60}))
		m, err := d.Mask(&buf)
		require.NoError(t, err)
		wrong := 0
		for i, v := range wantBlob().Pix {
			if v != m.Pix[i] {
				wrong++
			}
		}
		require.Less(t, wrong, 2, "%v", v)
	}
}

// A mask of one value, and settings that overrule the border.
func TestMaskBackground(t *testing.T) {
	d := dataset.DefaultDecoder()
	read := func(img image.Image) []byte {
		m, err := d.Mask(bytes.NewReader(pngBytes(t, img)))
		require.NoError(t, err)
		return m.Pix
	}
	plain := func(v uint8) *image.Gray {
		m := image.NewGray(image.Rect(0, 0, 5, 4))
		for i := range m.Pix {
			m.Pix[i] = v
		}
		return m
	}
	require.NotContains(t, read(plain(0)), uint8(255))
	require.NotContains(t, read(plain(255)), uint8(0))
	require.NotContains(t, read(plain(1)), uint8(0))
	require.NotContains(t, read(image.NewNRGBA(image.Rect(0, 0, 5, 4))), uint8(255))
	// A defect along most of the border: only a setting can know.
	wide := plain(255)
	wide.Pix[0], wide.Pix[7] = 0, 0
	require.Equal(t, []byte{255, 0, 0, 0, 0, 0, 0, 255}, read(wide)[:8])
	d.MaskBackground = 0
	require.Equal(t, []byte{0, 255, 255, 255, 255, 255, 255, 0}, read(wide)[:8])
	require.NotContains(t, read(plain(255)), uint8(0))
	d.MaskBackground = 255
	require.NotContains(t, read(plain(255)), uint8(255))
	d.MaskBackground = 0
	require.NotContains(t, read(drawn(image.NewRGBA(wantBlob().Rect), color.RGBA{9, 9, 9, 255}, color.Black))[:20], uint8(0))
	// A brightness overrules both; with 0 every value counts.
	d.MaskAbove = 99
	require.Equal(t, []byte{0, 255, 255}, read(wide)[:3])
	for _, bad := range []func(*dataset.Decoder){
		func(d *dataset.Decoder) { d.MaskAbove = -2 },
		func(d *dataset.Decoder) { d.MaskAbove = 255 },
		func(d *dataset.Decoder) { d.MaskBackground = -2 },
		func(d *dataset.Decoder) { d.MaskBackground = 65536 },
		func(d *dataset.Decoder) { d.White = -1 },
	} {
		d := dataset.DefaultDecoder()
		bad(&d)
		require.ErrorIs(t, d.Validate(), dataset.ErrConfig)
	}
}

// Every layout reads masks through the same settings.
func TestEveryLayoutReadsMasksAlike(t *testing.T) {
	picture := flat(t, 24, 16, 100).Data
	codes := encodings(t)
	for _, name := range []string{"0 and 255", "0 and 1", "inverted", "red", "16 bits 255", "palette"} {
		for layout, fsys := range maskLayouts(picture, codes[name]) {
			for _, above := range []int{dataset.MaskByBackground, 254} {
				cfg := dataset.DefaultConfig()
				cfg.TrainDefects, cfg.Decoder.MaskAbove = true, above
				ds, err := dataset.NewLayout(t.Context(), fsys, layout, cfg)
				require.NoError(t, err, layout)
				for i := range ds.Len() {
					if ds.Item(i).MaskName == "" {
						continue
					}
					s, err := ds.Sample(t.Context(), i)
					require.NoError(t, err, layout)
					if above == dataset.MaskByBackground {
						require.Equal(t, wantBlob(), s.Mask, "%s in %s", name, layout)
					} else {
						require.Equal(t, name == "0 and 255", bytes.Equal(wantBlob().Pix, s.Mask.Pix), "%s in %s above 254", name, layout)
					}
				}
			}
		}
	}
}

// maskLayouts is one picture with one mask in each layout that has masks.
func maskLayouts(picture, mask []byte) map[dataset.Layout]fstest.MapFS {
	p, m := &fstest.MapFile{Data: picture}, &fstest.MapFile{Data: mask}
	mvtec := fstest.MapFS{"a/train/good/0.png": p, "a/test/bad/1.png": p, "a/ground_truth/bad/1_mask.png": m}
	return map[dataset.Layout]fstest.MapFS{
		dataset.LayoutMVTecAD: mvtec,
		dataset.LayoutMPDD:    mvtec,
		dataset.LayoutVisA:    mvtec,
		dataset.LayoutMVTecAD2: {"a/train/good/0_1.png": p, "a/test_public/bad/1_1.png": p,
			"a/test_public/ground_truth/bad/1_1_mask.png": m},
		dataset.LayoutBTAD:    {"01/train/ok/0.png": p, "01/test/ko/1.png": p, "01/ground_truth/ko/1.png": m},
		dataset.LayoutKSDD2:   {"train/10000.png": p, "train/10000_GT.png": m, "test/20000.png": p, "test/20000_GT.png": m},
		dataset.LayoutGoodBad: {"good/0.png": p, "bad/1.png": p, "masks/bad/1.png": m},
		dataset.LayoutManifest: {"m/0.png": p, "m/1.png": p, "m/1_mask.png": m, "manifest.jsonl": {Data: []byte(
			`{"image":"m/0.png","class":"a"}` + "\n" + `{"image":"m/1.png","class":"a","defect":"bad","mask":"m/1_mask.png"}`)}},
	}
}
