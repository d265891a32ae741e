package card

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

// Class are the images of one class that a network was trained on.
type Class struct {
	Class  string `json:"class"`
	Images int    `json:"images"`
	// SHA256 is that of lines as sha256sum writes them, "sum  name\n", one an image, sorted
	// by name and then by sum. An image in shards has the sum of their index, "crc32c:SUM:BYTES".
	SHA256 string `json:"sha256"`
}

// Image is a file of a class.
type Image struct {
	Class, Name string // Name without the root, with slashes
	// Sum is a checksum that is there already, without spaces; then the file is not read.
	Sum  string
	Open func() (io.ReadCloser, error) // nil where there is a Sum
}

// ShardSum is the Sum of an image that shards have a checksum of.
func ShardSum(crc32c uint32, bytes int64) string { return fmt.Sprintf("crc32c:%08x:%d", crc32c, bytes) }

// Data reads all images and sums them up by class, rising. Errors are those of Open and of
// reading, with the image's name, and ctx's; an image without Open or class is ErrCard.
func Data(ctx context.Context, images []Image) ([]Class, error) {
	if ctx == nil {
		return nil, fmt.Errorf("card: data: %w: the context is nil", ErrCard)
	}
	type line struct{ sum, name string }
	lines := map[string][]line{}
	for _, im := range images {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("card: data: %w", err)
		}
		if im.Open == nil && im.Sum == "" || im.Class == "" || strings.ContainsAny(im.Sum, " \n") {
			return nil, fmt.Errorf("card: data: %w: image %s has no class, or no sum and nothing to open, or a sum of several words", ErrCard, im.Name)
		}
		sum := im.Sum
		if sum == "" {
			var err error
			if sum, _, err = sumOf(im.Open); err != nil {
				return nil, fmt.Errorf("card: data: %s: %w", im.Name, err)
			}
		}
		lines[im.Class] = append(lines[im.Class], line{sum, im.Name})
	}
	var out []Class
	for class, l := range lines {
		slices.SortFunc(l, func(a, b line) int { return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.sum, b.sum)) })
		h := sha256.New()
		for _, e := range l {
			fmt.Fprintf(h, "%s  %s\n", e.sum, e.name)
		}
		out = append(out, Class{class, len(l), hex.EncodeToString(h.Sum(nil))})
	}
	slices.SortFunc(out, func(a, b Class) int { return strings.Compare(a.Class, b.Class) })
	return out, nil
}

// sumOf reads what open gives.
func sumOf(open func() (io.ReadCloser, error)) (sum string, n int64, err error) {
	f, err := open()
	if err != nil {
		return "", 0, err
	}
	if f == nil {
		return "", 0, fmt.Errorf("%w: nothing was opened", ErrCard)
	}
	defer f.Close() // only read
	h := sha256.New()
	if n, err = io.Copy(h, f); err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(h.Sum(nil)), n, nil
}

// FileAt is the file at a path, which the card does not keep.
func FileAt(path string) (*File, error) {
	sum, n, err := sumOf(func() (io.ReadCloser, error) { return os.Open(path) })
	if err != nil {
		return nil, fmt.Errorf("card: sum: %w", err)
	}
	return &File{Name: filepath.Base(path), Bytes: n, SHA256: sum}, nil
}

// Check says whether the file at a path has this content: ErrOther if not. Its name may be
// another one.
func (f *File) Check(path string) error {
	if f == nil {
		return fmt.Errorf("card: %w: it describes none", ErrOther)
	}
	is, err := FileAt(path)
	if err != nil {
		return err
	}
	if is.SHA256 != strings.ToLower(f.SHA256) {
		return fmt.Errorf("card: %w: %s has the SHA-256 %s, it says %s of %s", ErrOther, path, is.SHA256, f.SHA256, f.Name)
	}
	return nil
}

// Library is the version of this module that the program was built with, and its commit where
// the build knows it.
func Library() string {
	const module = "github.com/gotab/gotab"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, d := range info.Deps {
		if d.Path == module {
			return d.Version
		}
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			v += " " + s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			v += " modified"
		}
	}
	return v
}
