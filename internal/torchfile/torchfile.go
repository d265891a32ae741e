package torchfile

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/gotab/gotab/internal/safetensors"
)

var (
	// ErrFormat says that the bytes are not a valid file of torch.save, or not one
	// of a state dict.
	ErrFormat = errors.New("not a torch file of a state dict")
	// ErrUnsafe says that the file's pickle asks for something that no state dict
	// needs. Nothing was run.
	ErrUnsafe = errors.New("refused, and nothing was run")
	// ErrConvert says that the file is of a kind that Python must convert first;
	// the message says how.
	ErrConvert = errors.New("must be converted first")
)

const (
	maxPickle   = 4 << 20  // bytes of a pickle
	maxGrowth   = 4        // bytes of all tensors over bytes of the file
	minTensors  = 64 << 10 // bytes that the tensors may always take, so that tiny files of tied weights pass
	maxByteText = 16       // bytes of the byteorder entry
	pickleName  = "data.pkl"
)

// File is an opened file whose pickle was read and whose sizes were checked. Its
// methods are safe for concurrent use where the io.ReaderAt behind it is.
type File struct {
	store storages
	names []string
	index map[string]int
	views []tensor
	uses  map[string]int // of each storage, by tensors

	mu   sync.Mutex // guards the storage that was read last and that several tensors share
	key  string
	last []byte
}

// storages gives the bytes of storages by their keys.
type storages interface {
	// size is the number of bytes of a storage.
	size(key string) (int64, error)
	// load returns a whole storage, which the caller owns.
	load(key string) ([]byte, error)
}

// Info says what a file holds under a name.
type Info struct {
	Name  string
	DType safetensors.DType
	Shape []int64
	Size  int64 // bytes
}

// Open reads the description of the size bytes behind r; the package comment says
// what is accepted. r must stay open as long as tensors are read. A file that is
// damaged or holds no tensors is ErrFormat, one whose pickle asks for code is
// ErrUnsafe, one of a kind that must be converted is ErrConvert; an error of r is
// passed on.
func Open(r io.ReaderAt, size int64) (*File, error) {
	f, err := open(r, size)
	if err != nil {
		return nil, fmt.Errorf("torchfile: open: %w", err)
	}
	return f, nil
}

// Infos lists the tensors in the order in which they were saved. The slice and the
// shapes in it are the caller's.
func (f *File) Infos() []Info {
	out := make([]Info, len(f.names))
	for i, v := range f.views {
		n, _ := v.elements() // checked by Open
		out[i] = Info{Name: f.names[i], DType: v.storage.dtype, Shape: slices.Clone(v.shape), Size: n * v.storage.dtype.Size()}
	}
	return out
}

// Tensor reads a tensor, contiguous and little-endian whatever its strides were.
// A name that is not there returns safetensors.ErrNotFound.
func (f *File) Tensor(name string) (safetensors.Tensor, error) {
	i, ok := f.index[name]
	if !ok {
		return safetensors.Tensor{}, fmt.Errorf("torchfile: read %s: %w among %d", short(name), safetensors.ErrNotFound, len(f.names))
	}
	v := f.views[i]
	data, own, err := f.load(v.storage.key)
	if err != nil {
		return safetensors.Tensor{}, fmt.Errorf("torchfile: tensor %q: %w", short(name), err)
	}
	return safetensors.Tensor{Name: name, DType: v.storage.dtype, Shape: slices.Clone(v.shape), Data: v.cut(data, own)}, nil
}

