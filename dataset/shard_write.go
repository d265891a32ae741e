package dataset

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/maphash"
	"image"
	"image/png"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gotab/gotab/internal/atomicfile"
)

// ShardsConfig says how [WriteShards] writes.
type ShardsConfig struct {
	// Archive is the kind of archive, ShardTar or ShardZip. Default ShardTar.
	Archive ShardArchive
	// Bytes is the size from which a shard is followed by the next one, at least 1. Large
	// ones are read with long reads, and a window over few of them mixes less. Default
	// 256 MiB.
	Bytes int64
	// Shuffle writes the images in an order that Seed decides, and not in that of the data
	// set. Images that lie beside each other in a data set are mostly of one class, and so
	// would be those of a window ([Shards.Window]). Default true.
	Shuffle bool
	// Seed decides the order. Default 1.
	Seed uint64
	// Progress, if not nil, is called after every image with the number of them that are
	// written. Default nil.
	Progress func(done int)
}

// DefaultShards returns the defaults that the fields name.
func DefaultShards() ShardsConfig {
	return ShardsConfig{Archive: ShardTar, Bytes: 256 << 20, Shuffle: true, Seed: 1}
}

// Validate reports settings that make no sense; the error wraps [ErrConfig].
func (c ShardsConfig) Validate() error {
	switch {
	case c.Bytes < 1:
		return fmt.Errorf("dataset: write shards: %w: Bytes is %d, want at least 1", ErrConfig, c.Bytes)
	case c.Archive != "" && c.Archive != ShardTar && c.Archive != ShardZip:
		return fmt.Errorf("dataset: write shards: %w: Archive is %q, want %q or %q", ErrConfig, c.Archive, ShardTar, ShardZip)
	}
	return nil
}

// WriteShards writes the images of ds into a new folder dir, which may be there if it is
// empty: archives shard-000000.tar, or .zip, and so on, an index and [ShardsFile]. [NewShards] and [Open]
// read it, and every program that reads tar or zip the archives. The same data set and settings give the same bytes.
//
// Files go into the shards as they are, also those of [Shards] and of what [Subset], [Filter],
// [Concat] and [Apply] make of files; the decoder's settings count when shards are read. Images of other data sets
// are encoded as PNG as Sample gives them, which keeps their pixels and not their file's.
//
// The folder appears when it is finished, under its name: it is filled under a hidden one
// beside it, which is removed when something fails; of a process that was killed it stays
// (.NAME.writing-NUMBER), and is no data set. Eight to thirty bytes an image are kept meanwhile.
//
// It returns an error that wraps [ErrConfig] if dir has something in it, [ErrLayout] for a
// name that is no path below a root or comes twice, [ErrLabel] for a label that contradicts
// the kind of defect, [ErrTooLarge] for a file that the decoder of ds would refuse, and the errors of Sample and of the system.
func WriteShards(ctx context.Context, dir string, ds Dataset, cfg ShardsConfig) (err error) {
	if err := ended(ctx); err != nil {
		return err
	}
	if err := cfg.Validate(); err != nil {
		return err
	}
	fail := func(err error) error { return fmt.Errorf("dataset: write shards to %s: %w", dir, err) }
	if ds == nil || ds.Len() == 0 {
		return fail(fmt.Errorf("%w: the data set has no images", ErrConfig))
	}
	if dir == "" {
		return fail(fmt.Errorf("%w: the folder has no name", ErrConfig))
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fail(fmt.Errorf("%w: the folder is not empty; name one that does not exist yet", ErrConfig))
	}
	out, err := filepath.Abs(dir)
	if err != nil {
		return fail(err)
	}
	if behind, err := filepath.EvalSymlinks(out); err == nil { // an empty folder behind a link
		out = behind
	}
	hidden, err := os.MkdirTemp(filepath.Dir(out), "."+filepath.Base(out)+".writing-")
	if err != nil {
		return fail(err)
	}
	defer func() {
		if rm := os.RemoveAll(hidden); rm != nil {
			err = errors.Join(err, fail(rm))
		}
	}()
	staged := filepath.Join(hidden, "out") // with the permissions that the user allows
	if err := os.Mkdir(staged, 0o777); err != nil {
		return fail(err)
	}
	w := &shardWriter{ctx: ctx, dir: staged, ds: ds, cfg: cfg, seed: maphash.MakeSeed(), names: make(map[uint64]struct{})}
	if cfg.Shuffle {
		w.order = newPermutation(uint64(ds.Len()), cfg.Seed, "shards").At
	} else {
		w.order = func(i int) int { return i }
	}
	if err := w.all(); err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return err
		}
		return fail(err)
	}
	if err := os.Remove(out); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}
	if err := os.Rename(staged, out); err != nil {
		return fail(err)
	}
	if err := atomicfile.SyncDir(filepath.Dir(out)); err != nil {
		return fail(err)
	}
	return nil
}

