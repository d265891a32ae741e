package tiff

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"math"
	"math/bits"

	"github.com/klauspost/compress/zstd"
)

// ErrTooLarge says that a row, strip or tile takes more memory than Options
// allow.
var ErrTooLarge = errors.New("beyond the limit")

// Options say how pixels are taken over.
type Options struct {
	// MaxBytes bounds a row of a strip or tile, the window of a decompressor and, four times, a strip or tile of JPEG,
	// in bytes.
	MaxBytes int64
	// White is the value of white in floats and in integers of more than 16
	// bits; larger ones are white too. 0 stands for 1 in floats and 255 in
	// integers, and there a larger value is an error, because what is white is
	// not known then.
	White float64
	// Mask keeps small values of floats and long integers apart from 0 instead
	// of scaling them: 0 to 65535 as they are, floats up to 1 times 65535.
	Mask bool
}

// Decode reads the first page: uncompressed, PackBits, LZW, deflate, zstd, fax (RLE,
// group 3 and 4) and JPEG, with predictors. The caller has compared
// [DecodeHeader]'s size with a limit. The result is
//
//   - Gray for grey of up to 8 bits, Gray16 for more; fewer bits than 8 or 16 are
//     stretched to full scale, and black is 0 whatever the file has;
//   - Paletted;
//   - RGBA, or RGBA64 beyond 8 bits, with full alpha, for RGB, YCbCr and CIE
//     L*a*b*; NRGBA or NRGBA64 where there is an alpha sample, for grey too;
//   - CMYK, of 8 bits.
//
// Besides rows it takes 24 bytes a pixel and 1 MB at most, with those of the result. Strips and tiles may share their data; all
// together are a small multiple of the picture and of the file, or refused.
func Decode(data []byte, o Options) (image.Image, error) {
	h, err := DecodeHeader(data)
	if err != nil {
		return nil, err
	}
	d := &decoder{h: h, o: o, data: data}
	defer d.close()
	if err := d.prepare(); err != nil {
		return nil, err
	}
	if err := d.chunks(); err != nil {
		return nil, err
	}
	return d.finish()
}

// decoder writes samples into pix: 1 or 4 channels of 1 or 2 bytes, the higher
// byte first.
type decoder struct {
	h    *Header
	o    Options
	data []byte

	colours  int    // samples of a pixel that make its colour
	alpha    bool   // whether the next one is alpha
	channels int    // of a pixel in pix
	deep     bool   // whether they have 2 bytes
	pix      []byte // Width*Height pixels
	white    float64
	largest  float64 // value met where White is not set
	row      []byte  // of a strip or tile
	room     []byte  // for one that is not expanded elsewhere
	tmp      []byte

	unit    int    // rows that lie together: of pixels that share colours, those of a block
	rowSize int64  // bytes of them
	quick   bool   // whether strips or tiles are expanded whole
	buf     []byte // one that is
	zlib    io.ReadCloser
	zstdAll *zstd.Decoder
	zstdRow *zstd.Decoder
	lzw     *lzwTable
	jpeg    int64 // pixels of strips or tiles of JPEG so far
}

