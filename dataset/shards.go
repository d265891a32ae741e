package dataset

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// Files of a sharded data set.
const (
	// ShardsFile is the file in the root that says what shards there are. It is written
	// last.
	ShardsFile = "shards.json"
	// shardIndex has a line for each image.
	shardIndex = "index.jsonl"
)

const (
	// shardsVersion is that of the files' layout.
	shardsVersion = 1
	// maxShardsFile bounds ShardsFile, in bytes.
	maxShardsFile = 32 << 20
	// maxShards bounds the number of shards.
	maxShards = 1 << 17
	// openShards bounds the files that are held open.
	openShards = 64
)

// shardsHead is ShardsFile.
type shardsHead struct {
	Version int         `json:"gotab_shards"`
	Images  int         `json:"images"`
	Index   shardFile   `json:"index"`
	Shards  []shardFile `json:"shards"`
}

// shardFile is what is known of a file of a set.
type shardFile struct {
	Name   string `json:"name"` // in the root
	Images int    `json:"images"`
	Bytes  int64  `json:"bytes"`
	CRC    uint32 `json:"crc32c,omitempty"` // of the index, which every opening compares
	SHA256 string `json:"sha256"`           // which Verify compares
}

// ErrDamaged says that a shard or the index of shards is not what was written.
var ErrDamaged = errors.New("damaged")

// Shards is a [Dataset] of images in a few large files, tar or zip archives, as [WriteShards]
// makes them: on a disk, a network's file system, or any [fs.FS]. Every image can be read at once by
// the index, and all of them one after the other with long reads ([Shards.Window]). The
// index is read where it lies, as a [Manifest] is: less than 10 MiB are held.
//
// The index has the place of each image and mask and its CRC-32C, which every reading
// compares; [Shards.Verify] compares all that was written, with SHA-256. What is damaged is
// an error that wraps [ErrDamaged] and names shard and entry. Nothing is allocated for an
// entry before its place has been held against the size of its shard and the decoder's limit.
//
// All methods are safe for concurrent use. Close it.
type Shards struct {
	fsys   fs.FS
	dec    Decoder
	head   shardsHead
	sum    string // SHA-256 of the index, as the head has it
	choice string // of the images that were chosen; empty where all were
	list   *lineFile
	starts []int // the first image of each shard among those that were chosen, and their number
	files  *shardFiles
}

// NewShards opens shards in the root of fsys. cfg.Classes and cfg.Split choose among the
// images. It returns an error that wraps [ErrLayout] for a root that has none or whose
// files make no sense, and [ErrDamaged] for an index that is not what was written.
func NewShards(ctx context.Context, fsys fs.FS, cfg Config) (_ *Shards, err error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	if _, err := cfg.start(fsys, "shards"); err != nil {
		return nil, err
	}
	fail := func(err error) (*Shards, error) { return nil, fmt.Errorf("dataset: open shards: %w", err) }
	head, err := readShardsHead(fsys)
	if err != nil {
		return fail(err)
	}
	list, err := openLines(fsys, head.Index.Name, true)
	if err != nil {
		return fail(fmt.Errorf("%w: %s: %w", ErrLayout, head.Index.Name, err))
	}
	s := &Shards{fsys: fsys, dec: cfg.Decoder, head: head, sum: head.Index.SHA256, list: list}
	s.files = &shardFiles{fsys: fsys, head: head.Shards}
	defer func() {
		if err != nil {
			err = errors.Join(err, list.shut())
		}
	}()
	if list.size != head.Index.Bytes {
		return fail(fmt.Errorf("%s: %w: it has %d bytes, %d were written", head.Index.Name, ErrDamaged, list.size, head.Index.Bytes))
	}
	if err := s.scan(ctx, cfg); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return fail(fmt.Errorf("%s: %w", head.Index.Name, err))
	}
	return s, nil
}

