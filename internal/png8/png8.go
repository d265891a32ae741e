// Package png8 decodes the PNG files that nearly all are: samples of 8 bits, grey or colours, not
// interlaced, nothing wrong with them. It does in one pass and from memory what image/png does
// through readers. What is otherwise is left to image/png, which also says what is wrong.
package png8

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"sync"

	"github.com/gotab/gotab/internal/inflate"
)

// Colour types of the header.
const (
	grey    = 0
	colours = 2
	alpha   = 6
)

// header is IHDR.
type header struct {
	w, h  int
	bytes int // a pixel
}

// Decode returns the picture of a file: *image.Gray for grey, *image.RGBA with alpha 255 for
// colours and *image.NRGBA for colours with alpha, as image/png does. ok is false where it is not one
// of these, or damaged. The caller has compared the size with a limit; besides, no more memory is
// taken than a stream of the file's length can fill.
func Decode(data []byte) (img image.Image, ok bool) {
	h, stream, ok := parts(data)
	if !ok {
		return nil, false
	}
	// A bit of a compressed stream makes 258/2 bytes at most, so that a small file takes
	// little memory whatever its header says.
	row := 1 + int64(h.w)*int64(h.bytes)
	size := row * int64(h.h)
	if size > int64(len(stream))*1032 {
		return nil, false
	}
	room := buffer(int(size))
	defer giveBack(room)
	raw := (*room)[:size]
	if n, err := inflate.Zlib(raw, stream); err != nil || n != len(raw) {
		return nil, false
	}
	at := image.Rect(0, 0, h.w, h.h)
	switch h.bytes {
	case 1:
		img := image.NewGray(at)
		return img, bytewise(img.Pix, raw, h.w, h.h, 1)
	case 3:
		img := image.NewRGBA(at)
		return img, threefold(img.Pix, raw, h.w, h.h)
	}
	nrgba := image.NewNRGBA(at)
	return nrgba, bytewise(nrgba.Pix, raw, 4*h.w, h.h, 4)
}

var spare sync.Pool // of *[]byte: what streams expand to

// mostSpare is the largest buffer that is kept, as no budget counts it between two pictures.
const mostSpare = 16 << 20

func giveBack(b *[]byte) {
	if cap(*b) <= mostSpare {
		spare.Put(b)
	}
}

func buffer(n int) *[]byte {
	if b, ok := spare.Get().(*[]byte); ok && cap(*b) >= n {
		return b
	}
	b := make([]byte, n)
	return &b
}

// parts returns the header and the pixels' stream of a whole file whose checksums are right where
// they say something about pixels.
func parts(b []byte) (h header, stream []byte, ok bool) {
	if !bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")) {
		return h, nil, false
	}
	var joined []byte // where the stream is in several chunks
	state := 0        // 0: nothing yet, 1: the header, 2: pixels, 3: behind them
	palette := false  // one has been, which says nothing about colours
	for b = b[8:]; len(b) >= 12; {
		n := int64(binary.BigEndian.Uint32(b))
		if n > int64(len(b))-12 {
			return h, nil, false
		}
		kind, body := string(b[4:8]), b[8:8+n]
		critical := kind[0]&32 == 0
		if critical && crc32.ChecksumIEEE(b[4:8+n]) != binary.BigEndian.Uint32(b[8+n:]) {
			return h, nil, false
		}
		b = b[12+n:]
		if (kind == "IHDR") != (state == 0) {
			return h, nil, false
		}
		switch kind {
		case "IHDR":
			if h, ok = parse(body); !ok {
				return h, nil, false
			}
			state = 1
		case "IDAT":
			switch {
			case state == 3:
				return h, nil, false
			case state == 1:
				stream = body
			default:
				if joined == nil {
					joined = make([]byte, 0, len(stream)+len(body)+len(b))
					joined = append(joined, stream...)
				}
				joined = append(joined, body...)
				stream = joined
			}
			state = 2
		case "IEND":
			return h, stream, state >= 2 && n == 0
		case "PLTE":
			if state != 1 || palette || h.bytes == 1 || n == 0 || n%3 != 0 || n > 3*256 {
				return h, nil, false
			}
			palette = true
		case "tRNS":
			return h, nil, false
		default:
			if critical {
				return h, nil, false
			}
			if state == 2 {
				state = 3
			}
		}
	}
	return h, nil, false
}

