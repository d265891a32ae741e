package tiff

import (
	"errors"
	"io"
	"strings"
)

var (
	errFaxCode = errors.New("fax: invalid code")
	errFaxRow  = errors.New("fax: a run leaves its row")
)

const (
	faxBits   = 13      // of the longest code
	faxMaxRun = 1 << 30 // pixels; rows are not wider
)

// faxCode is the run of a code, -1 where there is none, and its length in bits.
type faxCode struct {
	run  int16
	bits uint8
}

// faxTable looks codes up by their first bits.
type faxTable []faxCode

// newFaxTable makes the table of one colour from its codes for 0 to 63 and 64 to
// 1728.
func newFaxTable(short, long string) faxTable {
	t := make(faxTable, 1<<faxBits)
	for i := range t {
		t[i].run = -1
	}
	add := func(codes string, run, step int) {
		for _, c := range strings.Fields(codes) {
			first := 0
			for _, bit := range c {
				first = first<<1 | int(bit-'0')
			}
			free := faxBits - len(c)
			for i := range 1 << free {
				t[first<<free|i] = faxCode{int16(run), uint8(len(c))}
			}
			run += step
		}
	}
	add(short, 0, 1)
	add(long, 64, 64)
	add(faxExtended, 1792, 64)
	return t
}

// The codes of ITU-T T.4, tables 2 and 3.
const (
	faxWhiteShort = `00110101 000111 0111 1000 1011 1100 1110 1111 10011 10100 00111 01000 001000 000011 110100 110101
		101010 101011 0100111 0001100 0001000 0010111 0000011 0000100 0101000 0101011 0010011 0100100 0011000 00000010 00000011 00011010
		00011011 00010010 00010011 00010100 00010101 00010110 00010111 00101000 00101001 00101010 00101011 00101100 00101101 00000100 00000101 00001010
		00001011 01010010 01010011 01010100 01010101 00100100 00100101 01011000 01011001 01011010 01011011 01001010 01001011 00110010 00110011 00110100`
	faxWhiteLong = `11011 10010 010111 0110111 00110110 00110111 01100100 01100101 01101000 01100111 011001100 011001101 011010010 011010011
		011010100 011010101 011010110 011010111 011011000 011011001 011011010 011011011 010011000 010011001 010011010 011000 010011011`
	faxBlackShort = `0000110111 010 11 10 011 0011 0010 00011 000101 000100 0000100 0000101 0000111 00000100 00000111 000011000
		0000010111 0000011000 0000001000 00001100111 00001101000 00001101100 00000110111 00000101000 00000010111 00000011000 000011001010 000011001011 000011001100 000011001101 000001101000 000001101001
		000001101010 000001101011 000011010010 000011010011 000011010100 000011010101 000011010110 000011010111 000001101100 000001101101 000011011010 000011011011 000001010100 000001010101 000001010110 000001010111
		000001100100 000001100101 000001010010 000001010011 000000100100 000000110111 000000111000 000000100111 000000101000 000001011000 000001011001 000000101011 000000101100 000001011010 000001100110 000001100111`
	faxBlackLong = `0000001111 000011001000 000011001001 000001011011 000000110011 000000110100 000000110101 0000001101100 0000001101101 0000001001010 0000001001011 0000001001100 0000001001101 0000001110010
		0000001110011 0000001110100 0000001110101 0000001110110 0000001110111 0000001010010 0000001010011 0000001010100 0000001010101 0000001011010 0000001011011 0000001100100 0000001100101`
	faxExtended = `00000001000 00000001100 00000001101 000000010010 000000010011 000000010100 000000010101 000000010110 000000010111 000000011100 000000011101 000000011110 000000011111`
)

// fax decodes CCITT group 3 and 4: rows of bits in which 1 is what the codes
// call black.
type fax struct {
	data         []byte
	at           int // in bits
	width        int
	white, black faxTable
	kind         int
	twoD         bool
	row          []int // where the colour changes in this row, first to black
	ref          []int // the same of the row before
}

func newFax(data []byte, width, kind int, t4 uint64, tables *[2]faxTable) *fax {
	if tables[0] == nil {
		*tables = [2]faxTable{newFaxTable(faxWhiteShort, faxWhiteLong), newFaxTable(faxBlackShort, faxBlackLong)}
	}
	return &fax{data: data, width: width, kind: kind, twoD: t4&1 == 1, white: tables[0], black: tables[1]}
}

// peek returns the next n bits, at most 24, with zeros beyond the end.
func (f *fax) peek(n int) int {
	v, b := 0, f.at/8
	for i := range 4 {
		v <<= 8
		if b+i < len(f.data) {
			v |= int(f.data[b+i])
		}
	}
	return v >> (32 - f.at%8 - n) & (1<<n - 1)
}

func (f *fax) left() int { return 8*len(f.data) - f.at }

// skip goes on by n bits, which must be there.
func (f *fax) skip(n int) error {
	if n > f.left() {
		return io.ErrUnexpectedEOF
	}
	f.at += n
	return nil
}

