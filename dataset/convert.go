package dataset

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"

	"github.com/gotab/gotab/internal/pixels"
	"github.com/gotab/gotab/internal/ycc"
)

// ToRGBA converts any image to 8-bit red, green and blue with alpha 255 and
// origin (0,0), in pixels of its own:
//
//   - grey is repeated in all three channels, palettes are expanded;
//   - 16-bit values keep their high byte (see Decoder.Bits16 for cameras that
//     fill fewer bits);
//   - alpha is ignored, as Pillow's convert("RGB") does, where colours are stored
//     apart from it; colours that are premultiplied with it are taken as they
//     are, which is over black. See Decoder.Over for another ground.
//   - YCbCr, which image/jpeg gives, is converted as libjpeg does, colours that
//     pixels share are interpolated; CMYK is converted with Pillow's formula.
//
// An image that is nil, has more than 2^28 pixels, or has fewer than its bounds
// promise gives one without pixels.
func ToRGBA(img image.Image) *image.RGBA { return toRGBA(img, nil) }

// toRGBA is ToRGBA over a colour, where that is not nil.
func toRGBA(img image.Image, over color.Color) *image.RGBA {
	if pixels.Check(img) != nil {
		return &image.RGBA{}
	}
	b := img.Bounds()
	w, h := b.Dx(), b.Dy()
	if over != nil {
		if o, ok := img.(interface{ Opaque() bool }); !ok || !o.Opaque() {
			return layOver(img, over)
		}
	}
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
			row := dst.Pix[y*dst.Stride:][:4*w]
			copy(row, src.Pix[y*src.Stride:])
			opaque(row)
		}
	case *image.Paletted:
		var table [256]uint32 // alpha 255 on top
		for i := range table {
			table[i] = 0xff << 24
		}
		for i, c := range src.Palette[:min(len(src.Palette), 256)] {
			v := bare(c)
			table[i] |= uint32(v[0]) | uint32(v[1])<<8 | uint32(v[2])<<16
		}
		for y := range h {
			row := dst.Pix[y*dst.Stride:][:4*w]
			for x, v := range src.Pix[y*src.Stride:][:w] {
				binary.LittleEndian.PutUint32(row[4*x:4*x+4:4*x+4], table[v])
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
			highBytes(dst.Pix[y*dst.Stride:][:4*w], src.Pix[y*src.Stride:][:8*w])
		}
	case *image.NRGBA64:
		for y := range h {
			highBytes(dst.Pix[y*dst.Stride:][:4*w], src.Pix[y*src.Stride:][:8*w])
		}
	case *image.CMYK:
		for y := range h {
			cmykRow(dst.Pix[y*dst.Stride:][:4*w], src.Pix[y*src.Stride:][:4*w])
		}
	case *image.YCbCr:
		ycc.RGBA(dst.Pix, dst.Stride, src)
	case *image.NYCbCrA:
		ycc.RGBA(dst.Pix, dst.Stride, &src.YCbCr)
	default:
		for y := range h {
			row := dst.Pix[y*dst.Stride:][:4*w]
			for x := range w {
				c, q := bare(img.At(b.Min.X+x, b.Min.Y+y)), row[4*x:4*x+4:4*x+4]
				q[0], q[1], q[2], q[3] = c[0], c[1], c[2], 255
			}
		}
	}
	return dst
}

// layOver lays an image over a colour: a channel c with alpha a becomes
// (c*a + over*(255-a) + 127)/255, rounded down.
func layOver(img image.Image, over color.Color) *image.RGBA {
	b := img.Bounds()
	dst := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	ground := bare(over)
	for y := range b.Dy() {
		row := dst.Pix[y*dst.Stride:][:4*b.Dx()]
		for x := range b.Dx() {
			c := img.At(b.Min.X+x, b.Min.Y+y)
			_, _, _, a16 := c.RGBA()
			a := a16 >> 8
			v, q := bare(c), row[4*x:4*x+4:4*x+4]
			premultiplied := !straight(c)
			for k := range 3 {
				top := uint32(v[k]) * a
				if premultiplied {
					top = uint32(v[k]) * 255
				}
				q[k] = uint8(min((top+uint32(ground[k])*(255-a)+127)/255, 255))
			}
			q[3] = 255
		}
	}
	return dst
}

// straight says whether a colour's channels are stored apart from alpha.
func straight(c color.Color) bool {
	switch c.(type) {
	case color.NRGBA, color.NRGBA64, color.NYCbCrA:
		return true
	}
	return false
}

// highBytes takes 16-bit channels over and leaves alpha out.
func highBytes(dst, src []byte) {
	for i := 0; i+8 <= len(src) && i/2+4 <= len(dst); i += 8 {
		p, q := src[i:i+8:i+8], dst[i/2:i/2+4:i/2+4]
		q[0], q[1], q[2], q[3] = p[0], p[2], p[4], 255
	}
}

// cmykRow converts inks as Pillow does: what black leaves, less each ink's share
// of it, rounded.
func cmykRow(dst, src []byte) {
	for i := 0; i+4 <= len(src) && i+4 <= len(dst); i += 4 {
		p, q := src[i:i+4:i+4], dst[i:i+4:i+4]
		rest := 255 - uint32(p[3])
		for c := range 3 {
			t := uint32(p[c])*rest + 128
			q[c] = uint8(rest - (t>>8+t)>>8)
		}
		q[3] = 255
	}
}

func grayRow(dst, src []byte) {
	for x, v := range src {
		q := dst[4*x : 4*x+4 : 4*x+4]
		q[0], q[1], q[2], q[3] = v, v, v, 255
	}
}

// bare is a colour without its alpha; premultiplied colours are taken as they
// are.
func bare(c color.Color) [3]byte {
	switch n := c.(type) {
	case color.NRGBA:
		return [3]byte{n.R, n.G, n.B}
	case color.NRGBA64:
		return [3]byte{byte(n.R >> 8), byte(n.G >> 8), byte(n.B >> 8)}
	case color.NYCbCrA:
		r, g, b := color.YCbCrToRGB(n.Y, n.Cb, n.Cr)
		return [3]byte{r, g, b}
	case color.CMYK:
		var out [4]byte
		cmykRow(out[:], []byte{n.C, n.M, n.Y, n.K})
		return [3]byte(out[:3])
	}
	r, g, b, _ := c.RGBA()
	return [3]byte{byte(r >> 8), byte(g >> 8), byte(b >> 8)}
}

// toGray converts any image to 8-bit brightness with origin (0,0), in pixels
// of its own: 0.299 red + 0.587 green + 0.114 blue, as Pillow's convert("L"), with
// transparent pixels over black.
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
			rgba = toRGBA(img, color.Black)
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

// widened is narrow16 for an image that somebody else holds.
func widened(img image.Image, bits int) image.Image {
	switch src := img.(type) {
	case *image.Gray16:
		c := *src
		c.Pix = bytes.Clone(src.Pix)
		img = &c
	case *image.RGBA64:
		c := *src
		c.Pix = bytes.Clone(src.Pix)
		img = &c
	case *image.NRGBA64:
		c := *src
		c.Pix = bytes.Clone(src.Pix)
		img = &c
	default:
		return img
	}
	narrow16(img, bits)
	return img
}

// narrow16 stretches 16-bit images whose values have that many bits, in place;
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
