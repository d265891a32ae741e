// Package tiff reads the first page of TIFF files as cameras, scanners, microscopes and
// annotation tools write them: strips and tiles, samples side by side or in
// planes, 1 to 64 bits, integers and floats, classic and BigTIFF, both byte
// orders, with the compressions that [Decode] lists.
//
// Everything that a file claims is checked against its length and against the
// caller's limit before memory is spent. A file that ends early is an error that
// wraps [io.ErrUnexpectedEOF].
package tiff

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// Photometric interpretations.
const (
	whiteIsZero = 0
	blackIsZero = 1
	colourRGB   = 2
	colourMap   = 3
	colourCMYK  = 5
	colourYCbCr = 6
	colourLab   = 8
)

// Sample formats.
const (
	formatUint  = 1
	formatInt   = 2
	formatFloat = 3
	formatVoid  = 4
)

// Extra samples.
const (
	extraAssociated   = 1
	extraUnassociated = 2
)

// Tags.
const (
	tagSubfile       = 254
	tagWidth         = 256
	tagHeight        = 257
	tagBits          = 258
	tagCompression   = 259
	tagPhotometric   = 262
	tagFillOrder     = 266
	tagStripOffsets  = 273
	tagSamples       = 277
	tagRowsPerStrip  = 278
	tagStripCounts   = 279
	tagPlanar        = 284
	tagT4Options     = 292
	tagPredictor     = 317
	tagOrientation   = 274
	tagColourMap     = 320
	tagTileWidth     = 322
	tagTileHeight    = 323
	tagTileOffsets   = 324
	tagTileCounts    = 325
	tagInkSet        = 332
	tagExtraSamples  = 338
	tagSampleFormat  = 339
	tagJPEGTables    = 347
	tagSubsampling   = 530
	maxSamples       = 64
	maxSide          = 1 << 30
	maxNumbers       = 1 << 22 // of a field: strips of a picture
	longField        = 4 * maxSamples
	maxDirectory     = 1 << 20 // bytes of a directory of which only the head is wanted
	subfileThumbnail = 1
	subfileMask      = 4
)

// Header is what the first directory of a file says.
type Header struct {
	Width, Height int
	// Bits is the number of bits of a sample.
	Bits int
	// Float says that samples are floating-point numbers, Signed that they are
	// integers with a sign.
	Float, Signed bool
	// Pages is the number of pages, thumbnails and transparency masks not
	// counted.
	Pages int
	// Lossy says that the pixels are compressed as JPEG.
	Lossy bool
	// Orientation is EXIF's, 1 to 8; 1 where there is none.
	Orientation int

	photometric, compression, predictor int
	samples, format                     int
	extra                               int // what the first sample beyond the colours is
	planar, tiled, reversed             bool
	chunkW, chunkH                      int
	offsets, counts                     []uint64
	palette                             []uint64
	jpegTables                          []byte
	t4                                  uint64
	fax                                 [2]faxTable // made once for all strips
	subX, subY                          int
	order                               binary.ByteOrder
}

// Bytes is how many bytes the pixels take as they are stored, without compression.
func (h *Header) Bytes() int64 {
	return product(product(int64(h.Width), int64(h.Height)), int64(min(h.samples, maxSamples))*int64(min(h.Bits, 64)))/8 + 1
}

// Is says whether a file begins like a TIFF.
func Is(data []byte) bool {
	if len(data) < 4 {
		return false
	}
	switch string(data[:4]) {
	case "II*\x00", "MM\x00*", "II+\x00", "MM\x00+":
		return true
	}
	return false
}

// field is one entry of a directory.
type field struct {
	kind  int
	count uint64
	raw   []byte
}

// file reads directories.
type file struct {
	data  []byte // all of the file, or, where from is not nil, the beginning
	size  uint64
	from  *window
	order binary.ByteOrder
	big   bool
}

// open reads the first bytes of f.data.
func (f file) open() (_ file, first uint64, err error) {
	data := f.data
	if !Is(data) {
		return f, 0, errors.New("not a TIFF file")
	}
	f.order = binary.LittleEndian
	if data[0] == 'M' {
		f.order = binary.BigEndian
	}
	f.big = f.order.Uint16(data[2:]) == 43
	if len(data) < 8 || f.big && len(data) < 16 {
		return f, 0, io.ErrUnexpectedEOF
	}
	if !f.big {
		return f, uint64(f.order.Uint32(data[4:])), nil
	}
	if f.order.Uint16(data[4:]) != 8 {
		return f, 0, errors.New("BigTIFF with offsets that are not of 8 bytes")
	}
	return f, f.order.Uint64(data[8:]), nil
}

// part returns n bytes at an offset.
func (f file) part(at, n uint64) ([]byte, error) {
	if at > f.size || n > f.size-at {
		return nil, io.ErrUnexpectedEOF
	}
	if at+n <= uint64(len(f.data)) {
		return f.data[at : at+n], nil
	}
	if f.from == nil {
		return nil, io.ErrUnexpectedEOF // size is that of data
	}
	return f.from.part(at, n, f.size)
}

