package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Read reads what Write writes and checks it. Constants refer to data, which must
// not change afterwards. Memory is bounded by the size of data. Errors wrap
// ErrFormat, for what is cut short, too large or has a field that Write does not
// write, or ErrModel.
func Read(data []byte) (*Model, error) {
	m := &Model{Metadata: map[string]string{}}
	if err := m.decode(data); err != nil {
		return nil, fmt.Errorf("onnx: read: %w: %w", ErrFormat, err)
	}
	if err := m.Check(); err != nil {
		return nil, err
	}
	return m, nil
}

// field is one field of a message: a number or bytes, by its wire type.
type field struct {
	number, wire int
	v            uint64
	b            []byte
}

var errShort = errors.New("it is cut short")

// fields calls f for every field of a message.
func fields(b []byte, f func(field) error) error {
	for len(b) > 0 {
		head, n := binary.Uvarint(b)
		if n <= 0 || head>>3 > 1<<29 {
			return errShort
		}
		b = b[n:]
		x := field{number: int(head >> 3), wire: int(head & 7)}
		switch x.wire {
		case varint, bytes:
			if x.v, n = binary.Uvarint(b); n <= 0 {
				return errShort
			}
			b = b[n:]
		default:
			return fmt.Errorf("field %d has wire type %d", x.number, x.wire)
		}
		if x.wire == bytes {
			if x.v > uint64(len(b)) {
				return errShort
			}
			x.b, b = b[:x.v], b[x.v:]
		}
		if err := f(x); err != nil {
			return err
		}
	}
	return nil
}

func unknown(in string, x field) error {
	return fmt.Errorf("%s has field %d of wire type %d, which is not known here", in, x.number, x.wire)
}

// text stores a string.
func (x field) text(to *string) error {
	if x.wire != bytes || !utf8.Valid(x.b) {
		return fmt.Errorf("field %d is no text", x.number)
	}
	*to = string(x.b)
	return nil
}

// number64 returns a number; wrong wire types give an error.
func (x field) number64() (int64, error) {
	if x.wire != varint {
		return 0, fmt.Errorf("field %d is no number", x.number)
	}
	return int64(x.v), nil
}

// numbers appends one number, or a packed list, to at most most.
func (x field) numbers(to *[]int64, most int) error {
	if x.wire == varint {
		*to = append(*to, int64(x.v))
	} else {
		for b := x.b; len(b) > 0; {
			v, n := binary.Uvarint(b)
			if n <= 0 {
				return errShort
			}
			b = b[n:]
			if *to = append(*to, int64(v)); len(*to) > most {
				break
			}
		}
	}
	if len(*to) > most {
		return fmt.Errorf("field %d has more than %d numbers", x.number, most)
	}
	return nil
}

// each decodes a nested message of a list into a new last entry of to.
func each[T any](x field, to *[]T, most int, decode func(*T, []byte) error) error {
	if x.wire != bytes {
		return fmt.Errorf("field %d is no message", x.number)
	}
	if len(*to) >= most {
		return fmt.Errorf("field %d comes more than %d times", x.number, most)
	}
	var v T
	if err := decode(&v, x.b); err != nil {
		return err
	}
	*to = append(*to, v)
	return nil
}

