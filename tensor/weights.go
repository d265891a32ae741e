package tensor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/internal/safetensors"
	"github.com/gotab/gotab/internal/torchfile"
)

// Weights is the content of a weight file on the host: arrays in the order of
// the file, and the file's metadata.
type Weights struct {
	Arrays   []Array
	Metadata map[string]string
}

// WeightInfo says what a weight file holds under a name.
type WeightInfo struct {
	Name  string
	Type  string  // element type as the file says it, such as "F32" or "I64"
	Shape []int64 // empty for a scalar
	Bytes int64   // in the file
}

// WeightFile is an opened weight file, safetensors or a .pth of torch.save. Its
// arrays are read one by one, so what nobody asks for takes no memory and need not
// be of a known type. Close it. Its methods are safe for concurrent use, Close
// apart.
type WeightFile struct {
	infos    []WeightInfo
	metadata map[string]string
	read     func(name string) (safetensors.Tensor, error)
	part     func(name string, b []byte, at int64) error
	file     io.Closer // nil where the caller owns the reader
}

// OpenWeightFile opens a weight file of either kind. Which one it is is detected
// from the first bytes, not from the name. It returns [ErrWeightFile] if the
// file is something else; the message says what it looks like and what to do.
func OpenWeightFile(path string) (*WeightFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("tensor: open weights: %w", err)
	}
	st, err := f.Stat()
	if err == nil && st.IsDir() {
		err = fmt.Errorf("%w: it is a folder", ErrWeightFile)
	}
	var w *WeightFile
	if err == nil {
		w, err = NewWeightFile(f, st.Size())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("tensor: open weights: %s: %w", path, err), f.Close())
	}
	w.file = f
	return w, nil
}

// NewWeightFile opens the size bytes behind r as OpenWeightFile opens a file. r must
// stay open as long as arrays are read.
func NewWeightFile(r io.ReaderAt, size int64) (*WeightFile, error) {
	if r == nil {
		return nil, fmt.Errorf("%w: the reader is nil", ErrWeightFile)
	}
	var buf [512]byte
	n, err := r.ReadAt(buf[:max(0, min(size, int64(len(buf))))], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	head := buf[:n]
	if what := safetensors.Stranger(head); what != "" {
		return nil, fmt.Errorf("%w: %s", ErrWeightFile, what)
	}
	if bytes.HasPrefix(head, []byte("PK")) || legacyTorch(head) {
		f, err := torchfile.Open(r, size)
		if err != nil {
			return nil, err
		}
		return ofTorch(f), nil
	}
	f, err := safetensors.Open(r, size)
	if err != nil {
		return nil, err
	}
	return ofSafetensors(f), nil
}

func ofTorch(f *torchfile.File) *WeightFile {
	w := &WeightFile{read: f.Tensor, metadata: map[string]string{}}
	w.part = func(name string, b []byte, at int64) error { // storages are read as a whole
		t, err := f.Tensor(name)
		if err != nil {
			return err
		}
		if at < 0 || at > int64(len(t.Data)-len(b)) {
			return fmt.Errorf("tensor: read %q: it has %d bytes, asked are %d from byte %d on", name, len(t.Data), len(b), at)
		}
		copy(b, t.Data[at:])
		return nil
	}
	for _, i := range f.Infos() {
		w.infos = append(w.infos, WeightInfo{i.Name, string(i.DType), i.Shape, i.Size})
	}
	return w
}

func ofSafetensors(f *safetensors.File) *WeightFile {
	w := &WeightFile{read: f.Tensor, part: f.Part, metadata: f.Metadata()}
	for _, i := range f.Infos() {
		w.infos = append(w.infos, WeightInfo{i.Name, string(i.DType), i.Shape, i.Size})
	}
	return w
}

// Infos lists the arrays in the order of the file. The slice is the caller's.
func (f *WeightFile) Infos() []WeightInfo { return slices.Clone(f.infos) }

// Metadata returns the file's free text, never nil. The map is the caller's.
func (f *WeightFile) Metadata() map[string]string { return maps.Clone(f.metadata) }

// Array reads an array. Floats of 16 bits become float32, and integers of 8, 16 and
// 32 bits int64, exactly. It returns an error for a name that is not there and for
// an element type that is not known.
func (f *WeightFile) Array(name string) (Array, error) {
	if f.read == nil {
		return Array{}, fmt.Errorf("tensor: read %q: %w: no file has been opened", name, ErrWeightFile)
	}
	t, err := f.read(name)
	if err != nil {
		return Array{}, err
	}
	return fromFileTensor(t)
}

// Part fills b with bytes of an array as they are in the file, which are little-endian, from byte at on: what is
// large can be read without a copy of it all. It returns an error for a name that is not there and for bytes that the
// array has not.
func (f *WeightFile) Part(name string, b []byte, at int64) error {
	if f.part == nil {
		return fmt.Errorf("tensor: read %q: %w: no file has been opened", name, ErrWeightFile)
	}
	return f.part(name, b, at)
}

// Close closes the file that OpenWeightFile opened. Closing twice is harmless.
func (f *WeightFile) Close() error {
	if f == nil || f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}

// all reads every array.
func (f *WeightFile) all() (*Weights, error) {
	w := &Weights{Metadata: f.metadata}
	for _, i := range f.infos {
		a, err := f.Array(i.Name)
		if err != nil {
			return nil, err
		}
		w.Arrays = append(w.Arrays, a)
	}
	return w, nil
}

// legacyTorch says that a file begins as torch.save began it before PyTorch 1.6: a
// pickle of a number of ten bytes. As the length of a safetensors header it would be
// above that format's bound.
func legacyTorch(head []byte) bool {
	return len(head) >= 4 && head[0] == 0x80 && head[2] == 0x8a && head[3] == 0x0a
}

// ReadWeights reads a whole safetensors stream. Sizes are checked against what
// the stream holds before memory is taken. Types are converted as by
// [WeightFile.Array].
func ReadWeights(r io.Reader) (*Weights, error) {
	f, err := ReadWeightFile(r)
	if err != nil {
		return nil, err
	}
	w, err := f.all()
	if err != nil {
		return nil, fmt.Errorf("tensor: read weights: %w", err)
	}
	return w, nil
}

// ReadWeightFile is ReadWeights that leaves the arrays to [WeightFile.Array] and [WeightFile.Part]. Where r can be read
// at any place, as a file can, they are read from there when they are asked for: r must stay open until then, and is at its
// end. Any other stream is read to its end now and kept in memory.
func ReadWeightFile(r io.Reader) (*WeightFile, error) {
	f, err := readSafetensors(r)
	if err != nil {
		return nil, fmt.Errorf("tensor: read weights: %w", err)
	}
	return ofSafetensors(f), nil
}

func readSafetensors(r io.Reader) (*safetensors.File, error) {
	at, ok := r.(interface {
		io.ReaderAt
		io.Seeker
	})
	if !ok {
		return safetensors.Read(r)
	}
	// A pipe is a file too, and only says here that it has no places; other such files say that they end at once.
	from, err := at.Seek(0, io.SeekCurrent)
	if err != nil {
		return safetensors.Read(r)
	}
	end, err := at.Seek(0, io.SeekEnd)
	if err != nil || end <= from {
		if _, err := at.Seek(from, io.SeekStart); err != nil {
			return nil, err
		}
		return safetensors.Read(r)
	}
	return safetensors.Open(io.NewSectionReader(at, from, end-from), end-from)
}

// ReadTorchWeights reads all tensors of a .pth or .pt file that torch.save wrote.
// An array's name is the path to it, such as "state_dict.conv1.weight". What is no
// tensor is passed over; a file that asks for commands or code is refused, and
// nothing of it is run.
func ReadTorchWeights(r io.ReaderAt, size int64) (*Weights, error) {
	f, err := torchfile.Open(r, size)
	if err != nil {
		return nil, fmt.Errorf("tensor: read torch weights: %w", err)
	}
	w, err := ofTorch(f).all()
	if err != nil {
		return nil, fmt.Errorf("tensor: read torch weights: %w", err)
	}
	return w, nil
}

// OpenWeights reads all arrays of a weight file; see [OpenWeightFile] and
// [WeightFile.Array].
func OpenWeights(path string) (*Weights, error) {
	f, err := OpenWeightFile(path)
	if err != nil {
		return nil, err
	}
	w, err := f.all()
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("tensor: open weights: %s: %w", path, err)
	}
	return w, nil
}