func parse(b []byte) (h header, ok bool) {
	if len(b) != 13 || b[8] != 8 || b[10] != 0 || b[11] != 0 || b[12] != 0 {
		return h, false
	}
	w, height := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	switch b[9] {
	case grey:
		h.bytes = 1
	case colours:
		h.bytes = 3
	case alpha:
		h.bytes = 4
	default:
		return h, false
	}
	const most = 1 << 30
	h.w, h.h = int(w), int(height)
	return h, w >= 1 && height >= 1 && w < most && height < most && uint64(w)*uint64(height) < most
}

// Filters of a row.
const (
	none = iota
	sub
	up
	average
	paeth
)

// bytewise undoes the filters of rows of n bytes, of which each goes with the one that is step
// before it.
func bytewise(dst, raw []byte, n, rows, step int) bool {
	above := make([]byte, n)
	for y := range rows {
		filter, row := raw[0], raw[1:1+n]
		raw = raw[1+n:]
		out := dst[y*n:][:n:n]
		switch filter {
		case none:
			copy(out, row)
		case sub:
			copy(out[:step], row)
			for i := step; i < n; i++ {
				out[i] = row[i] + out[i-step]
			}
		case up:
			sum(out, row, above)
		case average:
			for i := range step {
				out[i] = row[i] + above[i]/2
			}
			for i := step; i < n; i++ {
				out[i] = row[i] + byte((int(out[i-step])+int(above[i]))/2)
			}
		case paeth:
			if step == 1 {
				paethGrey(out, row, above)
			} else {
				paethFour(out, row, above)
			}
		default:
			return false
		}
		above = out
	}
	return true
}

// sum sets out to a+b, eight bytes at a time.
func sum(out, a, b []byte) {
	const low = 0x7f7f7f7f7f7f7f7f
	b, out = b[:len(a)], out[:len(a)]
	i := 0
	for ; i+8 <= len(a); i += 8 {
		x, y := binary.LittleEndian.Uint64(a[i:]), binary.LittleEndian.Uint64(b[i:])
		binary.LittleEndian.PutUint64(out[i:], (x&low+y&low)^((x^y)&^low))
	}
	for ; i < len(a); i++ {
		out[i] = a[i] + b[i]
	}
}

// nearest is the filter's predictor: of left, above and the one between them that which is nearest to
// left + above - between.
func nearest(left, above, between int) int {
	a, b := above-between, left-between
	c := a + b
	if a < 0 {
		a = -a
	}
	if b < 0 {
		b = -b
	}
	if c < 0 {
		c = -c
	}
	v := left
	if b < a {
		v = above
		a = b
	}
	if c < a {
		v = between
	}
	return v
}

func paethGrey(out, row, above []byte) {
	above, out = above[:len(row)], out[:len(row)]
	left, between := 0, 0
	for i, v := range row {
		over := int(above[i])
		left = int(byte(int(v) + nearest(left, over, between)))
		out[i] = byte(left)
		between = over
	}
}

func paethFour(out, row, above []byte) {
	above, out = above[:len(row)], out[:len(row)]
	var r, g, b, a, br, bg, bb, ba int
	for i := 0; i+4 <= len(row); i += 4 {
		p, q, o := row[i:i+4:i+4], above[i:i+4:i+4], out[i:i+4:i+4]
		ur, ug, ub, ua := int(q[0]), int(q[1]), int(q[2]), int(q[3])
		r = int(byte(int(p[0]) + nearest(r, ur, br)))
		g = int(byte(int(p[1]) + nearest(g, ug, bg)))
		b = int(byte(int(p[2]) + nearest(b, ub, bb)))
		a = int(byte(int(p[3]) + nearest(a, ua, ba)))
		o[0], o[1], o[2], o[3] = byte(r), byte(g), byte(b), byte(a)
		br, bg, bb, ba = ur, ug, ub, ua
	}
}

