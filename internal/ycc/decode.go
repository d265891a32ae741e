package ycc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/jpeg"

	"github.com/gotab/gotab/internal/jpeg8"
)

// Decode reads a JPEG file and makes libjpeg's colours of its planes, which
// internal/jpeg8 gives, or image/jpeg of what that leaves to it. The result is
//
//   - *image.Gray for one component;
//   - *image.RGBA with full alpha for three, YCbCr or RGB;
//   - *image.CMYK for four, taken for inverted inks as photographs have them, with
//     Adobe's marker or without.
//
// Errors are those of image/jpeg. The caller has compared the size with a limit.
func Decode(data []byte) (image.Image, error) {
	img, _, err := Reduced(data, 1)
	return img, err
}

// Reduced is [Decode] of a picture whose sides are shrink times shorter, 1, 2, 4 or 8, rounded up, as libjpeg
// scales: by a transform to fewer values. by is what they are: 1 for files that internal/jpeg8 leaves to
// image/jpeg.
func Reduced(data []byte, shrink int) (img image.Image, by int, err error) {
	f := headOf(data)
	switch {
	case f.components == 4:
		img, err = decodeInks(data, f)
		return img, 1, err
	case f.components == 3 && f.marked():
		// image/jpeg gives planes only of what its last marker of programs calls JFIF.
		data = inserted(data, f.scan, "\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00")
	}
	by = shrink
	img, ok := jpeg8.Decode(data, shrink)
	if !ok {
		by = 1
		if img, err = decode(data); err != nil {
			return nil, 0, err
		}
	}
	src, ok := img.(*image.YCbCr)
	if !ok {
		return img, by, nil
	}
	dst := image.NewRGBA(src.Rect)
	// Of blocks that have become one value, libjpeg repeats colours.
	if nearest := by == 8; f.rgb() {
		separate(dst, src, nearest)
	} else {
		rgba(dst.Pix, dst.Stride, src, nearest)
	}
	return dst, by, nil
}

// maxScans is how many scans a file may have. Writers make ten or so, and a scan of nothing costs a pass over
// all of the picture.
const maxScans = 500

// decode is image/jpeg's, of files of at most maxScans scans.
func decode(data []byte) (image.Image, error) {
	if scans(data) > maxScans {
		return nil, fmt.Errorf("more than %d scans are not read; convert it without loss with: jpegtran -outfile NEW.jpg OLD.jpg", maxScans)
	}
	return jpeg.Decode(bytes.NewReader(data))
}

// scans counts the scans up to the end marker, at most one more than maxScans.
func scans(b []byte) (n int) {
	for at := 2; at+2 <= len(b) && n <= maxScans; {
		if b[at] != 0xff { // of a scan
			next := bytes.IndexByte(b[at:], 0xff)
			if next < 0 {
				return n
			}
			at += next
			continue
		}
		marker := b[at+1]
		switch {
		case marker == 0xff: // a fill byte
			at++
			continue
		case marker == 0 || marker >= 0xd0 && marker <= 0xd8 || marker == 0x01: // a byte of a scan, or a marker of nothing
			at += 2
			continue
		case marker == 0xd9:
			return n
		case marker == 0xda:
			n++
		}
		if at+4 > len(b) {
			return n
		}
		at += 2 + int(binary.BigEndian.Uint16(b[at+2:]))
	}
	return n
}

// separate takes the planes for red, green and blue.
func separate(dst *image.RGBA, src *image.YCbCr, nearest bool) {
	w := src.Rect.Dx()
	c := newChroma(src, nearest)
	for y := range src.Rect.Dy() {
		row, luma := dst.Pix[y*dst.Stride:][:4*w], src.Y[y*src.YStride:][:w]
		for x, v := range c.row(y)[:w] {
			q := row[4*x : 4*x+4 : 4*x+4]
			q[0], q[1], q[2], q[3] = luma[x], byte(v), byte(v>>16), 255
		}
	}
}