// load returns a storage, and whether it belongs to its one tensor. One that several
// tensors share is read once for those that follow each other, which a file of many
// views of one storage would otherwise make quadratic.
func (f *File) load(key string) (data []byte, own bool, err error) {
	if f.uses[key] == 1 {
		data, err = f.store.load(key)
		return data, true, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.key != key || f.last == nil {
		if data, err = f.store.load(key); err != nil {
			return nil, false, err
		}
		f.key, f.last = key, data
	}
	return f.last, false, nil
}

// Read opens the file and returns all its tensors in the order in which they were
// saved. It keeps nothing of r.
func Read(r io.ReaderAt, size int64) ([]safetensors.Tensor, error) {
	f, err := Open(r, size)
	if err != nil {
		return nil, err
	}
	out := make([]safetensors.Tensor, len(f.names))
	for i, n := range f.names {
		if out[i], err = f.Tensor(n); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func open(r io.ReaderAt, size int64) (*File, error) {
	if r == nil {
		return nil, errors.New("the reader is nil")
	}
	if size < 0 {
		return nil, fmt.Errorf("size is %d", size)
	}
	legacy, err := checkMagic(io.NewSectionReader(r, 0, size))
	if err != nil {
		return nil, err
	}
	f := &File{index: map[string]int{}, uses: map[string]int{}}
	var value any
	if legacy {
		f.store, value, err = openLegacy(r, size)
	} else {
		f.store, value, err = openZip(r, size)
	}
	if err != nil {
		return nil, err
	}
	if err := f.collect(value); err != nil {
		return nil, err
	}
	return f, f.check(size)
}

func openZip(r io.ReaderAt, size int64) (storages, any, error) {
	a, err := openArchive(r, size)
	if err != nil {
		return nil, nil, err
	}
	code, err := a.read(pickleName, maxPickle)
	if err != nil {
		return nil, nil, err
	}
	value, n, err := unpickle(code)
	if err == nil && n != len(code) {
		err = fmt.Errorf("%w: %d bytes are left at the end", ErrFormat, len(code)-n)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", pickleName, err)
	}
	return a, value, nil
}

// checkMagic tells the kinds of torch files apart by their first bytes, and says
// whether the file is of the kind from before PyTorch 1.6.
func checkMagic(r io.Reader) (legacy bool, err error) {
	var head [4]byte
	n, err := io.ReadFull(r, head[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, err
	}
	switch {
	case n < len(head):
		return false, fmt.Errorf("%w: %d bytes", ErrFormat, n)
	case head[0] == 'P' && head[1] == 'K':
		return false, nil
	case head[0] == opProto:
		return true, nil
	}
	return false, fmt.Errorf("%w: the file starts with % x, a zip archive would start with 50 4b", ErrFormat, head)
}

func (a *archive) size(key string) (int64, error) {
	f, err := a.find("data/" + key)
	if err != nil {
		return 0, err
	}
	return int64(f.UncompressedSize64), nil // find has compared it with the file's
}

func (a *archive) load(key string) ([]byte, error) { return a.read("data/"+key, a.bytes) }

// archive is the zip file, its entries by the name below the common folder.
type archive struct {
	entries map[string]*zip.File
	bytes   int64 // of the whole file
}

func openArchive(r io.ReaderAt, size int64) (*archive, error) {
	// The section answers what lies outside the file, which a lying directory asks
	// for, with io.EOF; r itself might call that a failure of its own.
	z, err := zip.NewReader(io.NewSectionReader(r, 0, size), size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // names are looked up, never used as paths
		if errors.Is(err, zip.ErrFormat) {
			return nil, fmt.Errorf("%w: the zip archive has no directory at its end; the file was cut short, fetch or copy it again", ErrFormat)
		}
		return nil, damaged("central directory", err)
	}
	prefix, found := "", false
	for _, f := range z.File {
		if dir, ok := strings.CutSuffix(f.Name, "/"+pickleName); ok && !strings.Contains(dir, "/") {
			if found {
				return nil, fmt.Errorf("%w: the archive has more than one %s", ErrFormat, pickleName)
			}
			prefix, found = dir+"/", true
		}
	}
	if !found {
		return nil, fmt.Errorf("%w: the archive of %d entries has no <name>/%s", ErrFormat, len(z.File), pickleName)
	}
	a := &archive{entries: make(map[string]*zip.File, len(z.File)), bytes: size}
	for _, f := range z.File {
		name, ok := strings.CutPrefix(f.Name, prefix)
		if !ok {
			continue
		}
		if a.entries[name] != nil {
			return nil, fmt.Errorf("%w: entry %q occurs twice", ErrFormat, short(f.Name))
		}
		a.entries[name] = f
	}
	if a.entries["constants.pkl"] != nil {
		return nil, fmt.Errorf(`%w: the file is a TorchScript archive; in Python: torch.save(torch.jit.load(old, map_location="cpu").state_dict(), new)`, ErrConvert)
	}
	if a.entries["byteorder"] != nil {
		order, err := a.read("byteorder", maxByteText)
		if err != nil {
			return nil, err
		}
		if s := string(bytes.TrimSpace(order)); s != "little" {
			return nil, fmt.Errorf("%w: byte order is %q, only little is read", ErrFormat, s)
		}
	}
	return a, nil
}

// find returns an entry that is stored and fits into the file.
func (a *archive) find(name string) (*zip.File, error) {
	f := a.entries[name]
	if f == nil {
		return nil, fmt.Errorf("%w: the archive has no entry %q", ErrFormat, short(name))
	}
	if f.Method != zip.Store {
		return nil, fmt.Errorf("%w: entry %q is compressed (method %d); torch.save stores", ErrFormat, short(name), f.Method)
	}
	if f.CompressedSize64 != f.UncompressedSize64 || f.UncompressedSize64 > uint64(a.bytes) {
		return nil, fmt.Errorf("%w: entry %q claims %d bytes stored as %d in a file of %d", ErrFormat, short(name), f.UncompressedSize64, f.CompressedSize64, a.bytes)
	}
	return f, nil
}

// read returns a whole entry of at most limit bytes; its checksum must match.
func (a *archive) read(name string, limit int64) ([]byte, error) {
	f, err := a.find(name)
	if err != nil {
		return nil, err
	}
	if f.UncompressedSize64 > uint64(limit) {
		return nil, fmt.Errorf("%w: entry %q has %d bytes, at most %d are read", ErrFormat, short(name), f.UncompressedSize64, limit)
	}
	r, err := f.Open()
	if err != nil {
		return nil, damaged(name, err)
	}
	defer r.Close() // reading only
	b := make([]byte, f.UncompressedSize64)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, damaged(name, err)
	}
	// The checksum is compared when the end is met.
	var one [1]byte
	switch _, err := io.ReadFull(r, one[:]); {
	case err == nil:
		return nil, fmt.Errorf("%w: zip entry %q goes on after its end", ErrFormat, short(name))
	case !errors.Is(err, io.EOF):
		return nil, damaged(name, err)
	}
	return b, nil
}

// damaged tells a bad archive from a reader that failed.
func damaged(name string, err error) error {
	for _, e := range []error{zip.ErrChecksum, zip.ErrFormat, zip.ErrAlgorithm, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: zip entry %q is damaged: %w", ErrFormat, short(name), err)
		}
	}
	return fmt.Errorf("zip entry %q: %w", short(name), err)
}

// short cuts a name for a message: a hostile file may hold one of megabytes.
func short(name string) string {
	const most = 200
	if len(name) <= most {
		return name
	}
	return name[:most] + "..."
}
