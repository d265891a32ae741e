package dataset_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

type decodeFixture struct {
	Width, Height int
	Files         []struct {
		File, RGB, Over, Grey string
		Tol                   int
	}
}

func readDecodeFixture(t *testing.T) (f decodeFixture) {
	t.Helper()
	b, err := os.ReadFile("testdata/parity/decode.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &f))
	require.NotEmpty(t, f.Files)
	return f
}

// requireBytes compares with a tolerance.
func requireBytes(t *testing.T, want, got []byte, tol int, name string) {
	t.Helper()
	require.Len(t, got, len(want), name)
	for i := range want {
		if d := int(want[i]) - int(got[i]); d > tol || d < -tol {
			t.Fatalf("%s: byte %d is %d, want %d within %d", name, i, got[i], want[i], tol)
		}
	}
}

func TestDecodeEqualsPillow(t *testing.T) {
	f := readDecodeFixture(t)
	d := dataset.DefaultDecoder()
	for _, c := range f.Files {
		data, err := os.ReadFile(filepath.Join("testdata/parity/decode", c.File))
		require.NoError(t, err)
		want, err := base64.StdEncoding.DecodeString(c.RGB)
		require.NoError(t, err)
		img, err := d.Image(bytes.NewReader(data))
		require.NoError(t, err, c.File)
		require.Equal(t, image.Rect(0, 0, f.Width, f.Height), img.Rect, c.File)
		requireBytes(t, want, rgb(t, img), c.Tol, c.File)
		over, err := base64.StdEncoding.DecodeString(c.Over)
		require.NoError(t, err)
		d.Over = color.Black
		img, err = d.Image(bytes.NewReader(data))
		require.NoError(t, err, c.File)
		requireBytes(t, over, rgb(t, img), c.Tol, c.File)
		d.Over = nil
		if c.Tol > 0 {
			continue
		}
		for _, above := range []int{0, 99, 127, 254} {
			d.MaskAbove = above
			grey, err := base64.StdEncoding.DecodeString(c.Grey)
			require.NoError(t, err)
			for i, v := range grey {
				grey[i] = 0
				if int(v) > above {
					grey[i] = 255
				}
			}
			m, err := d.Mask(bytes.NewReader(data))
			require.NoError(t, err, c.File)
			require.Equal(t, image.Rect(0, 0, f.Width, f.Height), m.Rect, c.File)
			require.Equal(t, grey, m.Pix, "%s above %d", c.File, above)
		}
		d.MaskAbove = dataset.MaskByBackground
	}
}

func TestDecodeReportsDamage(t *testing.T) {
	d := dataset.DefaultDecoder()
	for _, c := range readDecodeFixture(t).Files {
		data, err := os.ReadFile(filepath.Join("testdata/parity/decode", c.File))
		require.NoError(t, err)
		for _, keep := range []int{3, 9, 20, len(data) / 2} {
			_, err := d.Image(bytes.NewReader(data[:keep]))
			require.ErrorIs(t, err, dataset.ErrDecode, "%s cut to %d bytes", c.File, keep)
			_, err = d.Mask(bytes.NewReader(data[:keep]))
			require.ErrorIs(t, err, dataset.ErrDecode, "%s cut to %d bytes", c.File, keep)
		}
	}
	_, err := d.Image(strings.NewReader(""))
	require.ErrorContains(t, err, "empty")
	_, err = d.Image(strings.NewReader("IIRC, this is no image"))
	require.ErrorContains(t, err, "neither PNG, JPEG, BMP, TIFF, WebP, GIF nor PNM")
}

// pngHeader is a PNG that claims a size and holds nothing.
func pngHeader(w, h uint32) []byte {
	b := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")
	b = binary.BigEndian.AppendUint32(b, w)
	b = binary.BigEndian.AppendUint32(b, h)
	b = append(b, 8, 2, 0, 0, 0)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[12:]))
}

func TestDecodeLooksAtTheSizeFirst(t *testing.T) {
	d := dataset.DefaultDecoder()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := d.Image(bytes.NewReader(pngHeader(1<<20, 1<<20)))
	runtime.ReadMemStats(&after)
	require.ErrorIs(t, err, dataset.ErrTooLarge)
	require.ErrorContains(t, err, "1048576x1048576")
	// A terabyte was claimed; what is spent is a read buffer.
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))

	d.MaxPixels = 99
	data := pngBytes(t, smooth(10, 10, false))
	_, err = d.Image(bytes.NewReader(data))
	require.ErrorIs(t, err, dataset.ErrTooLarge)
	d.MaxPixels = 100
	_, err = d.Image(bytes.NewReader(data))
	require.NoError(t, err)

	// A stream that never ends is cut off.
	d.MaxPixels = 1
	_, err = d.Image(endless{})
	require.ErrorIs(t, err, dataset.ErrTooLarge)
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestDecoderValidate(t *testing.T) {
	require.NoError(t, dataset.DefaultDecoder().Validate())
	_, err := dataset.Decoder{}.Image(strings.NewReader(""))
	require.ErrorIs(t, err, dataset.ErrConfig)
	require.ErrorContains(t, err, "MaxPixels")
	require.ErrorContains(t, dataset.Decoder{MaxPixels: 1, MaskAbove: 255}.Validate(), "MaskAbove")
}

