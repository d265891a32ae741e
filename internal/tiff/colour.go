package tiff

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"math"

	"github.com/gotab/gotab/internal/ycc"
)

// labToRGB converts n pixels of four bytes from CIE L*a*b* of white D50, as the
// format has it, to sRGB in place: through XYZ, which is adapted to D65 by
// Bradford's matrix.
func labToRGB(pix []byte, n int) {
	curve := func(t float64) float64 {
		if t > 6.0/29 {
			return t * t * t
		}
		return 3 * (6.0 / 29) * (6.0 / 29) * (t - 4.0/29)
	}
	gamma := func(v float64) byte {
		switch v = min(max(v, 0), 1); {
		case v <= 0.0031308:
			v *= 12.92
		default:
			v = 1.055*math.Pow(v, 1/2.4) - 0.055
		}
		return byte(math.Round(255 * v))
	}
	known := make(map[[3]byte][3]byte)
	for i := range n {
		p := pix[4*i : 4*i+3 : 4*i+3]
		key := [3]byte(p)
		out, ok := known[key]
		if !ok {
			l, a, b := float64(p[0])*100/255, float64(int8(p[1])), float64(int8(p[2]))
			fy := (l + 16) / 116
			x, y, z := 0.9642*curve(fy+a/500), curve(fy), 0.8249*curve(fy-b/200)
			out = [3]byte{
				gamma(3.1338561*x - 1.6168667*y - 0.4906146*z),
				gamma(-0.9787684*x + 1.9161415*y + 0.0334540*z),
				gamma(0.0719453*x - 0.2289914*y + 1.4052427*z),
			}
			if len(known) < 1<<16 {
				known[key] = out
			}
		}
		copy(p, out[:])
	}
}

// subsampledChunk reads a strip or tile in which blocks of subX x subY pixels
// share their chroma: the luma of a block, then Cb and Cr.
func (d *decoder) subsampledChunk(data []byte, x, y, count int) error {
	h := d.h
	src, err := d.open(data, count)
	if err != nil {
		return err
	}
	if d.room == nil {
		d.room = make([]byte, d.rowSize)
	}
	unit := h.subX*h.subY + 2
	for r := 0; r < count; r += h.subY {
		row, err := src.next(d.room)
		if err != nil {
			return err
		}
		for dy := 0; dy < h.subY && r+dy < count; dy++ {
			for px := range min(h.chunkW, h.Width-x) {
				u := row[px/h.subX*unit:]
				q := d.pix[((y+r+dy)*h.Width+x+px)*4:]
				q[0], q[1], q[2] = u[dy*h.subX+px%h.subX], u[unit-2], u[unit-1]
			}
		}
	}
	return nil
}

// jpegChunk reads a strip or tile that is a JPEG stream, whose tables may be
// kept apart.
func (d *decoder) jpegChunk(data []byte, plane, x, y, count int) error {
	h := d.h
	if h.Bits != 8 {
		return fmt.Errorf("JPEG of %d bits is not read; convert it with: tiffcp -c zip OLD.tif NEW.tif", h.Bits)
	}
	stream, err := h.jpegStream(data)
	if err != nil {
		return err
	}
	cfg, err := jpeg.DecodeConfig(bytes.NewReader(stream))
	if err != nil {
		return err
	}
	w := min(h.chunkW, h.Width-x)
	if cfg.Width < w || cfg.Height < count || cfg.Width > h.chunkW+64 || cfg.Height > h.chunkH+64 {
		return fmt.Errorf("a JPEG of %dx%d pixels in a strip or tile of %dx%d", cfg.Width, cfg.Height, h.chunkW, count)
	}
	if 16*int64(cfg.Width)*int64(cfg.Height) > 4*d.o.MaxBytes {
		return fmt.Errorf("a JPEG strip or tile of %dx%d pixels is %w", cfg.Width, cfg.Height, ErrTooLarge)
	}
	if d.jpeg += int64(cfg.Width) * int64(cfg.Height); d.jpeg > 16*int64(h.Width)*int64(h.Height)*int64(d.planes())+1<<24 {
		return errors.New("its strips or tiles of JPEG have many times the pixels of the picture; divide it anew with: tiffcp -s OLD.tif NEW.tif")
	}
	img, err := ycc.Decode(stream)
	if err != nil {
		return err
	}
	var fits bool
	switch img.(type) {
	case *image.Gray:
		fits = h.planar || h.samples == 1
	case *image.CMYK:
		fits = !h.planar && h.samples == 4 && d.colours == 4
	case *image.RGBA:
		fits = !h.planar && h.samples == 3 && d.colours == 3
	}
	if !fits {
		return fmt.Errorf("a JPEG of %T for %d samples a pixel", img, h.samples)
	}
	d.putImage(img, plane, x, y, w, count)
	return nil
}

