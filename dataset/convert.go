package dataset

import (
	"image"
	"image/color"
	"image/draw"

	"github.com/gotab/gotab/internal/pixels"
)

// ToRGBA converts any picture to 8-bit red, green and blue with alpha 255 and
// origin (0,0), in pixels of its own:
//
//   - grey is repeated in all three channels, palettes are expanded;
//   - 16-bit values keep their high byte (see Decoder.Bits16 for cameras that
//     fill fewer bits);
//   - transparent pixels are laid over black: a channel c with alpha a becomes
//     (c*a + 127)/255, rounded down, for 8-bit kinds without premultiplied
//     alpha, and is taken as it is where it is premultiplied. (Pillow's
//     convert("RGB") ignores alpha; opaque pictures come out alike.)
//   - JPEG's YCbCr is converted with image/color's formula.
//
// A picture that is nil, has more than 2^28 pixels, or has fewer than its bounds
// promise gives one without pixels.
func ToRGBA(img image.Image) *image.RGBA {
	if pixels.Check(img) != nil {
		return &image.RGBA{}
	}
	b := img.Bounds()
	w, h := b.Dx(), b.Dy()
	dst := image.NewRGBA(image.Rect(0, 0, w, h))
	switch src := img.(type) {
	case *image.RGBA:
		for y := range h {
			row := dst.Pix[y*dst.Stride:][:4*w]
			copy(row, src.Pix[y*src.Stride:])
			opaque(row)
		}
	case *image.Gray:
		for y := range h {
			grayRow(dst.Pix[y*dst.Stride:][:4*w], src.Pix[y*src.Stride:][:w])
		}
	case *image.NRGBA:
		for y := range h {
			nrgbaRow(dst.Pix[y*dst.Stride:][:4*w], src.Pix[y*src.Stride:][:4*w])
		}
	case *image.Paletted:
		var table [256][3]byte
		for i, c := range src.Palette[:min(len(src.Palette), 256)] {
			table[i] = overBlack(c)
		}
		for y := range h {
			row := dst.Pix[y*dst.Stride:][:4*w]
			for x, v := range src.Pix[y*src.Stride:][:w] {
				c, q := table[v], row[4*x:4*x+4:4*x+4]
				q[0], q[1], q[2], q[3] = c[0], c[1], c[2], 255
			}
		}
	case *image.Gray16:
		for y := range h {
			row := dst.Pix[y*dst.Stride:][:4*w]
			in := src.Pix[y*src.Stride:][:2*w]
			for x := range w {
				v, q := in[2*x], row[4*x:4*x+4:4*x+4]
				q[0], q[1], q[2], q[3] = v, v, v, 255
			}
		}
	case *image.RGBA64:
		for y := range h {
			row := dst.Pix[y*dst.Stride:][:4*w]
			in := src.Pix[y*src.Stride:][:8*w]
			for x := range w {
				p, q := in[8*x:8*x+8:8*x+8], row[4*x:4*x+4:4*x+4]
				q[0], q[1], q[2], q[3] = p[0], p[2], p[4], 255
			}
		}
	case *image.YCbCr, *image.CMYK:
		// The standard library has loops of its own for these.
		draw.Draw(dst, dst.Rect, src, b.Min, draw.Src)
	default:
		for y := range h {
			row := dst.Pix[y*dst.Stride:][:4*w]
			for x := range w {
				c, q := overBlack(img.At(b.Min.X+x, b.Min.Y+y)), row[4*x:4*x+4:4*x+4]
				q[0], q[1], q[2], q[3] = c[0], c[1], c[2], 255
			}
		}
	}
	return dst
}

func grayRow(dst, src []byte) {
	for x, v := range src {
		q := dst[4*x : 4*x+4 : 4*x+4]
		q[0], q[1], q[2], q[3] = v, v, v, 255
	}
}

func nrgbaRow(dst, src []byte) {
	for i := 0; i+4 <= len(src) && i+4 <= len(dst); i += 4 {
		p, q := src[i:i+4:i+4], dst[i:i+4:i+4]
		q[0], q[1], q[2], q[3] = p[0], p[1], p[2], 255
		if a := uint32(p[3]); a != 255 {
			for c := range 3 {
				q[c] = uint8((uint32(p[c])*a + 127) / 255)
			}
		}
	}
}

// overBlack lays one colour over black.
func overBlack(c color.Color) [3]byte {
	if n, ok := c.(color.NRGBA); ok {
		var out [4]byte
		nrgbaRow(out[:], []byte{n.R, n.G, n.B, n.A})
		return [3]byte(out[:3])
	}
	r, g, b, _ := c.RGBA()
	return [3]byte{byte(r >> 8), byte(g >> 8), byte(b >> 8)}
}

// toGray converts any picture to 8-bit brightness with origin (0,0), in pixels
// of its own: 0.299 red + 0.587 green + 0.114 blue, as Pillow's convert("L").
func toGray(img image.Image) *image.Gray {
	b := img.Bounds()
	w, h := b.Dx(), b.Dy()
	dst := image.NewGray(image.Rect(0, 0, w, h))
	switch src := img.(type) {
	case *image.Gray:
		for y := range h {
			copy(dst.Pix[y*dst.Stride:][:w], src.Pix[y*src.Stride:])
		}
	case *image.Gray16:
		for y := range h {
			row, in := dst.Pix[y*dst.Stride:][:w], src.Pix[y*src.Stride:][:2*w]
			for x := range row {
				row[x] = in[2*x]
			}
		}
	default:
		rgba, ok := img.(*image.RGBA)
		if !ok {
			rgba = ToRGBA(img)
		}
		for y := range h {
			row, in := dst.Pix[y*dst.Stride:][:w], rgba.Pix[y*rgba.Stride:][:4*w]
			for x := range row {
				p := in[4*x : 4*x+4 : 4*x+4]
				row[x] = uint8((19595*uint32(p[0]) + 38470*uint32(p[1]) + 7471*uint32(p[2]) + 1<<15) >> 16)
			}
		}
	}
	return dst
}

// narrow16 stretches 16-bit pictures whose values have that many bits, in place;
// other kinds stay. Alpha is left alone.
func narrow16(img image.Image, bits int) {
	scale := func(p []byte) {
		v := int(p[0])<<8 | int(p[1])
		v = min(v<<(16-bits), 0xffff)
		p[0], p[1] = byte(v>>8), byte(v)
	}
	var pix []byte
	switch src := img.(type) {
	case *image.Gray16:
		for i := 0; i+2 <= len(src.Pix); i += 2 {
			scale(src.Pix[i : i+2])
		}
		return
	case *image.RGBA64:
		pix = src.Pix
	case *image.NRGBA64:
		pix = src.Pix
	}
	for i := 0; i+8 <= len(pix); i += 8 {
		for c := 0; c < 6; c += 2 {
			scale(pix[i+c : i+c+2])
		}
	}
}
