package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// Versions of what is written.
const (
	irVersion = 8
	// Opset is the version of the operator set.
	Opset = 17
)

// Limits, which Check and Read hold to.
const (
	maxBytes    = math.MaxInt32 // protobuf's own
	maxEntries  = 1 << 16       // nodes, tensors, values and properties each
	maxPerNode  = 1 << 10       // inputs, outputs and attributes of a node, numbers of an attribute
	maxAxes     = 16
	maxNameSize = 1 << 10
)

var (
	// ErrModel reports a model that is no valid graph.
	ErrModel = errors.New("the model is not valid")
	// ErrTooLarge reports a model of 2 GiB or more, which protobuf does not take.
	ErrTooLarge = errors.New("the model would have 2 GiB or more, which ONNX does not take in one file")
	// ErrFormat reports bytes that are not what Write writes.
	ErrFormat = errors.New("not an ONNX model of this kind")
)

// DType is the type of a tensor's elements, by ONNX's number.
type DType int

// The element types that there are.
const (
	Float32 DType = 1
	Int64   DType = 7
)

// Size returns the bytes of an element, 0 for an unknown type.
func (d DType) Size() int64 {
	switch d {
	case Float32:
		return 4
	case Int64:
		return 8
	}
	return 0
}

// String returns "float32" or "int64".
func (d DType) String() string {
	switch d {
	case Float32:
		return "float32"
	case Int64:
		return "int64"
	}
	return fmt.Sprintf("type(%d)", int(d))
}

// Model is a graph and what is said of it.
type Model struct {
	Producer string
	Doc      string
	Metadata map[string]string // written in the order of the keys
	Graph    Graph
}

// Graph is a computation: nodes in the order in which they run.
type Graph struct {
	Name            string
	Inputs, Outputs []Value
	Constants       []Tensor // ONNX's initializers
	Nodes           []Node
}

// Value is an input or output of the graph.
type Value struct {
	Name  string
	Type  DType
	Shape []Dim
}

// Dim is a side of a value: a size, or the name of one that the caller chooses.
type Dim struct {
	Size int64  // 1 or more where Name is empty
	Name string // "" for a fixed size
}

// Tensor is a constant: little-endian values in row-major order.
type Tensor struct {
	Name string
	Type DType
	Dims []int64
	Data []byte
}

// Node is one operation. Inputs and outputs are names of values.
type Node struct {
	Op, Name        string
	Inputs, Outputs []string
	Attributes      []Attribute
}

// Attribute is a setting of a node: one whole number, or a list where List is set.
type Attribute struct {
	Name string
	List bool
	Ints []int64 // exactly one unless List
}

// Int returns an attribute of one number.
func Int(name string, v int64) Attribute { return Attribute{Name: name, Ints: []int64{v}} }

// Ints returns an attribute of a list.
func Ints(name string, v ...int64) Attribute { return Attribute{Name: name, List: true, Ints: v} }

// Fixed returns the shape of fixed sizes.
func Fixed(sizes ...int64) []Dim {
	out := make([]Dim, len(sizes))
	for i, n := range sizes {
		out[i].Size = n
	}
	return out
}

// Floats returns a constant of float32.
func Floats(name string, v []float32, dims ...int64) Tensor {
	return Tensor{Name: name, Type: Float32, Dims: dims, Data: AppendFloats(make([]byte, 0, 4*len(v)), v)}
}

// AppendFloats appends the bytes of v as a constant has them.
func AppendFloats(to []byte, v []float32) []byte {
	for _, x := range v {
		to = binary.LittleEndian.AppendUint32(to, math.Float32bits(x))
	}
	return to
}

// Integers returns a constant of int64 with one axis.
func Integers(name string, v ...int64) Tensor {
	t := Tensor{Name: name, Type: Int64, Dims: []int64{int64(len(v))}}
	for _, x := range v {
		t.Data = binary.LittleEndian.AppendUint64(t.Data, uint64(x))
	}
	return t
}

// Constant adds a constant and returns its name.
func (g *Graph) Constant(t Tensor) string {
	g.Constants = append(g.Constants, t)
	return t.Name
}

// Add adds a node of one output, which has the node's name, and returns that.
func (g *Graph) Add(op, name string, inputs []string, attributes ...Attribute) string {
	g.Nodes = append(g.Nodes, Node{Op: op, Name: name, Inputs: inputs, Outputs: []string{name}, Attributes: attributes})
	return name
}

