package tiff

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"

	"github.com/klauspost/compress/zstd"
	slow "golang.org/x/image/tiff/lzw"

	"github.com/gotab/gotab/internal/inflate"
)

// Compressions.
const (
	compressNone     = 1
	compressRLE      = 2
	compressG3       = 3
	compressG4       = 4
	compressLZW      = 5
	compressOldJPEG  = 6
	compressJPEG     = 7
	compressDeflate  = 8
	compressRLEW     = 32771
	compressPackBits = 32773
	compressOldZip   = 32946
	compressZstd     = 50000
)

// Predictors.
const (
	predictNone       = 1
	predictHorizontal = 2
	predictFloat      = 3
)

// refused names a compression that is not read and says what to do: libtiff's
// tools read some of them.
func refused(code int) error {
	const ours, theirs = "tiffcp -c zip OLD.tif NEW.tif", "the program that wrote it, as LZW or deflate"
	name, with := "unknown", theirs
	switch code {
	case compressOldJPEG:
		name, with = "old-style JPEG", ours
	case 32809:
		name, with = "ThunderScan", ours
	case 32909:
		name, with = "PixarLog", ours
	case 34661:
		name = "JBIG"
	case 34676, 34677:
		name = "SGI LogLuv"
	case 34712, 33003, 33004, 33005:
		name = "JPEG 2000"
	case 34887:
		name, with = "LERC", ours
	case 34892:
		name = "DNG's lossy JPEG"
	case 34925:
		name, with = "LZMA", ours
	case 50001:
		name, with = "WebP", ours
	case 50002:
		name = "JPEG XL"
	}
	return fmt.Errorf("compression %d (%s) is not read; convert it with: %s", code, name, with)
}

// rows delivers the decompressed rows of a strip or tile.
type rows interface {
	// next returns the next row, which is as long as room and lies there or where it was expanded to. The caller may write
	// to it, unless there is no predictor.
	next(room []byte) ([]byte, error)
}

// stream reads rows of a decompressor.
type stream struct{ r io.Reader }

func (s stream) next(room []byte) ([]byte, error) {
	_, err := io.ReadFull(s.r, room)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return room, err
}

// ready is a strip or tile that lies in memory as a whole.
type ready struct{ text []byte }

func (r *ready) next(room []byte) ([]byte, error) {
	n := len(room)
	if len(r.text) < n {
		return nil, io.ErrUnexpectedEOF
	}
	row := r.text[:n:n]
	r.text = r.text[n:]
	return row, nil
}

// slackBytes is what a strip or tile may take beyond the picture's own bytes where it is expanded at once.
const slackBytes = 1 << 20

// open begins one strip or tile of which count rows are wanted. The result is good until the next call.
//
// What is expanded at once lies in a buffer that all strips share. No more of LZW is expanded than is wanted. Of deflate and
// zstd it is all of the strip, which only then goes the quick way: where that is much more than the picture, rows are read one by one.
func (d *decoder) open(data []byte, count int) (rows, error) {
	h := d.h
	if h.reversed {
		data = reversed(data)
	}
	wanted, whole := d.expanded(count), d.expanded(h.chunkH)
	switch h.compression {
	case compressNone:
		if h.predictor <= predictNone {
			return &ready{data}, nil
		}
		return stream{bytes.NewReader(data)}, nil
	case compressPackBits:
		return &packBits{data: data}, nil
	case compressLZW:
		// Before 1987 codes were stored with the lowest bit first; the clear code
		// at the beginning tells.
		if len(data) >= 2 && data[0] == 0 && data[1]&1 == 1 {
			return nil, errors.New("LZW with the bits the other way round, as written before 1987, is not read; convert it with: tiffcp -c zip OLD.tif NEW.tif")
		}
		if wanted <= min(d.atOnce(), math.MaxInt32-lzwRoom(0), 4096*int64(len(data))) {
			if d.lzw == nil {
				d.lzw = newLZWTable()
			}
			if text, ok := d.lzw.expand(d.buffer(lzwRoom(wanted)), data); ok {
				return &ready{text}, nil
			}
		}
		return stream{slow.NewReader(bytes.NewReader(data), slow.MSB, 8)}, nil
	case compressDeflate, compressOldZip:
		// In one go where it is as it should be; a bit makes 129 bytes at most.
		if d.quick && whole <= 1032*int64(len(data)) {
			buf := d.buffer(whole)
			if n, err := inflate.Zlib(buf, data); err == nil {
				return &ready{buf[:n]}, nil
			}
		}
		return d.inflated(data)
	case compressZstd:
		if d.quick {
			if buf, ok := d.zstdAtOnce(data, whole); ok {
				return &ready{buf}, nil
			}
		}
		return d.zstdRows(data)
	case compressRLE, compressRLEW, compressG3, compressG4:
		if h.Bits != 1 || h.samples != 1 {
			return nil, fmt.Errorf("fax compression of %d samples of %d bits", h.samples, h.Bits)
		}
		return newFax(data, h.chunkW, h.compression, h.t4, &h.fax), nil
	}
	return nil, refused(h.compression)
}

// atOnce is the most that is expanded at once: with eight bytes of a pixel and four of what is made of it, these are 24.
func (d *decoder) atOnce() int64 {
	return product(12*int64(d.h.Width), int64(d.h.Height)) + slackBytes
}