// scan reads the index: every image, also one that was not chosen, has its place in
// the order of the shards.
func (s *Shards) scan(ctx context.Context, cfg Config) error {
	s.list.keep = cfg.keepFor()
	counts := make([]int, len(s.head.Shards)) // all
	s.starts = make([]int, len(s.head.Shards)+1)
	shard, end, all := 0, int64(0), 0
	var chosen choice
	err := s.list.scan(ctx, func(e *shardEntry, kept bool) error {
		if err := s.check(e); err != nil {
			return err
		}
		if e.Shard < shard || e.Shard == shard && e.At < end {
			return fmt.Errorf("%s: it does not lie behind the entry before it", e.Image)
		}
		shard, end = e.Shard, e.At+e.Bytes
		if e.MaskAt > 0 {
			end = e.MaskAt + e.MaskBytes
		}
		counts[shard]++
		all++
		chosen.add(kept)
		if kept {
			s.starts[shard+1]++
		}
		return nil
	})
	// A damage may have made a line senseless; that the file is damaged is what matters.
	if (err == nil || errors.Is(err, ErrLayout)) && s.list.crc != s.head.Index.CRC {
		return errors.Join(fmt.Errorf("%w: its checksum is %08x, %08x was written", ErrDamaged, s.list.crc, s.head.Index.CRC), err)
	}
	if err != nil {
		return err
	}
	for i, n := range counts {
		if f := s.head.Shards[i]; n != f.Images {
			return fmt.Errorf("%w: it lists %d images of %s, %s has %d", ErrLayout, n, f.Name, ShardsFile, f.Images)
		}
		s.starts[i+1] += s.starts[i]
	}
	if all != s.head.Images {
		return fmt.Errorf("%w: it lists %d images, %s has %d", ErrLayout, all, ShardsFile, s.head.Images)
	}
	s.choice = chosen.sum()
	return s.list.chosen(cfg)
}

// choice sums up which of the images of an index are chosen, a bit each. Two configurations that choose the same
// images are one choice.
type choice struct {
	hash hash.Hash // nil before the first byte
	bits []byte    // that have not gone into it
	n    int
	some bool // were not chosen
}

func (c *choice) add(chosen bool) {
	if c.n%8 == 0 {
		c.flush(4096)
		c.bits = append(c.bits, 0)
	}
	if chosen {
		c.bits[len(c.bits)-1] |= 1 << (c.n % 8)
	} else {
		c.some = true
	}
	c.n++
}

// flush hashes the bits if there are so many bytes of them.
func (c *choice) flush(least int) {
	if len(c.bits) < least {
		return
	}
	if c.hash == nil {
		c.hash = sha256.New()
	}
	c.hash.Write(c.bits)
	c.bits = c.bits[:0]
}

// sum is empty where all images are chosen.
func (c *choice) sum() string {
	if !c.some {
		return ""
	}
	c.flush(0)
	return hex.EncodeToString(c.hash.Sum(nil))
}

// check holds the places of an entry against the shard and against what the decoder takes.
func (s *Shards) check(e *shardEntry) error {
	if e.Shard < 0 || e.Shard >= len(s.head.Shards) {
		return fmt.Errorf("%s: there is no shard %d of %d", e.Image, e.Shard, len(s.head.Shards))
	}
	f := s.head.Shards[e.Shard]
	inside := func(at, n int64) bool { return at >= 0 && n >= 0 && at <= f.Bytes && n <= f.Bytes-at }
	switch {
	case !inside(e.At, e.Bytes):
		return fmt.Errorf("%s: %d bytes at %d do not lie in %s of %d bytes", e.Image, e.Bytes, e.At, f.Name, f.Bytes)
	case (e.Mask != "") != (e.MaskAt > 0):
		return fmt.Errorf("%s: it has a mask without a place, or a place without a mask", e.Image)
	case e.MaskAt > 0 && (!inside(e.MaskAt, e.MaskBytes) || e.MaskAt < e.At+e.Bytes):
		return fmt.Errorf("%s: %d bytes of its mask at %d do not lie behind it in %s of %d bytes", e.Image, e.MaskBytes, e.MaskAt, f.Name, f.Bytes)
	}
	return nil
}

// readShardsHead reads ShardsFile.
func readShardsHead(fsys fs.FS) (h shardsHead, err error) {
	file, err := fsys.Open(ShardsFile)
	if err != nil {
		return h, fmt.Errorf("%w: %w; a set that was not written to its end has none", ErrLayout, err)
	}
	defer func() { _ = file.Close() }() // nothing was written
	data, err := io.ReadAll(io.LimitReader(file, maxShardsFile+1))
	if err != nil {
		return h, fmt.Errorf("%s: %w", ShardsFile, err)
	}
	if len(data) > maxShardsFile {
		return h, fmt.Errorf("%s: %w: more than %d bytes", ShardsFile, ErrTooLarge, maxShardsFile)
	}
	if err := json.Unmarshal(data, &h); err != nil {
		return h, fmt.Errorf("%s: %w: %w", ShardsFile, ErrLayout, err)
	}
	if err := h.check(); err != nil {
		return h, fmt.Errorf("%s: %w: %w", ShardsFile, ErrLayout, err)
	}
	return h, nil
}

