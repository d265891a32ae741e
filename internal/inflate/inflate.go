// Package inflate expands zlib streams (RFC 1950 and 1951) that lie in memory into memory: what
// decoders of images do, whose size is known. compress/flate reads bit by bit from a reader; here a
// word is read at once, and two short literals that follow each other are one step.
package inflate

import (
	"encoding/binary"
	"errors"
	"hash/adler32"
	"io"
	"math/bits"
	"sync"
)

var (
	// ErrCorrupt is returned for a stream that is none, or whose checksum is wrong.
	ErrCorrupt = errors.New("inflate: the stream is damaged")
	// ErrTooLong is returned for a stream of more bytes than there is room for.
	ErrTooLong = errors.New("inflate: the stream is longer than it may be")
)

const (
	litBits  = 11 // of the index of the first table of literals and lengths
	distBits = 9  // of that of distances
	maxCode  = 15 // bits of a code
	most     = 258
	// slack is how many bytes behind the last one that is asked for a step may write or leave
	// undefined; near the end of the room steps are careful.
	slack = 16
)

// An entry of a table says what the lowest bits of the stream are.
//
//	bits 0-3    how many bits the code has
//	bit 4       it is a literal, or two
//	bit 5       it is neither literal nor length nor distance
//	bits 6-7    with bit 4: how many literals; with bit 5: 1 for another table, 2 for the end of the block, 0 for no code
//	bits 8-15   the first literal; extra bits of a length or distance; with bit 5 the bits of the other table's index
//	bits 16-31  the second literal; the least length or distance; where the other table begins
type entry = uint32

const (
	isLiteral  = 1 << 4
	isOther    = 1 << 5
	otherTable = 1 << 6
	blockEnd   = 2 << 6
)

// tables are those of one block.
type tables struct {
	lit  [2400]entry // 288 codes of up to 15 bits behind 11 need 2,342 at most
	dist [800]entry
	lens [288 + 32]uint8
	// ordered symbols of a code, by length
	sorted [288]uint16
}

var spare = sync.Pool{New: func() any { return new(tables) }}

// Zlib expands a whole zlib stream into dst and returns how many bytes it has. Bytes behind the
// stream are passed over. Errors are [ErrCorrupt], [ErrTooLong] where dst is too short, and
// io.ErrUnexpectedEOF where src is. After an error what dst holds is undefined.
func Zlib(dst, src []byte) (int, error) {
	if len(src) < 2 {
		return 0, io.ErrUnexpectedEOF
	}
	// Deflate with a window of up to 32 kB, no dictionary.
	if src[0]&15 != 8 || src[0]>>4 > 7 || src[1]&32 != 0 || (uint(src[0])<<8|uint(src[1]))%31 != 0 {
		return 0, ErrCorrupt
	}
	n, used, err := Raw(dst, src[2:])
	if err != nil {
		return 0, err
	}
	tail := src[2+used:]
	if len(tail) < 4 {
		return 0, io.ErrUnexpectedEOF
	}
	if binary.BigEndian.Uint32(tail) != adler32.Checksum(dst[:n]) {
		return 0, ErrCorrupt
	}
	return n, nil
}

// Raw is [Zlib] for a stream without head and checksum; used is how many bytes of src it takes.
func Raw(dst, src []byte) (n, used int, err error) {
	t, ok := spare.Get().(*tables)
	if !ok {
		t = new(tables)
	}
	defer spare.Put(t)
	d := decoder{src: src, dst: dst, t: t}
	if err := d.blocks(); err != nil {
		return 0, 0, err
	}
	return d.out, d.at - int(d.n>>3), nil
}

