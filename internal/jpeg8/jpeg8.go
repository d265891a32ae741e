// Package jpeg8 decodes the JPEG files that most cameras write: sequential, Huffman codes, 8 bits, one
// scan, one component or three. Its cosine transforms are those of libjpeg ("islow", and its reduced ones),
// to the last bit, so that planes equal those that Pillow begins with. What is otherwise, or damaged,
// is left to image/jpeg, which also says what is wrong.
package jpeg8

import (
	"encoding/binary"
	"image"
)

// Decode returns the planes of a file: *image.Gray of one component, *image.YCbCr of three,
// whatever they stand for. shrink is 1, 2, 4 or 8: sides become as many times shorter, rounded up, and
// colour differences that two by two pixels share come out in full size where shrink is not 1, as in libjpeg.
// ok is false where the file is not one of these. The caller has compared the size with a limit.
func Decode(data []byte, shrink int) (img image.Image, ok bool) {
	d := decoder{shrink: shrink}
	if !d.head(data) || !d.frame() || !d.scan() {
		return nil, false
	}
	return d.picture()
}

// Markers.
const (
	sof0 = 0xc0 // baseline
	sof1 = 0xc1 // more tables
	dht  = 0xc4
	rst0 = 0xd0
	rst7 = 0xd7
	soi  = 0xd8
	eoi  = 0xd9
	sos  = 0xda
	dqt  = 0xdb
	dri  = 0xdd
)

// maxComponents is how many a file of this kind has at most.
const maxComponents = 3

type component struct {
	id     byte
	h, v   int // sampling factors
	table  byte
	side   int // of a block of the output: 8, 4, 2 or 1
	plane  []byte
	stride int
	dc, ac *huffman
	quant  *[64]int32
	last   int32 // constant coefficient of the block before
}

type decoder struct {
	shrink     int
	data       []byte // of the scan
	w, h       int    // pixels as stored
	components []component
	quants     [4]*[64]int32 // in the order of the file, zigzag
	dcs, acs   [4]*huffman
	interval   int // units between two restarts, or 0
	across     int // units in a row
	down       int
	bits       bits
	block      block
}

// zigzag is where the coefficient of a number lies, row by row.
var zigzag = [64]uint8{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
}

// head reads the segments up to the scan.
func (d *decoder) head(b []byte) bool {
	if len(b) < 2 || b[0] != 0xff || b[1] != soi {
		return false
	}
	for at := 2; at+4 <= len(b); {
		if b[at] != 0xff {
			return false
		}
		marker := b[at+1]
		if marker == 0xff { // a fill byte
			at++
			continue
		}
		n := int(binary.BigEndian.Uint16(b[at+2:]))
		if n < 2 || at+2+n > len(b) {
			return false
		}
		body := b[at+4 : at+2+n]
		at += 2 + n
		ok := true
		switch {
		case marker == sof0 || marker == sof1:
			ok = d.size(body)
		case marker == dht:
			ok = d.codes(body)
		case marker == dqt:
			ok = d.steps(body)
		case marker == dri:
			if ok = len(body) == 2; ok {
				d.interval = int(binary.BigEndian.Uint16(body))
			}
		case marker == sos:
			d.data = b[at:]
			return d.choose(body)
		case marker >= 0xe0 && marker <= 0xef || marker == 0xfe: // of programs, and comments
		default:
			ok = false // progressive, arithmetic, lossless, and what there is no rule for
		}
		if !ok {
			return false
		}
	}
	return false
}

// size reads SOF.
func (d *decoder) size(b []byte) bool {
	if d.components != nil || len(b) < 6 || b[0] != 8 {
		return false
	}
	d.h, d.w = int(binary.BigEndian.Uint16(b[1:])), int(binary.BigEndian.Uint16(b[3:]))
	n := int(b[5])
	if d.h < 1 || d.w < 1 || n != 1 && n != maxComponents || len(b) != 6+3*n {
		return false
	}
	for i := range n {
		c := b[6+3*i:]
		k := component{id: c[0], h: int(c[1] >> 4), v: int(c[1] & 15), table: c[2]}
		for _, o := range d.components {
			if o.id == k.id {
				return false
			}
		}
		if k.table > 3 {
			return false
		}
		d.components = append(d.components, k)
	}
	if n == 1 {
		d.components[0].h, d.components[0].v = 1, 1 // of one component units are blocks
		return true
	}
	// The ratios of image.YCbCrSubsampleRatio.
	y := d.components[0]
	for _, c := range d.components[1:] {
		if c.h != 1 || c.v != 1 {
			return false
		}
	}
	return (y.h == 1 || y.h == 2 || y.h == 4) && (y.v == 1 || y.v == 2)
}

// steps reads DQT.
func (d *decoder) steps(b []byte) bool {
	for len(b) > 0 {
		wide, at := b[0]>>4, b[0]&15
		if wide > 1 || at > 3 {
			return false
		}
		size := 64 << wide
		if len(b) < 1+size {
			return false
		}
		t := new([64]int32)
		for i := range t {
			if wide == 0 {
				t[i] = int32(b[1+i])
			} else {
				t[i] = int32(binary.BigEndian.Uint16(b[1+2*i:]))
			}
		}
		d.quants[at] = t
		b = b[1+size:]
	}
	return true
}

