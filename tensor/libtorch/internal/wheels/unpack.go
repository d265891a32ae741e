package wheels

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// maxEntries bounds the number of files in a wheel; torch's has some twelve thousand.
const maxEntries = 100_000

// unpack writes the entries of the wheel at file that keep names below dir. It refuses entries that would land outside
// dir, anything that is neither a file nor a folder, entries that are longer than they declare, and more than limit
// bytes altogether, so that no archive can do harm.
func unpack(ctx context.Context, file, dir string, limit int64, keep func(string) bool) (err error) {
	z, err := zip.OpenReader(file)
	if err != nil {
		return fmt.Errorf("wheels: unpack %s: %w: %v", filepath.Base(file), ErrArchive, err)
	}
	defer func() { err = errors.Join(err, z.Close()) }()
	if len(z.File) > maxEntries {
		return fmt.Errorf("wheels: unpack %s: %w: %d entries, at most %d are accepted", filepath.Base(file), ErrArchive, len(z.File), maxEntries)
	}
	kept := 0
	for _, e := range z.File {
		if err := ctx.Err(); err != nil {
			return err
		}
		if strings.Contains(e.Name, `\`) || !filepath.IsLocal(filepath.FromSlash(e.Name)) {
			return fmt.Errorf("wheels: unpack %s: %w: entry %q would land outside", filepath.Base(file), ErrArchive, e.Name)
		}
		if e.FileInfo().IsDir() || !keep(path.Clean(e.Name)) {
			continue
		}
		if !e.Mode().IsRegular() {
			return fmt.Errorf("wheels: unpack %s: %w: entry %q is no ordinary file", filepath.Base(file), ErrArchive, e.Name)
		}
		if e.UncompressedSize64 > uint64(limit) {
			return fmt.Errorf("wheels: unpack %s: %w: it unpacks to more than it should at %q", filepath.Base(file), ErrArchive, e.Name)
		}
		limit -= int64(e.UncompressedSize64)
		if err := unpackEntry(e, filepath.Join(dir, filepath.FromSlash(e.Name))); err != nil {
			return fmt.Errorf("wheels: unpack %s: %s: %w", filepath.Base(file), e.Name, err)
		}
		kept++
	}
	if kept == 0 {
		return fmt.Errorf("wheels: unpack %s: %w: nothing in it is of use", filepath.Base(file), ErrArchive)
	}
	return nil
}

func unpackEntry(e *zip.File, to string) (err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	in, err := e.Open()
	if err != nil {
		return fmt.Errorf("%w: %v", ErrArchive, err)
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	mode := os.FileMode(0o644)
	if strings.Contains(path.Base(e.Name), ".so") {
		mode = 0o755
	}
	// A file of an earlier, interrupted run is replaced, never written through.
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	n, err := io.Copy(out, io.LimitReader(in, int64(e.UncompressedSize64)+1))
	if err != nil {
		return err
	}
	if n != int64(e.UncompressedSize64) {
		return fmt.Errorf("%w: %d bytes where %d are declared", ErrArchive, n, e.UncompressedSize64)
	}
	return nil
}
