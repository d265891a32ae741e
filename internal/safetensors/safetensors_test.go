package safetensors_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/safetensors"
)

// file builds a file from a literal header and data.
func file(header string, data ...byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func open(b []byte) (*safetensors.File, error) {
	return safetensors.Open(bytes.NewReader(b), int64(len(b)))
}

// both opens b in the two ways and requires the same verdict of them.
func both(t *testing.T, b []byte) (*safetensors.File, error) {
	t.Helper()
	f, err := open(b)
	g, err2 := safetensors.Read(iotest.HalfReader(bytes.NewReader(b)))
	require.Equal(t, err == nil, err2 == nil, "Open says %v, Read says %v", err, err2)
	if err == nil {
		require.Equal(t, f.Infos(), g.Infos())
		require.Equal(t, f.Metadata(), g.Metadata())
		for _, info := range f.Infos() {
			x, err := f.Bytes(info.Name)
			require.NoError(t, err)
			y, err := g.Bytes(info.Name)
			require.NoError(t, err)
			require.Equal(t, x, y)
		}
	} else {
		require.ErrorIs(t, err, safetensors.ErrFormat)
		require.ErrorIs(t, err2, safetensors.ErrFormat)
	}
	return f, err
}

func TestRoundTrip(t *testing.T) {
	tensors := []safetensors.Tensor{
		{Name: "z", DType: safetensors.U8, Shape: []int64{3}, Data: []byte{1, 2, 3}},
		{Name: "a.weight", DType: safetensors.F32, Shape: []int64{2, 1}, Data: safetensors.Float32Bytes([]float32{1.5, -2})},
		{Name: "scalar", DType: safetensors.I64, Shape: []int64{}, Data: make([]byte, 8)},
		{Name: "none", DType: safetensors.F16, Shape: []int64{4, 0}, Data: []byte{}},
		{Name: "a <b> & \"c\" \n ü \u2028", DType: safetensors.BOOL, Shape: []int64{1}, Data: []byte{1}},
	}
	metadata := map[string]string{"z": "1", "a": "{\"json\": [1]}", "ü": "\x00"}
	var buf bytes.Buffer
	n, err := safetensors.Write(&buf, metadata, tensors)
	require.NoError(t, err)
	require.EqualValues(t, buf.Len(), n)
	require.Zero(t, binary.LittleEndian.Uint64(buf.Bytes())%8, "the data must start at a multiple of 8")

	var again bytes.Buffer
	_, err = safetensors.Write(&again, metadata, tensors)
	require.NoError(t, err)
	require.Equal(t, buf.Bytes(), again.Bytes())

	f, err := both(t, buf.Bytes())
	require.NoError(t, err)
	require.Equal(t, metadata, f.Metadata())
	for i, info := range f.Infos() {
		require.Equal(t, tensors[i].Name, info.Name, "the order is kept")
		got, err := f.Tensor(info.Name)
		require.NoError(t, err)
		require.Equal(t, tensors[i], got)
		found, ok := f.Lookup(info.Name)
		require.True(t, ok)
		require.Equal(t, info, found)
	}
	x, err := f.Float32("a.weight")
	require.NoError(t, err)
	require.Equal(t, []float32{1.5, -2}, x)
}

func TestAbsentAndUnsuitable(t *testing.T) {
	f, err := both(t, file(`{"n":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}}`, 1, 0, 0, 0))
	require.NoError(t, err)
	_, ok := f.Lookup("m")
	require.False(t, ok)
	_, err = f.Bytes("m")
	require.ErrorIs(t, err, safetensors.ErrNotFound)
	require.ErrorContains(t, err, "read m")
	_, err = f.Float32("m")
	require.ErrorIs(t, err, safetensors.ErrNotFound)
	_, err = f.Tensor("m")
	require.ErrorIs(t, err, safetensors.ErrNotFound)
	_, err = f.Float32("n")
	require.ErrorIs(t, err, safetensors.ErrDType)
	_, err = safetensors.Tensor{Name: "n", DType: safetensors.U8}.Float32()
	require.ErrorIs(t, err, safetensors.ErrDType)
	_, err = safetensors.Tensor{Name: "n", DType: safetensors.F32, Shape: []int64{2}, Data: make([]byte, 7)}.Float32()
	require.ErrorIs(t, err, safetensors.ErrTensor)
}

// What the caller gets is the caller's: changing it must not change the file.
func TestResultsAreCopies(t *testing.T) {
	f, err := safetensors.Read(bytes.NewReader(file(`{"n":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 7, 8)))
	require.NoError(t, err)
	b, err := f.Bytes("n")
	require.NoError(t, err)
	b[0] = 99
	f.Infos()[0].Shape[0] = 99
	f.Metadata()["x"] = "y"
	info, _ := f.Lookup("n")
	info.Shape[0] = 98
	b, err = f.Bytes("n")
	require.NoError(t, err)
	require.Equal(t, []byte{7, 8}, b)
	require.Equal(t, []int64{2}, f.Infos()[0].Shape)
	require.Empty(t, f.Metadata())
}

// Data of more than one piece, read in awkward portions.
func TestReadAcrossPieces(t *testing.T) {
	const n = 4<<20 + 3 // elements: just above 16 MiB, so that the tensor crosses a piece's end
	b := bytes.Repeat([]byte("a period that is prime: 37 characters"), 4*n/37+1)[:4*n]
	var buf bytes.Buffer
	_, err := safetensors.Write(&buf, nil, []safetensors.Tensor{
		{Name: "first", DType: safetensors.U8, Shape: []int64{1}, Data: []byte{9}},
		{Name: "x", DType: safetensors.F32, Shape: []int64{n}, Data: b},
		{Name: "last", DType: safetensors.U8, Shape: []int64{2}, Data: []byte{7, 8}},
	})
	require.NoError(t, err)
	f, err := safetensors.Read(io.MultiReader(bytes.NewReader(buf.Bytes()[:1000]), bytes.NewReader(buf.Bytes()[1000:])))
	require.NoError(t, err)
	got, err := f.Bytes("x")
	require.NoError(t, err)
	require.True(t, bytes.Equal(b, got))
	g, err := f.Float32("x")
	require.NoError(t, err)
	require.Len(t, g, n)
	for _, i := range []int{0, 1, n / 2, 4<<20 - 2, 4<<20 - 1, 4 << 20, n - 1} {
		require.Equal(t, binary.LittleEndian.Uint32(b[4*i:]), math.Float32bits(g[i]))
	}
	last, err := f.Bytes("last")
	require.NoError(t, err)
	require.Equal(t, []byte{7, 8}, last)
}

func TestErrorsOfTheReaderPassThrough(t *testing.T) {
	broken := errors.New("broken disk")
	b := file(`{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}}`, make([]byte, 9)...)
	for cut := range len(b) + 1 {
		_, err := safetensors.Read(io.MultiReader(bytes.NewReader(b[:cut]), iotest.ErrReader(broken)))
		require.ErrorIs(t, err, broken, "after %d bytes", cut)
		require.NotErrorIs(t, err, safetensors.ErrFormat)
	}
	// A file that shrank after it was opened.
	f, err := safetensors.Open(shrunk{b[:len(b)-3]}, int64(len(b)))
	require.NoError(t, err)
	_, err = f.Bytes("a")
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.ErrorContains(t, err, "read a: 6 of 9 bytes")
}

type shrunk struct{ b []byte }

func (s shrunk) ReadAt(p []byte, off int64) (int, error) { return bytes.NewReader(s.b).ReadAt(p, off) }

func TestConcurrentUse(t *testing.T) {
	f, err := open(file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 0, 0, 128, 63, 0, 0, 0, 64))
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 100 {
				x, err := f.Float32("a")
				if err != nil || x[0] != 1 || x[1] != 2 {
					t.Errorf("got %v, %v", x, err)
					return
				}
			}
		}()
	}
	wg.Wait()
}

// binary16 by its definition, in float64, where every value is exact.
func slowHalf(h uint16) float64 {
	sign := 1 - 2*float64(h>>15)
	exp, frac := int(h>>10&31), float64(h&1023)
	switch {
	case exp == 31 && frac == 0:
		return sign * math.Inf(1)
	case exp == 31:
		return math.NaN()
	case exp == 0:
		return sign * math.Ldexp(frac, -24)
	}
	return sign * math.Ldexp(1024+frac, exp-25)
}

// All 65,536 values of both 16-bit types, bit for bit.
func TestSixteenBitTypesAreExact(t *testing.T) {
	data := make([]byte, 0, 2<<16)
	for h := range 1 << 16 {
		data = binary.LittleEndian.AppendUint16(data, uint16(h))
	}
	half, err := safetensors.Tensor{DType: safetensors.F16, Shape: []int64{1 << 16}, Data: data}.Float32()
	require.NoError(t, err)
	brain, err := safetensors.Tensor{DType: safetensors.BF16, Shape: []int64{1 << 16}, Data: data}.Float32()
	require.NoError(t, err)
	for h := range 1 << 16 {
		want := slowHalf(uint16(h))
		if math.IsNaN(want) {
			require.True(t, math.IsNaN(float64(half[h])), "%#x", h)
			require.Equal(t, uint32(h)>>15, math.Float32bits(half[h])>>31, "sign of NaN %#x", h)
		} else {
			require.Equal(t, math.Float64bits(want), math.Float64bits(float64(half[h])), "%#x", h)
		}
		require.Equal(t, uint32(h)<<16, math.Float32bits(brain[h]), "%#x", h)
	}
}

func TestDoubleRounds(t *testing.T) {
	in := []float64{0, math.Copysign(0, -1), 1.0 / 3, 1e300, -1e300, math.Inf(1), 1e-320, math.MaxFloat32, math.NaN()}
	var data []byte
	for _, v := range in {
		data = binary.LittleEndian.AppendUint64(data, math.Float64bits(v))
	}
	got, err := safetensors.Tensor{DType: safetensors.F64, Shape: []int64{int64(len(in))}, Data: data}.Float32()
	require.NoError(t, err)
	for i, v := range in {
		require.Equal(t, math.Float32bits(float32(v)), math.Float32bits(got[i]), "%g", v)
	}
}

func TestWriteRefuses(t *testing.T) {
	good := safetensors.Tensor{Name: "good", DType: safetensors.U8, Shape: []int64{1}, Data: []byte{1}}
	cases := []struct {
		name     string
		metadata map[string]string
		tensors  []safetensors.Tensor
		want     error
		says     string
	}{
		{"length", nil, []safetensors.Tensor{good, {Name: "bad", DType: safetensors.F32, Shape: []int64{2}, Data: make([]byte, 7)}}, safetensors.ErrTensor, `"bad": tensor cannot be written: F32 [2] takes 8 bytes, Data has 7`},
		{"twice", nil, []safetensors.Tensor{good, good}, safetensors.ErrTensor, `"good" occurs twice`},
		{"reserved", nil, []safetensors.Tensor{{Name: "__metadata__", DType: safetensors.U8}}, safetensors.ErrTensor, "reserved"},
		{"name", nil, []safetensors.Tensor{{Name: "\xff", DType: safetensors.U8}}, safetensors.ErrTensor, "UTF-8"},
		{"type", nil, []safetensors.Tensor{{Name: "t", DType: "F33"}}, safetensors.ErrDType, "F33"},
		{"dimension", nil, []safetensors.Tensor{{Name: "t", DType: safetensors.U8, Shape: []int64{-1}}}, safetensors.ErrTensor, "-1"},
		{"product", nil, []safetensors.Tensor{{Name: "t", DType: safetensors.U8, Shape: []int64{1 << 32, 1 << 32}}}, safetensors.ErrTensor, "2^63"},
		{"metadata", map[string]string{"k": "\xff"}, nil, safetensors.ErrTensor, "UTF-8"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var buf bytes.Buffer
			n, err := safetensors.Write(&buf, c.metadata, c.tensors)
			require.ErrorIs(t, err, c.want)
			require.ErrorContains(t, err, c.says)
			require.Zero(t, n)
			require.Zero(t, buf.Len(), "nothing may be written before everything is checked")
		})
	}
}

type full struct{ left int }

var errFull = errors.New("disk is full")

func (f *full) Write(p []byte) (int, error) {
	n := min(len(p), f.left)
	f.left -= n
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

func TestWriteToAFullDisk(t *testing.T) {
	tensors := []safetensors.Tensor{{Name: "a", DType: safetensors.U8, Shape: []int64{4}, Data: make([]byte, 4)}}
	size, err := safetensors.Write(io.Discard, nil, tensors)
	require.NoError(t, err)
	for room := range int(size) {
		n, err := safetensors.Write(&full{room}, nil, tensors)
		require.ErrorIs(t, err, errFull)
		require.EqualValues(t, room, n)
	}
}

// The file was written by the safetensors package for Python; the script beside
// it says how.
func TestReadsWhatPythonWrote(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("testdata", "parity", "python.bin"))
	require.NoError(t, err)
	j, err := os.ReadFile(filepath.Join("testdata", "parity", "python.json"))
	require.NoError(t, err)
	var want struct {
		Metadata map[string]string
		Tensors  map[string]struct {
			Shape   []int64
			DType   string
			Hex     string
			Float32 []string
		}
	}
	require.NoError(t, json.Unmarshal(j, &want))
	dtypes := map[string]safetensors.DType{
		"float64": safetensors.F64, "float32": safetensors.F32, "float16": safetensors.F16, "bfloat16": safetensors.BF16,
		"int64": safetensors.I64, "int32": safetensors.I32, "int16": safetensors.I16, "int8": safetensors.I8,
		"uint8": safetensors.U8, "bool": safetensors.BOOL,
	}
	f, err := both(t, b)
	require.NoError(t, err)
	require.Equal(t, want.Metadata, f.Metadata())
	require.Len(t, f.Infos(), len(want.Tensors))
	seen := map[safetensors.DType]bool{}
	for name, w := range want.Tensors {
		got, err := f.Tensor(name)
		require.NoError(t, err)
		require.Equal(t, w.Shape, got.Shape, name)
		require.Equal(t, dtypes[w.DType], got.DType, name)
		require.Equal(t, w.Hex, hex.EncodeToString(got.Data), name)
		seen[got.DType] = true
		if w.Float32 == nil {
			continue
		}
		x, err := f.Float32(name)
		require.NoError(t, err)
		require.Len(t, x, len(w.Float32))
		for i, s := range w.Float32 {
			v, err := strconv.ParseFloat(s, 32)
			require.NoError(t, err)
			require.Equal(t, math.Float32bits(float32(v)), math.Float32bits(x[i]), "%s[%d] is %v, Python has %s", name, i, x[i], s)
		}
	}
	require.Len(t, seen, len(dtypes), "the fixture holds every type")
}

// Real weights, where they are at hand: one tensor is taken out of 47 MB.
func TestRealWeights(t *testing.T) {
	path := filepath.Join("..", "..", "..", "shared", "weights", "resnet18-imagenet.safetensors")
	r, err := os.Open(path)
	if err != nil {
		t.Skipf("optional: %v", err)
	}
	defer r.Close()
	st, err := r.Stat()
	require.NoError(t, err)
	f, err := safetensors.Open(r, st.Size())
	require.NoError(t, err)
	info, ok := f.Lookup("layer1.0.conv1.weight")
	require.True(t, ok)
	require.Equal(t, []int64{64, 64, 3, 3}, info.Shape)
	x, err := f.Float32("layer1.0.conv1.weight")
	require.NoError(t, err)
	require.Len(t, x, 64*64*9)
}

// Whatever the bytes: no panic, and what is accepted can be read to the last byte
// and survives writing and reading again.
func FuzzOpen(f *testing.F) {
	f.Add([]byte{})
	f.Add(file(`{}`))
	f.Add(file(`{"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"__metadata__":{"k":"v"}}`, make([]byte, 8)...))
	f.Add(file(`{"a":{"dtype":"BF16","shape":[],"data_offsets":[0,2]},"b":{"dtype":"BOOL","shape":[0],"data_offsets":[2,2],"x":[{}]}}`, 1, 2))
	f.Add(file(`{"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"F3)","shape":[2],"data_offsets":[2,4]}}`, 1, 2, 3, 4))
	f.Add(append(binary.LittleEndian.AppendUint64(nil, 1<<40), '{'))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := both(t, b)
		if err != nil {
			return
		}
		var tensors []safetensors.Tensor
		total := 0
		for _, info := range file.Infos() {
			x, err := file.Tensor(info.Name)
			require.NoError(t, err)
			total += len(x.Data)
			if _, err := file.Float32(info.Name); err != nil {
				require.ErrorIs(t, err, safetensors.ErrDType)
			}
			if x.DType.Size() == 0 { // passed over by readers, so a file may have it; never written
				_, err := safetensors.Write(io.Discard, nil, []safetensors.Tensor{x})
				require.ErrorIs(t, err, safetensors.ErrDType)
				continue
			}
			tensors = append(tensors, x)
		}
		require.LessOrEqual(t, total, len(b))
		var buf bytes.Buffer
		_, err = safetensors.Write(&buf, file.Metadata(), tensors)
		require.NoError(t, err)
		again, err := open(buf.Bytes())
		require.NoError(t, err)
		require.Equal(t, file.Metadata(), again.Metadata())
		for _, want := range tensors {
			got, err := again.Tensor(want.Name)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	})
}

func BenchmarkFloat32(b *testing.B) {
	const n = 1 << 20
	for _, d := range []safetensors.DType{safetensors.F32, safetensors.F16} {
		b.Run(string(d), func(b *testing.B) {
			var buf bytes.Buffer
			_, err := safetensors.Write(&buf, nil, []safetensors.Tensor{{Name: "x", DType: d, Shape: []int64{n}, Data: make([]byte, n*d.Size())}})
			require.NoError(b, err)
			f, err := open(buf.Bytes())
			require.NoError(b, err)
			b.SetBytes(n * d.Size())
			for b.Loop() {
				if _, err := f.Float32("x"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	const n = 8 << 20
	var buf bytes.Buffer
	_, err := safetensors.Write(&buf, nil, []safetensors.Tensor{{Name: "x", DType: safetensors.U8, Shape: []int64{n}, Data: make([]byte, n)}})
	require.NoError(b, err)
	b.SetBytes(n)
	for b.Loop() {
		if _, err := safetensors.Read(bytes.NewReader(buf.Bytes())); err != nil {
			b.Fatal(err)
		}
	}
}
