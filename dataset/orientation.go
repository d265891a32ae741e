package dataset

import (
	"bytes"
	"encoding/binary"
	"image"
)

// orientation returns the EXIF orientation of a file, 1 to 8, and 1 where it
// has none or what it has makes no sense.
func orientation(codec string, data []byte) int {
	switch codec {
	case "JPEG":
		return jpegOrientation(data)
	case "PNG":
		return pngOrientation(data)
	case "TIFF":
		return tiffOrientation(data)
	}
	return 1
}

// jpegOrientation walks the segments up to the first scan.
func jpegOrientation(b []byte) int {
	for at := 2; at+4 <= len(b) && b[at] == 0xff; {
		marker, n := b[at+1], int(binary.BigEndian.Uint16(b[at+2:]))
		switch {
		case marker == 0xff: // a fill byte
			at++
			continue
		case marker == 0xda || n < 2 || at+2+n > len(b):
			return 1
		case marker == 0xe1:
			if exif, ok := bytes.CutPrefix(b[at+4:at+2+n], []byte("Exif\x00\x00")); ok {
				return tiffOrientation(exif)
			}
		}
		at += 2 + n
	}
	return 1
}

// pngOrientation walks the chunks.
func pngOrientation(b []byte) int {
	for at := int64(8); at+12 <= int64(len(b)); {
		n := int64(binary.BigEndian.Uint32(b[at:]))
		if at+12+n > int64(len(b)) {
			return 1
		}
		if string(b[at+4:at+8]) == "eXIf" {
			return tiffOrientation(b[at+8 : at+8+n])
		}
		at += 12 + n
	}
	return 1
}

// tiffOrientation looks for tag 274 in the first directory.
func tiffOrientation(b []byte) int {
	if len(b) < 8 {
		return 1
	}
	var order binary.ByteOrder = binary.LittleEndian
	if b[0] == 'M' {
		order = binary.BigEndian
	}
	at := int64(order.Uint32(b[4:]))
	if at+2 > int64(len(b)) {
		return 1
	}
	n := int64(order.Uint16(b[at:]))
	for at += 2; n > 0 && at+12 <= int64(len(b)); n, at = n-1, at+12 {
		if order.Uint16(b[at:]) != 274 {
			continue
		}
		const short = 3
		if v := int(order.Uint16(b[at+8:])); order.Uint16(b[at+2:]) == short && v >= 1 && v <= 8 {
			return v
		}
		return 1
	}
	return 1
}

// orient turns and mirrors a picture so that its first row is on top. Grey stays
// grey; other kinds become RGBA.
func orient(img image.Image, o int) image.Image {
	if o <= 1 {
		return img
	}
	if g, ok := img.(*image.Gray); ok {
		b := g.Rect
		dst := image.NewGray(turnedRect(b.Dx(), b.Dy(), o))
		turn(dst.Pix, dst.Stride, g.Pix[g.PixOffset(b.Min.X, b.Min.Y):], g.Stride, b.Dx(), b.Dy(), 1, o)
		return dst
	}
	src := asRGBA(img)
	w, h := src.Rect.Dx(), src.Rect.Dy()
	dst := image.NewRGBA(turnedRect(w, h, o))
	turn(dst.Pix, dst.Stride, src.Pix, src.Stride, w, h, 4, o)
	return dst
}

func turnedRect(w, h, o int) image.Rectangle {
	if o >= 5 {
		w, h = h, w
	}
	return image.Rect(0, 0, w, h)
}

// turn copies a raster of w x h pixels of n bytes.
func turn(dst []byte, dstStride int, src []byte, srcStride, w, h, n, o int) {
	for y := range h {
		for x := range w {
			// Where the stored pixel (x, y) goes: EXIF 2.32, table of 0x0112.
			var u, v int
			switch o {
			case 2: // mirrored
				u, v = w-1-x, y
			case 3: // half a turn
				u, v = w-1-x, h-1-y
			case 4: // mirrored top to bottom
				u, v = x, h-1-y
			case 5: // transposed
				u, v = y, x
			case 6: // a quarter clockwise
				u, v = h-1-y, x
			case 7: // transposed over the other diagonal
				u, v = h-1-y, w-1-x
			case 8: // a quarter anticlockwise
				u, v = y, w-1-x
			}
			copy(dst[v*dstStride+u*n:][:n], src[y*srcStride+x*n:][:n])
		}
	}
}