// buffer returns n bytes that are of any value.
func (d *decoder) buffer(n int64) []byte {
	if int64(cap(d.buf)) < n {
		d.buf = make([]byte, n)
	}
	return d.buf[:n]
}

// inflated reads rows with the one decompressor of the file.
func (d *decoder) inflated(data []byte) (rows, error) {
	src := bytes.NewReader(data)
	var err error
	if z, ok := d.zlib.(zlib.Resetter); ok {
		err = z.Reset(src, nil)
	} else {
		d.zlib, err = zlib.NewReader(src)
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	return stream{d.zlib}, nil
}

// maxZstdWindow is the largest window that is taken from a file.
const maxZstdWindow = 1 << 27

// zstdAtOnce expands to size bytes at most; the window is the buffer itself.
func (d *decoder) zstdAtOnce(data []byte, size int64) ([]byte, bool) {
	if d.zstdAll == nil {
		r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecodeAllCapLimit(true),
			zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			return nil, false
		}
		d.zstdAll = r
	}
	buf := d.buffer(size)
	out, err := d.zstdAll.DecodeAll(data, buf[:0:len(buf)])
	return out, err == nil
}

// zstdRows reads rows with the one decompressor of the file, which takes the memory of its window at once.
func (d *decoder) zstdRows(data []byte) (rows, error) {
	if d.zstdRow == nil {
		r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(uint64(min(max(d.o.MaxBytes, 1<<20), maxZstdWindow))))
		if err != nil {
			return nil, err
		}
		d.zstdRow = r
	}
	if err := d.zstdRow.Reset(bytes.NewReader(data)); err != nil {
		return nil, err
	}
	return stream{d.zstdRow}, nil
}

// close gives back what decompressors hold.
func (d *decoder) close() {
	for _, z := range []*zstd.Decoder{d.zstdAll, d.zstdRow} {
		if z != nil {
			z.Close()
		}
	}
}

func reversed(data []byte) []byte {
	out := make([]byte, len(data))
	for i, v := range data {
		out[i] = bits.Reverse8(v)
	}
	return out
}

// packBits expands runs. A run may go over the end of a row.
type packBits struct {
	data []byte
	lit  int // literal bytes that follow
	run  int // repetitions of data[0] that follow
}

func (p *packBits) next(room []byte) ([]byte, error) {
	for dst := room; len(dst) > 0; {
		switch {
		case p.lit > 0:
			n := copy(dst, p.data[:min(p.lit, len(p.data))])
			if n == 0 {
				return nil, io.ErrUnexpectedEOF
			}
			p.data, p.lit, dst = p.data[n:], p.lit-n, dst[n:]
		case p.run > 0:
			if len(p.data) == 0 {
				return nil, io.ErrUnexpectedEOF
			}
			n := min(p.run, len(dst))
			for i := range n {
				dst[i] = p.data[0]
			}
			if p.run -= n; p.run == 0 {
				p.data = p.data[1:]
			}
			dst = dst[n:]
		case len(p.data) == 0:
			return nil, io.ErrUnexpectedEOF
		default:
			c := int(int8(p.data[0]))
			p.data = p.data[1:]
			if c >= 0 {
				p.lit = c + 1
			} else if c != -128 {
				p.run = 1 - c
			}
		}
	}
	return room, nil
}

// sumUp adds to every byte the one n bytes before it. Each of the n sums stays in a register.
func sumUp(row []byte, n int) {
	for c := range n {
		v := byte(0)
		for i := c; i < len(row); i += n {
			v += row[i]
			row[i] = v
		}
	}
}

// predict undoes the differencing of one row of n samples a pixel. tmp is of
// the length of row.
func (h *Header) predict(row, tmp []byte, n int) error {
	switch {
	case h.predictor <= predictNone:
		return nil
	case h.predictor == predictHorizontal && h.Bits == 8:
		sumUp(row, n)
		return nil
	case h.predictor == predictHorizontal && h.Bits == 16:
		for i := 2 * n; i+2 <= len(row); i += 2 {
			h.order.PutUint16(row[i:], h.order.Uint16(row[i:])+h.order.Uint16(row[i-2*n:]))
		}
		return nil
	case h.predictor == predictHorizontal && h.Bits == 32:
		for i := 4 * n; i+4 <= len(row); i += 4 {
			h.order.PutUint32(row[i:], h.order.Uint32(row[i:])+h.order.Uint32(row[i-4*n:]))
		}
		return nil
	case h.predictor == predictFloat && h.Float && h.Bits%8 == 0:
		sumUp(row, n)
		// The highest bytes of all samples come first, then the next ones.
		size := h.Bits / 8
		count := len(row) / size
		copy(tmp, row)
		for i := range count {
			for b := range size {
				at := i*size + b
				if h.order == binary.ByteOrder(binary.LittleEndian) {
					at = i*size + size - 1 - b
				}
				row[at] = tmp[b*count+i]
			}
		}
		return nil
	}
	return fmt.Errorf("predictor %d of samples of %d bits is not read; convert it with: tiffcp -c none OLD.tif NEW.tif", h.predictor, h.Bits)
}
