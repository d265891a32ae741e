package torchfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/gotab/gotab/internal/safetensors"
)

// What torch.save wrote before PyTorch 1.6, and writes still on request, is no
// archive but five pickles one after another (a magic number, a version, the
// writer's machine, the value, the keys of the storages) and then the storages in
// the order of the keys, each as a count of elements in 8 bytes and the elements.
const (
	legacyMagic   = "builtins.int" // the number has 10 bytes, so it comes as a placeholder
	legacyVersion = 1001
	countSize     = 8
)

// legacyFile has the places of the storages.
type legacyFile struct {
	r  io.ReaderAt
	at map[string]span
}

type span struct{ from, size int64 }

func openLegacy(r io.ReaderAt, size int64) (storages, any, error) {
	p := &pickles{r: r, size: size}
	magic, err := p.next()
	if err != nil {
		return nil, nil, err
	}
	if o, ok := magic.(*object); !ok || o.class != legacyMagic {
		return nil, nil, fmt.Errorf("%w: it is a pickle, but not one of torch.save", ErrFormat)
	}
	version, err := p.next()
	if err != nil {
		return nil, nil, err
	}
	if version != int64(legacyVersion) {
		return nil, nil, fmt.Errorf("%w: version %v of the form before PyTorch 1.6, want %d", ErrFormat, version, legacyVersion)
	}
	machine, err := p.next()
	if err != nil {
		return nil, nil, err
	}
	if d, ok := machine.(*dict); ok {
		if i, ok := d.index["little_endian"]; ok && d.values[i] != true {
			return nil, nil, fmt.Errorf("%w: it was written on a big-endian machine", ErrFormat)
		}
	}
	value, err := p.next()
	if err != nil {
		return nil, nil, err
	}
	keys, err := p.next()
	if err != nil {
		return nil, nil, err
	}
	list, ok := keys.(*list)
	if !ok {
		return nil, nil, fmt.Errorf("%w: the keys of the storages are %s", ErrFormat, kind(keys))
	}
	f := &legacyFile{r: r, at: map[string]span{}}
	types := map[string]safetensors.DType{}
	for t := range p.storages {
		types[t.key] = t.dtype
	}
	at := p.at
	for _, k := range list.items {
		key, ok := k.(string)
		if !ok {
			return nil, nil, fmt.Errorf("%w: the key of a storage is %s", ErrFormat, kind(k))
		}
		var b [countSize]byte
		if at > size-countSize {
			return nil, nil, cutShort(key, size)
		}
		if _, err := r.ReadAt(b[:], at); err != nil && !errors.Is(err, io.EOF) {
			return nil, nil, err
		}
		each := types[key].Size()
		if each == 0 {
			return nil, nil, fmt.Errorf("%w: storage %q is of a kind of number that is not read", ErrFormat, short(key))
		}
		n := binary.LittleEndian.Uint64(b[:])
		at += countSize
		if n > uint64(size-at)/uint64(each) {
			return nil, nil, cutShort(key, size)
		}
		f.at[key] = span{at, int64(n) * each}
		at += int64(n) * each
	}
	return f, value, nil
}

func cutShort(key string, size int64) error {
	return fmt.Errorf("%w: storage %q goes beyond the file's %d bytes; the file was cut short, fetch or copy it again", ErrFormat, short(key), size)
}

func (f *legacyFile) size(key string) (int64, error) {
	s, ok := f.at[key]
	if !ok {
		return 0, fmt.Errorf("%w: the file has no storage %q", ErrFormat, short(key))
	}
	return s.size, nil
}

func (f *legacyFile) load(key string) ([]byte, error) {
	if _, err := f.size(key); err != nil {
		return nil, err
	}
	b := make([]byte, f.at[key].size)
	if n, err := f.r.ReadAt(b, f.at[key].from); n < len(b) {
		return nil, fmt.Errorf("storage %q: %w", short(key), err)
	}
	return b, nil
}

// pickles reads one pickle after another.
type pickles struct {
	r        io.ReaderAt
	size     int64
	at       int64
	storages map[storage]bool // that the pickles so far refer to
}

func (p *pickles) next() (any, error) {
	code := make([]byte, min(maxPickle, p.size-p.at))
	if n, err := p.r.ReadAt(code, p.at); n < len(code) && err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	m := newMachine(code)
	v, n, err := m.run()
	if err != nil {
		return nil, fmt.Errorf("pickle at byte %d: %w", p.at, err)
	}
	p.at += int64(n)
	if len(m.storages) > 0 {
		p.storages = m.storages
	}
	return v, nil
}
