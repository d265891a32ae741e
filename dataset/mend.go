package dataset

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/adler32"
	"hash/crc32"
	"image"
	"image/png"
	"io"

	"github.com/gotab/gotab/internal/ycc"
)

// mendPNG decodes a file that image/png refuses for what says nothing about its
// pixels: checksums of chunks that are not read, chunks out of order, more pixel
// data than the image has, no end. cause is the decoder's error.
func mendPNG(data []byte, cause error) (image.Image, error) {
	p, err := splitPNG(data)
	if err != nil {
		return nil, err
	}
	body, err := p.pixels()
	if err != nil {
		return nil, err
	}
	head := []byte("\x89PNG\r\n\x1a\n")
	for _, c := range []struct {
		kind string
		data []byte
	}{{"IHDR", p.header}, {"PLTE", p.palette}, {"tRNS", p.transparent}} {
		if c.data != nil {
			head = appendChunk(head, c.kind, c.data)
		}
	}
	img, err := png.Decode(io.MultiReader(bytes.NewReader(head), body, bytes.NewReader(appendChunk(nil, "IEND", nil))))
	switch {
	case err == nil:
		return img, nil
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, errPNGChecksum):
		return nil, err
	}
	return nil, cause
}

var errPNGChecksum = errors.New("the checksum of its pixels is wrong: the file is damaged")

// pngParts are the chunks that make pixels.
type pngParts struct {
	header, palette, transparent []byte
	idat                         []byte
	doubtful                     bool // a checksum of pixels is wrong
}

// splitPNG collects the chunks. A chunk that the end of the file cuts counts as
// far as it goes where it holds pixels: all of them may be there.
func splitPNG(b []byte) (p pngParts, err error) {
	for b = b[8:]; len(b) >= 8; {
		n, kind := int64(binary.BigEndian.Uint32(b)), string(b[4:8])
		body, good := b[8:], false
		if n+12 <= int64(len(b)) {
			body = b[8 : 8+n]
			good = crc32.ChecksumIEEE(b[4:8+n]) == binary.BigEndian.Uint32(b[8+n:])
			b = b[12+n:]
		} else {
			body = body[:min(n, int64(len(body)))]
			b = nil
			good = int64(len(body)) < n && kind == "IDAT" // nothing is known of it
		}
		switch kind {
		case "IHDR", "PLTE":
			if !good {
				return p, fmt.Errorf("the checksum of its chunk %s is wrong: the file is damaged", kind)
			}
			if kind == "IHDR" && p.header == nil {
				p.header = body
			} else if kind == "PLTE" && p.palette == nil {
				p.palette = body
			}
		case "tRNS":
			if good && p.transparent == nil {
				p.transparent = body
			}
		case "IDAT":
			p.idat = append(p.idat, body...)
			p.doubtful = p.doubtful || !good
		case "IEND":
			b = nil
		}
	}
	if len(p.header) != 13 {
		return p, errors.New("its header is damaged")
	}
	return p, nil
}

// size is the number of bytes that the pixels take before compression, 0 where
// the header makes no sense.
func (p pngParts) size() int64 {
	w, h := int64(binary.BigEndian.Uint32(p.header)), int64(binary.BigEndian.Uint32(p.header[4:]))
	channels := map[byte]int64{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[p.header[9]]
	bits := int64(p.header[8]) * channels
	pass := func(w, h int64) int64 {
		if w == 0 || h == 0 {
			return 0
		}
		return h * (1 + (w*bits+7)/8)
	}
	if p.header[12] == 0 {
		return pass(w, h)
	}
	total := int64(0)
	for _, a := range [7][4]int64{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}} {
		total += pass((w-a[0]+a[2]-1)/a[2], (h-a[1]+a[3]-1)/a[3])
	}
	return total
}

// pixels returns the pixel data as chunks that a decoder takes. Where a
// checksum of the chunks was wrong, that of the pixels must be right.
func (p pngParts) pixels() (io.Reader, error) {
	if len(p.idat) < 2 {
		return nil, io.ErrUnexpectedEOF
	}
	if p.doubtful && !p.verified() {
		return nil, errPNGChecksum
	}
	return &pngBody{src: flate.NewReader(bytes.NewReader(p.idat[2:])), left: p.size(), sum: adler32.New()}, nil
}

