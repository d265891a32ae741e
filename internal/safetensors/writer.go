package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"unicode/utf8"
)

// Write writes a file with the tensors in the order given and returns the number
// of bytes written. The same arguments give the same bytes: metadata keys are
// sorted, and the header is filled with spaces so that the data start at a
// multiple of 8. Everything is checked before the first byte is written; a
// tensor whose Data do not fit its Shape, a repeated or reserved name, a name or
// metadata that is not UTF-8, or an element type that is not known is ErrTensor
// or ErrDType and names the tensor. An error of w is passed on.
func Write(w io.Writer, metadata map[string]string, tensors []Tensor) (int64, error) {
	if w == nil {
		return 0, errors.New("safetensors: write: the writer is nil")
	}
	head, err := encodeHeader(metadata, tensors)
	if err != nil {
		return 0, fmt.Errorf("safetensors: write: %w", err)
	}
	n, err := w.Write(head)
	total := int64(n)
	if err != nil {
		return total, fmt.Errorf("safetensors: write header: %w", err)
	}
	for _, t := range tensors {
		n, err := w.Write(t.Data)
		total += int64(n)
		if err != nil {
			return total, fmt.Errorf("safetensors: write %s: %w", t.Name, err)
		}
	}
	return total, nil
}

// encodeHeader returns length, JSON and filling.
func encodeHeader(metadata map[string]string, tensors []Tensor) (b []byte, err error) {
	b = make([]byte, lengthSize, lengthSize+128*(len(tensors)+1))
	b = append(b, '{')
	if len(metadata) > 0 {
		b = append(b, `"`+metadataName+`":{`...)
		for i, k := range slices.Sorted(maps.Keys(metadata)) {
			if !utf8.ValidString(k) || !utf8.ValidString(metadata[k]) {
				return nil, fmt.Errorf("%w: metadata %q is not UTF-8", ErrTensor, k)
			}
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = appendJSON(b, k); err != nil {
				return nil, err
			}
			if b, err = appendJSON(append(b, ':'), metadata[k]); err != nil {
				return nil, err
			}
		}
		b = append(b, '}')
	}
	seen := make(map[string]bool, len(tensors))
	var off int64
	for i, t := range tensors {
		switch {
		case t.Name == metadataName:
			return nil, fmt.Errorf("%w: the name %s is reserved", ErrTensor, metadataName)
		case !utf8.ValidString(t.Name):
			return nil, fmt.Errorf("%w: name %q is not UTF-8", ErrTensor, t.Name)
		case seen[t.Name]:
			return nil, fmt.Errorf("%w: name %q occurs twice", ErrTensor, t.Name)
		}
		seen[t.Name] = true
		if err := t.check(); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if i > 0 || len(metadata) > 0 {
			b = append(b, ',')
		}
		if b, err = appendJSON(b, t.Name); err != nil {
			return nil, err
		}
		b = append(b, `:{"dtype":"`+string(t.DType)+`","shape":[`...)
		for j, dim := range t.Shape {
			if j > 0 {
				b = append(b, ',')
			}
			b = fmt.Appendf(b, "%d", dim)
		}
		b = fmt.Appendf(b, `],"data_offsets":[%d,%d]}`, off, off+int64(len(t.Data)))
		off += int64(len(t.Data))
	}
	b = append(b, '}')
	for len(b)%8 != 0 {
		b = append(b, ' ')
	}
	n := len(b) - lengthSize
	if n > maxHeader {
		return nil, fmt.Errorf("%w: the header takes %d bytes, at most %d are allowed", ErrTensor, n, maxHeader)
	}
	binary.LittleEndian.PutUint64(b, uint64(n))
	return b, nil
}

// appendJSON appends s as a JSON string. <, > and & stay as they are.
func appendJSON(b []byte, s string) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return nil, fmt.Errorf("%w: %q as JSON: %w", ErrTensor, s, err)
	}
	return append(b, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...), nil
}
