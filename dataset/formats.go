package dataset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"path"
	"strings"

	"golang.org/x/image/webp"

	"github.com/gotab/gotab/internal/bmp"
	"github.com/gotab/gotab/internal/png8"
	"github.com/gotab/gotab/internal/pnm"
	"github.com/gotab/gotab/internal/tiff"
	"github.com/gotab/gotab/internal/ycc"
)

// codec is a file format.
type codec struct {
	name   string
	is     func(data []byte) bool
	size   func(data []byte) (image.Point, error)
	decode func(d Decoder, data []byte, use purpose) (decoded, error)
	// cut says of a file that cannot be decoded that its end is missing; nil
	// where the decoder's error tells.
	cut func(data []byte) bool
}

func codecs() [7]codec {
	return [7]codec{
		{"PNG", starts("\x89PNG\r\n\x1a\n"), pngSize, decodePNG, nil},
		{"JPEG", starts("\xff\xd8"), jpegSize, decodeJPEG, jpegCut},
		{"BMP", starts("BM"), bmpSize, decodeBMP, nil},
		{"TIFF", tiff.Is, tiffSize, decodeTIFF, nil},
		{"WebP", func(b []byte) bool { return len(b) >= 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP" }, webpSize, decodeWebP, nil},
		{"GIF", starts("GIF8"), gifSize, decodeGIF, nil},
		{"PNM", pnm.Is, pnmSize, decodePNM, nil},
	}
}

func starts(magic string) func([]byte) bool {
	return func(data []byte) bool { return bytes.HasPrefix(data, []byte(magic)) }
}

// codecOf tells the format by the first bytes.
func codecOf(data []byte) (codec, error) {
	for _, c := range codecs() {
		if c.is(data) {
			return c, nil
		}
	}
	if len(data) == 0 {
		return codec{}, fmt.Errorf("%w: the file is empty", ErrDecode)
	}
	for _, k := range []struct{ magic, what string }{
		{"version https://git-lfs", "a pointer of Git LFS, not the image; fetch it with: git lfs pull"},
		{"<!DOCTYPE", "a web page, not an image; download the file itself"},
		{"<html", "a web page, not an image; download the file itself"},
		{"P7", "PAM is not read; convert it with: magick OLD.pam NEW.png"},
		{"\x00\x00\x00\x0cjP  ", "JPEG 2000 is not read; convert it with: magick OLD.jp2 NEW.png"},
		{"\xff\x0a", "JPEG XL is not read; convert it with: djxl OLD.jxl NEW.png"},
		{"8BPS", "Photoshop is not read; convert it with: magick 'OLD.psd[0]' NEW.png"},
		{"%PDF", "PDF is not read; convert it with: pdftoppm -png OLD.pdf NEW"},
		{"PK\x03\x04", "a zip file, not an image; unpack it, or open it as the root"},
	} {
		if bytes.HasPrefix(data, []byte(k.magic)) {
			return codec{}, fmt.Errorf("%w: %s", ErrDecode, k.what)
		}
	}
	if len(data) >= 12 && string(data[4:8]) == "ftyp" {
		return codec{}, fmt.Errorf("%w: HEIC or AVIF (%q) is not read; convert it with: magick OLD NEW.png", ErrDecode, data[8:12])
	}
	return codec{}, fmt.Errorf("%w: neither PNG, JPEG, BMP, TIFF, WebP, GIF nor PNM (it begins with %q)", ErrDecode, data[:min(len(data), 8)])
}

// imageEndings are the endings of names that are taken for images.
const imageEndings = "png, jpg, jpeg, jpe, jfif, bmp, dib, tif, tiff, webp, gif, pgm, ppm, pbm, pnm"

// ImageFile says whether a name ends like an image's that this package reads,
// in capitals or not: png, jpg, jpeg, jpe, jfif, bmp, dib, tif, tiff, webp, gif, pgm,
// ppm, pbm, pnm. What the file is, its first bytes decide.
func ImageFile(name string) bool { return imageFile(name) }

// imageFile says whether a name ends like an image's.
func imageFile(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".gif", ".pgm", ".ppm", ".pbm", ".pnm":
		return true
	}
	return false
}

func pngSize(data []byte) (image.Point, error) {
	if len(data) < 33 {
		return image.Point{}, io.ErrUnexpectedEOF
	}
	if string(data[12:16]) != "IHDR" {
		return image.Point{}, errors.New("the first chunk is not the header")
	}
	w, h := binary.BigEndian.Uint32(data[16:]), binary.BigEndian.Uint32(data[20:])
	return image.Pt(int(w), int(h)), nil
}

func decodePNG(_ Decoder, data []byte, _ purpose) (decoded, error) {
	if img, ok := png8.Decode(data); ok {
		return decoded{Image: img, opaque: true}, nil
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		if img, err = mendPNG(data, err); err != nil {
			return decoded{}, err
		}
	}
	return decoded{Image: img, raw16: true, opaque: true}, nil
}

func bmpSize(data []byte) (image.Point, error) {
	h, err := bmp.DecodeHeader(data)
	if err != nil {
		return image.Point{}, err
	}
	return image.Pt(h.Width, h.Height), nil
}

func decodeBMP(_ Decoder, data []byte, _ purpose) (decoded, error) {
	img, err := bmp.Decode(data)
	_, full := img.(*image.RGBA) // with full alpha, as bmp.Decode says
	return decoded{Image: img, opaque: full}, err
}

func tiffSize(data []byte) (image.Point, error) {
	h, err := tiff.DecodeHeader(data)
	if err != nil {
		return image.Point{}, err
	}
	return image.Pt(h.Width, h.Height), nil
}

// tiffBeside is what a row, or a tile of JPEG, may take beyond the pixels of a small picture.
const tiffBeside = 4 << 20

func decodeTIFF(d Decoder, data []byte, use purpose) (decoded, error) {
	h, err := tiff.DecodeHeader(data)
	if err != nil {
		return decoded{}, err
	}
	// A row is no longer than the picture, or than a tile that is somewhat larger.
	most := min(max(12*int64(h.Width)*int64(h.Height), h.Bytes())+tiffBeside, d.maxFile())
	img, err := tiff.Decode(data, tiff.Options{MaxBytes: most, White: d.White, Mask: use == maskPixels})
	if errors.Is(err, tiff.ErrTooLarge) {
		return decoded{}, fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	_, full := img.(*image.RGBA) // with full alpha, as tiff.Decode says
	return decoded{Image: img, raw16: h.Bits == 16 && !h.Float, lossy: h.Lossy, opaque: full}, err
}

func pnmSize(data []byte) (image.Point, error) {
	h, err := pnm.DecodeHeader(data)
	if err != nil {
		return image.Point{}, err
	}
	return image.Pt(h.Width, h.Height), nil
}

func decodePNM(_ Decoder, data []byte, _ purpose) (decoded, error) {
	img, err := pnm.Decode(data)
	return decoded{Image: img}, err
}

// webpChunk returns the content of the first chunk of a kind.
func webpChunk(data []byte, kind string) ([]byte, bool) {
	for at := int64(12); at+8 <= int64(len(data)); {
		n := int64(binary.LittleEndian.Uint32(data[at+4:]))
		if at+8+n > int64(len(data)) {
			n = int64(len(data)) - at - 8
		}
		if string(data[at:at+4]) == kind {
			return data[at+8 : at+8+n], true
		}
		at += 8 + (n+1)&^1
	}
	return nil, false
}

func webpSize(data []byte) (image.Point, error) {
	if _, ok := webpChunk(data, "ANMF"); ok {
		return image.Point{}, errors.New("an animation is not read; take one image out with: webpmux -get frame 1 OLD.webp -o NEW.webp")
	}
	cfg, err := webp.DecodeConfig(bytes.NewReader(data))
	return image.Pt(cfg.Width, cfg.Height), err
}

func decodeWebP(_ Decoder, data []byte, _ purpose) (decoded, error) {
	// The size that was compared with the limit is that of the canvas; the
	// stream within may claim another.
	for _, kind := range []string{"VP8 ", "VP8L"} {
		if b, ok := webpChunk(data, kind); ok {
			w, h := webpStreamSize(kind, b)
			cfg, err := webp.DecodeConfig(bytes.NewReader(data))
			if err != nil {
				return decoded{}, err
			}
			if w != cfg.Width || h != cfg.Height {
				return decoded{}, fmt.Errorf("a stream of %dx%d pixels in an image of %dx%d", w, h, cfg.Width, cfg.Height)
			}
		}
	}
	_, lossy := webpChunk(data, "VP8 ")
	img, err := webp.Decode(bytes.NewReader(data))
	if err != nil {
		return decoded{}, err
	}
	return decoded{Image: webpColours(img), lossy: lossy}, nil
}

// webpColours converts what the decoder of lossy files gives: its planes, which
// image/color would take for JPEG's and make too pale.
func webpColours(img image.Image) image.Image {
	switch src := img.(type) {
	case *image.YCbCr:
		dst := image.NewRGBA(src.Rect)
		ycc.VP8(dst.Pix, dst.Stride, src)
		return dst
	case *image.NYCbCrA:
		dst := image.NewNRGBA(src.Rect)
		ycc.VP8(dst.Pix, dst.Stride, &src.YCbCr)
		for y := range src.Rect.Dy() {
			for x, a := range src.A[y*src.AStride:][:src.Rect.Dx()] {
				dst.Pix[y*dst.Stride+4*x+3] = a
			}
		}
		return dst
	}
	return img
}

// webpStreamSize reads the size out of the head of a stream.
func webpStreamSize(kind string, b []byte) (w, h int) {
	switch {
	case kind == "VP8 " && len(b) >= 10:
		return int(binary.LittleEndian.Uint16(b[6:])) & 0x3fff, int(binary.LittleEndian.Uint16(b[8:])) & 0x3fff
	case kind == "VP8L" && len(b) >= 5:
		v := binary.LittleEndian.Uint32(b[1:])
		return int(v&0x3fff) + 1, int(v>>14&0x3fff) + 1
	}
	return 0, 0
}

func gifSize(data []byte) (image.Point, error) {
	cfg, err := gif.DecodeConfig(bytes.NewReader(data))
	return image.Pt(cfg.Width, cfg.Height), err
}

// decodeGIF reads the first frame. Where it does not fill the image, the rest
// is transparent black.
func decodeGIF(_ Decoder, data []byte, _ purpose) (decoded, error) {
	size, err := gifSize(data)
	if err != nil {
		return decoded{}, err
	}
	img, err := gif.Decode(bytes.NewReader(data))
	if err != nil {
		return decoded{}, err
	}
	g := readGIF(data)
	if p, ok := img.(*image.Paletted); ok && 3*g.transparent+3 <= len(g.palette) && g.transparent >= 0 && g.transparent < len(p.Palette) {
		// The decoder forgets the colour of what is transparent.
		c := g.palette[3*g.transparent:]
		p.Palette[g.transparent] = color.NRGBA{c[0], c[1], c[2], 0}
	}
	if whole := (image.Rectangle{Max: size}); img.Bounds() != whole {
		canvas := image.NewNRGBA(whole)
		draw.Draw(canvas, img.Bounds(), img, img.Bounds().Min, draw.Src)
		img = canvas
	}
	return decoded{Image: img}, nil
}

// gifFacts is what the blocks of a GIF say.
type gifFacts struct {
	frames      int
	palette     []byte // of the first frame
	transparent int    // index, -1 where there is none
}

// readGIF walks the blocks.
func readGIF(b []byte) gifFacts {
	g := gifFacts{transparent: -1}
	if len(b) < 13 {
		return g
	}
	table := func(flags byte, at int) []byte {
		if flags&0x80 == 0 || at+3<<(flags&7+1) > len(b) {
			return nil
		}
		return b[at : at+3<<(flags&7+1)]
	}
	skip := func(at int) int { // blocks up to the one of no bytes
		for at < len(b) && b[at] != 0 {
			at += 1 + int(b[at])
		}
		return at + 1
	}
	global := table(b[10], 13)
	for at := 13 + len(global); at+2 <= len(b); {
		switch b[at] {
		case 0x21:
			if b[at+1] == 0xf9 && at+8 <= len(b) && b[at+3]&1 == 1 && g.frames == 0 {
				g.transparent = int(b[at+6])
			}
			at = skip(at + 2)
		case 0x2c:
			if at+11 > len(b) {
				return g
			}
			local := table(b[at+9], at+10)
			if g.frames++; g.frames == 1 {
				if g.palette = local; local == nil {
					g.palette = global
				}
			}
			at = skip(at + 11 + len(local))
		default:
			return g
		}
	}
	return g
}

func jpegSize(data []byte) (image.Point, error) {
	cfg, err := jpeg.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return image.Point{}, jpegRefusal(data, err)
	}
	return image.Pt(cfg.Width, cfg.Height), nil
}

func decodeJPEG(d Decoder, data []byte, use purpose) (decoded, error) {
	by := 1
	if d.Draft > 0 && use == picturePixels {
		size, err := jpegSize(data)
		if err != nil {
			return decoded{}, err
		}
		by = d.draft(size)
	}
	img, by, err := ycc.Reduced(data, by)
	if err != nil {
		if img, err = mendJPEG(data, err); err != nil {
			return decoded{}, err
		}
		by = 1
	}
	return decoded{Image: img, lossy: true, opaque: true, shrunk: by}, nil
}
