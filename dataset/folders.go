package dataset

import (
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
)

// FoldersConfig says what to read of a folder of class folders.
type FoldersConfig struct {
	// Classes are the class folders to read; nil reads all.
	Classes []string
	// Split is what the items carry as their split. Default Train.
	Split string
	// RootClass is the name of the class where the root has no class folders but
	// images, or good ones in a folder. Needed only then.
	RootClass string
	// Decoder reads the files.
	Decoder Decoder
}

// DefaultFolders reads everything, as training data.
func DefaultFolders() FoldersConfig {
	return FoldersConfig{Split: Train, Decoder: DefaultDecoder()}
}

// Validate reports settings that make no sense; the error wraps [ErrConfig].
func (c FoldersConfig) Validate() error {
	if c.Classes != nil && len(c.Classes) == 0 {
		return fmt.Errorf("dataset: folders: %w: Classes is empty, want names or nil for all", ErrConfig)
	}
	return c.Decoder.Validate()
}

// OpenFolders opens the class folders below dir with default settings; see
// [NewFolders]. A root without class folders is one class of the name of dir.
func OpenFolders(dir string) (*Files, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("dataset: open %s: %w", dir, err)
	}
	cfg := DefaultFolders()
	cfg.RootClass = filepath.Base(abs)
	return newFolders(dirFS(dir), filepath.ToSlash(dir), cfg)
}

// NewFolders opens a folder of class folders, <class>/*.png, whose images are
// all normal. [ImageFile] says which files count. The order is class, file, each
// sorted by name.
//
// Good and bad images may be apart: <class>/good/*.png and <class>/bad/*.png, or
// good/*.png and bad/*.png in the root, which then is one class (cfg.RootClass), as
// it is if it holds images and no folders. Of these only the good ones are read,
// by the names that [DefaultGoodBad] knows. A folder of classes that is named for
// defects ("bad", "NG") is an error unless cfg.Classes chooses others, because
// defects would be taken for normal; one that is named for masks is passed over.
//
// What does not belong there is passed over and listed by [Files.Issues], empty
// folders beside the classes included. A root without class folders, a class that is
// asked for and missing, and a class without any image are errors that wrap
// [ErrLayout]. No image is opened yet.
func NewFolders(fsys fs.FS, cfg FoldersConfig) (*Files, error) {
	return newFolders(fsys, "", cfg)
}

func newFolders(fsys fs.FS, root string, cfg FoldersConfig) (*Files, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if fsys == nil {
		return nil, fmt.Errorf("dataset: folders: %w: the file system is nil", ErrConfig)
	}
	f := &Files{fsys: fsys, root: root, dec: cfg.Decoder}
	top, err := f.list(".")
	if err != nil {
		return nil, err
	}
	if f.oneClass(top) && !slices.ContainsFunc(cfg.Classes, func(c string) bool { return slices.Contains(top.dirs, c) }) {
		if cfg.RootClass == "" {
			return nil, f.layoutError(".", "no class folder found; expected <class>/*.png below it, or RootClass to name the one class (it holds %s)",
				nameList(append(top.dirs, top.files...)))
		}
		if f.classes, err = f.wanted([]string{cfg.RootClass}, cfg.Classes); err != nil {
			return nil, err
		}
		if err := f.openFolder(cfg.RootClass, ".", top, cfg); err != nil {
			return nil, err
		}
		f.finish()
		return f, nil
	}
	var found, empty []string
	lists := make(map[string]folder)
	for _, d := range top.dirs {
		if lists[d], err = f.list(d); err != nil {
			return nil, err
		}
		asked := slices.Contains(cfg.Classes, d)
		switch {
		case asked:
		case among(maskNames(), d):
			f.issue(d, "not read: by its name it holds masks")
			continue
		case len(lists[d].dirs)+len(lists[d].files) == 0:
			f.issue(d, "an empty folder")
			empty = append(empty, d)
			continue
		case isBad(d) && cfg.Classes == nil:
			return nil, f.layoutError(d, "by its name it holds defects, and this layout has good images only; put the good ones into a folder good beside it, or choose the classes")
		}
		found = append(found, d)
	}
	if len(found) == 0 && len(empty) > 0 {
		return nil, f.layoutError(empty[0], "class %s has no image; expected %s/*.png (its folder is empty)", empty[0], empty[0])
	}
	if len(found) == 0 {
		return nil, f.layoutError(".", "no class folder with images found; expected <class>/*.png below it (it holds %s)", nameList(append(top.dirs, top.files...)))
	}
	if f.classes, err = f.wanted(found, cfg.Classes); err != nil {
		return nil, err
	}
	f.stray(".", top.files, "a file beside the class folders")
	for _, class := range f.classes {
		if err := f.openFolder(class, class, lists[class], cfg); err != nil {
			return nil, err
		}
	}
	f.finish()
	return f, nil
}

// oneClass says whether a root is one class itself: it holds no folders, or none but
// of masks, or a folder of good images.
func (f *Files) oneClass(top folder) bool {
	return !slices.ContainsFunc(top.dirs, func(d string) bool { return !among(maskNames(), d) }) ||
		slices.ContainsFunc(top.dirs, func(d string) bool { return among(goodNames(), d) })
}

// openFolder adds the good images of a class: those in its folder, or where there
// are none those in the folders of good ones below it.
func (f *Files) openFolder(class, dir string, list folder, cfg FoldersConfig) error {
	it := Item{Class: class, Split: cfg.Split, Defect: Good, Label: LabelGood}
	good := slices.DeleteFunc(slices.Clone(list.dirs), func(d string) bool { return !among(goodNames(), d) })
	dirs := []string{dir}
	if len(good) > 0 {
		dirs = nil
		for _, d := range good {
			dirs = append(dirs, path.Join(dir, d))
		}
		for _, d := range list.dirs {
			switch {
			case slices.Contains(good, d):
			case among(maskNames(), d):
				f.issue(path.Join(dir, d), "not read: by its name it holds masks")
			default:
				f.issue(path.Join(dir, d), "not read: it lies beside a folder of good images, and this layout has good ones only")
			}
		}
		f.stray(dir, list.files, "a file beside a folder of good images")
	}
	before := len(f.items)
	for _, d := range dirs {
		names, _, err := f.pictured(d)
		if err != nil {
			return err
		}
		for _, name := range names {
			it.Name = path.Join(d, name)
			f.items = append(f.items, it)
		}
	}
	if len(f.items) > before {
		return nil
	}
	hint := ""
	if (MVTecADConfig{}).isClass(list) {
		hint = "; this looks like MVTec AD's layout"
	}
	return f.layoutError(dir, "class %s has no image; expected %s/*.png (it holds %s)%s",
		class, class, nameList(append(list.dirs, list.files...)), hint)
}
