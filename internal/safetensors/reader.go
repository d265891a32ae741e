package safetensors

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// File is an opened safetensors file whose header has been checked. It is safe
// for concurrent use where the io.ReaderAt behind it is; os.File and
// bytes.Reader are. The zero value holds no tensor.
type File struct {
	h    header
	data io.ReaderAt // starts at the first byte after the header
}

// Open checks the header of the size bytes behind r and returns the file. r must
// stay open as long as tensors are read from it. What is not a valid file is
// ErrFormat; an error of r is passed on.
func Open(r io.ReaderAt, size int64) (*File, error) {
	if r == nil {
		return nil, errNoReader
	}
	if size < 0 {
		return nil, fmt.Errorf("safetensors: open: size is %d", size)
	}
	h, headerSize, err := readHeader(io.NewSectionReader(r, 0, size), size)
	if err != nil {
		return nil, fmt.Errorf("safetensors: open: %w", err)
	}
	return &File{h: *h, data: io.NewSectionReader(r, headerSize, h.dataSize)}, nil
}

// Read reads a whole file from a stream up to its end and keeps it in memory.
// Memory is taken as bytes arrive, in pieces of at most 16 MiB, never on the word
// of the header. A stream that ends early or goes on after the last tensor is
// ErrFormat; an error of r is passed on.
func Read(r io.Reader) (*File, error) {
	if r == nil {
		return nil, errNoReader
	}
	h, _, err := readHeader(r, -1)
	if err != nil {
		return nil, fmt.Errorf("safetensors: read: %w", err)
	}
	data, err := readPieces(r, h.dataSize)
	if err != nil {
		return nil, fmt.Errorf("safetensors: read: %w", err)
	}
	var one [1]byte
	switch _, err := io.ReadFull(r, one[:]); {
	case err == nil:
		return nil, fmt.Errorf("safetensors: read: %w", format("the stream goes on after the %d bytes of data that the header describes", h.dataSize))
	case !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("safetensors: read: end of stream: %w", err)
	}
	return &File{h: *h, data: data}, nil
}

// Infos lists the tensors in the order of the header. The slice and the shapes in
// it are the caller's.
func (f *File) Infos() []Info {
	infos := slices.Clone(f.h.infos)
	for i := range infos {
		infos[i].Shape = slices.Clone(infos[i].Shape)
	}
	return infos
}

// Metadata returns the header's free text. The map is the caller's and never nil.
func (f *File) Metadata() map[string]string {
	if f.h.metadata == nil {
		return map[string]string{}
	}
	return maps.Clone(f.h.metadata)
}

// Lookup says what the file holds under name.
func (f *File) Lookup(name string) (Info, bool) {
	i, ok := f.h.index[name]
	if !ok {
		return Info{}, false
	}
	info := f.h.infos[i]
	info.Shape = slices.Clone(info.Shape)
	return info, true
}

// Bytes reads the little-endian bytes of a tensor. The slice is the caller's. A
// name that is not there is ErrNotFound.
func (f *File) Bytes(name string) ([]byte, error) {
	info, err := f.find(name)
	if err != nil {
		return nil, err
	}
	b := make([]byte, info.Size)
	if err := f.readAt(b, info, 0); err != nil {
		return nil, err
	}
	return b, nil
}

// Part fills b with the little-endian bytes of a tensor from byte at on. A name that is not there is ErrNotFound;
// what goes beyond the tensor is an error.
func (f *File) Part(name string, b []byte, at int64) error {
	info, err := f.find(name)
	if err != nil {
		return err
	}
	if at < 0 || at > info.Size-int64(len(b)) {
		return fmt.Errorf("safetensors: read %s: it has %d bytes, asked are %d from byte %d on", name, info.Size, len(b), at)
	}
	return f.readAt(b, info, at)
}

// Float32 reads a tensor as float32, converting as Tensor.Float32 does, without
// holding the tensor's bytes in memory as well. The slice is the caller's. A name
// that is not there is ErrNotFound, an integer type is ErrDType.
func (f *File) Float32(name string) ([]float32, error) {
	info, err := f.find(name)
	if err != nil {
		return nil, err
	}
	if !info.DType.float() {
		return nil, fmt.Errorf("safetensors: read %s as float32: %w: %s", name, ErrDType, info.DType)
	}
	const step = 1 << 16 // bytes, a multiple of every element size
	buf := make([]byte, min(step, info.Size))
	size := info.DType.Size()
	x := make([]float32, info.Size/size)
	for off := int64(0); off < info.Size; off += step {
		part := buf[:min(step, info.Size-off)]
		if err := f.readAt(part, info, off); err != nil {
			return nil, err
		}
		first := off / size
		toFloat32(x[first:first+int64(len(part))/size], info.DType, part)
	}
	return x, nil
}

// Tensor reads a tensor with its name, type and shape, ready for Write.
func (f *File) Tensor(name string) (Tensor, error) {
	info, err := f.find(name)
	if err != nil {
		return Tensor{}, err
	}
	b, err := f.Bytes(name)
	if err != nil {
		return Tensor{}, err
	}
	return Tensor{Name: name, DType: info.DType, Shape: slices.Clone(info.Shape), Data: b}, nil
}

func (f *File) find(name string) (Info, error) {
	i, ok := f.h.index[name]
	if !ok {
		return Info{}, fmt.Errorf("safetensors: read %s: %w among %d", name, ErrNotFound, len(f.h.infos))
	}
	return f.h.infos[i], nil
}

// readAt fills b from offset off within the tensor.
func (f *File) readAt(b []byte, info Info, off int64) error {
	if len(b) == 0 {
		return nil
	}
	n, err := f.data.ReadAt(b, info.Offset+off)
	if n == len(b) {
		return nil // io.ReaderAt may report the end of the data together with the last bytes
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("safetensors: read %s: %d of %d bytes at byte %d of the data: %w", info.Name, n, len(b), info.Offset+off, err)
}

// pieceSize is what one piece of a stream holds, in bytes.
const pieceSize = 16 << 20

// pieces is the data of a stream: pieces of pieceSize, the last one shorter.
// Reading into one slice would either trust the header's total or copy at every
// growth.
type pieces [][]byte

func readPieces(r io.Reader, size int64) (pieces, error) {
	var p pieces
	for got := int64(0); got < size; {
		// A piece starts small as well: a header of a few bytes that claims 16 MiB
		// must not cost 16 MiB.
		want := int(min(pieceSize, size-got))
		piece := make([]byte, 0, min(want, 64<<10))
		for len(piece) < want {
			if len(piece) == cap(piece) {
				bigger := make([]byte, len(piece), min(want, 4*cap(piece)))
				copy(bigger, piece)
				piece = bigger
			}
			n, err := io.ReadFull(r, piece[len(piece):cap(piece)])
			piece = piece[:len(piece)+n]
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil, format("header describes %d bytes of data, only %d follow", size, got+int64(len(piece)))
			}
			if err != nil {
				return nil, fmt.Errorf("data at byte %d of %d: %w", got+int64(len(piece)), size, err)
			}
		}
		p = append(p, piece)
		got += int64(want)
	}
	return p, nil
}

// ReadAt implements io.ReaderAt.
func (p pieces) ReadAt(b []byte, off int64) (int, error) {
	n := 0
	for n < len(b) {
		i := (off + int64(n)) / pieceSize
		if off < 0 || i >= int64(len(p)) {
			return n, io.EOF
		}
		at := int((off + int64(n)) % pieceSize)
		if at >= len(p[i]) {
			return n, io.EOF
		}
		n += copy(b[n:], p[i][at:])
	}
	return n, nil
}
