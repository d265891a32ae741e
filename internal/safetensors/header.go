package safetensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strconv"
	"unicode/utf8"
)

const (
	lengthSize   = 8              // bytes of the length in front of the header
	maxHeader    = 100_000_000    // bytes, the format's own bound
	metadataName = "__metadata__" // the header's key for free text
)

// Info says what a file holds under a name.
type Info struct {
	Name   string
	DType  DType
	Shape  []int64
	Offset int64 // bytes from the first byte after the header
	Size   int64 // bytes
}

// header is a header that has passed every check.
type header struct {
	infos    []Info // in the header's order
	index    map[string]int
	metadata map[string]string
	dataSize int64 // bytes that follow the header
}

// format makes an error that wraps ErrFormat and, if given, a cause.
func format(f string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrFormat, fmt.Errorf(f, args...))
}

// short cuts a name for a message: a hostile header may hold one of 100 MB.
func short(name string) string {
	const most = 200
	if len(name) <= most {
		return name
	}
	return name[:most] + "..."
}

// readHeader reads length and header from the front of r. limit is the size of
// the whole file, or negative if it is not known.
func readHeader(r io.Reader, limit int64) (h *header, headerSize int64, err error) {
	var b [lengthSize]byte
	if n, err := io.ReadFull(r, b[:]); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, 0, format("%d bytes, the header's length alone takes 8", n)
		}
		return nil, 0, fmt.Errorf("header length: %w", err)
	}
	n := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
	if n > maxHeader {
		return nil, 0, format("header claims %d bytes, at most %d are allowed", n, maxHeader)
	}
	if limit >= 0 && int64(n) > limit-lengthSize {
		return nil, 0, format("header claims %d bytes, the file has %d after the length: it ends too early, copy or fetch it again", n, limit-lengthSize)
	}
	// The buffer grows with what arrives, not with what was claimed.
	var buf bytes.Buffer
	got, err := io.CopyN(&buf, r, int64(n))
	if errors.Is(err, io.EOF) {
		return nil, 0, format("header claims %d bytes, only %d follow: it ends too early, copy or fetch it again", n, got)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("header: %w", err)
	}
	h, err = parseHeader(buf.Bytes())
	if err != nil {
		return nil, 0, err
	}
	if limit >= 0 && h.dataSize != limit-lengthSize-int64(n) {
		has := limit - lengthSize - int64(n)
		why := ""
		if has < h.dataSize {
			why = "; the file was cut short, fetch or copy it again"
		}
		return nil, 0, format("header describes %d bytes of data, the file has %d%s", h.dataSize, has, why)
	}
	return h, lengthSize + int64(n), nil
}

func parseHeader(b []byte) (*header, error) {
	if len(b) == 0 || b[0] != '{' {
		return nil, format("header does not start with {")
	}
	// The decoder replaces broken UTF-8 in silence, which could make two names one.
	if !utf8.Valid(b) {
		return nil, format("header is not UTF-8")
	}
	p := parser{dec: json.NewDecoder(bytes.NewReader(b)), h: &header{index: map[string]int{}, metadata: map[string]string{}}}
	p.dec.UseNumber()
	if err := p.object("header", p.entry); err != nil {
		return nil, err
	}
	if _, err := p.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, format("header has more than one JSON value")
	}
	if err := p.h.layout(); err != nil {
		return nil, err
	}
	return p.h, nil
}

// layout checks that the ranges, sorted, follow one another from 0 without holes
// or overlaps, and sets dataSize to their end.
func (h *header) layout() error {
	order := make([]int, len(h.infos))
	for i := range order {
		order[i] = i
	}
	sort.Slice(order, func(a, b int) bool {
		x, y := h.infos[order[a]], h.infos[order[b]]
		if x.Offset != y.Offset {
			return x.Offset < y.Offset
		}
		return x.Size < y.Size // an empty tensor may share its offset with the next
	})
	var end int64
	prev := "the start of the data"
	for _, i := range order {
		t := h.infos[i]
		if t.Offset < end {
			return format("tensor %q starts at byte %d, inside %s, which ends at %d", short(t.Name), t.Offset, prev, end)
		}
		if t.Offset > end {
			return format("tensor %q starts at byte %d, %d bytes behind %s", short(t.Name), t.Offset, t.Offset-end, prev)
		}
		end = t.Offset + t.Size
		prev = fmt.Sprintf("tensor %q", short(t.Name))
	}
	h.dataSize = end
	return nil
}

