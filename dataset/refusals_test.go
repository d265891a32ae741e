package dataset_test

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// tiffOf is a TIFF of 4x2 grey pixels with other values for some tags.
func tiffOf(change map[uint16]uint32, strip []byte) []byte {
	tags := map[uint16]uint32{256: 4, 257: 2, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 2, 279: uint32(len(strip))}
	for k, v := range change {
		tags[k] = v
	}
	b := []byte("II*\x00")
	b = binary.LittleEndian.AppendUint32(b, uint32(8+len(strip)))
	b = append(b, strip...)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(tags)))
	for k, v := range tags {
		b = binary.LittleEndian.AppendUint16(b, k)
		b = binary.LittleEndian.AppendUint16(b, 4)
		b = binary.LittleEndian.AppendUint32(b, 1)
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return binary.LittleEndian.AppendUint32(b, 0)
}

// kind returns one file of testdata/parity/files.py.
func kind(t testing.TB, name string) []byte {
	t.Helper()
	for _, k := range kindFiles(t) {
		if k.File == name {
			return bytes.Clone(k.data)
		}
	}
	t.Fatalf("there is no file %s", name)
	return nil
}

// What is not read is named, with what to do.
func TestRefusalsSayWhatToDo(t *testing.T) {
	var j bytes.Buffer
	require.NoError(t, jpeg.Encode(&j, image.NewGray(image.Rect(0, 0, 9, 9)), nil))
	sof := bytes.Index(j.Bytes(), []byte("\xff\xc0"))
	with := func(at int, v byte) []byte {
		b := bytes.Clone(j.Bytes())
		b[sof+at] = v
		return b
	}
	huff := kind(t, "os2.bmp")
	huff[14+16], huff[14+14] = 3, 1
	badCRC := kind(t, "crc_pixels.png")
	badCRC[bytes.Index(badCRC, []byte("IDAT"))+40] ^= 0x55
	badHeader := pngBytes(t, smooth(5, 5, false))
	badHeader[30] ^= 1
	webp := []byte("RIFF\x16\x00\x00\x00WEBPANMF\x0a\x00\x00\x000123456789")
	for _, c := range []struct {
		data []byte
		want string
	}{
		{with(1, 0xc9), "JPEG: arithmetic coding is not read; convert it without loss with: jpegtran"},
		{with(1, 0xc3), "JPEG: lossless JPEG is not read; convert it with: djpeg"},
		{with(1, 0xc5), "JPEG: hierarchical JPEG is not read"},
		{with(4, 12), "JPEG: 12 bits are not read; convert it with: djpeg"},
		{j.Bytes()[:j.Len()-20], "JPEG: the file ends too early"},
		{tiffOf(map[uint16]uint32{259: 34925}, nil), "TIFF: compression 34925 (LZMA) is not read; convert it with: tiffcp -c zip OLD.tif NEW.tif"},
		{tiffOf(map[uint16]uint32{259: 6}, nil), "compression 6 (old-style JPEG) is not read"},
		{tiffOf(map[uint16]uint32{259: 99}, nil), "compression 99 (unknown) is not read"},
		{tiffOf(map[uint16]uint32{259: 5}, []byte{0, 1, 2}), "LZW with the bits the other way round"},
		{tiffOf(map[uint16]uint32{262: 32803}, make([]byte, 8)), "TIFF: colours of kind 32803 are not read; convert it to RGB first"},
		{tiffOf(map[uint16]uint32{258: 17}, make([]byte, 99)), "samples of 17 bits are not read"},
		{tiffOf(map[uint16]uint32{339: 6}, make([]byte, 8)), "complex numbers"},
		{tiffOf(map[uint16]uint32{317: 2, 258: 4}, make([]byte, 8)), "predictor 2 of samples of 4 bits is not read"},
		{tiffOf(map[uint16]uint32{258: 32}, []byte(strings.Repeat("\x00\x01\x00\x00", 8))), "its values go up to 256, and white would be 255: say which value is white (Decoder.White)"},
		{tiffOf(nil, make([]byte, 7)), "TIFF: the file ends too early"},
		{tiffOf(map[uint16]uint32{273: 1 << 20}, make([]byte, 8)), "TIFF: the file ends too early"},
		{tiffOf(map[uint16]uint32{257: 0}, nil), "the header says 4x0 pixels"},
		{huff, "BMP: OS/2's Huffman compression is not read; convert it with: magick"},
		{kind(t, "rgb.ppm")[:99], "PNM: the file ends too early"},
		{[]byte("P2 3 1 9 1 x 3"), "PNM: 'x' where a number was expected"},
		{badCRC, "PNG: the checksum of its pixels is wrong: the file is damaged"},
		{badHeader, "PNG: the checksum of its chunk IHDR is wrong: the file is damaged"},
		{webp, "WebP: an animation is not read; take one image out with: webpmux"},
		{[]byte("<!DOCTYPE html>"), "a web page, not an image"},
		{[]byte("version https://git-lfs.github.com/spec/v1\noid"), "git lfs pull"},
		{[]byte("\x00\x00\x00\x20ftypheic...."), "HEIC or AVIF (\"heic\") is not read; convert it with: magick"},
		{[]byte("P7\nWIDTH 1"), "PAM is not read; convert it with: magick"},
	} {
		_, err := dataset.Decode(bytes.NewReader(c.data))
		require.ErrorIs(t, err, dataset.ErrDecode, c.want)
		require.ErrorContains(t, err, c.want)
	}
	// Values beyond white are asked about once; then they are white.
	d := dataset.DefaultDecoder()
	d.White = 512
	img, err := d.Image(bytes.NewReader(tiffOf(map[uint16]uint32{258: 32}, []byte(strings.Repeat("\x00\x01\x00\x00", 8)))))
	require.NoError(t, err)
	require.Equal(t, color.RGBA{128, 128, 128, 255}, img.RGBAAt(0, 0))
}