// Check returns an error that wraps ErrModel unless the model is a valid graph as
// far as names and sizes go: every name of a value is made once and before it is
// used, every constant has the bytes of its dims, every output is there. What
// operators ask of shapes is not looked at.
func (m *Model) Check() error {
	if err := m.Graph.check(); err != nil {
		return fmt.Errorf("onnx: %w: %w", ErrModel, err)
	}
	for k, v := range m.Metadata {
		if k == "" || len(k) > maxNameSize || !utf8.ValidString(k) || !utf8.ValidString(v) {
			return fmt.Errorf("onnx: %w: the metadata of the key %.80q are not UTF-8, or the key has %d bytes and not 1 to %d", ErrModel, k, len(k), maxNameSize)
		}
	}
	if !utf8.ValidString(m.Producer) || !utf8.ValidString(m.Doc) || !utf8.ValidString(m.Graph.Name) {
		return fmt.Errorf("onnx: %w: producer, description or name are not UTF-8", ErrModel)
	}
	if len(m.Metadata) > maxEntries {
		return fmt.Errorf("onnx: %w: the metadata has %d entries, want %d or fewer", ErrModel, len(m.Metadata), maxEntries)
	}
	return nil
}

func (g *Graph) check() error {
	for _, n := range []int{len(g.Nodes), len(g.Constants), len(g.Inputs), len(g.Outputs)} {
		if n > maxEntries {
			return fmt.Errorf("there are %d nodes, constants or values, want %d or fewer", n, maxEntries)
		}
	}
	made := make(map[string]bool)
	add := func(what, name string) error {
		switch {
		case name == "" || len(name) > maxNameSize || !utf8.ValidString(name):
			return fmt.Errorf("%s has a name of %d bytes, want 1 to %d of UTF-8", what, len(name), maxNameSize)
		case made[name]:
			return fmt.Errorf("%s %q: the name is there already", what, name)
		}
		made[name] = true
		return nil
	}
	for _, v := range g.Inputs {
		if err := errors.Join(add("input", v.Name), v.check()); err != nil {
			return err
		}
	}
	for _, t := range g.Constants {
		if err := errors.Join(add("constant", t.Name), t.check()); err != nil {
			return err
		}
	}
	for i, n := range g.Nodes {
		if err := n.check(made); err != nil {
			return fmt.Errorf("node %d %q: %w", i, n.Name, err)
		}
		for _, out := range n.Outputs {
			if err := add("output of a node", out); err != nil {
				return err
			}
		}
	}
	seen := make(map[string]bool)
	for _, v := range g.Outputs {
		switch {
		case !made[v.Name]:
			return fmt.Errorf("output %q: nothing makes it", v.Name)
		case seen[v.Name]:
			return fmt.Errorf("output %q is named twice", v.Name)
		}
		seen[v.Name] = true
		if err := v.check(); err != nil {
			return err
		}
	}
	return nil
}

func (v Value) check() error {
	if v.Type.Size() == 0 || len(v.Shape) > maxAxes {
		return fmt.Errorf("value %q is %s with %d axes", v.Name, v.Type, len(v.Shape))
	}
	for _, d := range v.Shape {
		if d.Name == "" && d.Size < 1 || d.Name != "" && d.Size != 0 || len(d.Name) > maxNameSize || !utf8.ValidString(d.Name) {
			return fmt.Errorf("value %q has the side %+v, want a size of 1 or more or a name", v.Name, d)
		}
	}
	return nil
}

func (t Tensor) check() error {
	want := t.Type.Size()
	if want == 0 || len(t.Dims) > maxAxes {
		return fmt.Errorf("constant %q is %s with %d axes", t.Name, t.Type, len(t.Dims))
	}
	for _, d := range t.Dims {
		if d < 1 || want > maxBytes/d {
			return fmt.Errorf("constant %q is %v, want sides of 1 or more and less than 2 GiB", t.Name, t.Dims)
		}
		want *= d
	}
	if want != int64(len(t.Data)) {
		return fmt.Errorf("constant %q is %s %v and has %d bytes, want %d", t.Name, t.Type, t.Dims, len(t.Data), want)
	}
	return nil
}

// check looks at a node before which the values of made have been made.
func (n Node) check(made map[string]bool) error {
	if n.Op == "" || len(n.Op) > maxNameSize || len(n.Name) > maxNameSize || !utf8.ValidString(n.Op) || !utf8.ValidString(n.Name) {
		return errors.New("it names no operator, or its name is too long or not UTF-8")
	}
	if len(n.Inputs) > maxPerNode || len(n.Outputs) > maxPerNode || len(n.Attributes) > maxPerNode {
		return fmt.Errorf("it has more than %d inputs, outputs or attributes", maxPerNode)
	}
	for _, in := range n.Inputs {
		if !made[in] {
			return fmt.Errorf("input %q: nothing before it makes it", in)
		}
	}
	for i, a := range n.Attributes {
		if a.Name == "" || len(a.Name) > maxNameSize || !utf8.ValidString(a.Name) || len(a.Ints) > maxPerNode || !a.List && len(a.Ints) != 1 {
			return fmt.Errorf("attribute %d %q has %d numbers", i, a.Name, len(a.Ints))
		}
	}
	return nil
}