// shardWriter writes the files of a set.
type shardWriter struct {
	ctx   context.Context
	dir   string
	ds    Dataset
	cfg   ShardsConfig
	order func(i int) int
	next  int // place in the order
	head  shardsHead
	seed  maphash.Seed
	names map[uint64]struct{} // hashes of those that are written
}

// counted passes on what is written, and counts and sums it.
type counted struct {
	w   io.Writer
	n   int64
	sum hash.Hash
	crc uint32
}

func newCounted(w io.Writer) *counted { return &counted{w: w, sum: sha256.New()} }

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	_, _ = c.sum.Write(p[:n]) // never fails
	c.crc = crc32.Update(c.crc, castagnoli, p[:n])
	return n, err
}

func (c *counted) file(name string, images int) shardFile {
	return shardFile{Name: name, Images: images, Bytes: c.n, SHA256: hex.EncodeToString(c.sum.Sum(nil))}
}

// all writes shards while the index grows, and then what says that they are there.
func (w *shardWriter) all() error {
	w.head = shardsHead{Version: shardsVersion, Images: w.ds.Len()}
	err := atomicfile.Write(filepath.Join(w.dir, shardIndex), func(to io.Writer) error {
		c := newCounted(to)
		b := bufio.NewWriter(c)
		enc := json.NewEncoder(b)
		enc.SetEscapeHTML(false)
		for w.next < w.ds.Len() {
			if len(w.head.Shards) == maxShards {
				return fmt.Errorf("%w: more than %d shards; set a larger Bytes", ErrConfig, maxShards)
			}
			if err := w.shard(enc); err != nil {
				return err
			}
		}
		if err := b.Flush(); err != nil {
			return err
		}
		w.head.Index = c.file(shardIndex, w.ds.Len())
		w.head.Index.CRC = c.crc
		return nil
	})
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(w.dir, ShardsFile), func(to io.Writer) error {
		enc := json.NewEncoder(to)
		enc.SetIndent("", " ")
		return enc.Encode(w.head)
	})
}

// shard writes the next one.
func (w *shardWriter) shard(index *json.Encoder) error {
	number := len(w.head.Shards)
	archive := w.cfg.Archive
	if archive == "" {
		archive = ShardTar
	}
	name := fmt.Sprintf("shard-%06d.%s", number, archive)
	return atomicfile.Write(filepath.Join(w.dir, name), func(to io.Writer) error {
		c := newCounted(to)
		t := newArchiveWriter(archive, c)
		images := 0
		for ; w.next < w.ds.Len() && c.n < w.cfg.Bytes; w.next++ {
			if err := w.ctx.Err(); err != nil {
				return err
			}
			e, err := w.entry(t, c, w.order(w.next))
			if err != nil {
				return err
			}
			e.Shard = number
			if err := index.Encode(e); err != nil {
				return err
			}
			images++
			if w.cfg.Progress != nil {
				w.cfg.Progress(w.next + 1)
			}
		}
		if err := t.Close(); err != nil {
			return err
		}
		w.head.Shards = append(w.head.Shards, c.file(name, images))
		return nil
	})
}

// entry writes one image and its mask.
func (w *shardWriter) entry(t archiveWriter, c *counted, i int) (e shardEntry, err error) {
	it := w.ds.Item(i)
	if err := it.checkLabel(); err != nil {
		return e, fmt.Errorf("%s: %w", it.Name, err)
	}
	image, mask, ending, err := w.encoded(i)
	if err != nil {
		return e, err
	}
	switch {
	case mask == nil:
		it.MaskName = ""
	case it.MaskName == "":
		it.MaskName = stem(it.Name) + "_mask"
	}
	e.entry = entry{Image: it.Name, Class: it.Class, Split: it.Split, Label: &it.Label, Defect: it.Defect, Mask: it.MaskName, Group: it.Group}
	if e.Defect == Good || e.Defect == Unknown {
		e.Defect = ""
	}
	if _, _, err := e.item(); err != nil { // what reading it would say
		return e, fmt.Errorf("%s: %w: %w", it.Name, ErrLayout, err)
	}
	if e.place, err = w.file(t, c, entryName(it.Name, ending), image); err != nil || mask == nil {
		return e, err
	}
	p, err := w.file(t, c, entryName(it.MaskName, ending), mask)
	e.MaskAt, e.MaskBytes, e.MaskCRC = p.At, p.Bytes, p.CRC
	return e, err
}