// run reads the length of one run of a colour.
func (f *fax) run(black bool) (int, error) {
	t := f.white
	if black {
		t = f.black
	}
	for total := 0; ; {
		c := t[f.peek(faxBits)]
		if c.run < 0 {
			if f.left() < faxBits {
				return 0, io.ErrUnexpectedEOF
			}
			return 0, errFaxCode
		}
		if err := f.skip(int(c.bits)); err != nil {
			return 0, err
		}
		if total += int(c.run); total > faxMaxRun {
			return 0, errFaxRow
		}
		if c.run < 64 {
			return total, nil
		}
	}
}

// eol skips fill bits and one end-of-line code, if one follows.
func (f *fax) eol() bool {
	const zeros = 11
	if f.left() <= zeros || f.peek(zeros) != 0 {
		return false
	}
	for f.left() > 0 && f.peek(1) == 0 {
		f.at++
	}
	if f.left() == 0 {
		return false
	}
	f.at++
	return true
}

func (f *fax) next(room []byte) ([]byte, error) {
	f.row, f.ref = f.ref[:0], f.row
	var err error
	switch f.kind {
	case compressRLE:
		f.at = (f.at + 7) &^ 7
		err = f.oneD()
	case compressRLEW:
		f.at = (f.at + 15) &^ 15
		err = f.oneD()
	case compressG4:
		err = f.vertical()
	default:
		seen := f.eol()
		if f.twoD && seen {
			tag := f.peek(1)
			if err = f.skip(1); err == nil && tag == 0 {
				err = f.vertical()
				break
			}
		}
		if err == nil {
			err = f.oneD()
		}
	}
	if err != nil {
		return nil, err
	}
	clear(room)
	for i := 0; i < len(f.row); i += 2 {
		end := f.width
		if i+1 < len(f.row) {
			end = f.row[i+1]
		}
		setBits(room, f.row[i], end)
	}
	return room, nil
}

// setBits sets the bits from a to b-1, the highest bit of a byte first.
func setBits(dst []byte, a, b int) {
	for ; a < b && a%8 != 0; a++ {
		dst[a/8] |= 0x80 >> (a % 8)
	}
	for ; a+8 <= b; a += 8 {
		dst[a/8] = 0xff
	}
	for ; a < b; a++ {
		dst[a/8] |= 0x80 >> (a % 8)
	}
}

// stretch reads a run that begins at x and notes where it ends, which it returns.
func (f *fax) stretch(x int, black bool) (int, error) {
	n, err := f.run(black)
	if err != nil {
		return 0, err
	}
	if x += n; x > f.width {
		return 0, errFaxRow
	}
	return x, f.change(x)
}

// oneD reads runs of white and black in turn until the row is full.
func (f *fax) oneD() error {
	for x, black := 0, false; x < f.width; black = !black {
		var err error
		if x, err = f.stretch(x, black); err != nil {
			return err
		}
	}
	return nil
}

// change notes that the colour changes at x. Runs of no pixels are allowed, but
// not without end.
func (f *fax) change(x int) error {
	if len(f.row) > 2*f.width+8 {
		return errFaxRow
	}
	f.row = append(f.row, x)
	return nil
}

// vertical reads a row that is coded by its differences from the row before.
func (f *fax) vertical() error {
	x, black, first := 0, false, true
	from := 0 // index into ref of what may be b1; it grows, but for a step to the left of three pixels
	for x < f.width {
		// b1 is the first change in ref right of x to the other colour.
		from = max(from-4, 0)
		if (from%2 == 1) != black {
			from++
		}
		for from < len(f.ref) && (f.ref[from] < x || f.ref[from] == x && !first) {
			from += 2
		}
		b1, b2 := f.width, f.width
		if from < len(f.ref) {
			b1 = f.ref[from]
		}
		if from+1 < len(f.ref) {
			b2 = f.ref[from+1]
		}
		var step, bits int
		switch v := f.peek(7); {
		case v>>6 == 1:
			step, bits = 0, 1
		case v>>4 == 0b011:
			step, bits = 1, 3
		case v>>4 == 0b010:
			step, bits = -1, 3
		case v>>1 == 0b000011:
			step, bits = 2, 6
		case v>>1 == 0b000010:
			step, bits = -2, 6
		case v == 0b0000011:
			step, bits = 3, 7
		case v == 0b0000010:
			step, bits = -3, 7
		case v>>3 == 0b0001: // pass
			if err := f.skip(4); err != nil {
				return err
			}
			x, first = b2, false
			continue
		case v>>4 == 0b001: // two runs
			if err := f.skip(3); err != nil {
				return err
			}
			for range 2 {
				var err error
				if x, err = f.stretch(x, black); err != nil {
					return err
				}
				black = !black
			}
			first = false
			continue
		default:
			if f.left() < 12 {
				return io.ErrUnexpectedEOF
			}
			if v == 0b0000001 {
				return errors.New("fax: the uncompressed mode is not read; convert it with: tiffcp -c zip OLD.tif NEW.tif")
			}
			if v == 0 { // the end-of-block code, before all rows have come
				return io.ErrUnexpectedEOF
			}
			return errFaxCode
		}
		if err := f.skip(bits); err != nil {
			return err
		}
		to := b1 + step
		if to < x || to > f.width {
			return errFaxRow
		}
		if err := f.change(to); err != nil {
			return err
		}
		x, black, first = to, !black, false
	}
	return nil
}