// plain hides the concrete type of a picture, so that the general path is taken.
type plain struct{ image.Image }

func TestToRGBAFastPathsEqualTheGeneralPath(t *testing.T) {
	const w, h = 7, 5
	r := image.Rect(3, -2, 3+w, -2+h)
	b := pictureBytes(8*w*h, false)
	opaqueRGBA := image.NewRGBA(r)
	copy(opaqueRGBA.Pix, b)
	for i := 3; i < len(opaqueRGBA.Pix); i += 4 {
		opaqueRGBA.Pix[i] = 255
	}
	pal := color.Palette{color.NRGBA{1, 2, 3, 255}, color.NRGBA{200, 100, 50, 77}, color.RGBA{9, 8, 7, 255}, color.Gray{99}}
	paletted := image.NewPaletted(r, pal)
	for i := range paletted.Pix {
		paletted.Pix[i] = b[i] % 4
	}
	nrgba := image.NewNRGBA(r)
	copy(nrgba.Pix, b)
	gray := image.NewGray(r)
	copy(gray.Pix, b)
	gray16 := image.NewGray16(r)
	copy(gray16.Pix, b)
	rgba64 := image.NewRGBA64(r)
	copy(rgba64.Pix, b)
	for i := 6; i < len(rgba64.Pix); i += 8 {
		rgba64.Pix[i], rgba64.Pix[i+1] = 255, 255
	}
	ycc := image.NewYCbCr(r, image.YCbCrSubsampleRatio420)
	copy(ycc.Y, b)
	copy(ycc.Cb, b[7:])
	copy(ycc.Cr, b[99:])
	type sub interface {
		SubImage(image.Rectangle) image.Image
	}
	for _, img := range []image.Image{opaqueRGBA, paletted, nrgba, gray, gray16, rgba64, ycc} {
		for _, in := range []image.Image{img, img.(sub).SubImage(image.Rect(5, 0, 9, 2))} {
			size := in.Bounds().Size()
			got, want := dataset.ToRGBA(in), dataset.ToRGBA(plain{in})
			if _, ok := in.(*image.YCbCr); ok { // libjpeg's colours, which fixtures hold, and not package color's
				want = dataset.ToRGBA(in)
			}
			require.Equal(t, image.Rectangle{Max: size}, got.Rect)
			require.Equal(t, want, got, "%T %v", in, in.Bounds())
			rgb(t, got)

			// Transforms take the same pictures, at any origin.
			tr := dataset.Transform{Exact: image.Pt(9, 4)}
			a, err := tr.Image(in)
			require.NoError(t, err)
			c, err := tr.Image(want)
			require.NoError(t, err)
			require.Equal(t, c, a, "%T %v", in, in.Bounds())
		}
	}
}

func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/parity/decode/*")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	turned, err := filepath.Glob("testdata/parity/pixels/orient[68].*")
	if err != nil || len(turned) == 0 {
		f.Fatalf("no seeds with an orientation: %v", err)
	}
	for _, name := range append(files, turned...) {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[:len(data)*2/3])
	}
	f.Add(pngHeader(1<<31-1, 1<<31-1))
	d := dataset.DefaultDecoder()
	d.MaxPixels = 1 << 16
	f.Fuzz(func(t *testing.T, data []byte) {
		img, err := d.Image(bytes.NewReader(data))
		if err == nil {
			if n := img.Rect.Dx() * img.Rect.Dy(); n < 1 || n > d.MaxPixels || img.Rect.Min != (image.Point{}) {
				t.Fatalf("an image of %v", img.Rect)
			}
			for i := 3; i < len(img.Pix); i += 4 {
				if img.Pix[i] != 255 {
					t.Fatalf("alpha %d", img.Pix[i])
				}
			}
		}
		m, errMask := d.Mask(bytes.NewReader(data))
		if err == nil && errMask != nil { // the other way round where white is not known
			t.Fatalf("as image %v, as mask %v", err, errMask)
		}
		if errMask == nil {
			for _, v := range m.Pix {
				if v != 0 && v != 255 {
					t.Fatalf("mask value %d", v)
				}
			}
		}
	})
}

func BenchmarkDecodePNG(b *testing.B) {
	for _, size := range []int{128, 640} {
		for _, grey := range []bool{false, true} {
			name := map[bool]string{false: "rgb", true: "grey"}[grey]
			b.Run(name+"/"+map[int]string{128: "128", 640: "640"}[size], func(b *testing.B) {
				var img image.Image = smooth(size, size, grey)
				if grey {
					img = grayOf(img.(*image.RGBA))
				}
				data := pngBytes(b, img)
				d := dataset.DefaultDecoder()
				b.ReportAllocs()
				for b.Loop() {
					if _, err := d.Image(bytes.NewReader(data)); err != nil {
						b.Fatal(err)
					}
				}
				imagesPerSecond(b)
			})
		}
	}
}