func (h *shardsHead) check() error {
	if h.Version != shardsVersion {
		return fmt.Errorf("it has version %d, this library reads %d", h.Version, shardsVersion)
	}
	if len(h.Shards) > maxShards {
		return fmt.Errorf("%d shards, the limit is %d", len(h.Shards), maxShards)
	}
	names := make(map[string]bool)
	for _, f := range append([]shardFile{h.Index}, h.Shards...) {
		sum, err := hex.DecodeString(f.SHA256)
		switch {
		case !fs.ValidPath(f.Name) || path.Base(f.Name) != f.Name || f.Name == "." || names[f.Name]:
			return fmt.Errorf("%q is no name of a file in the root, or comes twice", f.Name)
		case f.Bytes < 0 || f.Images < 0:
			return fmt.Errorf("%s: %d bytes and %d images", f.Name, f.Bytes, f.Images)
		case err != nil || len(sum) != 32:
			return fmt.Errorf("%s: %.80q is no SHA-256", f.Name, f.SHA256)
		}
		names[f.Name] = true
	}
	return nil
}

// Len implements [Dataset].
func (s *Shards) Len() int {
	if s.list == nil {
		return 0
	}
	return s.list.n
}

// Classes implements [Dataset].
func (s *Shards) Classes() []string {
	if s.list == nil {
		return []string{}
	}
	return slices.Clone(s.list.classes)
}

// Item implements [Dataset]. It is empty too where the index can no longer be read, which
// Sample reports.
func (s *Shards) Item(i int) Item {
	if s.list == nil {
		return Item{}
	}
	_, it, err := s.list.at(i)
	if err != nil {
		return Item{}
	}
	return it
}

// Issues implements [Listed]. There are none.
func (s *Shards) Issues() []Issue { return nil }

// Checksum is what the index has of the file of image i: its CRC-32C, which reading the
// image compares, and its length. Errors are those of Sample.
func (s *Shards) Checksum(i int) (crc uint32, bytes int64, err error) {
	e, _, err := s.entry(i)
	return e.CRC, e.Bytes, err
}

// Shards is how many there are.
func (s *Shards) Shards() int { return len(s.head.Shards) }

// Close closes index and shards. Items and samples can no longer be read then.
func (s *Shards) Close() error {
	if s.list == nil {
		return nil
	}
	return errors.Join(s.list.shut(), s.files.close())
}

// Sample implements [Dataset]. Errors name shard and entry; they wrap [ErrDamaged],
// [ErrDecode], [ErrTooLarge], [ErrMask], [ErrIndex], the file system's error or ctx's.
func (s *Shards) Sample(ctx context.Context, i int) (Sample, error) {
	if err := ended(ctx); err != nil {
		return Sample{}, err
	}
	f, at, err := s.file(i)
	if err != nil {
		return Sample{}, err
	}
	return f.Sample(ctx, at)
}

// file is a data set of image i alone.
func (s *Shards) file(i int) (*Files, int, error) {
	e, it, err := s.entry(i)
	if err != nil {
		return nil, 0, err
	}
	return &Files{fsys: &shardFS{s: s, e: e}, dec: s.dec, items: []Item{it}, root: s.head.Shards[e.Shard].Name}, 0, nil
}