// prepare checks the settings of the file and makes the picture.
func (d *decoder) prepare() error {
	h := d.h
	switch h.photometric {
	case whiteIsZero, blackIsZero, colourMap:
		d.colours = 1
	case colourRGB, colourYCbCr, colourLab:
		d.colours = 3
	case colourCMYK:
		d.colours = 4
	default:
		return fmt.Errorf("colours of kind %d are not read; convert it to RGB first", h.photometric)
	}
	if h.samples < d.colours || h.samples > maxSamples {
		return fmt.Errorf("%d samples a pixel, want %d to %d", h.samples, d.colours, maxSamples)
	}
	switch h.format {
	case formatUint, formatVoid:
		if (h.Bits < 1 || h.Bits > 16) && h.Bits != 24 && h.Bits != 32 && h.Bits != 64 {
			return fmt.Errorf("samples of %d bits are not read", h.Bits)
		}
	case formatInt:
		if h.Bits != 8 && h.Bits != 16 && h.Bits != 32 && h.Bits != 64 {
			return fmt.Errorf("signed samples of %d bits are not read", h.Bits)
		}
	case formatFloat:
		if h.Bits != 16 && h.Bits != 32 && h.Bits != 64 {
			return fmt.Errorf("floats of %d bits are not read", h.Bits)
		}
	default:
		return fmt.Errorf("complex numbers (sample format %d) are not read", h.format)
	}
	if (h.photometric == colourMap || h.photometric == colourLab || h.photometric == colourYCbCr) && (h.Bits > 8 || h.Float) {
		return fmt.Errorf("colours of kind %d with samples of %d bits are not read; convert it to RGB first", h.photometric, h.Bits)
	}
	if h.photometric == colourMap && len(h.palette) != 3<<h.Bits {
		return fmt.Errorf("a palette of %d values, want %d", len(h.palette), 3<<h.Bits)
	}
	d.alpha = h.samples > d.colours && (h.extra == extraAssociated || h.extra == extraUnassociated) && d.colours != 4 && h.photometric != colourMap
	d.deep = h.Bits > 8 && d.colours != 4
	d.channels = 4
	if d.colours == 1 && !d.alpha {
		d.channels = 1
	}
	d.white = d.o.White
	if d.white == 0 {
		if d.white = 255; h.Float {
			d.white = 1
		}
	}
	if err := d.layout(); err != nil {
		return err
	}
	n := h.Width * h.Height * d.channels
	if d.deep {
		n *= 2
	}
	d.pix = make([]byte, n)
	return nil
}

// layout checks strips and tiles.
func (d *decoder) layout() error {
	h := d.h
	if h.chunkW < 1 || h.chunkH < 1 {
		return fmt.Errorf("strips or tiles of %dx%d pixels", h.chunkW, h.chunkH)
	}
	n := int64(d.across()) * int64(d.down())
	if h.planar {
		n *= int64(h.samples)
	}
	if int64(len(h.offsets)) < n {
		return fmt.Errorf("%d strips or tiles, want %d", len(h.offsets), n)
	}
	if h.compression == compressNone && int64(len(h.counts)) < n {
		// Old writers left them out: an uncompressed strip is as long as its rows.
		h.counts = make([]uint64, n)
		for i := range h.counts {
			at := min(h.offsets[i], uint64(len(d.data)))
			h.counts[i] = min(uint64(d.rowBytes())*uint64(h.chunkH), uint64(len(d.data))-at)
		}
	}
	if int64(len(h.counts)) < n {
		return errors.New("the lengths of strips or tiles are missing")
	}
	d.unit, d.rowSize = 1, d.rowBytes()
	if d.subsampled() {
		if h.subX < 1 || h.subX > 4 || h.subY < 1 || h.subY > 4 || h.samples != 3 || h.Bits != 8 || h.predictor > predictNone {
			return fmt.Errorf("chroma subsampled by %dx%d with %d samples of %d bits is not read; convert it to RGB first", h.subX, h.subY, h.samples, h.Bits)
		}
		d.unit, d.rowSize = h.subY, int64((h.chunkW+h.subX-1)/h.subX)*int64(h.subX*h.subY+2)
	}
	size := d.rowSize
	switch h.compression {
	case compressRLE, compressRLEW, compressG3, compressG4:
		size = 32 * int64(h.chunkW) // where the colour changes, in two rows
	}
	if size > d.o.MaxBytes {
		return fmt.Errorf("a row takes %d bytes, %w of %d", size, ErrTooLarge, d.o.MaxBytes)
	}
	return d.work()
}