// codes reads DHT.
func (d *decoder) codes(b []byte) bool {
	for len(b) > 0 {
		if len(b) < 17 {
			return false
		}
		class, at := b[0]>>4, b[0]&15
		if class > 1 || at > 3 {
			return false
		}
		n := 0
		for _, c := range b[1:17] {
			n += int(c)
		}
		if n > 256 || len(b) < 17+n {
			return false
		}
		t, ok := newHuffman((*[16]byte)(b[1:17]), b[17:17+n], class == 1)
		if !ok {
			return false
		}
		if class == 0 {
			d.dcs[at] = t
		} else {
			d.acs[at] = t
		}
		b = b[17+n:]
	}
	return true
}

// choose reads SOS, which must name all components in their order.
func (d *decoder) choose(b []byte) bool {
	n := len(d.components)
	if n == 0 || len(b) != 4+2*n || int(b[0]) != n {
		return false
	}
	for i := range d.components {
		c, t := &d.components[i], b[2+2*i]
		if b[1+2*i] != c.id || t>>4 > 3 || t&15 > 3 {
			return false
		}
		c.dc, c.ac, c.quant = d.dcs[t>>4], d.acs[t&15], d.quants[c.table]
		if c.dc == nil || c.ac == nil || c.quant == nil {
			return false
		}
		c.ac = c.ac.within(c.quant)
	}
	return b[1+2*n] == 0 && b[2+2*n] == 63 && b[3+2*n] == 0
}

// frame takes the planes, in whole units.
func (d *decoder) frame() bool {
	least := 0
	switch d.shrink {
	case 1, 2, 4, 8:
		least = 8 / d.shrink
	default:
		return false
	}
	mostH, mostV := 1, 1
	for _, c := range d.components {
		mostH, mostV = max(mostH, c.h), max(mostV, c.v)
	}
	d.across = (d.w + 8*mostH - 1) / (8 * mostH)
	d.down = (d.h + 8*mostV - 1) / (8 * mostV)
	// Every block takes two bits at least.
	blocks := 0
	for _, c := range d.components {
		blocks += c.h * c.v * d.across * d.down
	}
	if blocks > 4*len(d.data) {
		return false
	}
	for i := range d.components {
		c := &d.components[i]
		c.side = least
		for c.side < 8 && mostH*least%(c.h*c.side*2) == 0 && mostV*least%(c.v*c.side*2) == 0 {
			c.side *= 2 // a larger block in place of repeating samples
		}
		c.stride = d.across * c.h * c.side
		c.plane = make([]byte, c.stride*d.down*c.v*c.side)
	}
	return true
}

// scan decodes all blocks.
func (d *decoder) scan() bool {
	d.bits = bits{data: d.data}
	left, restart := d.interval, byte(0)
	for y := range d.down {
		for x := range d.across {
			if d.interval > 0 {
				if left == 0 {
					if !d.bits.restart(rst0 + restart) {
						return false
					}
					restart = (restart + 1) & (rst7 - rst0)
					left = d.interval
					for i := range d.components {
						d.components[i].last = 0
					}
				}
				left--
			}
			for i := range d.components {
				c := &d.components[i]
				for v := range c.v {
					for h := range c.h {
						at := ((y*c.v+v)*c.stride + x*c.h + h) * c.side
						if !d.coefficients(c) {
							return false
						}
						switch c.side {
						case 8:
							d.block.whole(c.plane[at:], c.stride)
						case 4:
							d.block.half(c.plane[at:], c.stride)
						case 2:
							d.block.quarter(c.plane[at:], c.stride)
						default:
							c.plane[at] = d.block.mean()
						}
					}
				}
			}
		}
		if d.bits.over() {
			return false
		}
	}
	return d.bits.end()
}

// ratios are those of image.YCbCrSubsampleRatio, by how many pixels share a colour across and down.
var ratios = map[[2]int]image.YCbCrSubsampleRatio{
	{1, 1}: image.YCbCrSubsampleRatio444, {2, 1}: image.YCbCrSubsampleRatio422, {2, 2}: image.YCbCrSubsampleRatio420,
	{1, 2}: image.YCbCrSubsampleRatio440, {4, 1}: image.YCbCrSubsampleRatio411, {4, 2}: image.YCbCrSubsampleRatio410,
}

// picture wraps the planes.
func (d *decoder) picture() (image.Image, bool) {
	at := image.Rect(0, 0, (d.w+d.shrink-1)/d.shrink, (d.h+d.shrink-1)/d.shrink)
	y := d.components[0]
	if len(d.components) == 1 {
		return &image.Gray{Pix: y.plane, Stride: y.stride, Rect: at}, true
	}
	cb, cr := d.components[1], d.components[2]
	ratio, ok := ratios[[2]int{y.h * y.side / cb.side, y.v * y.side / cb.side}]
	return &image.YCbCr{Y: y.plane, Cb: cb.plane, Cr: cr.plane, YStride: y.stride, CStride: cb.stride, SubsampleRatio: ratio, Rect: at}, ok
}