// entry is what the index has of image i.
func (s *Shards) entry(i int) (e shardEntry, it Item, err error) {
	if i < 0 || i >= s.Len() {
		return e, it, indexError(i, s.Len())
	}
	if e, it, err = s.list.at(i); err == nil {
		if err = s.check(&e); err != nil { // again: the file may have changed
			err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	if err != nil {
		return e, it, fmt.Errorf("dataset: read %s: %w", s.head.Index.Name, err)
	}
	return e, it, nil
}

// bytes reads the file of an entry, or its mask.
func (s *Shards) bytes(e *shardEntry, mask bool) ([]byte, error) {
	p := e.part(mask)
	if p.Bytes > s.dec.maxFile() {
		return nil, fmt.Errorf("%w: the file has %d bytes, the limit is %d", ErrTooLarge, p.Bytes, s.dec.maxFile())
	}
	data := make([]byte, p.Bytes)
	if err := s.files.readAt(e.Shard, data, p.At); err != nil {
		return nil, err
	}
	return data, p.verify(data)
}

// part is the place of the image or the mask.
func (e *shardEntry) part(mask bool) place {
	if mask {
		return place{e.MaskAt, e.MaskBytes, e.MaskCRC}
	}
	return e.place
}

// verify compares what was read with what was written.
func (p place) verify(data []byte) error {
	if got := crc32.Checksum(data, castagnoli); got != p.CRC {
		return fmt.Errorf("%w: its checksum is %08x, %08x was written", ErrDamaged, got, p.CRC)
	}
	return nil
}

// shardFS is a file system of one image and its mask.
type shardFS struct {
	s           *Shards
	e           shardEntry
	image, mask []byte // where they have been read
}

func (f *shardFS) Open(name string) (fs.File, error) {
	data, mask := f.image, false
	switch name {
	case f.e.Image:
	case f.e.Mask:
		data, mask = f.mask, true
	default:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if data == nil {
		var err error
		if data, err = f.s.bytes(&f.e, mask); err != nil {
			return nil, fmt.Errorf("%s: %w", path.Join(f.s.head.Shards[f.e.Shard].Name, name), err)
		}
	}
	return &heldFile{bytes: bytes.NewReader(data), name: name, data: data}, nil
}

// heldFile is a file whose bytes are in memory.
type heldFile struct {
	bytes *bytes.Reader // not embedded: its WriteTo panics without a writer
	name  string
	data  []byte
}

func (f *heldFile) Read(b []byte) (int, error)                { return f.bytes.Read(b) }
func (f *heldFile) ReadAt(b []byte, off int64) (int, error)   { return f.bytes.ReadAt(b, off) }
func (f *heldFile) Seek(off int64, whence int) (int64, error) { return f.bytes.Seek(off, whence) }
func (f *heldFile) Close() error                              { return nil }
func (f *heldFile) Stat() (fs.FileInfo, error)                { return f, nil }
func (f *heldFile) Name() string                              { return path.Base(f.name) }
func (f *heldFile) Size() int64                               { return int64(len(f.data)) }
func (f *heldFile) Mode() fs.FileMode                         { return 0o444 }
func (f *heldFile) ModTime() time.Time                        { return time.Time{} }
func (f *heldFile) IsDir() bool                               { return false }
func (f *heldFile) Sys() any                                  { return nil }

// shardFiles are the shards, of which the ones used last are held open.
type shardFiles struct {
	fsys fs.FS
	head []shardFile
	mu   sync.Mutex
	open []*openShard // the last one was used last
	done bool
}

// openShard is a shard that is open. users and dead belong to the mutex of shardFiles.
type openShard struct {
	number int
	file   fs.File
	at     io.ReaderAt // nil where the file system has none
	users  int
	dead   bool
}

// get returns a shard for use until put.
func (f *shardFiles) get(number int) (*openShard, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done {
		return nil, fmt.Errorf("%s: %w", f.head[number].Name, fs.ErrClosed)
	}
	for i := len(f.open) - 1; i >= 0; i-- {
		if o := f.open[i]; o.number == number {
			copy(f.open[i:], f.open[i+1:])
			f.open[len(f.open)-1] = o
			o.users++
			return o, nil
		}
	}
	file, err := openShardFile(f.fsys, f.head[number])
	if err != nil {
		return nil, err
	}
	o := &openShard{number: number, file: file, users: 1}
	o.at, _ = file.(io.ReaderAt)
	if len(f.open) == openShards {
		first := f.open[0]
		f.open = append(f.open[:0], f.open[1:]...)
		f.drop(first)
	}
	f.open = append(f.open, o)
	return o, nil
}

// drop closes a shard when nobody uses it any more. Nothing was written, so that a
// failure to close loses nothing. The caller holds the mutex.
func (f *shardFiles) drop(o *openShard) {
	o.dead = true
	if o.users == 0 {
		_ = o.file.Close()
	}
}

func (f *shardFiles) put(o *openShard) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if o.users--; o.users == 0 && o.dead {
		_ = o.file.Close()
	}
}

func (f *shardFiles) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range f.open {
		f.drop(o)
	}
	f.open, f.done = nil, true
	return nil
}

// openShardFile opens a shard and compares its size.
func openShardFile(fsys fs.FS, h shardFile) (fs.File, error) {
	file, err := fsys.Open(h.Name)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.Size() != h.Bytes {
		err = fmt.Errorf("%w: it has %d bytes, %d were written", ErrDamaged, info.Size(), h.Bytes)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// readAt fills data. Where the file system cannot read in the middle of a file, the
// shard is read from its beginning.
func (f *shardFiles) readAt(number int, data []byte, at int64) error {
	o, err := f.get(number)
	if err != nil {
		return err
	}
	defer f.put(o)
	if o.at == nil {
		file, err := openShardFile(f.fsys, f.head[number])
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }() // nothing was written
		if _, err := io.CopyN(io.Discard, file, at); err != nil {
			return early(err)
		}
		_, err = io.ReadFull(file, data)
		return early(err)
	}
	n, err := o.at.ReadAt(data, at)
	if n == len(data) {
		return nil
	}
	return early(err)
}

// early is the error of a shard that ends before an entry does.
func early(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: the shard ends too early", ErrDamaged)
	}
	return err
}

// entryName is the name of an image in the archive: a name that does not end like a
// picture's gets the ending of the format that it was written in.
func entryName(name, ending string) string {
	if imageFile(name) && (ending == "" || strings.EqualFold(path.Ext(name), ending)) {
		return name
	}
	return name + ending
}
