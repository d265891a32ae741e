package dataset

import (
	"archive/zip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// dirFS is a folder of a disk, whose names that are not UTF-8 are escaped:
// package fs allows no others. It is safe for concurrent use.
type dirFS string

// Open implements [fs.FS].
func (d dirFS) Open(name string) (fs.File, error) {
	disk, err := d.disk("open", name)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(disk)
	if err != nil {
		return nil, err
	}
	if info, err := file.Stat(); err == nil && info.IsDir() {
		return &openDir{file, path.Base(name), name}, nil
	}
	if base := path.Base(name); base != path.Base(disk) {
		return &openFile{file, base}, nil
	}
	return file, nil
}

// openFile is a file under another name.
type openFile struct {
	*os.File
	name string
}

// Stat implements [fs.File].
func (f *openFile) Stat() (fs.FileInfo, error) {
	info, err := f.File.Stat()
	if err != nil {
		return nil, err
	}
	return renamedInfo{info, f.name}, nil
}

// openDir is a folder whose entries have their names escaped.
type openDir struct {
	*os.File
	base, name string
}

// Stat implements [fs.File].
func (d *openDir) Stat() (fs.FileInfo, error) { return (&openFile{d.File, d.base}).Stat() }

// ReadDir implements [fs.ReadDirFile].
func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	entries, err := d.File.ReadDir(n)
	if _, twice := escapeEntries(d.name, entries); twice != nil {
		return entries, twice
	}
	return entries, err
}

// Stat implements [fs.StatFS].
func (d dirFS) Stat(name string) (fs.FileInfo, error) {
	disk, err := d.disk("stat", name)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(disk)
	if err != nil {
		return nil, err
	}
	return renamedInfo{info, path.Base(name)}, nil
}

// ReadDir implements [fs.ReadDirFS].
func (d dirFS) ReadDir(name string) ([]fs.DirEntry, error) {
	disk, err := d.disk("readdir", name)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(disk)
	if err != nil {
		return nil, err
	}
	escaped, err := escapeEntries(name, entries)
	if err != nil {
		return nil, err
	}
	if escaped {
		slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	}
	return entries, nil
}

// escapeEntries escapes the names of the entries of a folder and says whether there
// were such.
func escapeEntries(name string, entries []fs.DirEntry) (escaped bool, err error) {
	have := make(map[string]bool, len(entries))
	for i, e := range entries {
		if name := e.Name(); !utf8.ValidString(name) {
			entries[i], escaped = renamed{e, escapeName(name)}, true
		}
		if have[entries[i].Name()] {
			return escaped, &fs.PathError{Op: "readdir", Path: path.Join(name, entries[i].Name()), Err: errors.New("two files have this name, of which one stands for bytes that are not UTF-8; rename one")}
		}
		have[entries[i].Name()] = true
	}
	return escaped, nil
}

// disk is the path on the disk. An escaped element counts as written where such a
// file is there.
func (d dirFS) disk(op, name string) (string, error) {
	if !fs.ValidPath(name) || strings.ContainsRune(name, 0) || os.PathSeparator != '/' && strings.ContainsAny(name, `\:`) {
		return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	if d == "" {
		return "", &fs.PathError{Op: op, Path: name, Err: errors.New("the folder has no name")}
	}
	at := string(d)
	if !strings.Contains(name, "%") {
		return at + string(os.PathSeparator) + name, nil
	}
	for _, element := range strings.Split(name, "/") {
		next := at + string(os.PathSeparator) + element
		if raw, ok := unescapeName(element); ok {
			if _, err := os.Lstat(next); err != nil {
				next = at + string(os.PathSeparator) + raw
			}
		}
		at = next
	}
	return at, nil
}

// renamed is an entry under another name.
type renamed struct {
	fs.DirEntry
	name string
}

func (r renamed) Name() string { return r.name }

// Info implements [fs.DirEntry].
func (r renamed) Info() (fs.FileInfo, error) {
	info, err := r.DirEntry.Info()
	if err != nil {
		return nil, err
	}
	return renamedInfo{info, r.name}, nil
}

// String implements [fmt.Stringer].
func (r renamed) String() string { return fs.FormatDirEntry(r) }

// renamedInfo is what is known of a file, under another name.
type renamedInfo struct {
	fs.FileInfo
	name string
}

func (r renamedInfo) Name() string { return r.name }

// escapeName writes the bytes that are no part of UTF-8 as %XX, and per cent signs
// as %25.
func escapeName(name string) string {
	var b strings.Builder
	for len(name) > 0 {
		r, n := utf8.DecodeRuneInString(name)
		if r == utf8.RuneError && n == 1 || name[0] == '%' {
			fmt.Fprintf(&b, "%%%02X", name[0])
		} else {
			b.WriteString(name[:n])
		}
		name = name[n:]
	}
	return b.String()
}

// unescapeName is the reverse of escapeName; false for what it never returns.
func unescapeName(name string) (string, bool) {
	var b strings.Builder
	for rest := name; rest != ""; {
		if rest[0] != '%' {
			b.WriteByte(rest[0])
			rest = rest[1:]
			continue
		}
		if len(rest) < 3 {
			return "", false
		}
		v, err := strconv.ParseUint(rest[1:3], 16, 8)
		if err != nil {
			return "", false
		}
		b.WriteByte(byte(v))
		rest = rest[3:]
	}
	raw := b.String()
	return raw, !utf8.ValidString(raw) && escapeName(raw) == name
}

// readableNames makes the names of a zip file's entries UTF-8. It is called before
// the file is used as a file system, which reads them once.
func readableNames(files []*zip.File) {
	page := false // some name without the mark of UTF-8 is not UTF-8
	for _, f := range files {
		page = page || f.NonUTF8 && !utf8.ValidString(f.Name)
	}
	for _, f := range files {
		if name, ok := unicodeName(f); ok {
			f.Name = name
			continue
		}
		if f.NonUTF8 && page || !utf8.ValidString(f.Name) {
			f.Name = page437(f.Name)
		}
	}
}

// page437 reads a name by code page 437. Every byte has a character of its own in
// it.
func page437(name string) string {
	var b strings.Builder
	for i := range len(name) {
		b.WriteRune(charmap.CodePage437.DecodeByte(name[i]))
	}
	return b.String()
}

// unicodeName is the name in Info-ZIP's Unicode path field: a version of 1, the
// checksum of the name that it stands for, and the name.
func unicodeName(f *zip.File) (string, bool) {
	const field = 0x7075
	for extra := f.Extra; len(extra) >= 4; {
		id, n := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		if extra = extra[4:]; n > len(extra) {
			return "", false
		}
		if body := extra[:n]; id == field && n > 5 && body[0] == 1 &&
			binary.LittleEndian.Uint32(body[1:]) == crc32.ChecksumIEEE([]byte(f.Name)) && utf8.Valid(body[5:]) {
			return string(body[5:]), true
		}
		extra = extra[n:]
	}
	return "", false
}
