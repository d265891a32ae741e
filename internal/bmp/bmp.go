// Package bmp reads Windows and OS/2 bitmaps as cameras and old software write
// them: headers of 12 to 124 bytes, 1 to 32 bits a pixel, colour masks, run
// lengths, gaps between header and pixels, palettes that are shorter or longer
// than the pixels need.
//
// A file that ends early is an error that wraps [io.ErrUnexpectedEOF].
package bmp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"math"
	"math/bits"
)

// Compressions.
const (
	compressNone   = 0
	compressRLE8   = 1
	compressRLE4   = 2
	compressMasks  = 3
	compressMasks4 = 6
)

const (
	fileHeader = 14
	coreHeader = 12
	infoHeader = 40
	maxSide    = 1 << 30
)

// Header is what a file says before its pixels.
type Header struct {
	Width, Height int
	topDown       bool
	bits          int
	compression   uint32
	masks         [4]uint32 // red, green, blue, alpha
	palette       color.Palette
	at            int // where the pixels begin
}

// DecodeHeader reads headers and palette.
func DecodeHeader(data []byte) (*Header, error) {
	if len(data) >= 2 && string(data[:2]) != "BM" {
		return nil, errors.New("not a BMP file")
	}
	if len(data) < fileHeader+4 {
		return nil, io.ErrUnexpectedEOF
	}
	le := binary.LittleEndian
	offset, size := int64(le.Uint32(data[10:])), int64(le.Uint32(data[fileHeader:]))
	if size != coreHeader && (size < 16 || size > 1<<10) {
		return nil, fmt.Errorf("an information header of %d bytes", size)
	}
	if int64(len(data)) < fileHeader+size {
		return nil, io.ErrUnexpectedEOF
	}
	info := make([]byte, 128)
	copy(info, data[fileHeader:fileHeader+size])
	h := &Header{}
	entry, used := 4, int64(0)
	if size == coreHeader {
		entry = 3
		h.Width, h.Height = int(le.Uint16(info[4:])), int(le.Uint16(info[6:]))
		h.bits = int(le.Uint16(info[10:]))
	} else {
		h.Width, h.Height = int(int32(le.Uint32(info[4:]))), int(int32(le.Uint32(info[8:])))
		h.bits, h.compression = int(le.Uint16(info[14:])), le.Uint32(info[16:])
		used = int64(le.Uint32(info[32:]))
		if h.Height < 0 {
			h.Height, h.topDown = -h.Height, true
		}
	}
	if h.Width < 1 || h.Height < 1 || h.Width > maxSide || h.Height > maxSide {
		return nil, fmt.Errorf("the header says %dx%d pixels", h.Width, h.Height)
	}
	end := fileHeader + size
	extra, err := h.colours(data, info, size)
	if err != nil {
		return nil, err
	}
	end += extra
	if h.bits <= 8 {
		end += h.readPalette(data[end:], entry, used, offset-end)
	}
	// Some writers leave the place of the pixels out, or put it into the headers.
	if offset < fileHeader+size {
		offset = end
	}
	if offset > int64(len(data)) {
		return nil, io.ErrUnexpectedEOF
	}
	h.at = int(offset)
	return h, nil
}

// colours works out the masks and checks the compression. It returns how many
// bytes of masks follow the header.
func (h *Header) colours(data, info []byte, size int64) (int64, error) {
	le := binary.LittleEndian
	ok := false
	switch h.compression {
	case compressNone:
		ok = h.bits == 1 || h.bits == 2 || h.bits == 4 || h.bits == 8 || h.bits == 16 || h.bits == 24 || h.bits == 32
		if h.masks = [4]uint32{0xff0000, 0xff00, 0xff}; h.bits == 16 {
			h.masks = [4]uint32{0x7c00, 0x3e0, 0x1f}
		}
	case compressRLE8:
		ok = h.bits == 8
	case compressRLE4:
		ok = h.bits == 4
	case compressMasks, compressMasks4:
		if size == 64 {
			return 0, errors.New("OS/2's Huffman compression is not read; convert it with: magick OLD.bmp NEW.png")
		}
		ok = h.bits == 16 || h.bits == 32
	case 4, 5:
		return 0, errors.New("a JPEG or PNG within a BMP is not read; convert it with: magick OLD.bmp NEW.png")
	}
	if !ok {
		return 0, fmt.Errorf("%d bits a pixel with compression %d is not read; convert it with: magick OLD.bmp NEW.png", h.bits, h.compression)
	}
	if h.compression != compressMasks && h.compression != compressMasks4 {
		return 0, nil
	}
	extra := int64(0)
	src, n := info[40:], 3
	switch {
	case size >= 56:
		n = 4
	case size >= 52:
	default:
		if h.compression == compressMasks4 {
			n = 4
		}
		extra = int64(4 * n)
		if int64(len(data)) < fileHeader+size+extra {
			return 0, io.ErrUnexpectedEOF
		}
		src = data[fileHeader+size:]
	}
	for i := range n {
		m := le.Uint32(src[4*i:])
		h.masks[i] = m
		if low := uint64(m) >> (bits.TrailingZeros32(m) & 31); low&(low+1) != 0 {
			return 0, fmt.Errorf("a colour mask with gaps, %#08x", m)
		}
	}
	if h.masks[0]|h.masks[1]|h.masks[2] == 0 {
		return 0, errors.New("colour masks that are all 0")
	}
	return extra, nil
}