// decodeInks reads four components.
func decodeInks(data []byte, f head) (image.Image, error) {
	// With Adobe's marker for colours that are no YCbCrK, image/jpeg gives the four
	// planes, inverted, and repeats samples that pixels share.
	raw := inserted(data, 2, "\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00")
	for _, at := range f.transforms {
		raw[at+len(raw)-len(data)] = 0
	}
	img, err := decode(raw)
	if err != nil {
		return nil, err
	}
	inks, ok := img.(*image.CMYK)
	if !ok || !f.shared && !f.adobe() {
		return img, nil
	}
	w, h := inks.Rect.Dx(), inks.Rect.Dy()
	src := &image.YCbCr{YStride: w, CStride: w, Rect: inks.Rect, SubsampleRatio: image.YCbCrSubsampleRatio444}
	step := 1
	if f.shared {
		step = 2
		src.CStride, src.SubsampleRatio = (w+1)/2, image.YCbCrSubsampleRatio420
	}
	for y := range h {
		for i, row := 0, inks.Pix[y*inks.Stride:][:4*w]; i < len(row); i += 4 {
			src.Y = append(src.Y, 255-row[i])
			if y%step == 0 && i/4%step == 0 {
				src.Cb, src.Cr = append(src.Cb, 255-row[i+1]), append(src.Cr, 255-row[i+2])
			}
		}
	}
	c, colours := newChroma(src, false), make([]byte, 4*w)
	for y := range h {
		row, chroma := inks.Pix[y*inks.Stride:][:4*w], c.row(y)[:w]
		if f.adobe() {
			convert(colours, src.Y[y*w:][:w], chroma)
			for x := range w {
				copy(row[4*x:4*x+3], colours[4*x:])
			}
			continue
		}
		for x, v := range chroma {
			row[4*x+1], row[4*x+2] = 255-byte(v), 255-byte(v>>16)
		}
	}
	return inks, nil
}

// inserted puts a segment in front of a marker.
func inserted(data []byte, at int, segment string) []byte {
	out := make([]byte, 0, len(data)+len(segment))
	return append(append(append(out, data[:at]...), segment...), data[at:]...)
}

// head is what the segments before the first scan say of colours.
type head struct {
	components int
	ids        string
	shared     bool  // whether pixels share samples of the second component
	jfif       bool  // has JFIF's marker
	scan       int   // where the first scan begins, or what is damaged
	transforms []int // where Adobe's markers say how colours are stored; the last one counts
	transform  byte  // what it says
}

// adobe says whether Adobe's marker calls the colours YCbCr or YCbCrK.
func (h head) adobe() bool { return len(h.transforms) > 0 && h.transform != 0 }

// marked says whether names or Adobe's marker call the components red, green and blue, of which image/jpeg makes colours
// unless the last marker of programs is JFIF's.
func (h head) marked() bool {
	return h.ids == "RGB" || len(h.transforms) > 0 && h.transform == 0
}

// rgb says whether libjpeg takes them for these: any marker of JFIF counts before Adobe's, and that before the names.
func (h head) rgb() bool { return !h.jfif && h.marked() && !h.adobe() }

// headOf walks the segments; of several frame headers, which no decoder takes, the first one counts. What is damaged, the
// decoder reports.
func headOf(b []byte) (h head) {
	h.scan = 2
	for at := 2; at+4 <= len(b) && b[at] == 0xff; h.scan = at {
		marker, n := b[at+1], int(binary.BigEndian.Uint16(b[at+2:]))
		if marker == 0xff { // a fill byte
			at++
			continue
		}
		if marker == 0xda || n < 2 || at+2+n > len(b) {
			return h
		}
		body := b[at+4 : at+2+n]
		switch {
		case marker == 0xe0 && bytes.HasPrefix(body, []byte("JFIF\x00")):
			h.jfif = true
		case marker == 0xee && len(body) >= 12 && bytes.HasPrefix(body, []byte("Adobe")):
			h.transforms, h.transform = append(h.transforms, at+4+11), body[11]
		case marker >= 0xc0 && marker <= 0xc2 && h.components == 0 && len(body) >= 6 && len(body) >= 6+3*int(body[5]):
			h.components = int(body[5])
			for i := range h.components {
				h.ids += string(rune(body[6+3*i]))
			}
			h.shared = h.components > 1 && body[7] != body[10]
		}
		at += 2 + n
	}
	return h
}
