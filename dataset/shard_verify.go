package dataset

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
)

// Verify reads all shards, also of classes and splits that were not chosen, and compares
// them with what was written: the checksums of files and entries, and that the archives
// hold the entries which the index lists, and no others. Images are not decoded ([Check] looks at them).
//
// The error wraps [ErrDamaged] and lists up to a hundred faults with shard and entry; or it is
// the file system's or ctx's.
func (s *Shards) Verify(ctx context.Context) error {
	if err := ended(ctx); err != nil {
		return err
	}
	if s.list == nil {
		return fmt.Errorf("dataset: verify: %w: the shards are not open", ErrConfig)
	}
	v := &shardVerifier{s: s, ctx: ctx, number: -1}
	err := v.index()
	v.drop()
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	if err = errors.Join(append(v.faults, err)...); err != nil {
		return fmt.Errorf("dataset: verify: %w", err)
	}
	return nil
}

// errFaults ends a verification that has found enough.
var errFaults = errors.New("and more")

// shardVerifier goes through index and archives side by side.
type shardVerifier struct {
	s      *Shards
	ctx    context.Context
	faults []error

	number int // of the shard, -1 before the first
	file   fs.File
	sum    hash.Hash
	read   int64
	t      archiveReader
	broken bool // the archive cannot be read any further
}

// Read is what the archive is read through.
func (v *shardVerifier) Read(p []byte) (int, error) {
	if err := v.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := v.file.Read(p)
	v.read += int64(n)
	_, _ = v.sum.Write(p[:n]) // never fails
	return n, err
}

// fault takes note of what is wrong.
func (v *shardVerifier) fault(name string, err error) error {
	where := v.s.head.Index.Name
	if v.number >= 0 && v.number < len(v.s.head.Shards) {
		where = v.s.head.Shards[v.number].Name
	}
	if name != "" {
		where += "/" + name
	}
	v.faults = append(v.faults, fmt.Errorf("%s: %w", where, err))
	if len(v.faults) == maxFaults {
		return errFaults
	}
	return nil
}

// index goes through the index, and through the shard of each line.
func (v *shardVerifier) index() error {
	file, err := v.s.fsys.Open(v.s.head.Index.Name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // nothing was written
	sum := sha256.New()
	r := bufio.NewReaderSize(io.TeeReader(file, sum), maxLine+1)
	l := &lineFile{places: true, words: make(map[string]string)}
	var e shardEntry
	for {
		line, err := r.ReadSlice('\n')
		if len(line) == 0 && errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return v.fault("", fmt.Errorf("%w: %w", ErrDamaged, err))
		}
		_, _, err = l.parse(line, &e)
		if err == nil {
			err = v.s.check(&e)
		}
		if err != nil {
			return v.fault("", fmt.Errorf("%w: %w", ErrDamaged, err))
		}
		if err := v.entry(&e); err != nil {
			return err
		}
	}
	if err := v.until(len(v.s.head.Shards)); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != v.s.sum {
		return v.fault("", fmt.Errorf("%w: its SHA-256 is another one", ErrDamaged))
	}
	return nil
}

// until ends the shards before one, and begins that.
func (v *shardVerifier) until(number int) error {
	for v.number < number {
		if v.number >= 0 {
			if err := v.end(); err != nil {
				return err
			}
		}
		if v.number++; v.number == len(v.s.head.Shards) {
			return nil
		}
		file, err := openShardFile(v.s.fsys, v.s.head.Shards[v.number])
		if err != nil {
			v.broken = true
			if err := v.fault("", err); err != nil {
				return err
			}
			continue
		}
		v.file, v.sum, v.read, v.broken = file, sha256.New(), 0, false
		v.t = newArchiveReader(v.s.head.Shards[v.number].Name, v)
	}
	return nil
}

// end compares what is left of a shard.
func (v *shardVerifier) end() error {
	defer v.drop()
	if v.file == nil {
		return nil
	}
	h := v.s.head.Shards[v.number]
	if !v.broken {
		if next, _, err := v.t.next(); err == nil {
			if err := v.fault(next, fmt.Errorf("%w: the index does not list it", ErrDamaged)); err != nil {
				return err
			}
		} else if !errors.Is(err, io.EOF) {
			if err := v.fault("", fmt.Errorf("%w: behind its last entry: %w", ErrDamaged, err)); err != nil {
				return err
			}
		}
	}
	if _, err := io.Copy(io.Discard, v); err != nil {
		return err
	}
	if v.read != h.Bytes || hex.EncodeToString(v.sum.Sum(nil)) != h.SHA256 {
		return v.fault("", fmt.Errorf("%w: its SHA-256 is another one", ErrDamaged))
	}
	return nil
}

func (v *shardVerifier) drop() {
	if v.file != nil {
		_ = v.file.Close() // nothing was written
		v.file = nil
	}
}

// entry compares an entry and its mask with the archive.
func (v *shardVerifier) entry(e *shardEntry) error {
	if e.Shard < v.number {
		return v.fault("", fmt.Errorf("%w: %s does not lie behind the entry before it", ErrDamaged, e.Image))
	}
	if err := v.until(e.Shard); err != nil {
		return err
	}
	if err := v.part(e.Image, e.place); err != nil || e.MaskAt == 0 {
		return err
	}
	return v.part(e.Mask, e.part(true))
}

func (v *shardVerifier) part(name string, p place) error {
	if v.broken {
		return nil // was said
	}
	found, size, err := v.t.next()
	if err != nil {
		if ended := v.ctx.Err(); ended != nil {
			return ended
		}
		v.broken = true
		return v.fault(name, fmt.Errorf("%w: the archive cannot be read there: %w", ErrDamaged, early(err)))
	}
	if found != name && found != entryName(name, ".png") || size != p.Bytes || v.read != p.At {
		v.broken = true
		return v.fault(name, fmt.Errorf("%w: the archive has %.200q of %d bytes at %d, the index %d bytes at %d", ErrDamaged, found, size, v.read, p.Bytes, p.At))
	}
	crc := crc32.New(castagnoli)
	if _, err := io.Copy(crc, v.t); err != nil {
		if ended := v.ctx.Err(); ended != nil {
			return ended
		}
		v.broken = true
		return v.fault(name, fmt.Errorf("%w: %w", ErrDamaged, err))
	}
	if got := crc.Sum32(); got != p.CRC {
		return v.fault(name, fmt.Errorf("%w: its checksum is %08x, %08x was written", ErrDamaged, got, p.CRC))
	}
	return nil
}