// parser walks the header token by token, because a decoder into a map would keep
// the last of two equal names and drop the other.
type parser struct {
	dec *json.Decoder
	h   *header
}

func (p *parser) token(what string) (json.Token, error) {
	t, err := p.dec.Token()
	if errors.Is(err, io.EOF) {
		return nil, format("%s: header ends early", what)
	}
	if err != nil {
		return nil, format("%s: %w", what, err)
	}
	return t, nil
}

// object reads an object and hands each key, once its uniqueness is known, to
// member, which must consume the value.
func (p *parser) object(what string, member func(key string) error) error {
	t, err := p.token(what)
	if err != nil {
		return err
	}
	if t != json.Delim('{') {
		return format("%s is %v, not an object", what, t)
	}
	seen := map[string]bool{}
	for p.dec.More() {
		t, err := p.token(what)
		if err != nil {
			return err
		}
		key, ok := t.(string)
		if !ok {
			return format("%s: key is %v, not a string", what, t)
		}
		if seen[key] {
			return format("%s: name %q occurs twice", what, short(key))
		}
		seen[key] = true
		if err := member(key); err != nil {
			return err
		}
	}
	_, err = p.token(what) // the closing brace, or the syntax error in its place
	return err
}

// entry reads one value of the outer object.
func (p *parser) entry(key string) error {
	if key == metadataName {
		return p.object(metadataName, func(k string) error {
			var v json.RawMessage
			if err := p.dec.Decode(&v); err != nil {
				return format("%s: value of %q: %w", metadataName, short(k), err)
			}
			var text string
			if json.Unmarshal(v, &text) != nil {
				text = string(v) // not the format's, but some writers put numbers and objects there
			}
			p.h.metadata[k] = text
			return nil
		})
	}
	what := fmt.Sprintf("tensor %q", short(key))
	var (
		dtype          string
		shape, offsets []int64
		got            int
	)
	err := p.object(what, func(field string) error {
		var err error
		switch field {
		case "dtype":
			var t json.Token
			if t, err = p.token(what); err != nil {
				return err
			}
			var ok bool
			if dtype, ok = t.(string); !ok {
				return format("%s: dtype is %v, not a string", what, t)
			}
			got++
		case "shape":
			shape, err = p.ints(what + ": shape")
			got++
		case "data_offsets":
			offsets, err = p.ints(what + ": data_offsets")
			got++
		default:
			// As the reference reader does: fields of later versions are skipped.
			var skip json.RawMessage
			if err = p.dec.Decode(&skip); err != nil {
				err = format("%s: field %q: %w", what, field, err)
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	if got != 3 {
		return format("%s lacks one of dtype, shape, data_offsets", what)
	}
	if len(offsets) != 2 || offsets[1] < offsets[0] {
		return format("%s: data_offsets %v are not a range", what, offsets)
	}
	size := offsets[1] - offsets[0]
	if DType(dtype).Size() > 0 { // what is not known cannot be checked, and nobody reads it
		if size, err = byteSize(DType(dtype), shape); err != nil {
			return format("%s: %w", what, err)
		}
	}
	if size != offsets[1]-offsets[0] {
		return format("%s: %s %v takes %d bytes, data_offsets %v give %d", what, dtype, shape, size, offsets, offsets[1]-offsets[0])
	}
	p.h.index[key] = len(p.h.infos)
	p.h.infos = append(p.h.infos, Info{Name: key, DType: DType(dtype), Shape: slices.Clip(shape), Offset: offsets[0], Size: size})
	return nil
}

// ints reads an array of integers from 0 to 2^63-1.
func (p *parser) ints(what string) ([]int64, error) {
	t, err := p.token(what)
	if err != nil {
		return nil, err
	}
	if t != json.Delim('[') {
		return nil, format("%s is %v, not a list", what, t)
	}
	list := []int64{}
	for p.dec.More() {
		t, err := p.token(what)
		if err != nil {
			return nil, err
		}
		n, ok := t.(json.Number)
		if !ok {
			return nil, format("%s: %v is not a number", what, t)
		}
		// ParseUint would take 2^64-1; more than 2^63-1 bytes exist nowhere.
		v, err := strconv.ParseInt(n.String(), 10, 64)
		if err != nil || v < 0 {
			return nil, format("%s: %s is not an integer from 0 to 2^63-1", what, n)
		}
		list = append(list, v)
	}
	_, err = p.token(what)
	return list, err
}
