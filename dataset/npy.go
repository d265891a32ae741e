package dataset

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"regexp"
	"strconv"
	"strings"
)

const (
	maxNpyHeader = 1 << 16 // bytes; NumPy writes 118
	maxNpyDims   = 8
)

// npyHeader is what the first bytes of an npy file say.
type npyHeader struct {
	kind  byte // 'i', 'u' or 'b'
	size  int  // bytes of an element: 1, 2, 4, 8
	order binary.ByteOrder
	shape []int
	bytes int64 // length of the header itself
	data  int64 // length of what follows
}

// count is the number of elements in one entry of the first dimension.
func (h npyHeader) count() int {
	n := 1
	for _, d := range h.shape[1:] {
		n *= d
	}
	return n
}

// The header is a Python dictionary; NumPy writes its three keys in this order
// and takes no other.
func npyDict() *regexp.Regexp {
	return regexp.MustCompile(`^\{'descr': '([<>|=])([a-zA-Z])(\d{1,2})', 'fortran_order': (True|False), 'shape': \(([0-9, ]*)\), *\} *\n?$`)
}

// readNpyHeader reads the header of an npy file of version 1 to 3 with integers
// or booleans in C order. It reads no further.
func readNpyHeader(r io.Reader) (npyHeader, error) {
	bad := func(format string, args ...any) (npyHeader, error) {
		return npyHeader{}, fmt.Errorf("%w: npy: %s", ErrDecode, fmt.Sprintf(format, args...))
	}
	var pre [12]byte
	if _, err := io.ReadFull(r, pre[:10]); err != nil {
		return bad("the header ends early: %v", err)
	}
	if !bytes.HasPrefix(pre[:], []byte("\x93NUMPY")) {
		return bad("it begins with %q", pre[:6])
	}
	n, head := int(binary.LittleEndian.Uint16(pre[8:])), 10
	switch pre[6] {
	case 1:
	case 2, 3:
		if _, err := io.ReadFull(r, pre[10:]); err != nil {
			return bad("the header ends early: %v", err)
		}
		long := binary.LittleEndian.Uint32(pre[8:])
		if long > maxNpyHeader {
			return bad("a header of %d bytes, the limit is %d", long, maxNpyHeader)
		}
		n, head = int(long), 12
	default:
		return bad("version %d.%d, want 1 to 3", pre[6], pre[7])
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return bad("the header ends early: %v", err)
	}
	m := npyDict().FindSubmatch(text)
	if m == nil {
		return bad("the header %.80q is not understood", text)
	}
	h := npyHeader{kind: m[2][0], order: binary.LittleEndian, bytes: int64(head + n)}
	if m[1][0] == '>' {
		h.order = binary.BigEndian
	}
	h.size, _ = strconv.Atoi(string(m[3])) // two digits at most, by the expression
	switch {
	case string(m[4]) == "True":
		return bad("the array is in Fortran order, want C order")
	case h.kind != 'i' && h.kind != 'u' && h.kind != 'b' || h.size != 1 && h.size != 2 && h.size != 4 && h.size != 8 || h.kind == 'b' && h.size != 1:
		return bad("elements of type %s%s, want integers of 1, 2, 4 or 8 bytes or booleans", m[2], m[3])
	}
	total := uint64(h.size)
	for _, s := range strings.FieldsFunc(string(m[5]), func(r rune) bool { return r == ',' || r == ' ' }) {
		d, err := strconv.Atoi(s)
		if err != nil || len(h.shape) == maxNpyDims {
			return bad("shape (%s) is not understood", m[5])
		}
		h.shape = append(h.shape, d)
		hi, lo := bits.Mul64(total, uint64(d))
		if hi != 0 || lo > 1<<62 {
			return bad("shape (%s) has more elements than can be", m[5])
		}
		total = lo
	}
	if len(h.shape) == 0 {
		return bad("a single number, want an array")
	}
	h.data = int64(total)
	return h, nil
}

// at returns element i of raw bytes; values that an int64 does not hold come
// out negative.
func (h *npyHeader) at(raw []byte, i int) int64 {
	b := raw[i*h.size : (i+1)*h.size]
	signed := h.kind == 'i'
	switch h.size {
	case 1:
		if signed {
			return int64(int8(b[0]))
		}
		return int64(b[0])
	case 2:
		v := h.order.Uint16(b)
		if signed {
			return int64(int16(v))
		}
		return int64(v)
	case 4:
		v := h.order.Uint32(b)
		if signed {
			return int64(int32(v))
		}
		return int64(v)
	}
	return int64(h.order.Uint64(b))
}