// putImage writes the upper left w x count pixels of a decoded JPEG.
func (d *decoder) putImage(img image.Image, plane, x, y, w, count int) {
	h := d.h
	for r := range count {
		dst := d.pix[((y+r)*h.Width+x)*d.channels:]
		for i := range w {
			q := dst[i*d.channels:]
			switch m := img.(type) {
			case *image.Gray:
				v := m.Pix[r*m.Stride+i]
				switch {
				case h.planar && d.channels == 4 && d.colours == 1 && plane == 1:
					q[3] = v
				case h.planar:
					q[plane] = v
				default:
					q[0] = v
				}
				if h.photometric == whiteIsZero && plane == 0 {
					q[0] = 255 - v
				}
			case *image.CMYK:
				// The decoder takes inks for inverted, as photographs have them; in
				// TIFF they are not.
				for c := range 4 {
					q[c] = 255 - m.Pix[r*m.Stride+4*i+c]
				}
			case *image.RGBA:
				copy(q[:3], m.Pix[r*m.Stride+4*i:])
			}
		}
	}
}

// jpegStream joins tables and strip, and marks colours that are not YCbCr so
// that a decoder of files takes them as they are. Markers of applications in the
// strip say nothing: the tags of the file count.
func (h *Header) jpegStream(data []byte) ([]byte, error) {
	out := []byte("\xff\xd8")
	if h.photometric != colourYCbCr {
		out = append(out, "\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"...)
	}
	var err error
	if len(h.jpegTables) > 4 {
		if out, _, err = appendSegments(out, h.jpegTables); err != nil {
			return nil, err
		}
	}
	out, scan, err := appendSegments(out, data)
	if err != nil {
		return nil, err
	}
	out = append(out, scan...)
	if !bytes.HasSuffix(scan, []byte("\xff\xd9")) {
		out = append(out, 0xff, 0xd9)
	}
	return out, nil
}

// appendSegments copies the segments of a JPEG stream up to its first scan or
// its end, and returns the rest.
func appendSegments(out, b []byte) ([]byte, []byte, error) {
	if len(b) < 4 || b[0] != 0xff || b[1] != 0xd8 {
		return nil, nil, errors.New("a strip or table that is not a JPEG stream")
	}
	for b = b[2:]; len(b) >= 2; {
		if b[0] != 0xff {
			return nil, nil, errors.New("a damaged JPEG stream")
		}
		switch {
		case b[1] == 0xff:
			b = b[1:]
			continue
		case b[1] == 0xda:
			return out, b, nil
		case b[1] == 0xd9:
			return out, nil, nil
		case len(b) < 4:
			return nil, nil, io.ErrUnexpectedEOF
		}
		n := 2 + int(binary.BigEndian.Uint16(b[2:]))
		if n < 4 || n > len(b) {
			return nil, nil, io.ErrUnexpectedEOF
		}
		if b[1] != 0xe0 && b[1] != 0xee {
			out = append(out, b[:n]...)
		}
		b = b[n:]
	}
	return out, nil, nil
}