// fileTypes are the element types that are kept as they are.
var fileTypes = map[safetensors.DType]DType{
	safetensors.F32: Float32, safetensors.F64: Float64, safetensors.I64: Int64,
	safetensors.U8: Uint8, safetensors.BOOL: Bool,
}

func fromFileTensor(t safetensors.Tensor) (Array, error) {
	if dt, ok := fileTypes[t.DType]; ok {
		return Array{Name: t.Name, DType: dt, Shape: t.Shape, Data: t.Data}, nil
	}
	if size := t.DType.Size(); t.DType == safetensors.I32 || t.DType == safetensors.I16 || t.DType == safetensors.I8 {
		return IntArray(t.Name, widen(t.Data, int(size)), t.Shape...), nil
	}
	v, err := t.Float32()
	if err != nil {
		return Array{}, err
	}
	return FloatArray(t.Name, v, t.Shape...), nil
}

// widen reads little-endian two's complement integers of 1, 2 or 4 bytes.
func widen(b []byte, size int) []int64 {
	out := make([]int64, len(b)/size)
	for i := range out {
		var v uint64
		for k := range size {
			v |= uint64(b[i*size+k]) << (8 * k)
		}
		unused := 64 - 8*size
		out[i] = int64(v<<unused) >> unused
	}
	return out
}

// WriteWeights writes arrays as safetensors, in the given order.
func WriteWeights(w io.Writer, metadata map[string]string, arrays []Array) (int64, error) {
	ts := make([]safetensors.Tensor, len(arrays))
	for i, a := range arrays {
		var dt safetensors.DType
		for f, d := range fileTypes {
			if d == a.DType {
				dt = f
			}
		}
		ts[i] = safetensors.Tensor{Name: a.Name, DType: dt, Shape: a.Shape, Data: a.Data}
	}
	n, err := safetensors.Write(w, metadata, ts)
	if err != nil {
		return n, fmt.Errorf("tensor: write weights: %w", err)
	}
	return n, nil
}

// SaveWeights writes arrays as a safetensors file that appears whole or not at
// all: a temporary file beside it is synced and renamed. Whatever fails leaves a
// file of that name as it was.
func SaveWeights(path string, metadata map[string]string, arrays []Array) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := WriteWeights(w, metadata, arrays)
		return err
	})
}

// Write copies all tensors to the host and writes them as safetensors.
func (p *Params) Write(ctx context.Context, w io.Writer, metadata map[string]string) (int64, error) {
	a, err := p.Arrays(ctx)
	if err != nil {
		return 0, err
	}
	return WriteWeights(w, metadata, a)
}