// values is part; of a file that is read by pieces, only the first of many values.
func (f file) values(at, n uint64) ([]byte, error) {
	if f.from == nil || n <= longField {
		return f.part(at, n)
	}
	if at > f.size || n > f.size-at {
		return nil, io.ErrUnexpectedEOF
	}
	return f.part(at, longField)
}

// window reads a file by pieces, because values mostly stand beside each other.
type window struct {
	src io.ReaderAt
	at  uint64
	b   []byte
}

// part returns n bytes at an offset; there are n up to size.
func (w *window) part(at, n, size uint64) ([]byte, error) {
	if at < w.at || at+n > w.at+uint64(len(w.b)) {
		b := make([]byte, min(max(n, 1024), size-at))
		got, err := w.src.ReadAt(b, int64(at))
		if uint64(got) < n {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		w.at, w.b = at, b[:got]
	}
	return w.b[at-w.at:][:n:n], nil
}

// typeSize is the length of a value in bytes, 0 for kinds that there are not.
func typeSize(kind int) uint64 {
	switch kind {
	case 1, 2, 6, 7:
		return 1
	case 3, 8:
		return 2
	case 4, 9, 11, 13:
		return 4
	case 5, 10, 12, 16, 17, 18:
		return 8
	}
	return 0
}

// directory reads the entries at an offset, where the next directory is, and how
// many bytes it takes. The
// order of tags does not matter; of tags that come twice the first counts.
// Values that lie outside the file are left out: of most tags nobody asks.
func (f file) directory(at uint64) (dir map[int]field, next, size uint64, err error) {
	head, entry, inline := uint64(2), uint64(12), uint64(4)
	if f.big {
		head, entry, inline = 8, 20, 8
	}
	b, err := f.part(at, head)
	if err != nil {
		return nil, 0, 0, err
	}
	n := uint64(f.order.Uint16(b))
	if f.big {
		n = f.order.Uint64(b)
	}
	if n > f.size/entry {
		return nil, 0, 0, io.ErrUnexpectedEOF
	}
	if f.from != nil && n*entry > maxDirectory {
		return nil, 0, 0, fmt.Errorf("a directory of %d entries", n)
	}
	if b, err = f.part(at+head, n*entry); err != nil {
		return nil, 0, 0, err
	}
	size = head + n*entry + inline
	out := make(map[int]field, min(n, 64))
	for ; len(b) > 0; b = b[entry:] {
		tag := int(f.order.Uint16(b))
		if _, twice := out[tag]; twice {
			continue
		}
		v := field{kind: int(f.order.Uint16(b[2:])), count: uint64(f.order.Uint32(b[4:])), raw: b[8:12]}
		if f.big {
			v.count, v.raw = f.order.Uint64(b[4:]), b[12:20]
		}
		size := typeSize(v.kind)
		if size == 0 || v.count > f.size/size {
			continue
		}
		if v.count*size > inline {
			if v.raw, err = f.values(f.offset(v.raw), v.count*size); err != nil {
				continue
			}
		} else {
			v.raw = v.raw[:v.count*size]
		}
		out[tag] = v
	}
	// The last directory of a file that was cut there has no next one.
	if b, err = f.part(at+head+n*entry, inline); err != nil {
		return out, 0, size, nil
	}
	return out, f.offset(b), size, nil
}

func (f file) offset(b []byte) uint64 {
	if f.big {
		return f.order.Uint64(b)
	}
	return uint64(f.order.Uint32(b))
}

// numbers returns the unsigned integers of a field, the first maxNumbers of them.
func (f file) numbers(v field) []uint64 {
	size := typeSize(v.kind)
	out := make([]uint64, 0, min(v.count, maxNumbers))
	for b := v.raw; uint64(len(b)) >= size && size > 0 && len(out) < maxNumbers; b = b[size:] {
		switch v.kind {
		case 1, 6, 7:
			out = append(out, uint64(b[0]))
		case 3, 8:
			out = append(out, uint64(f.order.Uint16(b)))
		case 4, 9, 13:
			out = append(out, uint64(f.order.Uint32(b)))
		case 16, 17, 18:
			out = append(out, f.order.Uint64(b))
		default:
			return nil
		}
	}
	return out
}

// DecodeHeader reads the first directory, and counts the others.
func DecodeHeader(data []byte) (*Header, error) {
	return file{data: data, size: uint64(len(data))}.header()
}

// ReadHeader is DecodeHeader for a file of size bytes of which begin is the
// beginning, at least 16 bytes if there are. It reads the directories, which mostly
// stand at the end, and no pixels: enough for the fields of Header that are
// exported, and not for Decode.
func ReadHeader(begin []byte, from io.ReaderAt, size int64) (*Header, error) {
	return file{data: begin, from: &window{src: from}, size: uint64(max(size, 0))}.header()
}

func (f file) header() (*Header, error) {
	f, at, err := f.open()
	if err != nil {
		return nil, err
	}
	dir, next, _, err := f.directory(at)
	if err != nil {
		return nil, err
	}
	h := &Header{order: f.order, Pages: 1 + f.pages(next)}
	if err := h.fill(f, dir); err != nil {
		return nil, err
	}
	return h, nil
}

// pages counts the directories from an offset on. Directories do not overlap, so
// that all together are no longer than the file: chains that go in circles end.
func (f file) pages(at uint64) int {
	n := 0
	for left := int64(f.size); at != 0 && left > 0; {
		dir, next, size, err := f.directory(at)
		if err != nil {
			break
		}
		if f.one(dir, tagSubfile, 0)&(subfileThumbnail|subfileMask) == 0 {
			n++
		}
		at = next
		left -= int64(size)
	}
	return n
}

// one is the first number of a tag.
func (f file) one(dir map[int]field, tag int, otherwise uint64) uint64 {
	if v, ok := dir[tag]; ok {
		if len(v.raw) > 16 {
			v.raw = v.raw[:16]
		}
		v.count = 2
		if n := f.numbers(v); len(n) > 0 {
			return n[0]
		}
	}
	return otherwise
}

// same is the number of a tag that has one for each sample, which must agree.
func (f file) same(dir map[int]field, tag int, what string, otherwise uint64) (uint64, error) {
	v, ok := dir[tag]
	if !ok {
		return otherwise, nil
	}
	n := f.numbers(v)
	if len(n) == 0 {
		return otherwise, nil
	}
	for _, x := range n {
		if x != n[0] {
			return 0, fmt.Errorf("samples of different %s %v", what, n[:min(len(n), maxSamples)])
		}
	}
	return n[0], nil
}

// fill takes over what decoding needs. Faults of pixels are left to Decode, so
// that a size is known of files that are not read.
func (h *Header) fill(f file, dir map[int]field) error {
	w, ht := f.one(dir, tagWidth, 0), f.one(dir, tagHeight, 0)
	if w < 1 || ht < 1 || w > maxSide || ht > maxSide {
		return fmt.Errorf("the header says %dx%d pixels", w, ht)
	}
	h.Width, h.Height, h.Orientation = int(w), int(ht), 1
	if o := f.one(dir, tagOrientation, 1); o >= 1 && o <= 8 {
		h.Orientation = int(o)
	}
	bits, err := f.same(dir, tagBits, "bits", 1)
	if err != nil {
		return err
	}
	format, err := f.same(dir, tagSampleFormat, "formats", formatUint)
	if err != nil {
		return err
	}
	num := func(tag int, otherwise uint64) int { return int(min(f.one(dir, tag, otherwise), math.MaxInt32)) }
	h.Bits, h.format = int(min(bits, math.MaxInt32)), int(min(format, math.MaxInt32))
	h.Float, h.Signed = h.format == formatFloat, h.format == formatInt
	h.compression, h.predictor = num(tagCompression, compressNone), num(tagPredictor, predictNone)
	h.photometric, h.samples = num(tagPhotometric, whiteIsZero), num(tagSamples, 1)
	h.Lossy = h.compression == compressJPEG
	h.planar, h.reversed = num(tagPlanar, 1) == 2 && h.samples > 1, num(tagFillOrder, 1) == 2
	h.t4 = f.one(dir, tagT4Options, 0)
	h.subX, h.subY = 2, 2
	if n := f.numbers(dir[tagSubsampling]); len(n) == 2 {
		h.subX, h.subY = int(min(n[0], 255)), int(min(n[1], 255))
	}
	if h.photometric == colourCMYK && num(tagInkSet, 1) != 1 {
		return errors.New("inks other than CMYK are not read; convert it to RGB first")
	}
	if n := f.numbers(dir[tagExtraSamples]); len(n) > 0 {
		h.extra = int(min(n[0], math.MaxInt32))
	}
	h.palette, h.jpegTables = f.numbers(dir[tagColourMap]), dir[tagJPEGTables].raw
	offsets, counts := tagStripOffsets, tagStripCounts
	h.chunkW, h.chunkH = h.Width, min(num(tagRowsPerStrip, ht), h.Height)
	if _, h.tiled = dir[tagTileOffsets]; h.tiled {
		offsets, counts = tagTileOffsets, tagTileCounts
		h.chunkW, h.chunkH = num(tagTileWidth, 0), num(tagTileHeight, 0)
	} else if _, ok := dir[tagTileWidth]; ok {
		// Some writers put tiles under the tags of strips.
		h.tiled = true
		h.chunkW, h.chunkH = num(tagTileWidth, 0), num(tagTileHeight, 0)
	}
	h.offsets, h.counts = f.numbers(dir[offsets]), f.numbers(dir[counts])
	return nil
}
