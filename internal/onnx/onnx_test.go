package onnx_test

import (
	stdbytes "bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/onnx"
)

// small is a model with every kind of field.
func small() *onnx.Model {
	m := &onnx.Model{Producer: "p", Doc: "d", Metadata: map[string]string{"b": "2", "a": ""}}
	g := &m.Graph
	g.Name = "g"
	g.Inputs = []onnx.Value{{Name: "x", Type: onnx.Float32, Shape: []onnx.Dim{{Name: "n"}, {Size: 2}}}}
	w := g.Constant(onnx.Floats("w", []float32{1, -2}, 1, 2))
	i := g.Constant(onnx.Integers("i", -1, 300))
	y := g.Add("Add", "y", []string{"x", w})
	g.Add("Gather", "z", []string{y, i}, onnx.Int("axis", -1), onnx.Ints("none"), onnx.Ints("some", 1, -2))
	g.Outputs = []onnx.Value{{Name: "z", Type: onnx.Float32, Shape: []onnx.Dim{{Name: "n"}, {Size: 2}}}}
	return m
}

func written(t testing.TB, m *onnx.Model) []byte {
	t.Helper()
	var b stdbytes.Buffer
	require.NoError(t, m.Write(t.Context(), &b))
	return b.Bytes()
}

// The bytes are those of protobuf's own encoder: SerializeToString(deterministic=True)
// of the same model made by the package onnx 1.23 (testdata/small.py).
func TestWriteEqualsProtobuf(t *testing.T) {
	require.Equal(t, smallBytes(t), written(t, small()))
}

func TestReadReturnsWhatWriteWrote(t *testing.T) {
	m, err := onnx.Read(written(t, small()))
	require.NoError(t, err)
	want := small()
	want.Graph.Nodes[1].Attributes[1].Ints = nil // an empty list
	require.Equal(t, want, m)
}

func TestReadRefusesWhatIsCutOrUnknown(t *testing.T) {
	b := written(t, small())
	for n := range b {
		m, err := onnx.Read(b[:n])
		if err == nil { // a model may end before its metadata, which come last
			require.Less(t, len(m.Metadata), len(small().Metadata), n)
		}
	}
	for name, extra := range map[string][]byte{
		"field":     {0x7a, 0},             // 15
		"fixed":     {0x09, 1, 2, 3, 4, 5}, // wire type 1
		"endless":   {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"opset":     {0x42, 2, 0x10, 16},
		"ir":        {0x08, 9},
		"long":      {0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f},
		"latin":     {0x12, 1, 0xff},
		"twice":     {0x72, 3, 0x0a, 1, 'a'},
		"graph":     {0x38, 1},
		"attribute": {0x3a, 7, 0x0a, 5, 0x2a, 3, 0x0a, 1, 'k'},
	} {
		_, err := onnx.Read(append(stdbytes.Clone(b), extra...))
		require.ErrorIs(t, err, onnx.ErrFormat, name)
	}
}

func TestCheck(t *testing.T) {
	for name, change := range map[string]func(m *onnx.Model){
		"nothing before it makes it":    func(m *onnx.Model) { m.Graph.Nodes[0].Inputs[0] = "z" },
		"the name is there already":     func(m *onnx.Model) { m.Graph.Nodes[1].Outputs[0] = "w" },
		"nothing makes it":              func(m *onnx.Model) { m.Graph.Outputs[0].Name = "q" },
		"is named twice":                func(m *onnx.Model) { m.Graph.Outputs = append(m.Graph.Outputs, m.Graph.Outputs[0]) },
		"has 8 bytes, want 16":          func(m *onnx.Model) { m.Graph.Constants[0].Dims[0] = 2 },
		"want sides of 1 or more":       func(m *onnx.Model) { m.Graph.Constants[0].Dims[0] = 0 },
		"less than 2 GiB":               func(m *onnx.Model) { m.Graph.Constants[0].Dims = []int64{1 << 40, 1 << 40} },
		"type(3)":                       func(m *onnx.Model) { m.Graph.Inputs[0].Type = 3 },
		"want a size of 1 or more":      func(m *onnx.Model) { m.Graph.Inputs[0].Shape[1].Size = 0 },
		"names no operator":             func(m *onnx.Model) { m.Graph.Nodes[0].Op = "" },
		"has 2 numbers":                 func(m *onnx.Model) { m.Graph.Nodes[1].Attributes[0].Ints = []int64{1, 2} },
		"metadata of the key":           func(m *onnx.Model) { m.Metadata[""] = "" },
		"want 1 to 1024 of UTF-8":       func(m *onnx.Model) { m.Graph.Inputs[0].Name = "\xff" },
		"name of 2000 bytes":            func(m *onnx.Model) { m.Graph.Inputs[0].Name = strings.Repeat("x", 2000) },
		"producer, description or name": func(m *onnx.Model) { m.Doc = "\xff" },
		"want 65536 or fewer":           func(m *onnx.Model) { m.Graph.Constants = make([]onnx.Tensor, 1<<16+1) },
		"more than 1024 inputs":         func(m *onnx.Model) { m.Graph.Nodes[0].Inputs = make([]string, 1025) },
	} {
		m := small()
		change(m)
		err := m.Check()
		require.ErrorIs(t, err, onnx.ErrModel, name)
		require.ErrorContains(t, err, name)
		require.ErrorIs(t, m.Write(t.Context(), nil), onnx.ErrModel) // before anything is written
	}
}

// failing takes n bytes.
type failing int

var errFull = errors.New("full")

func (f *failing) Write(b []byte) (int, error) {
	if *f -= failing(len(b)); *f < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestWriteReturnsTheWritersError(t *testing.T) {
	for n := range len(written(t, small())) {
		f := failing(n)
		require.ErrorIs(t, small().Write(t.Context(), &f), errFull)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, small().Write(ctx, new(failing)), context.Canceled)
}

// What Read takes, Write writes so that Read takes it again.
func FuzzRead(f *testing.F) {
	f.Add(written(f, small()))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := onnx.Read(b)
		if err != nil {
			return
		}
		again, err := onnx.Read(written(t, m))
		require.NoError(t, err)
		require.Equal(t, m, again)
	})
}

func smallBytes(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/small.onnx")
	require.NoError(t, err)
	return b
}
