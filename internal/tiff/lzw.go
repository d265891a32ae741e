package tiff

import (
	"encoding/binary"
	"math/bits"
)

const (
	lzwClear = 256
	lzwEnd   = 257
	lzwFirst = 258  // the first code of a string of two bytes or more
	lzwCodes = 4096 // of 12 bits
	// lzwLead is how many bytes lie before the text: each byte once, so that a code of one byte is a copy like all others.
	lzwLead = 256
	// lzwStep is how many bytes are copied at once, and how many may be written behind the text.
	lzwStep = 16
	// lzwNone is the length of what is no string. No string is as long.
	lzwNone = 1<<16 - 1
)

// lzwTable is what the codes of TIFF's LZW stand for: a place in the buffer, shifted by 16, and a length. A string is one byte longer than
// an older one, so that lengths stay below 4096. The upper half holds what is added to a full table, and makes the index a mask.
type lzwTable [2 * lzwCodes]uint64

func newLZWTable() *lzwTable {
	t := new(lzwTable)
	for c := range uint64(lzwLead) {
		t[c] = c<<16 | 1
	}
	t[lzwClear], t[lzwEnd] = lzwNone, lzwNone
	return t
}

var lzwBytes = func() (b [lzwLead]byte) {
	for i := range b {
		b[i] = byte(i)
	}
	return b
}()

// lzwRoom is the length of a buffer for n bytes.
func lzwRoom(n int64) int64 { return lzwLead + n + lzwStep }

// expand writes a strip into buf, which has lzwRoom(n) bytes, and returns its n bytes, or all where it has fewer. ok is false where the
// stream is damaged, or ends before its end code and before the n bytes: then the decoder of golang.org/x/image says what is wrong.
//
// Every string was written before, so that a code is a copy. The string of the next code is known up to its last byte before
// that code is read: it stands in the table early, and its last byte is set where it is asked for at once.
func (t *lzwTable) expand(buf, src []byte) (text []byte, ok bool) {
	const mask = uint(len(t)) - 1
	copy(buf, lzwBytes[:])
	out, end := uint(lzwLead), uint(len(buf)-lzwStep)
	pos, total := uint64(0), 8*uint64(len(src)) // in bits

cleared:
	for { // of the codes behind a clear code, one stands for a byte
		if out >= end {
			return buf[lzwLead:end], true
		}
		code := lzwWord(src, pos) >> (64 - 9)
		if pos += 9; pos > total {
			return nil, false
		}
		if code < lzwClear {
			buf[out] = byte(code)
			out++
			break
		}
		if code == lzwEnd {
			return buf[lzwLead:out], true
		}
		if code != lzwClear {
			return nil, false
		}
	}
	last := uint64(out-1)<<16 | 1
	next, width, widen := uint(lzwFirst), uint(9), uint(1<<9-1)
	low := uint64(1<<9 - 1)
	for {
		word := lzwWord(src, pos)
		for range 4 { // codes of up to 12 bits, of the 57 that a word has at least
			if out >= end {
				return buf[lzwLead:end], true
			}
			word = bits.RotateLeft64(word, int(width))
			code := uint(word & low)
			if pos += uint64(width); pos > total {
				return nil, false
			}
			t[next&mask] = last + 1
			e := t[code&mask]
			from, n := uint(e>>16), uint(e&lzwNone)
			if code < next && n <= lzwStep {
				*(*[lzwStep]byte)(buf[out:]) = *(*[lzwStep]byte)(buf[from:])
			} else {
				switch {
				case code == lzwClear:
					goto cleared
				case code == lzwEnd:
					return buf[lzwLead:out], true
				case code > next:
					return nil, false
				}
				if code == next { // the string before, and its first byte, which is to stand behind it
					buf[out] = buf[from]
				}
				n = min(n, end-out)
				copy(buf[out:out+n], buf[from:])
			}
			last = uint64(out)<<16 | uint64(n)
			out += n
			if next++; next < widen {
				continue
			}
			if width == 12 {
				next = lzwCodes // full: what comes now is added to no place
				continue
			}
			// A code earlier than it must: so the format came to be.
			width++
			low = 1<<width - 1
			if widen = 1<<width - 1; width == 12 {
				widen = lzwCodes
			}
		}
	}
}

// lzwWord returns 57 bits of src or more from a bit on, the first of them highest; beyond the end they are 0.
func lzwWord(src []byte, bit uint64) uint64 {
	if at := bit / 8; at+8 <= uint64(len(src)) {
		return binary.BigEndian.Uint64(src[at:]) << (bit % 8)
	}
	return lzwTail(src, bit)
}

func lzwTail(src []byte, bit uint64) uint64 {
	var word [8]byte
	copy(word[:], src[bit/8:])
	return binary.BigEndian.Uint64(word[:]) << (bit % 8)
}
