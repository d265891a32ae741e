package dataset

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// longManifest is the size from which [NewLayout] and [Open] leave a manifest where it
// lies, in bytes: half a million lines, of which a list would take 150 MB.
const longManifest = 64 << 20

// Manifest is a [Dataset] of a manifest of any length: it keeps less than 10 MiB of it,
// however many lines there are. Opening goes through all lines once, a million of them in
// less than a second; after that items are read from the file as they are asked for. It
// is fastest to ask in the order of the file. All methods are safe for concurrent use.
//
// What goes through all items and keeps something of each grows with them: [Filter] and
// [Subset] take 8 bytes an image, [Items] some 300. [Permutation] shuffles without that.
//
// Close it. The file must not change meanwhile; one that is replaced by another (as
// renaming does) does not.
type Manifest struct {
	list *lineFile
	fsys fs.FS
	dec  Decoder
	name string
}

// NewLongManifest opens the images that a manifest below the root of fsys lists, in its
// order, as [NewManifest] does, for more of them than memory holds. What it does not do for
// that: look whether the files are there (Sample returns an error that wraps
// [fs.ErrNotExist]), look for names that come twice, read UTF-16 or mend broken UTF-8, and
// turn backslashes into slashes. cfg.Classes and cfg.Split choose among the lines.
//
// Faults of lines are an error that wraps [ErrLayout] and lists up to a hundred of them, as
// [ReadManifest] has it. A file system that cannot read in the middle of a file, such
// as a zip file, is read whole, and more than 256 MiB of it are an error that wraps [ErrTooLarge].
func NewLongManifest(ctx context.Context, fsys fs.FS, name string, cfg Config) (_ *Manifest, err error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	if _, err := cfg.start(fsys, "manifest"); err != nil {
		return nil, err
	}
	list, err := openLines(fsys, name, false)
	if err != nil {
		return nil, fmt.Errorf("dataset: open manifest %s: %w: %w", name, ErrLayout, err)
	}
	m := &Manifest{list: list, fsys: fsys, dec: cfg.Decoder, name: name}
	defer func() {
		if err != nil {
			err = errors.Join(err, list.shut())
		}
	}()
	list.keep = cfg.keepFor()
	if err := list.scan(ctx, nil); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, fmt.Errorf("dataset: read manifest: %w (in %s)", err, name)
	}
	if err := list.chosen(cfg); err != nil {
		return nil, fmt.Errorf("dataset: open manifest %s: %w", name, err)
	}
	return m, nil
}

// chosen says whether what was asked for is there.
func (l *lineFile) chosen(cfg Config) error {
	for _, c := range cfg.Classes {
		if !slices.Contains(l.classes, c) {
			return fmt.Errorf("%w: there is no class %q of split %q; found %s", ErrLayout, c, cfg.Split, nameList(l.classes))
		}
	}
	if l.n == 0 {
		return fmt.Errorf("%w: it lists no image of split %q", ErrLayout, cfg.Split)
	}
	return nil
}

// Len implements [Dataset].
func (m *Manifest) Len() int {
	if m.list == nil {
		return 0
	}
	return m.list.n
}

// Classes implements [Dataset].
func (m *Manifest) Classes() []string {
	if m.list == nil {
		return []string{}
	}
	return slices.Clone(m.list.classes)
}

// Item implements [Dataset]. It is empty too where the file can no longer be read, which
// Sample reports.
func (m *Manifest) Item(i int) Item {
	if m.list == nil {
		return Item{}
	}
	_, it, err := m.list.at(i)
	if err != nil {
		return Item{}
	}
	return it
}

// Sample implements [Dataset], with the errors of [Files.Sample], and [ErrLayout] where
// the manifest has changed since it was opened.
func (m *Manifest) Sample(ctx context.Context, i int) (Sample, error) {
	if err := ended(ctx); err != nil {
		return Sample{}, err
	}
	f, at, err := m.file(i)
	if err != nil {
		return Sample{}, err
	}
	return f.Sample(ctx, at)
}

// file is a data set of one image.
func (m *Manifest) file(i int) (*Files, int, error) {
	if i < 0 || i >= m.Len() {
		return nil, 0, indexError(i, m.Len())
	}
	_, it, err := m.list.at(i)
	if err != nil {
		return nil, 0, fmt.Errorf("dataset: read manifest %s: %w", m.name, err)
	}
	return &Files{fsys: m.fsys, dec: m.dec, items: []Item{it}}, 0, nil
}

// Issues implements [Listed]. There are none: files that are not there are what Sample
// reports.
func (m *Manifest) Issues() []Issue { return nil }

// Close closes the manifest. Items and samples can no longer be read then.
func (m *Manifest) Close() error {
	if m.list == nil {
		return nil
	}
	return m.list.shut()
}

// isLong says whether a manifest is one for NewLongManifest.
func isLong(fsys fs.FS, name string) bool {
	info, err := fs.Stat(fsys, name)
	return err == nil && info.Mode().IsRegular() && info.Size() >= longManifest
}