// file appends one file to an archive.
func (w *shardWriter) file(t archiveWriter, c *counted, name string, data []byte) (p place, err error) {
	if len(name) > maxEntryName {
		return p, fmt.Errorf("%.80s...: %w: a name of %d bytes, the limit is %d", name, ErrLayout, len(name), maxEntryName)
	}
	key := maphash.String(w.seed, name)
	if _, twice := w.names[key]; twice {
		return p, fmt.Errorf("%s: %w: the name comes twice", name, ErrLayout)
	}
	w.names[key] = struct{}{}
	fail := func(err error) (place, error) { return place{}, fmt.Errorf("%s: %w", name, err) }
	to, err := t.begin(name, data)
	if err != nil {
		return fail(err)
	}
	p = place{At: c.n, Bytes: int64(len(data)), CRC: crc32.Checksum(data, castagnoli)}
	if _, err := to.Write(data); err != nil {
		return fail(err)
	}
	if err := t.end(); err != nil {
		return fail(err)
	}
	return p, nil
}

// maxEntryName bounds names in archives, so that a line of the index is one that is read.
const maxEntryName = 4096

// encoded returns the files of an image and its mask, nil for none. ending is that of files
// that were encoded here, and empty where they are as they lay.
func (w *shardWriter) encoded(i int) (img, mask []byte, ending string, err error) {
	if f, at := plainFiles(w.ds, i); f != nil {
		own := f.Item(at)
		if img, err = f.raw(own.Name); err != nil || own.MaskName == "" {
			return img, nil, "", err
		}
		mask, err = f.raw(own.MaskName)
		return img, mask, "", err
	}
	s, err := w.ds.Sample(w.ctx, i)
	if err != nil {
		return nil, nil, "", err
	}
	if err := s.check(); err != nil {
		return nil, nil, "", err
	}
	if img, err = encodePNG(greyOrColour(s.Image)); err != nil || s.Mask == nil {
		return img, nil, ".png", err
	}
	mask, err = encodePNG(s.Mask)
	return img, mask, ".png", err
}

func encodePNG(img image.Image) ([]byte, error) {
	var b bytes.Buffer
	err := png.Encode(&b, img)
	return b.Bytes(), err
}

// greyOrColour is a grey picture where all pixels are grey, which takes a third of the
// space and is read as the same pixels.
func greyOrColour(img *image.RGBA) image.Image {
	g := image.NewGray(img.Rect)
	for y := range img.Rect.Dy() {
		row, to := img.Pix[y*img.Stride:][:4*img.Rect.Dx()], g.Pix[y*g.Stride:]
		for x := range img.Rect.Dx() {
			p := row[4*x : 4*x+3]
			if p[0] != p[1] || p[0] != p[2] {
				return img
			}
			to[x] = p[0]
		}
	}
	return g
}

// plainFiles follows data sets that show the images of others as they are to the files, if
// there are any.
func plainFiles(ds Dataset, i int) (*Files, int) {
	for {
		switch d := ds.(type) {
		case *Files:
			return d, i
		case *subset:
			ds, i = d.ds, d.index[i]
		case *concat:
			ds, i = d.find(i)
		case *relabelled:
			ds = d.Dataset
		case filed:
			f, at, err := d.file(i)
			if err != nil {
				return nil, 0 // which reading the sample reports
			}
			return f, at
		default:
			return nil, 0
		}
	}
}

// filed is a data set of files that holds no list of them.
type filed interface {
	file(i int) (*Files, int, error)
}

// raw reads a file as it is.
func (f *Files) raw(name string) ([]byte, error) {
	file, err := f.fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("dataset: read: %w", err)
	}
	defer func() { _ = file.Close() }() // nothing was written
	var size int64
	if info, err := file.Stat(); err == nil {
		size = info.Size()
	}
	data, err := readAll(file, size, f.dec.maxFile())
	if err != nil {
		return nil, fmt.Errorf("dataset: read %s: %w", f.where(name), err)
	}
	return data, nil
}