// blocks expands all blocks.
func (d *decoder) blocks() (err error) {
	for last := false; !last; {
		last = d.take(1) == 1
		switch d.take(2) {
		case 0:
			err = d.stored()
		case 1:
			if d.use, err = fixed(); err == nil {
				err = d.block()
			}
		case 2:
			d.use = d.t
			if err = d.dynamic(); err == nil {
				err = d.block()
			}
		default:
			err = ErrCorrupt
		}
		if d.short { // what was wrong may be what was not there
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// decoder is where a stream is.
type decoder struct {
	src, dst []byte
	at, out  int
	buf      uint64  // bits that are read and not used, the next one lowest
	n        uint    // how many they are
	short    bool    // more were used than there are
	t        *tables // of blocks that bring their own
	use      *tables // of this block
}

// fill reads whole bytes until there are 48 bits, or all.
func (d *decoder) fill() {
	for d.n < 48 && d.at < len(d.src) {
		d.buf |= uint64(d.src[d.at]) << (d.n & 63)
		d.at++
		d.n += 8
	}
}

// take returns the next k bits, at most 16; beyond the end they are 0, and short is set.
func (d *decoder) take(k uint) uint {
	if d.n < k {
		d.fill()
	}
	v := uint(d.buf) & (1<<k - 1)
	d.drop(k)
	return v
}

func (d *decoder) drop(k uint) {
	if d.n < k {
		d.short = true
		d.buf, d.n = 0, 0
		return
	}
	d.buf >>= k & 63
	d.n -= k
}

// stored copies a block that is not compressed.
func (d *decoder) stored() error {
	d.drop(d.n & 7)
	// Whole bytes go back.
	d.at -= int(d.n >> 3)
	d.buf, d.n = 0, 0
	if len(d.src)-d.at < 4 {
		return io.ErrUnexpectedEOF
	}
	k := int(binary.LittleEndian.Uint16(d.src[d.at:]))
	if k != int(^binary.LittleEndian.Uint16(d.src[d.at+2:])) {
		return ErrCorrupt
	}
	d.at += 4
	switch {
	case len(d.src)-d.at < k:
		return io.ErrUnexpectedEOF
	case len(d.dst)-d.out < k:
		return ErrTooLong
	}
	copy(d.dst[d.out:], d.src[d.at:d.at+k])
	d.at += k
	d.out += k
	return nil
}

// fixed are the tables of RFC 1951, 3.2.6, made once: a block that uses them may have ten bits.
var fixed = sync.OnceValues(func() (*tables, error) {
	t := new(tables)
	lens := t.lens[:]
	for i := range lens {
		switch {
		case i < 144:
			lens[i] = 8
		case i < 256:
			lens[i] = 9
		case i < 280:
			lens[i] = 7
		case i < 288:
			lens[i] = 8
		default:
			lens[i] = 5
		}
	}
	if err := t.literals(lens[:288]); err != nil {
		return nil, err
	}
	return t, t.distances(lens[288:])
})

// dynamic reads the codes of a block, 3.2.7.
func (d *decoder) dynamic() error {
	literals, distances, codes := int(d.take(5))+257, int(d.take(5))+1, int(d.take(4))+4
	if literals > 286 || distances > 30 {
		return ErrCorrupt
	}
	order := [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
	var lens [19]uint8
	for _, at := range order[:codes] {
		lens[at] = uint8(d.take(3))
	}
	var table [1 << 7]entry
	if _, err := build(table[:], lens[:], d.t.sorted[:], 7, func(symbol int) entry { return entry(symbol) << 16 }, false); err != nil {
		return err
	}
	all := d.t.lens[:literals+distances]
	for i := 0; i < len(all); {
		if d.n < 16 {
			d.fill()
		}
		e := table[d.buf&(1<<7-1)]
		if e&isOther != 0 {
			return ErrCorrupt
		}
		d.drop(uint(e & 15))
		var value uint8
		repeat := 1
		switch symbol := e >> 16; symbol {
		case 16:
			if i == 0 {
				return ErrCorrupt
			}
			value, repeat = all[i-1], 3+int(d.take(2))
		case 17:
			repeat = 3 + int(d.take(3))
		case 18:
			repeat = 11 + int(d.take(7))
		default:
			value = uint8(symbol)
		}
		if d.short {
			return io.ErrUnexpectedEOF
		}
		if repeat > len(all)-i {
			return ErrCorrupt
		}
		for ; repeat > 0; repeat-- {
			all[i] = value
			i++
		}
	}
	if all[256] == 0 { // no block could end
		return ErrCorrupt
	}
	if err := d.t.literals(all[:literals]); err != nil {
		return err
	}
	return d.t.distances(all[literals:])
}

// lengthBase and lengthExtra are the lengths of symbols 257 to 285.
var (
	lengthBase  = [29]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthExtra = [29]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distBase    = [30]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	distExtra   = [30]uint8{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
)

// literals makes the table of literals and lengths. A block of nothing may have one code, its end.
func (t *tables) literals(lens []uint8) error {
	_, err := build(t.lit[:], lens, t.sorted[:], litBits, func(symbol int) entry {
		switch {
		case symbol < 256:
			return isLiteral | 1<<6 | entry(symbol)<<8
		case symbol == 256:
			return isOther | blockEnd
		case symbol-257 < len(lengthBase):
			return entry(lengthExtra[symbol-257])<<8 | entry(lengthBase[symbol-257])<<16
		}
		return isOther // 286 and 287 are codes of no meaning
	}, true)
	if err != nil {
		return err
	}
	// Two literals that fit into one index are one entry. From above, so that what an
	// entry looks at is still that of one literal.
	first := t.lit[:1<<litBits]
	for i := len(first) - 1; i >= 0; i-- {
		e := first[i]
		if e&isLiteral == 0 {
			continue
		}
		k := e & 15
		next := first[i>>(k&15)]
		if next&isLiteral != 0 && k+next&15 <= litBits {
			first[i] = (k + next&15) | isLiteral | 2<<6 | e&0xff00 | next&0xff00<<8
		}
	}
	return nil
}

// distances makes the table of distances. A stream without matches may have no code at all, or one.
func (t *tables) distances(lens []uint8) error {
	_, err := build(t.dist[:], lens, t.sorted[:], distBits, func(symbol int) entry {
		if symbol >= len(distBase) {
			return isOther // 30 and 31 are codes of no meaning
		}
		return entry(distExtra[symbol])<<8 | entry(distBase[symbol])<<16
	}, true)
	return err
}

// build fills a table, whose first part has an index of first bits, for canonical codes of these
// lengths, and returns how long it is. A set of codes that is too large is refused, and one that is
// too small, unless few allows for one code at most or none.
func build(table []entry, lens []uint8, sorted []uint16, first uint, value func(symbol int) entry, few bool) (int, error) {
	var count, offset [maxCode + 2]int
	for _, l := range lens {
		count[l]++
	}
	count[0] = 0
	left, codes, longest := 1, 0, uint(0)
	for l := uint(1); l <= maxCode; l++ {
		left = left<<1 - count[l]
		if left < 0 {
			return 0, ErrCorrupt
		}
		if codes += count[l]; count[l] > 0 {
			longest = l
		}
		offset[l+1] = offset[l] + count[l]
	}
	complete := left == 0
	if !complete && !(few && (codes == 0 || codes == 1 && longest == 1)) {
		return 0, ErrCorrupt
	}
	for symbol, l := range lens {
		if l > 0 {
			sorted[offset[l]] = uint16(symbol)
			offset[l]++
		}
	}
	used := 1 << first
	if !complete {
		for i := range table[:used] {
			table[i] = isOther
		}
	}
	code, at := uint(0), 0
	sub, subBits, subStart := ^uint(0), uint(0), 0
	for l := uint(1); l <= longest; l++ {
		for k := count[l]; k > 0; k-- {
			symbol := int(sorted[at])
			at++
			e := value(symbol)
			back := uint(bits.Reverse16(uint16(code))) >> (16 - l)
			if l <= first {
				e |= entry(l)
				for i := back; i < 1<<first; i += 1 << l {
					table[i] = e
				}
			} else {
				prefix := back & (1<<first - 1)
				if prefix != sub {
					// Another table, as large as the codes with this prefix need.
					sub, subStart, subBits = prefix, used, l-first
					room := 1 << subBits
					for free := room - k; free > 0 && first+subBits < longest; {
						subBits++
						free = free<<1 - count[first+subBits]
					}
					if used += 1 << subBits; used > len(table) {
						return 0, ErrCorrupt
					}
					table[prefix] = isOther | otherTable | entry(first) | entry(subBits)<<8 | entry(subStart)<<16
				}
				e |= entry(l - first)
				part := table[subStart:used]
				for i := back >> first; i < 1<<subBits; i += 1 << (l - first) {
					part[i] = e
				}
			}
			code++
		}
		code <<= 1
	}
	return used, nil
}

// block expands the codes of a block.
func (d *decoder) block() error {
	for {
		if end, err := d.quick(); end || err != nil {
			return err
		}
		// Near the end of either side, one code at a time.
		if end, err := d.careful(); end || err != nil {
			return err
		}
	}
}

// quick goes on as long as whole words can be read and written; end says that the block has ended.
func (d *decoder) quick() (end bool, err error) {
	src, dst, lit, dist := d.src, d.dst, &d.use.lit, &d.use.dist
	at, out, buf, n := d.at, d.out, d.buf, uint64(d.n)
	lastIn, lastOut := len(src)-16, len(dst)-most-slack
	for at <= lastIn && out <= lastOut {
		buf |= binary.LittleEndian.Uint64(src[at:]) << (n & 63)
		at += int((63 - n) >> 3)
		n |= 56
		e := lit[buf&(1<<litBits-1)]
		if e&isLiteral != 0 {
			binary.LittleEndian.PutUint16(dst[out:], uint16(e>>8))
			out += int(e >> 6 & 3)
			buf >>= e & 15
			n -= uint64(e & 15)
			e = lit[buf&(1<<litBits-1)]
			if e&isLiteral != 0 {
				binary.LittleEndian.PutUint16(dst[out:], uint16(e>>8))
				out += int(e >> 6 & 3)
				buf >>= e & 15
				n -= uint64(e & 15)
				e = lit[buf&(1<<litBits-1)]
				if e&isLiteral != 0 {
					binary.LittleEndian.PutUint16(dst[out:], uint16(e>>8))
					out += int(e >> 6 & 3)
					buf >>= e & 15
					n -= uint64(e & 15)
					e = lit[buf&(1<<litBits-1)]
					if e&isLiteral != 0 {
						binary.LittleEndian.PutUint16(dst[out:], uint16(e>>8))
						out += int(e >> 6 & 3)
						buf >>= e & 15
						n -= uint64(e & 15)
						continue
					}
				}
			}
			buf |= binary.LittleEndian.Uint64(src[at:]) << (n & 63)
			at += int((63 - n) >> 3)
			n |= 56
		}
		if e&isOther != 0 {
			if e&otherTable != 0 {
				buf >>= litBits
				n -= litBits
				e = lit[e>>16+uint32(buf)&(1<<(e>>8&15)-1)]
			}
			if e&isLiteral != 0 {
				dst[out] = byte(e >> 8)
				out++
				buf >>= e & 15
				n -= uint64(e & 15)
				continue
			}
			if e&isOther != 0 {
				buf >>= e & 15
				n -= uint64(e & 15)
				d.at, d.out, d.buf, d.n = at, out, buf, uint(n)
				if e&blockEnd != 0 {
					d.tidy()
					return true, nil
				}
				return false, ErrCorrupt
			}
		}
		buf >>= e & 15
		n -= uint64(e & 15)
		extra := e >> 8 & 15
		length := int(e>>16) + int(buf&(1<<extra-1))
		buf >>= extra
		n -= uint64(extra)
		e = dist[buf&(1<<distBits-1)]
		if e&isOther != 0 {
			if e&otherTable != 0 {
				buf >>= distBits
				n -= distBits
				e = dist[e>>16+uint32(buf)&(1<<(e>>8&15)-1)]
			}
			if e&isOther != 0 {
				return false, ErrCorrupt
			}
		}
		buf >>= e & 15
		n -= uint64(e & 15)
		extra = e >> 8 & 15
		back := int(e>>16) + int(buf&(1<<extra-1))
		buf >>= extra
		n -= uint64(extra)
		if back > out {
			return false, ErrCorrupt
		}
		// Words overlap what is copied by up to 7 bytes, which are written again later.
		from, to := dst[out-back:], dst[out:]
		switch {
		case back >= 8:
			for k := 0; k < length; k += 8 {
				binary.LittleEndian.PutUint64(to[k:], binary.LittleEndian.Uint64(from[k:]))
			}
		case back == 1:
			v := uint64(from[0]) * 0x0101010101010101
			for k := 0; k < length; k += 8 {
				binary.LittleEndian.PutUint64(to[k:], v)
			}
		default:
			for k := range length {
				to[k] = from[k]
			}
		}
		out += length
	}
	d.at, d.out, d.buf, d.n = at, out, buf, uint(n)
	d.tidy()
	return false, nil
}

// tidy forgets bits above the n that count: quick may have read them.
func (d *decoder) tidy() {
	if d.n < 64 {
		d.buf &= 1<<d.n - 1
	}
}

// careful takes codes one at a time, until the block ends or quick can go on.
func (d *decoder) careful() (end bool, err error) {
	for {
		d.fill()
		e, err := d.code(d.use.lit[:], litBits)
		if err != nil {
			return false, err
		}
		switch {
		case e&isLiteral != 0:
			k := int(e >> 6 & 3)
			if len(d.dst)-d.out < k {
				return false, ErrTooLong
			}
			for i := range k {
				d.dst[d.out+i] = byte(e >> (8 + 8*i))
			}
			d.out += k
			continue
		case e&isOther != 0:
			if e&blockEnd != 0 {
				return true, nil
			}
			return false, ErrCorrupt
		}
		length := int(e>>16) + int(d.take(uint(e>>8&15)))
		d.fill()
		if e, err = d.code(d.use.dist[:], distBits); err != nil {
			return false, err
		}
		if e&isOther != 0 {
			return false, ErrCorrupt
		}
		back := int(e>>16) + int(d.take(uint(e>>8&15)))
		switch {
		case d.short:
			return false, io.ErrUnexpectedEOF
		case back > d.out:
			return false, ErrCorrupt
		case length > len(d.dst)-d.out:
			return false, ErrTooLong
		}
		for i := range length {
			d.dst[d.out+i] = d.dst[d.out+i-back]
		}
		d.out += length
		if d.at <= len(d.src)-16 && d.out <= len(d.dst)-most-slack {
			return false, nil
		}
	}
}

// code takes one code, or two literals.
func (d *decoder) code(table []entry, first uint) (entry, error) {
	e := table[d.buf&(1<<first-1)]
	if e&isOther != 0 && e&otherTable != 0 {
		d.drop(first)
		e = table[e>>16+uint32(d.buf)&(1<<(e>>8&15)-1)]
	}
	d.drop(uint(e & 15))
	if d.short {
		return 0, io.ErrUnexpectedEOF
	}
	return e, nil
}
