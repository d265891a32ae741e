package dataset

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
)

// maxNpz bounds an npz file that must be held in memory, which is so only where
// the file system cannot read at an offset (a file in a compressed zip file).
const maxNpz = 1 << 30

// npz is an open npz file.
type npz struct {
	zip   *zip.Reader
	at    io.ReaderAt
	close func() error
}

// openNpz opens a file below fsys.
func openNpz(fsys fs.FS, name string) (*npz, error) {
	file, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("dataset: open: %w: %w", ErrLayout, err)
	}
	z, err := npzOf(file)
	if err != nil {
		_ = file.Close() // the error to report is the one at hand
		return nil, fmt.Errorf("dataset: open %s: %w", name, err)
	}
	return z, nil
}

func npzOf(file fs.File) (*npz, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	z := &npz{close: file.Close}
	size := info.Size()
	if at, ok := file.(io.ReaderAt); ok {
		z.at = at
	} else {
		data, err := readAll(file, size, maxNpz)
		if err != nil {
			return nil, err
		}
		z.at, size = bytes.NewReader(data), int64(len(data))
	}
	if z.zip, err = zip.NewReader(z.at, size); err != nil {
		return nil, fmt.Errorf("%w: not an npz file: %w", ErrDecode, err)
	}
	return z, nil
}

// member is one array of an npz file: rows are entries of its first dimension.
type member struct {
	npyHeader
	file *zip.File
	row  int // bytes of a row
	// raw holds the rows at once where the member is stored as it is.
	raw io.ReaderAt

	mu     sync.Mutex
	stream io.ReadCloser // of a compressed member, behind the rows read
	failed error         // what ended the stream
	packed [][]byte      // rows as the caller has packed them
}

// array opens one array of the file. The length that the zip file states must
// be the one that the array's own header asks for.
func (z *npz) array(name string) (*member, error) {
	for _, f := range z.zip.File {
		if f.Name != name+".npy" && f.Name != name {
			continue
		}
		m := &member{file: f}
		if err := m.open(z.at); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		return m, nil
	}
	return nil, fmt.Errorf("%w: there is no array %s in it", ErrDecode, name)
}

func (m *member) open(at io.ReaderAt) error {
	if err := m.rewind(); err != nil {
		return err
	}
	if uint64(m.bytes+m.data) != m.file.UncompressedSize64 {
		return fmt.Errorf("%w: shape %v of %d-byte elements needs %d bytes, the zip file says %d",
			ErrDecode, m.shape, m.size, m.bytes+m.data, m.file.UncompressedSize64)
	}
	m.row = m.size * m.count()
	if m.file.Method != zip.Store {
		return nil
	}
	offset, err := m.file.DataOffset()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDecode, err)
	}
	m.raw = io.NewSectionReader(at, offset+m.bytes, m.data)
	return m.shut()
}

// rewind starts the stream anew and reads the header.
func (m *member) rewind() (err error) {
	if m.stream, err = m.file.Open(); err != nil {
		return fmt.Errorf("%w: %w", ErrDecode, err)
	}
	if m.npyHeader, err = readNpyHeader(m.stream); err != nil {
		return errors.Join(err, m.shut())
	}
	return nil
}

// shut ends the stream, if there is one.
func (m *member) shut() error {
	if m.stream == nil {
		return nil
	}
	err := m.stream.Close()
	m.stream = nil
	return err
}

// all reads every row; the caller has checked that they are few.
func (m *member) all() ([]byte, error) {
	from := io.Reader(m.stream)
	if m.raw != nil {
		from = io.NewSectionReader(m.raw, 0, m.data)
	}
	var buf bytes.Buffer // grows with what is there, not with what was claimed
	_, err := buf.ReadFrom(io.LimitReader(from, m.data+1))
	if err == nil && int64(buf.Len()) != m.data {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		err = fmt.Errorf("%w: %s: %w", ErrDecode, m.file.Name, err)
	}
	return buf.Bytes(), errors.Join(err, m.shut())
}

// packedRow returns row i as pack has packed it. A deflated stream can only be
// read from its beginning: rows that have been passed on the way stay packed,
// so the whole is inflated once at most, whatever the order.
func (m *member) packedRow(ctx context.Context, i int, pack func(raw []byte) ([]byte, error)) ([]byte, error) {
	if m.raw != nil {
		raw := make([]byte, m.row)
		if n, err := m.raw.ReadAt(raw, int64(i)*int64(m.row)); n < len(raw) {
			return nil, fmt.Errorf("%w: %s ends in row %d: %w", ErrDecode, m.file.Name, i, err)
		}
		return pack(raw)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if i < len(m.packed) {
		return m.packed[i], nil
	}
	raw := make([]byte, m.row)
	for m.failed == nil && len(m.packed) <= i {
		if err := ended(ctx); err != nil {
			return nil, err
		}
		p, err := m.step(raw, pack)
		if err != nil {
			m.failed = errors.Join(fmt.Errorf("row %d: %w", len(m.packed), err), m.shut())
			break
		}
		m.packed = append(m.packed, p)
	}
	if m.failed != nil {
		return nil, m.failed
	}
	return m.packed[i], nil
}

// step reads one row; after the last one it lets the zip reader compare the
// checksum.
func (m *member) step(raw []byte, pack func(raw []byte) ([]byte, error)) ([]byte, error) {
	if m.stream == nil {
		return nil, fs.ErrClosed
	}
	if _, err := io.ReadFull(m.stream, raw); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDecode, m.file.Name, err)
	}
	if len(m.packed)+1 == m.shape[0] {
		var one [1]byte
		n, err := m.stream.Read(one[:])
		if n != 0 || err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w: %s: %d bytes too many, %w", ErrDecode, m.file.Name, n, err)
		}
		if err := m.shut(); err != nil {
			return nil, err
		}
	}
	return pack(raw)
}