// verified says whether the stream's own checksum is right.
func (p pngParts) verified() bool {
	in := bytes.NewReader(p.idat[2:])
	sum := adler32.New()
	const surplus = 1 << 20
	if n, err := io.Copy(sum, io.LimitReader(flate.NewReader(in), p.size()+surplus)); err != nil || n >= p.size()+surplus {
		return false
	}
	var want [4]byte
	_, err := io.ReadFull(in, want[:])
	return err == nil && binary.BigEndian.Uint32(want[:]) == sum.Sum32()
}

// pngBody turns a stream of bytes into chunks of pixels without compression.
type pngBody struct {
	src   io.Reader
	left  int64 // bytes to come
	sum   hash.Hash32
	begun bool
	out   []byte
}

func (b *pngBody) Read(dst []byte) (int, error) {
	if len(b.out) == 0 {
		if b.left == 0 {
			return 0, io.EOF
		}
		if err := b.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(dst, b.out)
	b.out = b.out[n:]
	return n, nil
}

func (b *pngBody) fill() error {
	part := make([]byte, min(b.left, 1<<15))
	if _, err := io.ReadFull(b.src, part); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	b.left -= int64(len(part))
	b.sum.Write(part)
	var z []byte
	if !b.begun {
		z, b.begun = append(z, 0x78, 0x01), true
	}
	last := byte(0)
	if b.left == 0 {
		last = 1
	}
	z = append(z, last)
	z = binary.LittleEndian.AppendUint16(z, uint16(len(part)))
	z = binary.LittleEndian.AppendUint16(z, ^uint16(len(part)))
	z = append(z, part...)
	if last == 1 {
		z = b.sum.Sum(z)
	}
	b.out = appendChunk(nil, "IDAT", z)
	return nil
}

// appendChunk writes a chunk of a PNG file.
func appendChunk(b []byte, kind string, data []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
	from := len(b)
	b = append(append(b, kind...), data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[from:]))
}

// mendJPEG decodes a file that has no end marker, though its pixels are there.
// cause is the decoder's error.
func mendJPEG(data []byte, cause error) (image.Image, error) {
	if err := jpegRefusal(data, nil); err != nil {
		return nil, err
	}
	if !jpegCut(data) {
		return nil, cause
	}
	img, err := ycc.Decode(append(bytes.Clone(data), 0xff, 0xd9))
	if err != nil {
		return nil, cause
	}
	return img, nil
}

// jpegCut says whether the end marker is missing. A small image of itself that a
// photograph holds before its scan has one of its own.
func jpegCut(b []byte) bool {
	at := 2
	for at+4 <= len(b) && b[at] == 0xff && b[at+1] != 0xda {
		if b[at+1] == 0xff { // a fill byte
			at++
			continue
		}
		at += 2 + max(2, int(binary.BigEndian.Uint16(b[at+2:])))
	}
	return at >= len(b) || !bytes.Contains(b[at:], []byte("\xff\xd9"))
}

// jpegMarkers returns the first frame header's marker and content, 0 where there is
// none.
func jpegMarkers(b []byte) (marker byte, sof []byte) {
	for at := 2; at+4 <= len(b) && b[at] == 0xff; {
		m, n := b[at+1], int(binary.BigEndian.Uint16(b[at+2:]))
		switch {
		case m == 0xff: // a fill byte
			at++
			continue
		case m == 0xda || n < 2 || at+2+n > len(b):
			return 0, nil
		case m >= 0xc0 && m <= 0xcf && m != 0xc4 && m != 0xc8 && m != 0xcc:
			return m, b[at+4 : at+2+n]
		}
		at += 2 + n
	}
	return 0, nil
}

// jpegRefusal names kinds of JPEG that are not read, or returns cause.
func jpegRefusal(data []byte, cause error) error {
	marker, sof := jpegMarkers(data)
	switch {
	case marker == 0:
		return cause
	case marker >= 0xc9:
		return errors.New("arithmetic coding is not read; convert it without loss with: jpegtran -outfile NEW.jpg OLD.jpg")
	case marker == 0xc3:
		return errors.New("lossless JPEG is not read; convert it with: djpeg -outfile NEW.ppm OLD.jpg (libjpeg-turbo 3 or later)")
	case marker > 0xc3:
		return errors.New("hierarchical JPEG is not read; convert it with the program that wrote it")
	case len(sof) > 0 && sof[0] == 12:
		return errors.New("12 bits are not read; convert it with: djpeg -outfile NEW.ppm OLD.jpg (libjpeg-turbo 3 or later)")
	}
	return cause
}
