package dataset

import (
	"archive/tar"
	"archive/zip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// ShardArchive is the kind of archive that shards are.
type ShardArchive string

const (
	// ShardTar is tar: what most programs that read data in shards know.
	ShardTar ShardArchive = "tar"
	// ShardZip is zip without compression: programs open one entry without reading those before it.
	ShardZip ShardArchive = "zip"
)

// archiveWriter writes the entries of a shard. After begin, exactly so many bytes of the
// entry go into the shard's writer, and then end; whatever is buffered is written by both.
type archiveWriter interface {
	begin(name string, data []byte) (to io.Writer, err error)
	end() error
	Close() error
}

func newArchiveWriter(a ShardArchive, w io.Writer) archiveWriter {
	if a == ShardZip {
		return zipWriter{zip.NewWriter(w)}
	}
	return tarWriter{tar.NewWriter(w)}
}

type tarWriter struct{ *tar.Writer }

func (t tarWriter) begin(name string, data []byte) (io.Writer, error) {
	return t.Writer, t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(data)), Mode: 0o644, ModTime: time.Unix(0, 0)})
}

func (t tarWriter) end() error { return t.Flush() }

type zipWriter struct{ *zip.Writer }

// begin writes a header that has size and checksum, so that the archive can be read from its front.
func (z zipWriter) begin(name string, data []byte) (io.Writer, error) {
	h := &zip.FileHeader{Name: name, Method: zip.Store, CRC32: crc32.ChecksumIEEE(data),
		CompressedSize64: uint64(len(data)), UncompressedSize64: uint64(len(data)), CreatorVersion: zipUnix | zipVersion, ReaderVersion: zipVersion}
	h.ExternalAttrs = 0o100644 << 16 // a plain file
	if utf8.ValidString(name) {
		h.Flags = zipUTF8
	}
	w, err := z.CreateRaw(h)
	if err != nil {
		return nil, err
	}
	return w, z.Flush()
}

func (z zipWriter) end() error { return z.Flush() }

// Numbers of the zip format.
const (
	zipEntry      = 0x04034b50
	zipDirectory  = 0x02014b50
	zipEnd        = 0x06054b50
	zipHeader     = 26 // bytes of an entry's header behind its signature, without name and extra field
	zipEncrypted  = 1
	zipDescriptor = 1 << 3 // sizes follow the data
	zipUTF8       = 1 << 11
	zipUnix       = 3 << 8
	zipVersion    = 20
)

// archiveReader reads the entries of a shard from its front: those that archiveWriter writes.
type archiveReader interface {
	// next goes to the next entry and returns io.EOF where there is none. Entries that
	// are no plain files have no size.
	next() (name string, size int64, err error)
	io.Reader // of the entry
}

// newArchiveReader knows the archive by the name of the shard.
func newArchiveReader(shard string, r io.Reader) archiveReader {
	if strings.HasSuffix(shard, ".zip") {
		return &zipReader{r: r}
	}
	return tarReader{tar.NewReader(r)}
}

type tarReader struct{ *tar.Reader }

func (t tarReader) next() (string, int64, error) {
	h, err := t.Next()
	switch {
	case err != nil:
		return "", 0, err
	case h.Typeflag != tar.TypeReg:
		return h.Name, -1, nil
	}
	return h.Name, h.Size, nil
}

// zipReader reads a zip archive without its directory, which lies at the end.
type zipReader struct {
	r    io.Reader
	left int64 // of the entry
}

func (z *zipReader) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n, err := z.r.Read(p[:min(int64(len(p)), z.left)])
	z.left -= int64(n)
	if errors.Is(err, io.EOF) && z.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (z *zipReader) next() (string, int64, error) {
	if _, err := io.CopyN(io.Discard, z, z.left); err != nil {
		return "", 0, err
	}
	var h [4 + zipHeader]byte
	if _, err := io.ReadFull(z.r, h[:4]); err != nil {
		return "", 0, err
	}
	switch s := binary.LittleEndian.Uint32(h[:]); s {
	case zipEntry:
	case zipDirectory, zipEnd:
		return "", 0, io.EOF
	default:
		return "", 0, fmt.Errorf("no entry of a zip archive begins with %08x", s)
	}
	if _, err := io.ReadFull(z.r, h[4:]); err != nil {
		return "", 0, err
	}
	u16 := func(at int) int { return int(binary.LittleEndian.Uint16(h[at:])) }
	flags, method, packed, size := u16(6), u16(8), binary.LittleEndian.Uint32(h[18:]), binary.LittleEndian.Uint32(h[22:])
	long, extra := u16(26), u16(28)
	if flags&(zipEncrypted|zipDescriptor) != 0 || method != int(zip.Store) || packed != size || size == 1<<32-1 || long > maxEntryName {
		return "", 0, fmt.Errorf("an entry with flags %04x, method %d, %d bytes for %d and a name of %d bytes is none of shards", flags, method, packed, size, long)
	}
	name := make([]byte, long+extra) // at most 70 KB
	if _, err := io.ReadFull(z.r, name); err != nil {
		return "", 0, err
	}
	z.left = int64(size)
	return string(name[:long]), z.left, nil
}