// work compares what all strips or tiles are to read and to write with the picture and the file, and decides
// whether they are expanded whole. Those of an honest file may share their data, a blank tile for instance, but do not
// hold much more than the picture.
func (d *decoder) work() error {
	h := d.h
	n := int64(d.across()) * int64(d.down()) * int64(d.planes())
	picture := product((int64(h.Width)*int64(d.perRow())*int64(h.Bits)+7)/8, int64(h.Height)*int64(d.planes()))
	whole, one := d.expanded(h.chunkH), d.expanded(min(h.chunkH, h.Height))
	d.quick = whole <= d.atOnce() && product(n, whole) <= sum(product(4, picture), slackBytes)
	out := product(n, one)
	if out > sum(sum(product(16, picture), one), 64<<20) {
		return fmt.Errorf("%d strips or tiles of %dx%d pixels hold %d bytes for %d of the picture; divide it anew with: tiffcp -s OLD.tif NEW.tif", n, h.chunkW, h.chunkH, out, picture)
	}
	if h.compression == compressNone {
		return nil
	}
	in := product(n, int64(len(h.jpegTables)))
	for _, k := range h.counts[:n] {
		in = sum(in, int64(min(k, uint64(len(d.data)))))
	}
	if in > sum(product(2, out), 4*int64(len(d.data))+1<<20) {
		return fmt.Errorf("its strips or tiles name %d bytes in a file of %d, and share them in a way that no picture needs; divide it anew with: tiffcp -s OLD.tif NEW.tif", in, len(d.data))
	}
	return nil
}

// product and sum are those of numbers that are not negative, at most the largest that there is.
func product(a, b int64) int64 {
	high, low := bits.Mul64(uint64(a), uint64(b))
	if high != 0 || low > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(low)
}