// threefold undoes the filters of rows of w pixels of three bytes and writes four.
func threefold(dst, raw []byte, w, rows int) bool {
	above := make([]byte, 4*w)
	for y := range rows {
		filter, row := raw[0], raw[1:1+3*w]
		raw = raw[1+3*w:]
		out := dst[y*4*w:][: 4*w : 4*w]
		switch filter {
		case none:
			noneThree(out, row)
		case sub:
			subThree(out, row)
		case up:
			upThree(out, row, above)
		case average:
			averageThree(out, row, above)
		case paeth:
			paethThree(out, row, above)
		default:
			return false
		}
		above = out
	}
	return true
}

const opaque = 0xff << 24

func noneThree(out, row []byte) {
	for i, j := 0, 0; i+3 <= len(row) && j+4 <= len(out); i, j = i+3, j+4 {
		p, o := row[i:i+3:i+3], out[j:j+4:j+4]
		binary.LittleEndian.PutUint32(o, uint32(p[0])|uint32(p[1])<<8|uint32(p[2])<<16|opaque)
	}
}

func subThree(out, row []byte) {
	var r, g, b byte
	for i, j := 0, 0; i+3 <= len(row) && j+4 <= len(out); i, j = i+3, j+4 {
		p, o := row[i:i+3:i+3], out[j:j+4:j+4]
		r, g, b = r+p[0], g+p[1], b+p[2]
		binary.LittleEndian.PutUint32(o, uint32(r)|uint32(g)<<8|uint32(b)<<16|opaque)
	}
}

func upThree(out, row, above []byte) {
	above = above[:len(out)]
	for i, j := 0, 0; i+3 <= len(row) && j+4 <= len(out); i, j = i+3, j+4 {
		p, q, o := row[i:i+3:i+3], above[j:j+4:j+4], out[j:j+4:j+4]
		binary.LittleEndian.PutUint32(o, uint32(p[0]+q[0])|uint32(p[1]+q[1])<<8|uint32(p[2]+q[2])<<16|opaque)
	}
}

func averageThree(out, row, above []byte) {
	above = above[:len(out)]
	var r, g, b int
	for i, j := 0, 0; i+3 <= len(row) && j+4 <= len(out); i, j = i+3, j+4 {
		p, q, o := row[i:i+3:i+3], above[j:j+4:j+4], out[j:j+4:j+4]
		r = int(p[0]+byte((r+int(q[0]))/2)) & 255
		g = int(p[1]+byte((g+int(q[1]))/2)) & 255
		b = int(p[2]+byte((b+int(q[2]))/2)) & 255
		binary.LittleEndian.PutUint32(o, uint32(r)|uint32(g)<<8|uint32(b)<<16|opaque)
	}
}

func paethThree(out, row, above []byte) {
	above = above[:len(out)]
	var r, g, b, br, bg, bb int
	for i, j := 0, 0; i+3 <= len(row) && j+4 <= len(out); i, j = i+3, j+4 {
		p, q, o := row[i:i+3:i+3], above[j:j+4:j+4], out[j:j+4:j+4]
		ur, ug, ub := int(q[0]), int(q[1]), int(q[2])
		r = int(byte(int(p[0]) + nearest(r, ur, br)))
		g = int(byte(int(p[1]) + nearest(g, ug, bg)))
		b = int(byte(int(p[2]) + nearest(b, ub, bb)))
		binary.LittleEndian.PutUint32(o, uint32(r)|uint32(g)<<8|uint32(b)<<16|opaque)
		br, bg, bb = ur, ug, ub
	}
}