func (m *Model) decode(b []byte) error {
	var ir, opset int64
	err := fields(b, func(x field) (err error) {
		switch x.number {
		case 1:
			ir, err = x.number64()
		case 2:
			err = x.text(&m.Producer)
		case 6:
			err = x.text(&m.Doc)
		case 7:
			if x.wire != bytes {
				return unknown("the model", x)
			}
			err = m.Graph.decode(x.b)
		case 8:
			if x.wire != bytes {
				return unknown("the model", x)
			}
			err = fields(x.b, func(x field) (err error) {
				if x.number != 2 {
					return unknown("the operator set", x)
				}
				opset, err = x.number64()
				return err
			})
		case 14:
			err = m.property(x)
		default:
			err = unknown("the model", x)
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case ir != irVersion || opset != Opset:
		return fmt.Errorf("it has IR version %d and operator set %d, want %d and %d", ir, opset, irVersion, Opset)
	}
	return nil
}

func (m *Model) property(x field) error {
	if x.wire != bytes || len(m.Metadata) >= maxEntries {
		return unknown("the model", x)
	}
	var key, value string
	err := fields(x.b, func(x field) error {
		switch x.number {
		case 1:
			return x.text(&key)
		case 2:
			return x.text(&value)
		}
		return unknown("a property", x)
	})
	if err != nil {
		return err
	}
	if _, twice := m.Metadata[key]; twice {
		return fmt.Errorf("the property %.80q comes twice", key)
	}
	m.Metadata[key] = value
	return nil
}

func (g *Graph) decode(b []byte) error {
	return fields(b, func(x field) error {
		switch x.number {
		case 1:
			return each(x, &g.Nodes, maxEntries, (*Node).decode)
		case 2:
			return x.text(&g.Name)
		case 5:
			return each(x, &g.Constants, maxEntries, (*Tensor).decode)
		case 11:
			return each(x, &g.Inputs, maxEntries, (*Value).decode)
		case 12:
			return each(x, &g.Outputs, maxEntries, (*Value).decode)
		}
		return unknown("the graph", x)
	})
}

func (n *Node) decode(b []byte) error {
	return fields(b, func(x field) error {
		switch x.number {
		case 1, 2:
			to := &n.Inputs
			if x.number == 2 {
				to = &n.Outputs
			}
			var s string
			if err := x.text(&s); err != nil {
				return err
			}
			if *to = append(*to, s); len(*to) > maxPerNode {
				return fmt.Errorf("a node has more than %d inputs or outputs", maxPerNode)
			}
			return nil
		case 3:
			return x.text(&n.Name)
		case 4:
			return x.text(&n.Op)
		case 5:
			return each(x, &n.Attributes, maxPerNode, (*Attribute).decode)
		}
		return unknown("a node", x)
	})
}

func (a *Attribute) decode(b []byte) error {
	var kind int64
	var one, list []int64
	err := fields(b, func(x field) (err error) {
		switch x.number {
		case 1:
			return x.text(&a.Name)
		case 3:
			return x.numbers(&one, 1)
		case 8:
			return x.numbers(&list, maxPerNode)
		case 20:
			kind, err = x.number64()
			return err
		}
		return unknown("an attribute", x)
	})
	switch {
	case err != nil:
		return err
	case kind == attributeInt && len(one) == 1 && list == nil:
		a.Ints = one
	case kind == attributeInts && one == nil:
		a.List, a.Ints = true, list
	default:
		return fmt.Errorf("attribute %.80q has type %d with %d and %d numbers", a.Name, kind, len(one), len(list))
	}
	return nil
}

func (t *Tensor) decode(b []byte) error {
	return fields(b, func(x field) error {
		switch x.number {
		case 1:
			return x.numbers(&t.Dims, maxAxes)
		case 2:
			v, err := x.number64()
			t.Type = dtype(v)
			return err
		case 8:
			return x.text(&t.Name)
		case 9:
			if x.wire != bytes {
				return unknown("a constant", x)
			}
			t.Data = x.b
			return nil
		}
		return unknown("a constant", x)
	})
}

// dtype returns 0 for a number that stands for no type of ours.
func dtype(v int64) DType {
	if d := DType(v); int64(d) == v && d.Size() > 0 {
		return d
	}
	return 0
}

func (v *Value) decode(b []byte) error {
	return fields(b, func(x field) error {
		switch {
		case x.number == 1:
			return x.text(&v.Name)
		case x.number == 2 && x.wire == bytes:
			return fields(x.b, func(x field) error {
				if x.number != 1 || x.wire != bytes {
					return unknown("the type of a value", x)
				}
				return fields(x.b, v.tensor)
			})
		}
		return unknown("a value", x)
	})
}

// tensor reads a field of the message that says element type and shape.
func (v *Value) tensor(x field) error {
	switch {
	case x.number == 1:
		n, err := x.number64()
		v.Type = dtype(n)
		return err
	case x.number == 2 && x.wire == bytes:
		return fields(x.b, func(x field) error {
			if x.number != 1 {
				return unknown("a shape", x)
			}
			return each(x, &v.Shape, maxAxes, (*Dim).decode)
		})
	}
	return unknown("the type of a value", x)
}

func (d *Dim) decode(b []byte) error {
	return fields(b, func(x field) (err error) {
		switch x.number {
		case 1:
			d.Size, err = x.number64()
			return err
		case 2:
			return x.text(&d.Name)
		}
		return unknown("a side", x)
	})
}