func sum(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

func (d *decoder) across() int { return (d.h.Width + d.h.chunkW - 1) / d.h.chunkW }
func (d *decoder) down() int   { return (d.h.Height + d.h.chunkH - 1) / d.h.chunkH }

// perRow is the number of samples of a pixel that lie side by side.
func (d *decoder) perRow() int {
	if d.h.planar {
		return 1
	}
	return d.h.samples
}

// rowBytes is the length of a row of a strip or tile.
func (d *decoder) rowBytes() int64 {
	return (int64(d.h.chunkW)*int64(d.perRow())*int64(d.h.Bits) + 7) / 8
}

// expanded is the length of so many rows of a strip or tile.
func (d *decoder) expanded(rows int) int64 {
	return product(d.rowSize, (int64(rows)+int64(d.unit)-1)/int64(d.unit))
}

// planes is how many planes have something to show; 1 where samples lie side by side.
func (d *decoder) planes() int {
	switch {
	case !d.h.planar:
		return 1
	case d.alpha:
		return d.colours + 1
	}
	return d.colours
}

// subsampled says whether blocks of pixels share colours, outside JPEG.
func (d *decoder) subsampled() bool {
	h := d.h
	return h.photometric == colourYCbCr && h.compression != compressJPEG && (h.subX != 1 || h.subY != 1) && !h.planar
}

// chunks reads all strips or tiles that have something to show.
func (d *decoder) chunks() error {
	h := d.h
	subsampled := d.subsampled()
	across, down := d.across(), d.down()
	for p := range d.planes() {
		for i := range across * down {
			k := p*across*down + i
			at, n := h.offsets[k], h.counts[k]
			if at > uint64(len(d.data)) || n > uint64(len(d.data))-at {
				return io.ErrUnexpectedEOF
			}
			data := d.data[at : at+n]
			x, y := i%across*h.chunkW, i/across*h.chunkH
			rows := min(h.chunkH, h.Height-y)
			if h.compression == compressNone {
				data = data[:min(int64(len(data)), d.expanded(rows))]
			}
			var err error
			switch {
			case h.compression == compressJPEG:
				err = d.jpegChunk(data, p, x, y, rows)
			case subsampled:
				err = d.subsampledChunk(data, x, y, rows)
			default:
				err = d.chunk(data, p, x, y, rows)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// chunk reads one strip or tile whose first pixel is (x, y).
func (d *decoder) chunk(data []byte, plane, x, y, count int) error {
	h := d.h
	src, err := d.open(data, count)
	if err != nil {
		return err
	}
	if d.room == nil {
		d.room = make([]byte, d.rowSize)
		if h.predictor == predictFloat {
			d.tmp = make([]byte, d.rowSize)
		}
	}
	for r := range count {
		if d.row, err = src.next(d.room); err != nil {
			return err
		}
		if err := h.predict(d.row, d.tmp, d.perRow()); err != nil {
			return err
		}
		d.put(plane, x, y+r, min(h.chunkW, h.Width-x))
	}
	return nil
}

// put writes n pixels of row into the picture.
func (d *decoder) put(plane, x, y, n int) {
	h := d.h
	at := (y*h.Width + x) * d.channels
	if d.bytes() {
		d.putBytes(d.pix[at:], n)
		return
	}
	if d.deep && h.Bits == 16 && !h.Float && !h.Signed && h.photometric != whiteIsZero && !h.planar && d.colours != 1 {
		d.putShorts(d.pix[2*at:], n)
		return
	}
	if d.deep && h.Bits == 16 && !h.Float && !h.Signed && h.photometric == blackIsZero && d.channels == 1 && d.perRow() == 1 {
		d.putGrey16(d.pix[2*at:], n)
		return
	}
	per, used := d.perRow(), d.colours
	if d.alpha {
		used++
	}
	for c := range used {
		channel, sample := c, c
		if h.planar {
			if c != plane {
				continue
			}
			sample = 0
		}
		if d.channels == 4 && d.colours == 1 && c == 1 {
			channel = 3 // alpha of grey
		}
		invert := h.photometric == whiteIsZero && c == 0
		for i := range n {
			v := d.sample(i*per+sample, c >= d.colours)
			if invert {
				v = 0xffff - v
			}
			q := at + i*d.channels + channel
			if !d.deep {
				if h.photometric == colourMap {
					d.pix[q] = byte(v)
				} else {
					d.pix[q] = byte(v >> 8)
				}
				continue
			}
			d.pix[2*q], d.pix[2*q+1] = byte(v>>8), byte(v)
		}
	}
}

// bytes says whether samples are bytes side by side that stay as they are.
func (d *decoder) bytes() bool {
	h := d.h
	return !d.deep && h.Bits == 8 && !h.Float && h.photometric != whiteIsZero && !h.planar
}

// putBytes is put for those; where there is no alpha it writes 255.
func (d *decoder) putBytes(dst []byte, n int) {
	per := d.perRow()
	switch {
	case d.channels == 1 && per == 1:
		copy(dst[:n], d.row)
	case d.channels == 1:
		for i := range n {
			dst[i] = d.row[i*per]
		}
	case d.colours == 1:
		for i := range n {
			dst[4*i], dst[4*i+3] = d.row[i*per], d.row[i*per+1]
		}
	case d.colours == 3 && !d.alpha && per == 3:
		threeToFour(dst[:4*n], d.row[:3*n])
	case d.colours == 3 && !d.alpha:
		for i := range n {
			p, q := d.row[i*per:i*per+3:i*per+3], dst[4*i:4*i+4:4*i+4]
			q[0], q[1], q[2], q[3] = p[0], p[1], p[2], 255
		}
	default: // four channels: RGB with alpha, or CMYK
		for i := range n {
			p, q := d.row[i*per:i*per+4:i*per+4], dst[4*i:4*i+4:4*i+4]
			q[0], q[1], q[2], q[3] = p[0], p[1], p[2], p[3]
		}
	}
}

// threeToFour spreads pixels of three bytes to four, the fourth of them 255: two at once while eight bytes may be read.
func threeToFour(dst, src []byte) {
	const first, second, full = 0xffffff, 0xffffff << 32, 0xff000000_ff000000
	for len(src) >= 8 && len(dst) >= 8 {
		v := binary.LittleEndian.Uint64(src)
		binary.LittleEndian.PutUint64(dst, v&first|v<<8&second|full)
		dst, src = dst[8:], src[6:]
	}
	for len(src) >= 3 && len(dst) >= 4 {
		dst[0], dst[1], dst[2], dst[3] = src[0], src[1], src[2], 255
		dst, src = dst[4:], src[3:]
	}
}

// putGrey16 is put for grey of 16 bits.
func (d *decoder) putGrey16(dst []byte, n int) {
	for i := range n {
		v := d.h.order.Uint16(d.row[2*i:])
		dst[2*i], dst[2*i+1] = byte(v>>8), byte(v)
	}
}

// putShorts is put for colours of 16 bits side by side.
func (d *decoder) putShorts(dst []byte, n int) {
	used, per := d.colours, d.perRow()
	if d.alpha {
		used++
	}
	for i := range n {
		for c := range used {
			v := d.h.order.Uint16(d.row[2*(i*per+c):])
			dst[8*i+2*c], dst[8*i+2*c+1] = byte(v>>8), byte(v)
		}
	}
}

// sample returns the i-th sample of the row, stretched to 16 bits; indices of
// palettes are as they are.
func (d *decoder) sample(i int, alpha bool) uint16 {
	h := d.h
	switch {
	case h.Float:
		return d.scaled(d.float(i), alpha)
	case h.Bits == 8:
		v := uint16(d.row[i])
		if h.photometric == colourMap {
			return v
		}
		return v * 0x101
	case h.Bits == 16:
		v := h.order.Uint16(d.row[2*i:])
		if h.Signed && v > math.MaxInt16 {
			return 0
		}
		return v
	case h.Bits > 16:
		return d.scaled(d.long(i), alpha)
	}
	v, at := uint32(0), i*h.Bits
	for b := range h.Bits {
		v = v<<1 | uint32(d.row[(at+b)/8]>>(7-(at+b)%8)&1)
	}
	if h.photometric == colourMap {
		return uint16(v)
	}
	most := uint32(1)<<h.Bits - 1
	if h.Bits > 8 {
		// The bits again, from the top: the upper bits stay what they were.
		return uint16(v<<(16-h.Bits) | v>>(2*h.Bits-16))
	}
	return uint16((v*255 + most/2) / most * 0x101)
}

func (d *decoder) long(i int) float64 {
	o := d.h.order
	switch d.h.Bits {
	case 24:
		b := d.row[3*i : 3*i+3]
		if o.Uint16([]byte{0, 1}) == 1 {
			return float64(uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]))
		}
		return float64(uint32(b[2])<<16 | uint32(b[1])<<8 | uint32(b[0]))
	case 32:
		v := o.Uint32(d.row[4*i:])
		if d.h.Signed {
			return float64(int32(v))
		}
		return float64(v)
	}
	v := o.Uint64(d.row[8*i:])
	if d.h.Signed {
		return float64(int64(v))
	}
	return float64(v)
}

func (d *decoder) float(i int) float64 {
	o := d.h.order
	switch d.h.Bits {
	case 16:
		return half(o.Uint16(d.row[2*i:]))
	case 32:
		return float64(math.Float32frombits(o.Uint32(d.row[4*i:])))
	}
	return math.Float64frombits(o.Uint64(d.row[8*i:]))
}

// half is a float of 16 bits (IEEE 754 binary16).
func half(v uint16) float64 {
	exponent, fraction := int(v>>10&31), float64(v&1023)
	var x float64
	switch exponent {
	case 0:
		x = math.Ldexp(fraction, -24)
	case 31:
		if x = math.Inf(1); fraction != 0 {
			x = math.NaN()
		}
	default:
		x = math.Ldexp(1024+fraction, exponent-25)
	}
	if v>>15 == 1 {
		return -x
	}
	return x
}

// scaled brings a float or long integer to 16 bits. What is not a number is
// black, as in depth maps the places without a measurement.
func (d *decoder) scaled(v float64, alpha bool) uint16 {
	if !(v > 0) {
		return 0
	}
	if d.o.Mask {
		if d.h.Float {
			v *= 0xffff
		}
		return uint16(max(min(math.Round(v), 0xffff), 1))
	}
	if !alpha {
		d.largest = max(d.largest, v)
	}
	return uint16(math.Round(min(v/d.white, 1) * 0xffff))
}

// finish converts colours in place and wraps the pixels.
func (d *decoder) finish() (image.Image, error) {
	h := d.h
	if d.o.White == 0 && d.largest > d.white {
		return nil, fmt.Errorf("its values go up to %g, and white would be %g: say which value is white (Decoder.White)", d.largest, d.white)
	}
	switch {
	case h.photometric == colourYCbCr && h.compression != compressJPEG:
		for i := 0; i+4 <= len(d.pix); i += 4 {
			p := d.pix[i : i+3 : i+3]
			p[0], p[1], p[2] = color.YCbCrToRGB(p[0], p[1], p[2])
		}
	case h.photometric == colourLab:
		labToRGB(d.pix, h.Width*h.Height)
	}
	rect := image.Rect(0, 0, h.Width, h.Height)
	switch {
	case d.colours == 4:
		return &image.CMYK{Pix: d.pix, Stride: 4 * h.Width, Rect: rect}, nil
	case h.photometric == colourMap:
		return &image.Paletted{Pix: d.pix, Stride: h.Width, Rect: rect, Palette: h.colours()}, nil
	case d.channels == 1 && d.deep:
		return &image.Gray16{Pix: d.pix, Stride: 2 * h.Width, Rect: rect}, nil
	case d.channels == 1:
		return &image.Gray{Pix: d.pix, Stride: h.Width, Rect: rect}, nil
	}
	size := 1
	if d.deep {
		size = 2
	}
	if !d.bytes() || d.colours != 3 || d.alpha || h.compression == compressJPEG || d.subsampled() {
		d.fillChannels(size)
	}
	switch {
	case d.deep && d.alpha:
		return &image.NRGBA64{Pix: d.pix, Stride: 8 * h.Width, Rect: rect}, nil
	case d.deep:
		return &image.RGBA64{Pix: d.pix, Stride: 8 * h.Width, Rect: rect}, nil
	case d.alpha:
		return &image.NRGBA{Pix: d.pix, Stride: 4 * h.Width, Rect: rect}, nil
	}
	return &image.RGBA{Pix: d.pix, Stride: 4 * h.Width, Rect: rect}, nil
}

// fillChannels repeats grey, sets alpha where there is none, and divides by it
// where colours were multiplied with it.
func (d *decoder) fillChannels(size int) {
	for i := 0; i+4*size <= len(d.pix); i += 4 * size {
		p := d.pix[i : i+4*size : i+4*size]
		if d.colours == 1 {
			copy(p[size:], p[:size])
			copy(p[2*size:], p[:size])
		}
		if !d.alpha {
			for b := 3 * size; b < 4*size; b++ {
				p[b] = 255
			}
			continue
		}
		if d.h.extra != extraAssociated {
			continue
		}
		if size == 1 {
			if a := int(p[3]); a != 0 && a != 255 {
				for c := range 3 {
					p[c] = byte(min(int(p[c])*255/a, 255))
				}
			}
			continue
		}
		if a := int(p[6])<<8 | int(p[7]); a != 0 && a != 0xffff {
			for c := 0; c < 6; c += 2 {
				v := min((int(p[c])<<8|int(p[c+1]))*0xffff/a, 0xffff)
				p[c], p[c+1] = byte(v>>8), byte(v)
			}
		}
	}
}

// colours makes the palette. Values have 16 bits; where none exceeds 255, the
// writer took them for 8.
func (h *Header) colours() color.Palette {
	shift := 0
	for _, v := range h.palette {
		if v > 255 {
			shift = 8
		}
	}
	n := len(h.palette) / 3
	out := make(color.Palette, n)
	for i := range out {
		out[i] = color.RGBA{byte(h.palette[i] >> shift), byte(h.palette[n+i] >> shift), byte(h.palette[2*n+i] >> shift), 255}
	}
	return out
}
