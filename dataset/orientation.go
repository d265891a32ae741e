package dataset

import (
	"bytes"
	"encoding/binary"
	"image"

	"github.com/gotab/gotab/internal/tiff"
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
		// As Check reads it, which does not have the whole file.
		if h, err := tiff.DecodeHeader(data); err == nil {
			return h.Orientation
		}
	case "WebP":
		if exif, ok := webpChunk(data, "EXIF"); ok {
			return tiffOrientation(bytes.TrimPrefix(exif, []byte("Exif\x00\x00")))
		}
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
			return tiffOrientation(bytes.TrimPrefix(b[at+8:at+8+n], []byte("Exif\x00\x00")))
		}
		at += 12 + n
	}
	return 1
}

// tiffOrientation looks for tag 274 in the first directory, of BigTIFF too. It is
// to be a SHORT; some writers make it a LONG.
func tiffOrientation(b []byte) int {
	if len(b) < 8 {
		return 1
	}
	var order binary.ByteOrder = binary.LittleEndian
	if b[0] == 'M' {
		order = binary.BigEndian
	}
	const orientationTag, bigTIFF = 274, 43
	at, entry := uint64(order.Uint32(b[4:])), uint64(12)
	var n uint64
	if order.Uint16(b[2:]) == bigTIFF && len(b) >= 16 {
		at, entry = order.Uint64(b[8:]), 20
		if at > uint64(len(b)) || uint64(len(b))-at < 8 {
			return 1
		}
		n = order.Uint64(b[at:])
		at += 8
	} else {
		if at > uint64(len(b)) || uint64(len(b))-at < 2 {
			return 1
		}
		n = uint64(order.Uint16(b[at:]))
		at += 2
	}
	for ; n > 0 && at <= uint64(len(b)) && uint64(len(b))-at >= entry; n, at = n-1, at+entry {
		e := b[at : at+entry]
		if order.Uint16(e) != orientationTag {
			continue
		}
		value := e[entry-4:]
		if entry == 20 {
			value = e[12:]
		}
		v := uint64(0)
		switch order.Uint16(e[2:]) {
		case 1:
			v = uint64(value[0])
		case 3, 8:
			v = uint64(order.Uint16(value))
		case 4, 9:
			v = uint64(order.Uint32(value))
		}
		if v >= 1 && v <= 8 {
			return int(v)
		}
		return 1
	}
	return 1
}

// orientRGBA turns and mirrors an image so that its first row is on top.
func orientRGBA(src *image.RGBA, o int) *image.RGBA {
	if o <= 1 {
		return src
	}
	w, h := src.Rect.Dx(), src.Rect.Dy()
	dst := image.NewRGBA(image.Rectangle{Max: turned(image.Pt(w, h), o)})
	turn(dst.Pix, dst.Stride, src.Pix, src.Stride, w, h, 4, o)
	return dst
}

// orientGray is orientRGBA for masks.
func orientGray(src *image.Gray, o int) *image.Gray {
	if o <= 1 {
		return src
	}
	w, h := src.Rect.Dx(), src.Rect.Dy()
	dst := image.NewGray(image.Rectangle{Max: turned(image.Pt(w, h), o)})
	turn(dst.Pix, dst.Stride, src.Pix, src.Stride, w, h, 1, o)
	return dst
}

// turned is the size of an image once it is turned.
func turned(size image.Point, o int) image.Point {
	if o >= 5 {
		return image.Pt(size.Y, size.X)
	}
	return size
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