// Every format's claim of a size is compared with the limit, and every row with
// what the limit allows, before memory is spent.
func TestEveryKindLooksAtTheSizeFirst(t *testing.T) {
	d := dataset.DefaultDecoder()
	d.MaxPixels = 1 << 20
	wide := map[uint16]uint32{256: 1 << 29, 257: 1, 278: 1}
	deep := map[uint16]uint32{256: 1 << 20, 257: 1, 258: 64, 277: 64, 259: 8}
	for name, data := range map[string][]byte{
		"TIFF":     tiffOf(wide, nil),
		"TIFF row": tiffOf(deep, []byte("\x78\x9c\x03\x00\x00\x00\x00\x01")),
		"BMP":      []byte("BM\x00\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\x10\x01\x00\x18\x00" + strings.Repeat("\x00", 24)),
		"PNM":      []byte("P5 100000 100000 255\n"),
		"GIF":      []byte("GIF89a\xff\xff\xff\xff\x00\x00\x00"),
		"WebP":     []byte("RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00\x2f\xff\xff\xff\x0f\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
		"PNG":      pngHeader(1<<30, 1<<30),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := d.Image(bytes.NewReader(data))
		runtime.ReadMemStats(&after)
		require.ErrorIs(t, err, dataset.ErrTooLarge, name)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20), name)
	}
	// A tile may be larger than its picture, but not without bound.
	_, err := d.Image(bytes.NewReader(tiffOf(map[uint16]uint32{322: 1 << 28, 323: 1 << 28, 324: 8, 325: 8}, make([]byte, 8))))
	require.ErrorIs(t, err, dataset.ErrTooLarge)
}

// Transparent pixels over a colour, by option alone.
func TestTransparentPixelsOverAColour(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 3, 1))
	img.SetNRGBA(0, 0, color.NRGBA{200, 100, 50, 255})
	img.SetNRGBA(1, 0, color.NRGBA{200, 100, 50, 0})
	img.SetNRGBA(2, 0, color.NRGBA{200, 100, 50, 128})
	data := pngBytes(t, img)
	d := dataset.DefaultDecoder()
	for _, c := range []struct {
		over color.Color
		want [3]color.RGBA
	}{
		{nil, [3]color.RGBA{{200, 100, 50, 255}, {200, 100, 50, 255}, {200, 100, 50, 255}}},
		{color.Black, [3]color.RGBA{{200, 100, 50, 255}, {0, 0, 0, 255}, {100, 50, 25, 255}}},
		{color.White, [3]color.RGBA{{200, 100, 50, 255}, {255, 255, 255, 255}, {227, 177, 152, 255}}},
	} {
		d.Over = c.over
		got, err := d.Image(bytes.NewReader(data))
		require.NoError(t, err)
		for x, want := range c.want {
			require.Equal(t, want, got.RGBAAt(x, 0), "%v", c.over)
		}
	}
	require.Equal(t, color.RGBA{200, 100, 50, 255}, dataset.ToRGBA(img).RGBAAt(1, 0))
}

// A folder that is not there, or is a file, is named once.
func TestRootsThatAreNone(t *testing.T) {
	dir := t.TempDir()
	none, file := filepath.Join(dir, "none"), filepath.Join(dir, "file.png")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	for _, open := range []func(root string) error{
		func(root string) error { _, err := dataset.OpenMVTecAD(root, "", ""); return err },
		func(root string) error { _, err := dataset.OpenFolders(root); return err },
	} {
		err := open(none)
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.ErrorIs(t, err, dataset.ErrLayout)
		require.Equal(t, 1, strings.Count(err.Error(), none), err)
		err = open(file)
		require.ErrorIs(t, err, dataset.ErrLayout)
		require.ErrorContains(t, err, "name the folder that holds the images or classes")
		require.Equal(t, 1, strings.Count(err.Error(), file), err)
	}
}
