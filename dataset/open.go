package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Open opens a data set in the layout that [FindLayout] finds. name is a folder or a
// zip file, as for [OpenRoot], a manifest (a file that ends in .jsonl), or
// MixedWM38's npz file. A cfg.RootClass that is the default's becomes the last part
// of the name. The closer is never nil where the error is; close it when no sample is
// needed any more.
//
// It returns the errors of FindLayout, of OpenRoot and of the layout's reader.
func Open(ctx context.Context, name string, cfg Config) (Listed, io.Closer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, nil, err
	}
	base, err := cfg.callRoot(name)
	if err != nil {
		return nil, nil, err
	}
	if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
		switch strings.ToLower(filepath.Ext(name)) {
		case ".jsonl":
			dir := dirFS(filepath.Dir(name))
			if isLong(dir, base) {
				m, err := NewLongManifest(ctx, dir, base, cfg)
				if err != nil {
					return nil, nil, err
				}
				return m, m, nil
			}
			f, err := NewManifest(dir, base, cfg)
			if err != nil {
				return nil, nil, err
			}
			return f, io.NopCloser(nil), nil
		case ".npz":
			w, err := cfg.wafers(func() (*MixedWM38, error) { return OpenMixedWM38(name) })
			if err != nil {
				return nil, nil, err
			}
			return w, w, nil
		}
	}
	fsys, closer, err := OpenRoot(name)
	if err != nil {
		return nil, nil, err
	}
	layout, err := FindLayout(fsys)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", name, err), closer.Close())
	}
	ds, closer, err := within(ctx, fsys, closer, layout, cfg)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	return ds, closer, nil
}

// OpenLayout opens a folder or a zip file, as for [OpenRoot], in the layout that is named, where [Open] finds it out: for
// data sets that several layouts fit. As there, a cfg.RootClass that is the default's becomes the last part of the name, and the
// closer is never nil where the error is. It returns the errors of OpenRoot and of the layout's reader.
func OpenLayout(ctx context.Context, name string, l Layout, cfg Config) (Listed, io.Closer, error) {
	if _, err := cfg.callRoot(name); err != nil {
		return nil, nil, err
	}
	fsys, closer, err := OpenRoot(name)
	if err != nil {
		return nil, nil, err
	}
	return within(ctx, fsys, closer, l, cfg)
}

// callRoot names the class of a root without classes after the root, whose name is returned.
func (c *Config) callRoot(name string) (base string, err error) {
	if base, err = baseName(name); err != nil {
		return "", fmt.Errorf("dataset: open %s: %w", name, err)
	}
	if c.RootClass == rootClass {
		c.RootClass = strings.TrimSuffix(base, ".zip")
	}
	return base, nil
}

// within opens a root and takes over its closer.
func within(ctx context.Context, fsys fs.FS, root io.Closer, l Layout, cfg Config) (Listed, io.Closer, error) {
	ds, err := NewLayout(ctx, fsys, l, cfg)
	if err != nil {
		return nil, nil, errors.Join(err, root.Close())
	}
	if own, ok := ds.(io.Closer); ok {
		return ds, closers{own, root}, nil
	}
	return ds, root, nil
}

// closers are closed in their order.
type closers []io.Closer

func (c closers) Close() (err error) {
	for _, one := range c {
		err = errors.Join(err, one.Close())
	}
	return err
}

// baseName is the last part of a path, also of "." and "..".
func baseName(name string) (string, error) {
	abs, err := filepath.Abs(name)
	return filepath.Base(abs), err
}

// sign is what a layout is known by.
type sign struct {
	layout Layout
	rank   int // of several signs that are seen, those of the lowest rank count
	words  string
	seen   func(l *finder) (bool, error)
}

// signs lists those of all layouts. A file that says what it is comes before folders of
// certain names, and these before folders of images.
func signs() []sign {
	return []sign{
		{LayoutManifest, 1, "a file " + ManifestFile, func(l *finder) (bool, error) { return slices.Contains(l.top.files, ManifestFile), nil }},
		{LayoutShards, 1, "a file " + ShardsFile, func(l *finder) (bool, error) { return slices.Contains(l.top.files, ShardsFile), nil }},
		{LayoutVisA, 1, "split_csv/*.csv", (*finder).visa},
		{LayoutMixedWM, 1, "one file *.npz", (*finder).wafers},
		{LayoutMVTecAD2, 2, "<class>/test_public", (*finder).mvtec2},
		{LayoutBTAD, 2, "a folder " + btadFolder + " or the classes 01, 02, 03 with train and test", (*finder).btad},
		{LayoutKSDD2, 2, "train or test with 10000.png and 10000_GT.png", (*finder).ksdd2},
		{LayoutMPDD, 2, "classes of MPDD's names, such as bracket_black, with train and test", (*finder).mpdd},
		{LayoutMVTecAD, 2, "<class>/train or <class>/test with folders such as good", (*finder).mvtec},
		{LayoutGoodBad, 3, "a folder good, ok or normal beside folders of defects", (*finder).goodBad},
		{LayoutFolders, 3, "<class>/*.png, <class>/good/*.png, or *.png", (*finder).folders},
	}
}

