package dataset

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// masksFolder is where MVTec AD keeps masks, beside the splits.
const masksFolder = "ground_truth"

// MVTecADConfig says what to read of a data set in MVTec AD's layout.
type MVTecADConfig struct {
	// Classes are the class folders to read; nil reads all.
	Classes []string
	// Split is the folder to read below each class: Train, Test, or another
	// such as "validation". Empty reads both train and test.
	Split string
	// RootClass is the name of the class where the root is not a folder of
	// classes but a class folder itself. Needed only then.
	RootClass string
	// Normal are the names of folders that hold normal images, compared without
	// case, hyphens and underscores. Default "good" and what it is commonly called
	// instead: ok, normal, pass, defect-free and others.
	Normal []string
	// Masks are the names of folders that hold masks, compared likewise. Default,
	// also for nil: "ground_truth" and what it is commonly called instead: gt, mask,
	// label, annotation and others.
	Masks []string
	// Decoder reads the files.
	Decoder Decoder
}

// DefaultMVTecAD reads everything.
func DefaultMVTecAD() MVTecADConfig {
	return MVTecADConfig{Normal: goodNames(), Masks: maskNames(), Decoder: DefaultDecoder()}
}

// Validate reports settings that make no sense; the error wraps [ErrConfig].
func (c MVTecADConfig) Validate() error {
	if c.Classes != nil && len(c.Classes) == 0 {
		return fmt.Errorf("dataset: MVTec AD: %w: Classes is empty, want names or nil for all", ErrConfig)
	}
	if strings.ContainsAny(c.Split, `/\`) || c.Split == "." || c.Split == ".." {
		return fmt.Errorf("dataset: MVTec AD: %w: Split is %q, want the name of a folder", ErrConfig, c.Split)
	}
	if len(c.Normal) == 0 {
		return fmt.Errorf("dataset: MVTec AD: %w: Normal is empty, want at least one folder name", ErrConfig)
	}
	for _, m := range c.Masks {
		if among(c.Normal, m) {
			return fmt.Errorf("dataset: MVTec AD: %w: %q is in Normal and in Masks", ErrConfig, m)
		}
	}
	return c.Decoder.Validate()
}

// masks are the names of folders with masks.
func (c MVTecADConfig) masks() []string {
	if c.Masks == nil {
		return maskNames()
	}
	return c.Masks
}

// OpenMVTecAD opens a data set in MVTec AD's layout (see [NewMVTecAD]) with
// default settings. dir is the root with class folders, or one class folder.
// class is one class, or empty for all; split is [Train], [Test], or empty for
// both.
func OpenMVTecAD(dir, class, split string) (*Files, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("dataset: open %s: %w", dir, err)
	}
	cfg := DefaultMVTecAD()
	cfg.Split = split
	cfg.RootClass = filepath.Base(abs)
	if class != "" {
		cfg.Classes = []string{class}
	}
	return newMVTecAD(dirFS(dir), filepath.ToSlash(dir), cfg)
}

// NewMVTecAD opens a data set in MVTec AD's layout:
//
//	<class>/train/good/*.png
//	<class>/test/good/*.png
//	<class>/test/<defect>/*.png
//	<class>/ground_truth/<defect>/<same stem>_mask.png
//
// for each class below the root, or for one class if the root has a folder
// train or test itself. Names of folders count without case, and common ones stand
// for these: training, testing, val; OK, normal, pass for good (see Normal); GT,
// mask, label for ground_truth (see Masks). A folder of such a name is never a kind
// of defect.
//
// Images and masks are what [ImageFile] says. Masks are optional, for all or for
// some. They may be called <same stem>_GT,
// _label, mask_<same stem>, <same stem>.bm, or <same stem> alone, may lie in the
// folder of masks itself or in one for each split below it, and beside their
// images if they are named as masks. A folder <class>/test/unknown holds images without a label
// ([LabelUnknown]). The order is class, split (train first), folder, file, each
// sorted by name.
//
// What does not belong there is passed over and listed by [Files.Issues],
// images below train that are not normal and empty folders beside the classes
// included. A root without classes, a class or split that is asked for and missing,
// and a class or split without any image are errors that wrap [ErrLayout]. No
// image is opened yet, and of classes that are not asked for no folder is looked into.
func NewMVTecAD(fsys fs.FS, cfg MVTecADConfig) (*Files, error) {
	return newMVTecAD(fsys, "", cfg)
}

func newMVTecAD(fsys fs.FS, root string, cfg MVTecADConfig) (*Files, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if fsys == nil {
		return nil, fmt.Errorf("dataset: MVTec AD: %w: the file system is nil", ErrConfig)
	}
	f := &Files{fsys: fsys, root: root, dec: cfg.Decoder}
	top, err := f.list(".")
	if err != nil {
		return nil, err
	}
	if cfg.isClass(top) {
		err = f.openRootClass(top, cfg)
	} else {
		err = f.openClasses(top, cfg)
	}
	if err != nil {
		return nil, err
	}
	f.finish()
	return f, nil
}

// isClass says whether a folder looks like a class: it has a split.
func (c MVTecADConfig) isClass(list folder) bool {
	for _, split := range append(c.splits(), Train, Test) {
		if len(splitDirs(list, split)) > 0 {
			return true
		}
	}
	return false
}

func (c MVTecADConfig) splits() []string {
	if c.Split != "" {
		return []string{c.Split}
	}
	return []string{Train, Test}
}

// splitDirs are the folders of a split: of its name, or of one that stands for it.
func splitDirs(list folder, split string) []string {
	var out []string
	for _, d := range list.dirs {
		if among(splitNames(split), d) {
			out = append(out, d)
		}
	}
	return out
}

func (f *Files) openRootClass(top folder, cfg MVTecADConfig) error {
	if cfg.RootClass == "" {
		return fmt.Errorf("dataset: open %s: %w: this is a class folder itself (it holds %s): RootClass must name the class",
			f.where("."), ErrConfig, nameList(top.dirs))
	}
	if _, err := f.wanted([]string{cfg.RootClass}, cfg.Classes); err != nil {
		return err
	}
	f.classes = []string{cfg.RootClass}
	return f.openClass(cfg.RootClass, ".", top, cfg)
}

func (f *Files) openClasses(top folder, cfg MVTecADConfig) error {
	lists := make(map[string]folder)
	var found, empty []string
	dirs := top.dirs
	if cfg.Classes != nil && !slices.ContainsFunc(cfg.Classes, func(c string) bool { return !slices.Contains(dirs, c) }) {
		// All are there: a root of a thousand products, each of which is opened by itself, is not
		// looked through a thousand times.
		dirs = slices.DeleteFunc(slices.Clone(dirs), func(d string) bool { return !slices.Contains(cfg.Classes, d) })
	}
	for _, name := range dirs {
		list, err := f.list(name)
		if err != nil {
			return err
		}
		asked := cfg.Classes == nil || slices.Contains(cfg.Classes, name)
		switch {
		case cfg.isClass(list), asked && cfg.Classes != nil:
		case len(list.dirs)+len(list.files) == 0:
			f.issue(name, "an empty folder")
			empty = append(empty, name)
			continue
		default:
			f.issue(name, "not a class folder: it has no folder train or test")
			continue
		}
		lists[name] = list
		found = append(found, name)
	}
	if len(found) == 0 && len(empty) > 0 {
		return f.layoutError(empty[0], "the class folder is empty; expected train/good/*.png and test/<kind>/*.png in it")
	}
	if len(found) == 0 && cfg.Classes == nil {
		return f.layoutError(".", "no class folder found; expected <class>/train/good/*.png below it (it holds %s)",
			nameList(append(top.dirs, top.files...)))
	}
	classes, err := f.wanted(found, cfg.Classes)
	if err != nil {
		return err
	}
	f.stray(".", top.files, "a file beside the class folders")
	f.classes = classes
	var faults []error // of all classes, not of the first alone
	for _, name := range classes {
		if err := f.openClass(name, name, lists[name], cfg); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// openClass adds the images of one class folder.
func (f *Files) openClass(class, dir string, list folder, cfg MVTecADConfig) error {
	f.stray(dir, list.files, "a file beside the folders of a class")
	for _, d := range list.dirs {
		known := slices.ContainsFunc(append(cfg.splits(), Train, Test, Validation), func(s string) bool { return among(splitNames(s), d) })
		if !known && !among(cfg.masks(), d) {
			f.issue(path.Join(dir, d), "not a folder of MVTec AD's layout")
		}
	}
	masks := maskDirs(list, cfg.masks())
	opened := false
	for _, split := range cfg.splits() {
		dirs := splitDirs(list, split)
		if len(dirs) == 0 {
			if cfg.Split == "" {
				continue // of train and test, one may be missing
			}
			return f.layoutError(dir, "class %s has no folder %q; expected %s/good/*.png", class, split, split)
		}
		opened = true
		for _, d := range dirs {
			if err := f.openSplit(class, split, dir, d, masks, cfg); err != nil {
				return err
			}
		}
	}
	if !opened {
		return f.layoutError(dir, "class %s has neither a folder train nor test; expected train/good/*.png", class)
	}
	return nil
}

// openSplit adds the images of one folder of a split; masks are the folders of
// masks beside it.
func (f *Files) openSplit(class, split, dir, name string, masks []string, cfg MVTecADConfig) error {
	at := path.Join(dir, name)
	list, err := f.list(at)
	if err != nil {
		return err
	}
	f.stray(at, list.files, "a file where only folders such as good were expected")
	inside := maskDirs(list, cfg.masks())
	type found struct {
		kind  string
		names []string
		masks map[string]string // beside the images
	}
	var kinds []found
	uses := make(map[string]int) // how many defective images have a stem
	for _, kind := range list.dirs {
		sub := path.Join(at, kind)
		normal := among(cfg.Normal, kind)
		switch {
		case slices.Contains(inside, kind):
			if split == Train {
				f.issue(sub, "not read: by its name it holds masks")
			}
			continue
		case split == Train && !normal:
			f.issue(sub, "not read: training takes good images only")
			continue
		}
		k := found{kind: kind}
		if k.names, k.masks, err = f.pictured(sub); err != nil {
			return err
		}
		if len(k.names) == 0 {
			f.issue(sub, "holds no image")
			continue
		}
		if !normal {
			for _, n := range k.names {
				uses[stem(n)]++
			}
		}
		kinds = append(kinds, k)
	}
	before := len(f.items)
	for _, k := range kinds {
		it := Item{Class: class, Split: split}
		it.Defect, it.Label = kindOf(k.kind, cfg.Normal)
		var own map[string]string
		if split != Train {
			for _, p := range []places{{dir, masks, split, cfg.Normal}, {at, inside, "", cfg.Normal}} {
				if own != nil {
					break
				}
				if own, err = f.masksAnywhere(p, it, k.kind, k.names, uses); err != nil {
					return err
				}
			}
			if own == nil {
				own = k.masks
			}
		}
		for _, name := range k.names {
			it.Name, it.MaskName = path.Join(at, k.kind, name), own[name]
			if own != nil && it.MaskName == "" {
				f.issue(it.Name, "has no mask, though others of %s have", path.Join(at, k.kind))
			}
			f.items = append(f.items, it)
		}
	}
	if len(inside) > 0 && split != Train {
		used := false
		for _, it := range f.items[before:] {
			for _, d := range inside {
				used = used || strings.HasPrefix(it.MaskName, path.Join(at, d)+"/")
			}
		}
		if !used {
			f.issue(path.Join(at, inside[0]), "by its name a folder of masks, and none of them fits an image; rename it if it holds images")
		}
	}
	if len(f.items) == before {
		if split == Train {
			return f.layoutError(at, "class %s has no good image to train on; expected %s/*.png (it holds %s)",
				class, cfg.Normal[0], nameList(append(list.dirs, list.files...)))
		}
		return f.layoutError(at, "class %s has no image; expected <kind>/*.png (it holds %s)",
			class, nameList(append(list.dirs, list.files...)))
	}
	return nil
}
