package jpeg8

import "encoding/binary"

const (
	quickBits = 10 // of the index of a table
	longest   = 16 // bits of a code
)

// huffman are the codes of one table.
type huffman struct {
	// quick says of the next bits which code begins them: symbol<<8 | bits, or 0 for a longer code.
	quick [1 << quickBits]uint16
	// whole says more where code and value fit together, for coefficients but the constant one:
	// value<<16 | run<<8 | bits, or 0.
	whole [1 << quickBits]int32
	// Of longer codes: the first code of a length, aligned to 16 bits, is below limit[length], and
	// offset leads from a code to its symbol.
	limit   [longest + 2]uint32
	offset  [longest + 1]int32
	symbols [256]byte
}

// newHuffman makes a table of how many codes there are of each length, and of their symbols. Sets that are
// too large are refused.
func newHuffman(counts *[16]byte, symbols []byte, ac bool) (*huffman, bool) {
	t := new(huffman)
	copy(t.symbols[:], symbols)
	code, at := uint32(0), 0
	for l := 1; l <= longest; l++ {
		n := int(counts[l-1])
		t.offset[l] = int32(at) - int32(code)
		for range n {
			if code >= 1<<l {
				return nil, false
			}
			if l <= quickBits {
				first := code << (quickBits - l)
				for i := range uint32(1) << (quickBits - l) {
					t.quick[first+i] = uint16(symbols[at])<<8 | uint16(l)
				}
			}
			code++
			at++
		}
		t.limit[l] = code << (longest - l)
		code <<= 1
	}
	t.limit[longest+1] = 1 << 31
	if ac {
		for i, q := range t.quick {
			size, l := int(q>>8&15), int(q&255)
			if q == 0 || size == 0 || l+size > quickBits {
				continue
			}
			v := int32(i>>(quickBits-l-size)) & (1<<size - 1)
			t.whole[i] = extend(v, size)<<16 | int32(q>>12)<<8 | int32(l+size)
		}
	}
	return t, true
}

// within is t without the short cuts to values that the steps make larger than maxSize: those are read, and looked at, one by one. Of
// an image they are rare, as large steps leave small values.
func (t *huffman) within(quant *[64]int32) *huffman {
	most := int64(0)
	for _, q := range quant[1:] {
		most = max(most, int64(q))
	}
	out := t
	for i, e := range t.whole {
		if v := int64(e >> 16); max(v, -v)*most > maxSize {
			if out == t {
				out = new(huffman)
				*out = *t
			}
			out.whole[i] = 0
		}
	}
	return out
}

// extend makes a signed number of size bits that follow a code.
func extend(v int32, size int) int32 {
	if v < 1<<(size-1) {
		v += -1<<size + 1
	}
	return v
}

// bits reads the stream of a scan.
type bits struct {
	data []byte
	at   int
	acc  uint64 // the lowest n bits are to come
	n    int
	fake int // of them, bits of 0 that are made up behind the end
}

// fill makes sure of 32 bits.
func (b *bits) fill() {
	if b.n >= 32 {
		return
	}
	if b.at+4 <= len(b.data) {
		v := binary.BigEndian.Uint32(b.data[b.at:])
		// A byte of 0xff is one of 0 in its complement.
		if f := ^v; (f-0x01010101)&^f&0x80808080 == 0 {
			b.acc = b.acc<<32 | uint64(v)
			b.n += 32
			b.at += 4
			return
		}
	}
	b.slowly()
}

// slowly goes byte by byte: behind 0xff a byte of 0 is left out, and any other ends the stream.
func (b *bits) slowly() {
	for b.n < 32 {
		var v byte
		switch {
		case b.at >= len(b.data):
			b.fake += 8
		case b.data[b.at] != 0xff:
			v = b.data[b.at]
			b.at++
		case b.at+1 < len(b.data) && b.data[b.at+1] == 0:
			v = 0xff
			b.at += 2
		default:
			b.fake += 8
		}
		b.acc = b.acc<<8 | uint64(v)
		b.n += 8
	}
}

// over says whether more was taken than there is.
func (b *bits) over() bool { return b.n < b.fake }

// rest says whether all is taken but for the bits that fill the last byte.
func (b *bits) rest() bool { return !b.over() && b.n-b.fake < 8 }

// restart goes beyond a marker.
func (b *bits) restart(marker byte) bool {
	if !b.rest() || b.at+2 > len(b.data) || b.data[b.at] != 0xff || b.data[b.at+1] != marker {
		return false
	}
	*b = bits{data: b.data, at: b.at + 2}
	return true
}

// end says whether the picture ends here, with its marker or without.
func (b *bits) end() bool {
	if !b.rest() {
		return false
	}
	left := b.data[b.at:]
	for len(left) > 1 && left[0] == 0xff && left[1] == 0xff { // fill bytes
		left = left[1:]
	}
	return len(left) < 2 || left[0] == 0xff && left[1] == eoi
}

// symbol takes a code; 32 bits must be there. A pattern that is no code is symbol -1.
func (b *bits) symbol(t *huffman) int {
	q := t.quick[b.acc>>((b.n-quickBits)&63)&(1<<quickBits-1)]
	if q != 0 {
		b.n -= int(q & 255)
		return int(q >> 8)
	}
	word := uint32(b.acc>>((b.n-longest)&63)) & (1<<longest - 1)
	l := quickBits + 1
	for word >= t.limit[l] {
		l++
	}
	if l > longest {
		return -1
	}
	b.n -= l
	return int(t.symbols[uint8(int32(word>>(longest-l))+t.offset[l])])
}

// take returns size bits; they must be there.
func (b *bits) take(size int) int32 {
	b.n -= size
	return int32(b.acc>>(b.n&63)) & (1<<size - 1)
}

// coefficients reads a block into d.block, multiplied by the steps of quantisation.
func (d *decoder) coefficients(c *component) bool {
	d.block.clear()
	b := &d.bits
	b.fill()
	size := b.symbol(c.dc)
	if size < 0 || size > 11 {
		return false
	}
	if size > 0 {
		c.last += extend(b.take(size), size)
	}
	if c.last < -1<<15 || c.last >= 1<<15 {
		return false
	}
	d.block.values[0] = int64(c.last * c.quant[0])
	quant, ac := c.quant, c.ac
	for k := 1; k < 64; {
		b.fill()
		i := b.acc >> ((b.n - quickBits) & 63) & (1<<quickBits - 1)
		if v := ac.whole[i]; v != 0 {
			b.n -= int(v & 255)
			k += int(v >> 8 & 15)
			if k > 63 {
				return false
			}
			d.block.put(k, int64(v>>16)*int64(quant[k]))
			k++
			continue
		}
		symbol := b.symbol(ac)
		if symbol < 0 {
			return false
		}
		run, size := symbol>>4, symbol&15
		if size == 0 {
			if run != 15 {
				return run == 0 // the end of the block; other runs belong to progressive files
			}
			k += 16
			continue
		}
		if k += run; k > 63 {
			return false
		}
		v := int64(extend(b.take(size), size)) * int64(quant[k])
		d.block.put(k, v)
		if uint64(v+maxSize) > 2*maxSize {
			d.block.large = true
		}
		k++
	}
	return true
}