// FindLayout finds the layout of a data set by the names in its root and in the folders
// there and below, of which it looks at 100,000 at most; it opens no file. A manifest, VisA's lists and an npz file come
// before folders that are named as a data set has them, and these before folders of
// images. MPDD and BTAD have MVTec AD's layout under names of their own.
//
// It returns [ErrLayout] with what it looked for if nothing fits, and with the
// layouts that fit if there are several: [OpenLayout] opens the one that is meant.
func FindLayout(fsys fs.FS) (Layout, error) {
	if fsys == nil {
		return "", fmt.Errorf("dataset: find layout: %w: the file system is nil", ErrConfig)
	}
	l, err := newFinder(fsys)
	if err != nil {
		return "", err
	}
	var found []sign
	var looked []string
	for _, s := range signs() {
		looked = append(looked, fmt.Sprintf("%s: %s", s.layout, s.words))
		if len(found) > 0 && found[0].rank < s.rank {
			continue
		}
		ok, err := s.seen(l)
		if err != nil {
			return "", err
		}
		if ok {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("dataset: find layout: %w: nothing here is laid out as one of the data sets that are known (it holds %s); looked for %s",
			ErrLayout, nameList(slices.Concat(l.top.dirs, l.top.files)), strings.Join(looked, "; "))
	case 1:
		return found[0].layout, nil
	}
	var fit []string
	for _, s := range found {
		fit = append(fit, fmt.Sprintf("%s (%s)", s.layout, s.words))
	}
	return "", fmt.Errorf("dataset: find layout: %w: several layouts fit, and one must be named: %s", ErrLayout, strings.Join(fit, "; "))
}

const (
	// lookFolder bounds the entries of a folder that are looked at, in the order of the
	// file system: KolektorSDD2's largest folder has 4,932.
	lookFolder = 10_000
	// lookAll bounds those of all folders, for roots that are no data set.
	lookAll = 100_000
)

// finder reads folders of a root, each once.
type finder struct {
	files *Files
	top   folder
	lists map[string]folder
	left  int // entries that may still be looked at
	// classes are those of MVTec AD's layout by their folder, once they are looked for.
	classes map[string][]string
}

func newFinder(fsys fs.FS) (*finder, error) {
	l := &finder{files: &Files{fsys: fsys}, lists: map[string]folder{}, left: lookAll, classes: map[string][]string{}}
	var err error
	l.top, err = l.list(".")
	return l, err
}

func (l *finder) list(dir string) (folder, error) {
	if f, ok := l.lists[dir]; ok {
		return f, nil
	}
	entries, err := l.entries(dir)
	if err != nil {
		return folder{}, fmt.Errorf("dataset: find layout: %w: %s: %w", ErrLayout, dir, err)
	}
	f := l.files.divide(dir, entries)
	slices.Sort(f.dirs)
	slices.Sort(f.files)
	l.lists[dir] = f
	return f, nil
}

// entries are the first ones of a folder, as many as may be looked at.
func (l *finder) entries(dir string) (_ []fs.DirEntry, err error) {
	most := min(l.left, lookFolder)
	if most == 0 {
		return nil, nil
	}
	d, err := l.files.fsys.Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	r, ok := d.(fs.ReadDirFile)
	if !ok {
		return nil, errors.New("not a folder")
	}
	entries, err := r.ReadDir(most)
	l.left -= len(entries)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return entries, err
}

func hasPicture(f folder) bool { return slices.ContainsFunc(f.files, imageFile) }

func (l *finder) visa() (bool, error) {
	if !slices.Contains(l.top.dirs, "split_csv") {
		return false, nil
	}
	f, err := l.list("split_csv")
	return slices.ContainsFunc(f.files, func(n string) bool { return strings.EqualFold(path.Ext(n), ".csv") }), err
}

func (l *finder) wafers() (bool, error) {
	found := slices.DeleteFunc(slices.Clone(l.top.files), func(n string) bool { return path.Ext(n) != ".npz" })
	return len(found) == 1, nil
}

func (l *finder) mvtec2() (bool, error) {
	if mvtec2Dir(l.top, "test_public") != "" { // a class folder itself
		return true, nil
	}
	for _, d := range l.top.dirs {
		f, err := l.list(d)
		if err != nil || mvtec2Dir(f, "test_public") != "" {
			return err == nil, err
		}
	}
	return false, nil
}

// isMVTec says whether a folder is a class of MVTec AD's layout: its splits hold
// folders of images.
func (l *finder) isMVTec(at string, f folder) (bool, error) {
	if mvtec2Dir(f, "test_public") != "" {
		return false, nil
	}
	for _, split := range []string{Train, Test} {
		for _, d := range splitDirs(f, split) {
			kinds, err := l.list(path.Join(at, d))
			if err != nil {
				return false, err
			}
			if len(kinds.dirs) > 0 {
				return true, nil
			}
		}
	}
	return false, nil
}

// mvtecClasses are the classes of MVTec AD's layout below a folder.
func (l *finder) mvtecClasses(dir string) (names []string, err error) {
	if names, ok := l.classes[dir]; ok {
		return names, nil
	}
	list, err := l.list(dir)
	if err != nil {
		return nil, err
	}
	for _, d := range list.dirs {
		at := path.Join(dir, d)
		sub, err := l.list(at)
		if err != nil {
			return nil, err
		}
		ok, err := l.isMVTec(at, sub)
		if err != nil {
			return nil, err
		}
		if ok {
			names = append(names, d)
		}
	}
	l.classes[dir] = names
	return names, nil
}

// named says whether all classes of MVTec AD's layout have certain names.
func (l *finder) named(dir string, names ...string) (bool, error) {
	classes, err := l.mvtecClasses(dir)
	return len(classes) > 0 && !slices.ContainsFunc(classes, func(c string) bool { return !slices.Contains(names, c) }), err
}

func (l *finder) btad() (bool, error) {
	dir := "."
	if slices.Contains(l.top.dirs, btadFolder) {
		dir = btadFolder
	}
	return l.named(dir, "01", "02", "03")
}

func (l *finder) mpdd() (bool, error) {
	return l.named(".", "bracket_black", "bracket_brown", "bracket_white", "connector", "metal_plate", "tubes")
}

func (l *finder) mvtec() (bool, error) {
	for _, other := range []func() (bool, error){l.mvtec2, l.btad, l.mpdd} { // much the same, and more is known
		if ok, err := other(); ok || err != nil {
			return false, err
		}
	}
	if ok, err := l.isMVTec(".", l.top); ok || err != nil { // a class folder itself
		return ok, err
	}
	classes, err := l.mvtecClasses(".")
	return len(classes) > 0, err
}

func (l *finder) ksdd2() (bool, error) {
	for _, split := range []string{Train, Test} {
		for _, d := range splitDirs(l.top, split) {
			f, err := l.list(d)
			if err != nil {
				return false, err
			}
			have := map[string]bool{}
			for _, n := range f.files {
				have[stem(n)] = true
			}
			for _, n := range f.files {
				if s := stem(n); fiveDigits(s) && imageFile(n) && have[s+"_GT"] {
					return true, nil
				}
			}
		}
	}
	return false, nil
}

// goodBad is seen where good images lie beside others than masks.
func (l *finder) goodBad() (bool, error) {
	good, bad := false, false
	for _, d := range l.top.dirs {
		f, err := l.list(d)
		if err != nil {
			return false, err
		}
		switch {
		case !hasPicture(f) || among(maskNames(), d):
		case among(goodNames(), d):
			good = true
		default:
			bad = true
		}
	}
	return good && bad, nil
}

// folders is seen where images lie in folders of classes, or in the root, and the
// good ones are not apart from defects there.
func (l *finder) folders() (bool, error) {
	if ok, err := l.goodBad(); ok || err != nil {
		return false, err
	}
	if hasPicture(l.top) {
		return true, nil
	}
	for _, d := range l.top.dirs {
		if among(maskNames(), d) {
			continue
		}
		f, err := l.list(d)
		if err != nil {
			return false, err
		}
		if hasPicture(f) {
			return true, nil
		}
		for _, k := range f.dirs {
			if !among(goodNames(), k) {
				continue
			}
			kind, err := l.list(path.Join(d, k))
			if err != nil || hasPicture(kind) {
				return err == nil, err
			}
		}
	}
	return false, nil
}
