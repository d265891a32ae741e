package torchfile

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

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
	maxPickle   = 4 << 20  // bytes of data.pkl
	maxGrowth   = 4        // bytes of all tensors over bytes of the file
	minTensors  = 64 << 10 // bytes that the tensors may always take, so that tiny files of tied weights pass
	maxByteText = 16       // bytes of the byteorder entry
	pickleName  = "data.pkl"
)

// Read returns the tensors of the state dict in the size bytes behind r, in the
// order in which they were saved, contiguous and little-endian whatever their
// strides were. The package comment says what is accepted. A file that is damaged
// or holds something else is ErrFormat, one whose pickle asks for code is
// ErrUnsafe, one of a kind that must be converted is ErrConvert; an error of r is
// passed on. Read keeps nothing of r.
func Read(r io.ReaderAt, size int64) ([]safetensors.Tensor, error) {
	ts, err := read(r, size)
	if err != nil {
		return nil, fmt.Errorf("torchfile: read: %w", err)
	}
	return ts, nil
}

func read(r io.ReaderAt, size int64) ([]safetensors.Tensor, error) {
	if r == nil {
		return nil, errors.New("the reader is nil")
	}
	if size < 0 {
		return nil, fmt.Errorf("size is %d", size)
	}
	if err := checkMagic(io.NewSectionReader(r, 0, size)); err != nil {
		return nil, err
	}
	a, err := openArchive(r, size)
	if err != nil {
		return nil, err
	}
	code, err := a.read(pickleName, maxPickle)
	if err != nil {
		return nil, err
	}
	value, err := unpickle(code)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", pickleName, err)
	}
	dict, err := stateDict(value)
	if err != nil {
		return nil, err
	}
	return a.tensors(dict)
}

// checkMagic tells the kinds of torch files apart by their first bytes.
func checkMagic(r io.Reader) error {
	var head [4]byte
	n, err := io.ReadFull(r, head[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	switch {
	case n < len(head):
		return fmt.Errorf("%w: %d bytes", ErrFormat, n)
	case head[0] == 'P' && head[1] == 'K':
		return nil
	case head[0] == 0x80: // a bare pickle: the form before PyTorch 1.6
		return fmt.Errorf(`%w: the file is in the form that torch.save wrote before PyTorch 1.6, not a zip archive; in Python: torch.save(torch.load(old, map_location="cpu", weights_only=True), new)`, ErrConvert)
	}
	return fmt.Errorf("%w: the file starts with % x, a zip archive would start with 50 4b", ErrFormat, head)
}

// archive is the zip file, its entries by the name below the common folder.
type archive struct {
	entries map[string]*zip.File
	size    int64 // bytes of the whole file
}

func openArchive(r io.ReaderAt, size int64) (*archive, error) {
	// The section answers what lies outside the file, which a lying directory asks
	// for, with io.EOF; r itself might call that a failure of its own.
	z, err := zip.NewReader(io.NewSectionReader(r, 0, size), size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // names are looked up, never used as paths
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
	a := &archive{entries: make(map[string]*zip.File, len(z.File)), size: size}
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
	if f.CompressedSize64 != f.UncompressedSize64 || f.UncompressedSize64 > uint64(a.size) {
		return nil, fmt.Errorf("%w: entry %q claims %d bytes stored as %d in a file of %d", ErrFormat, short(name), f.UncompressedSize64, f.CompressedSize64, a.size)
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

// stateDict finds the dict of tensors by the rule of the package comment.
func stateDict(value any) (*dict, error) {
	top, ok := value.(*dict)
	if !ok {
		return nil, fmt.Errorf("%w: it holds %s, not a dict of tensors", ErrFormat, kind(value))
	}
	for _, v := range top.values {
		if _, ok := v.(tensor); ok {
			return top, nil
		}
	}
	for _, key := range []string{"state_dict", "model"} {
		if i, ok := top.index[key]; ok {
			if inner, ok := top.values[i].(*dict); ok {
				return inner, nil
			}
		}
	}
	return top, nil
}

// short cuts a name for a message: a hostile file may hold one of megabytes.
func short(name string) string {
	const most = 200
	if len(name) <= most {
		return name
	}
	return name[:most] + "..."
}
