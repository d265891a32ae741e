package dataset

import (
	"archive/zip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// OpenRoot opens a folder or a zip file as a file system, for the readers that
// take one. The path may go on inside the zip file:
// "btad.zip/BTech_Dataset_transformed". The closer closes the zip file; it is
// never nil where the error is. Files are read from the zip file directly;
// nothing is unpacked to a disk. Reading is safe for concurrent use.
//
// Names that are not UTF-8 are read too. On a disk, each byte that is no part of
// UTF-8 shows as a per cent sign and two digits, and a per cent sign in such a name
// as "%25". In a zip file, names without the mark of UTF-8 are read as UTF-8 if all of
// them are, and else by code page 437, as the format has it; a name in Info-ZIP's
// field for Unicode counts first.
func OpenRoot(name string) (fs.FS, io.Closer, error) {
	info, err := os.Stat(name)
	if err == nil && info.IsDir() {
		return dirFS(name), io.NopCloser(nil), nil
	}
	file, inside := name, ""
	for err != nil || info.IsDir() {
		dir, last := filepath.Split(strings.TrimRight(file, string(filepath.Separator)))
		if file = filepath.Clean(dir); last == "" || dir == "" {
			break
		}
		inside = filepath.ToSlash(filepath.Join(last, inside))
		if info, err = os.Stat(file); err == nil && info.IsDir() {
			break
		}
	}
	if err != nil || info.IsDir() {
		_, err := os.Stat(name)
		return nil, nil, fmt.Errorf("dataset: open: %w: neither a folder nor a zip file: %w", ErrLayout, err)
	}
	z, err := zip.OpenReader(file)
	if err != nil {
		return nil, nil, fmt.Errorf("dataset: open %s: %w: not a folder, and not a zip file that can be read: %w", file, ErrLayout, err)
	}
	readableNames(z.File)
	if inside == "" {
		return z, z, nil
	}
	sub, err := fs.Sub(z, inside)
	if err == nil {
		_, err = fs.ReadDir(sub, ".")
	}
	if err != nil {
		_ = z.Close() // the error to report is the one at hand
		return nil, nil, fmt.Errorf("dataset: open %s: %w: there is no folder %s in the zip file: %w", file, ErrLayout, inside, err)
	}
	return sub, z, nil
}
