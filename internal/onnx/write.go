package onnx

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// Types of fields in protobuf's wire format.
const (
	varint = 0
	bytes  = 2
)

var errNil = errors.New("the writer or the context is nil")

// Types of attributes.
const (
	attributeInt  = 2
	attributeInts = 7
)

// message is a protobuf message that is being put together. Large fields are
// referred to and not copied.
type message struct {
	parts [][]byte
	size  int64
}

// add appends small bytes to the last part.
func (m *message) add(b []byte) {
	if len(m.parts) == 0 {
		m.parts = append(m.parts, nil)
	}
	last := &m.parts[len(m.parts)-1]
	*last = append(*last, b...)
	m.size += int64(len(b))
}

func (m *message) head(field, wire int) {
	m.add(binary.AppendUvarint(nil, uint64(field)<<3|uint64(wire)))
}

func (m *message) number(field int, v int64) {
	m.head(field, varint)
	m.add(binary.AppendUvarint(nil, uint64(v)))
}

// text writes a string; an empty one is left out, as protobuf's default.
func (m *message) text(field int, s string) {
	if s != "" {
		m.entry(field, s)
	}
}

// entry writes a string of a list, where an empty one counts.
func (m *message) entry(field int, s string) {
	m.head(field, bytes)
	m.add(binary.AppendUvarint(nil, uint64(len(s))))
	m.add([]byte(s))
}

// refer writes bytes, which must not change before the message is written.
func (m *message) refer(field int, b []byte) {
	m.head(field, bytes)
	m.add(binary.AppendUvarint(nil, uint64(len(b))))
	m.parts = append(m.parts, slices.Clip(b), nil)
	m.size += int64(len(b))
}

// nested writes a message inside m.
func (m *message) nested(field int, in message) {
	m.head(field, bytes)
	m.add(binary.AppendUvarint(nil, uint64(in.size)))
	for i, p := range in.parts {
		if i == 0 {
			m.add(p)
			continue
		}
		m.parts = append(m.parts, slices.Clip(p))
		m.size += int64(len(p))
	}
	if len(in.parts) > 1 {
		m.parts = append(m.parts, nil)
	}
}

// Write checks the model and writes it. Errors wrap ErrModel or ErrTooLarge, before
// anything is written, or are ctx's or w's.
func (m *Model) Write(ctx context.Context, w io.Writer) error {
	if err := m.Check(); err != nil {
		return err
	}
	if w == nil || ctx == nil {
		return fmt.Errorf("onnx: write: %w", errNil)
	}
	// The constants are all that can be large.
	total := int64(0)
	for _, t := range m.Graph.Constants {
		total += int64(len(t.Data))
	}
	if total >= maxBytes {
		return fmt.Errorf("onnx: write: %w: its constants have %d bytes", ErrTooLarge, total)
	}
	out := m.encode()
	if out.size >= maxBytes {
		return fmt.Errorf("onnx: write: %w: it has %d bytes", ErrTooLarge, out.size)
	}
	for _, p := range out.parts {
		for len(p) > 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			n := min(len(p), 1<<20)
			if _, err := w.Write(p[:n]); err != nil {
				return fmt.Errorf("onnx: write: %w", err)
			}
			p = p[n:]
		}
	}
	return nil
}

func (m *Model) encode() (out message) {
	out.number(1, irVersion)
	out.text(2, m.Producer)
	out.text(6, m.Doc)
	out.nested(7, m.Graph.encode())
	var set message
	set.number(2, Opset)
	out.nested(8, set)
	for _, k := range slices.Sorted(maps.Keys(m.Metadata)) {
		var p message
		p.entry(1, k)
		p.entry(2, m.Metadata[k])
		out.nested(14, p)
	}
	return out
}

func (g *Graph) encode() (out message) {
	for _, n := range g.Nodes {
		out.nested(1, n.encode())
	}
	out.text(2, g.Name)
	for _, t := range g.Constants {
		out.nested(5, t.encode())
	}
	for _, v := range g.Inputs {
		out.nested(11, v.encode())
	}
	for _, v := range g.Outputs {
		out.nested(12, v.encode())
	}
	return out
}

func (n Node) encode() (out message) {
	for _, s := range n.Inputs {
		out.entry(1, s)
	}
	for _, s := range n.Outputs {
		out.entry(2, s)
	}
	out.text(3, n.Name)
	out.text(4, n.Op)
	for _, a := range n.Attributes {
		out.nested(5, a.encode())
	}
	return out
}

func (a Attribute) encode() (out message) {
	out.text(1, a.Name)
	if !a.List {
		out.number(3, a.Ints[0])
		out.number(20, attributeInt)
		return out
	}
	for _, v := range a.Ints {
		out.number(8, v)
	}
	out.number(20, attributeInts)
	return out
}

func (t Tensor) encode() (out message) {
	for _, d := range t.Dims {
		out.number(1, d)
	}
	out.number(2, int64(t.Type))
	out.text(8, t.Name)
	out.refer(9, t.Data)
	return out
}

func (v Value) encode() (out message) {
	var shape, of, kind message
	for _, d := range v.Shape {
		var dim message
		if d.Name != "" {
			dim.text(2, d.Name)
		} else {
			dim.number(1, d.Size)
		}
		shape.nested(1, dim)
	}
	of.number(1, int64(v.Type))
	of.nested(2, shape)
	kind.nested(1, of)
	out.text(1, v.Name)
	out.nested(2, kind)
	return out
}
