// Package ycc makes colours of a brightness and two colour differences as
// Pillow's decoders do: libjpeg-turbo for JPEG, libwebp for WebP. Both interpolate
// colour differences that several pixels share, where the standard library takes
// the nearest.
package ycc

import (
	"encoding/binary"
	"image"
	"image/draw"
)

// RGBA writes the pixels of a decoded JPEG into dst, four bytes each with alpha
// 255, rows stride bytes apart. The planes of src must hold what its bounds
// promise. Colours at its rim are made from the samples within its bounds.
func RGBA(dst []byte, stride int, src *image.YCbCr) { rgba(dst, stride, src, false) }

// rgba is RGBA; nearest says that colours are repeated and not interpolated.
func rgba(dst []byte, stride int, src *image.YCbCr, nearest bool) {
	b := src.Rect
	w, h := b.Dx(), b.Dy()
	if w < 1 || h < 1 {
		return
	}
	if b.Min.X < 0 || b.Min.Y < 0 { // samples there are shared by no rule
		out := &image.RGBA{Pix: dst, Stride: stride, Rect: image.Rect(0, 0, w, h)}
		draw.Draw(out, out.Rect, src, b.Min, draw.Src)
		return
	}
	if src.SubsampleRatio == image.YCbCrSubsampleRatio444 {
		for y := range h {
			convertFull(dst[y*stride:][:4*w], src.Y[y*src.YStride:][:w], src.Cb[y*src.CStride:][:w], src.Cr[y*src.CStride:][:w])
		}
		return
	}
	c := newChroma(src, nearest)
	for y := range h {
		convert(dst[y*stride:][:4*w], src.Y[y*src.YStride:][:w], c.row(y)[:w])
	}
}

// A pixel's colours are summed in one word: red in bits 0 to 15, blue from bit 16
// on, and green from bit 48 on with a fraction of sixteen bits below it. Each is
// 256 too large, so that it is never negative and what leaves a byte shows in the
// bits above.
const (
	lanes = 1 | 1<<16 | 1<<48
	bias  = 256
)

// fromCb and fromCr are what a difference adds to the colours: JFIF's 1.402,
// 0.34414, 0.71414 and 1.772 in libjpeg's fixed point, each rounded as there.
var fromCb, fromCr = tables()

func tables() (fromCb, fromCr [256]uint64) {
	const half = 1 << 15
	for i := range 256 {
		d := int64(i) - 128
		blue, red := (116130*d+half)>>16+bias, (91881*d+half)>>16+bias
		fromCb[i] = uint64(blue)<<16 | uint64(bias/2<<16+half-22554*d)<<32
		fromCr[i] = uint64(red) | uint64(bias/2<<16-46802*d)<<32
	}
	return fromCb, fromCr
}

// redOf, greenOf and blueOf are the byte of a sum at its place in a pixel; that of
// red brings alpha 255 with it.
var redOf, greenOf, blueOf = clamps()

func clamps() (red, green, blue [1024]uint32) {
	for i := range 1024 {
		v := uint32(min(max(i-bias, 0), 255))
		red[i], green[i], blue[i] = v|0xff<<24, v<<8, v<<16
	}
	return red, green, blue
}

// pixel is red, green, blue and alpha from the lowest byte on.
func pixel(sum uint64) uint32 {
	return redOf[sum&1023] | greenOf[sum>>48&1023] | blueOf[sum>>16&1023]
}

func convert(dst, luma []byte, chroma []uint32) {
	luma, dst = luma[:len(chroma)], dst[:4*len(chroma)]
	for i, c := range chroma {
		v := pixel(uint64(luma[i])*lanes + fromCb[uint8(c)] + fromCr[uint8(c>>16)])
		binary.LittleEndian.PutUint32(dst[4*i:4*i+4:4*i+4], v)
	}
}

// convertFull is convert where every pixel has its own differences.
func convertFull(dst, luma, cb, cr []byte) {
	cb, cr, dst = cb[:len(luma)], cr[:len(luma)], dst[:4*len(luma)]
	for i, y := range luma {
		v := pixel(uint64(y)*lanes + fromCb[cb[i]] + fromCr[cr[i]])
		binary.LittleEndian.PutUint32(dst[4*i:4*i+4:4*i+4], v)
	}
}
