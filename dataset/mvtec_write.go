package dataset

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/gotab/gotab/internal/atomicfile"
)

// Written is what [WriteMVTecAD] has written.
type Written struct {
	Images, Masks int
	// LeftOut says of each sample that is not among them why: it cannot be read, or the
	// layout has no place for it.
	LeftOut []error
}

// WriteMVTecAD writes a data set into a folder in MVTec AD's layout, images and masks as PNG files, grey
// where all pixels are. Only defective images keep their masks. What cannot stand in the name of a file on
// every system is written as a per cent sign and two digits; two names never become one.
//
// The folder appears when it is finished, because half a data set looks like a whole one, and only if
// it reads as what ds says. It is filled under a hidden name beside its place, which is removed when something
// fails; of a process that was killed it stays, and no data set is read from it. A folder that is
// there and empty makes way.
//
// Samples without a split or label, defective ones of the split [Train], and those that cannot be read
// are left out and listed. It returns fs.ErrExist if the folder holds something, an error that wraps [ErrLayout] if an
// image would be read as something else, and ctx's.
func WriteMVTecAD(ctx context.Context, ds Dataset, dir string) (w Written, err error) {
	fail := func(err error) (Written, error) { return Written{}, fmt.Errorf("dataset: write %s: %w", dir, err) }
	if ds == nil {
		return fail(fmt.Errorf("%w: the data set is nil", ErrConfig))
	}
	if dir == "" {
		return fail(fmt.Errorf("%w: the folder has no name", ErrConfig))
	}
	if err := ended(ctx); err != nil {
		return Written{}, err
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fail(fmt.Errorf("%w: the folder is not empty; name one that does not exist yet", fs.ErrExist))
	}
	out, err := filepath.Abs(dir)
	if err != nil {
		return fail(err)
	}
	if behind, err := filepath.EvalSymlinks(out); err == nil { // an empty folder behind a link
		out = behind
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return fail(err)
	}
	hidden, err := os.MkdirTemp(filepath.Dir(out), "."+filepath.Base(out)+".converting-")
	if err != nil {
		return fail(err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(hidden)) }()
	staged := filepath.Join(hidden, "out") // with the permissions that the user allows
	want, err := w.fill(ctx, ds, staged)
	switch {
	case err != nil && ctx.Err() != nil:
		return Written{}, ctx.Err()
	case err != nil:
		return fail(err)
	case len(want) == 0:
		return w, nil
	}
	if err := readsAs(staged, want); err != nil {
		return fail(err)
	}
	// An empty folder that is in the place makes way; one that is not empty stays.
	if err := os.Remove(out); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail(fmt.Errorf("%w; name a folder that does not exist yet", err))
	}
	if err := os.Rename(staged, out); err != nil {
		return fail(fmt.Errorf("%w; name a folder that does not exist yet", err))
	}
	return w, nil
}

// fill writes all that has a place, and returns what is to be read of it by name.
func (w *Written) fill(ctx context.Context, ds Dataset, dir string) (map[string]Item, error) {
	places := newPlacement(Items(ds))
	want := make(map[string]Item)
	for i := range ds.Len() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		at, mask, err := places.place(ds.Item(i))
		if err != nil {
			w.LeftOut = append(w.LeftOut, err)
			continue
		}
		sample, err := checked(ctx, ds, i)
		if ctx.Err() != nil { // which is not the image's fault
			return nil, ctx.Err()
		}
		if err != nil {
			w.LeftOut = append(w.LeftOut, err)
			continue
		}
		if err := writePNG(filepath.Join(dir, at), plain(sample.Image)); err != nil {
			return nil, err
		}
		now := ds.Item(i)
		now.Name, now.MaskName = filepath.ToSlash(at), ""
		w.Images++
		if sample.Mask != nil && now.IsDefective() {
			if err := writePNG(filepath.Join(dir, mask), sample.Mask); err != nil {
				return nil, err
			}
			now.MaskName = filepath.ToSlash(mask)
			w.Masks++
		}
		want[now.Name] = now
	}
	return want, nil
}

// readsAs opens what was written and compares it with what it is to be: a folder
// that other readers take for something else, such as a kind of defect called "label",
// would change labels without a word.
func readsAs(dir string, want map[string]Item) error {
	// The reader takes train and test together, of which a class may lack one.
	classes := make(map[string][]string) // by split
	for _, it := range want {
		split := safeName(it.Split)
		if split == Train || split == Test {
			split = ""
		}
		if c := safeName(it.Class); !slices.Contains(classes[split], c) {
			classes[split] = append(classes[split], c)
		}
	}
	cfg := DefaultMVTecAD()
	root, _, err := OpenRoot(dir) // a folder has nothing to close
	if err != nil {
		return err
	}
	got := make(map[string]Item)
	for split := range classes {
		cfg.Split, cfg.Classes = split, classes[split]
		ds, err := NewMVTecAD(root, cfg)
		if err != nil {
			return fmt.Errorf("what was written cannot be read: %w", err)
		}
		for _, it := range Items(ds) {
			got[it.Name] = it
		}
	}
	var wrong []error
	for _, name := range slices.Sorted(maps.Keys(want)) {
		w := want[name]
		g, ok := got[name]
		if !ok || g.Label != w.Label || g.MaskName != w.MaskName {
			wrong = append(wrong, fmt.Errorf("%s is %s, and would be read as %s of %s with mask %q; give the kind or the image another name in a manifest",
				name, w.Label, g.Label, g.Defect, g.MaskName))
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%w: nothing was written, because %d images would be read as something else:\n%w", ErrLayout, len(wrong), errors.Join(wrong[:min(len(wrong), 20)]...))
	}
	return nil
}

// plain is a grey image where all pixels are grey, which takes a third of the
// space.
func plain(img *image.RGBA) image.Image {
	g := image.NewGray(img.Rect)
	for y := range img.Rect.Dy() {
		row := img.Pix[y*img.Stride:]
		for x := range img.Rect.Dx() {
			p := row[4*x : 4*x+3]
			if p[0] != p[1] || p[0] != p[2] {
				return img
			}
			g.Pix[y*g.Stride+x] = p[0]
		}
	}
	return g
}

func writePNG(name string, img image.Image) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return atomicfile.Write(name, func(w io.Writer) error { return png.Encode(w, img) })
}