// readPalette takes as many colours as there are, and makes the others black. It
// returns its length in bytes; room is how far the pixels are.
func (h *Header) readPalette(data []byte, entry int, used, room int64) int64 {
	n := int64(1) << h.bits
	if used > 0 && used < n {
		n = used
	}
	if room > 0 {
		n = min(n, room/int64(entry))
	}
	n = min(n, int64(len(data)/entry))
	h.palette = make(color.Palette, 1<<h.bits)
	for i := range h.palette {
		c := color.RGBA{A: 255}
		if int64(i) < n {
			c.B, c.G, c.R = data[i*entry], data[i*entry+1], data[i*entry+2]
		}
		h.palette[i] = c
	}
	return n * int64(entry)
}

// Decode reads a file whose size the caller has compared with a limit. The
// result is Paletted up to 8 bits; NRGBA where there is an alpha mask, unless all
// alpha is 0, which says that nobody filled it in; RGBA with full alpha else.
func Decode(data []byte) (image.Image, error) {
	h, err := DecodeHeader(data)
	if err != nil {
		return nil, err
	}
	data = data[h.at:]
	rect := image.Rect(0, 0, h.Width, h.Height)
	// Rows of the file are filled up to four bytes; the last one may lack that.
	stride := (int64(h.Width)*int64(h.bits) + 31) / 32 * 4
	row := (int64(h.Width)*int64(h.bits) + 7) / 8
	plain := h.compression != compressRLE4 && h.compression != compressRLE8
	if need := stride*int64(h.Height-1) + row; plain && (need > math.MaxInt || int64(len(data)) < need) {
		return nil, io.ErrUnexpectedEOF
	}
	if h.bits <= 8 {
		img := image.NewPaletted(rect, h.palette)
		if !plain {
			return img, h.runs(img, data)
		}
		for y := range h.Height {
			in, out := data[int64(y)*stride:], img.Pix[h.line(y)*img.Stride:][:h.Width]
			if h.bits == 8 {
				copy(out, in)
				continue
			}
			for x := range out {
				at := x * h.bits
				out[x] = in[at/8] >> (8 - h.bits - at%8) & (1<<h.bits - 1)
			}
		}
		return img, nil
	}
	img := image.NewNRGBA(rect)
	var seen byte
	for y := range h.Height {
		in, out := data[int64(y)*stride:], img.Pix[h.line(y)*img.Stride:][:4*h.Width]
		if h.bits == 24 {
			for x := range h.Width {
				p := in[3*x : 3*x+3 : 3*x+3]
				binary.LittleEndian.PutUint32(out[4*x:4*x+4:4*x+4], uint32(p[2])|uint32(p[1])<<8|uint32(p[0])<<16|0xff<<24)
			}
			continue
		}
		seen |= h.maskedRow(out, in)
	}
	if seen != 0 {
		return img, nil
	}
	for i := 3; h.bits != 24 && i < len(img.Pix); i += 4 {
		img.Pix[i] = 255
	}
	return &image.RGBA{Pix: img.Pix, Stride: img.Stride, Rect: rect}, nil
}

// line is the place from the top of the y-th row of the file.
func (h *Header) line(y int) int {
	if h.topDown {
		return y
	}
	return h.Height - 1 - y
}

// maskedRow takes the channels of a row apart and returns all its alphas.
func (h *Header) maskedRow(out, in []byte) (seen byte) {
	var shift, most [4]uint32
	for c, m := range h.masks {
		shift[c] = uint32(bits.TrailingZeros32(m)) & 31
		most[c] = m >> shift[c]
	}
	for x := range h.Width {
		var v uint32
		if h.bits == 16 {
			v = uint32(binary.LittleEndian.Uint16(in[2*x:]))
		} else {
			v = binary.LittleEndian.Uint32(in[4*x:])
		}
		q := out[4*x : 4*x+4 : 4*x+4]
		for c, m := range h.masks {
			if m != 0 {
				q[c] = byte(uint64(v&m>>shift[c]) * 255 / uint64(most[c]))
			}
		}
		seen |= q[3]
	}
	return seen
}

// runs decodes run lengths; what they pass over stays of the first colour.
func (h *Header) runs(img *image.Paletted, data []byte) error {
	x, y := 0, 0
	put := func(v byte) {
		if x < h.Width && y < h.Height {
			img.Pix[h.line(y)*img.Stride+x] = v
		}
		x++
	}
	half := h.compression == compressRLE4
	for y < h.Height {
		if len(data) < 2 {
			if y == h.Height-1 && x >= h.Width {
				return nil // only the mark of the end is missing
			}
			return io.ErrUnexpectedEOF
		}
		n, v := int(data[0]), data[1]
		data = data[2:]
		if n > 0 {
			for i := range n {
				switch {
				case !half:
					put(v)
				case i%2 == 0:
					put(v >> 4)
				default:
					put(v & 15)
				}
			}
			continue
		}
		switch v {
		case 0:
			x, y = 0, y+1
		case 1:
			return nil
		case 2:
			if len(data) < 2 {
				return io.ErrUnexpectedEOF
			}
			x, y = x+int(data[0]), y+int(data[1])
			data = data[2:]
		default:
			size := int(v)
			if half {
				size = (size + 1) / 2
			}
			if len(data) < size {
				return io.ErrUnexpectedEOF
			}
			for i := range int(v) {
				switch {
				case !half:
					put(data[i])
				case i%2 == 0:
					put(data[i/2] >> 4)
				default:
					put(data[i/2] & 15)
				}
			}
			data = data[min((size+1)&^1, len(data)):]
		}
	}
	return nil
}
