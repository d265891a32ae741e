package ycc

import "image"

// VP8 writes the pixels of a decoded lossy WebP into dst as [RGBA] does those of
// a JPEG: brightness lies between 16 and 235 there, colours are interpolated and
// rounded as libwebp does. src is what golang.org/x/image gives, of which two by
// two pixels share colours, with its corner at (0,0).
func VP8(dst []byte, stride int, src *image.YCbCr) {
	w, h := src.Rect.Dx(), src.Rect.Dy()
	if w < 1 || h < 1 {
		return
	}
	c := newChroma(src, false)
	out := make([]uint32, w)
	for y := range h {
		c.diamond(y, out)
		row, luma := dst[y*stride:][:4*w], src.Y[y*src.YStride:][:w]
		for x, v := range out {
			q := row[4*x : 4*x+4 : 4*x+4]
			q[0], q[1], q[2] = studio(int32(luma[x]), int32(v&0xff), int32(v>>16&0xff))
			q[3] = 255
		}
	}
}

// diamond is libwebp's rule for row y: of the four nearest samples the nearest
// weighs nine sixteenths and the farthest one, in two steps that each round.
func (c *chroma) diamond(y int, out []uint32) {
	nearCb, nearCr := c.samples(y / 2)
	farCb, farCr := c.samples(y/2 + y%2*2 - 1)
	pair := func(i int) (near, far uint32) {
		return uint32(nearCb[i]) | uint32(nearCr[i])<<16, uint32(farCb[i]) | uint32(farCr[i])<<16
	}
	near, far := pair(0)
	out[0] = (3*near + far + 2*one) >> 2
	for i := 1; i < c.w; i++ {
		nextNear, nextFar := pair(i)
		all := near + far + nextNear + nextFar + 8*one
		// What a shift brings down from the upper half is above its eight bits.
		out[2*i-1] = (halves(all+2*(nextNear+far)) + near) >> 1
		if 2*i < len(out) {
			out[2*i] = (halves(all+2*(near+nextFar)) + nextNear) >> 1
		}
		near, far = nextNear, nextFar
	}
	if len(out)%2 == 0 {
		out[len(out)-1] = (3*near + far + 2*one) >> 2
	}
}

// halves divides both halves of a word by eight.
func halves(v uint32) uint32 { return v >> 3 & (0x1fff<<16 | 0x1fff) }

// studio is libwebp's formula, with fourteen bits of fraction of which each product
// loses eight.
func studio(y, u, v int32) (r, g, b byte) {
	y = y * 19077 >> 8
	return sixth(y + v*26149>>8 - 14234), sixth(y - u*6419>>8 - v*13320>>8 + 8708), sixth(y + u*33050>>8 - 17685)
}

// sixth is v/2^6 within 0 to 255.
func sixth(v int32) byte { return byte(max(0, min(v>>6, 255))) }
