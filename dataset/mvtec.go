package dataset

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
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
	// Normal are the names of folders that hold normal pictures. Default
	// "good", and "ok" as in BTAD.
	Normal []string
	// Decoder reads the files.
	Decoder Decoder
}

// DefaultMVTecAD reads everything.
func DefaultMVTecAD() MVTecADConfig {
	return MVTecADConfig{Normal: []string{Good, "ok"}, Decoder: DefaultDecoder()}
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
	return c.Decoder.Validate()
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
	return newMVTecAD(os.DirFS(dir), filepath.ToSlash(dir), cfg)
}

// NewMVTecAD opens a data set in MVTec AD's layout:
//
//	<class>/train/good/*.png
//	<class>/test/good/*.png
//	<class>/test/<defect>/*.png
//	<class>/ground_truth/<defect>/<same stem>_mask.png
//
// for each class below the root, or for one class if the root has a folder
// train or test itself. Pictures and masks may be PNG, JPEG, BMP or TIFF. Masks
// are optional, for all or for some; <same stem>.png is taken too. A folder
// <class>/test/unknown holds pictures without a label ([LabelUnknown]). The order
// is class, split (train first), folder, file, each sorted by name.
//
// What does not belong there is passed over and listed by [Files.Issues],
// pictures below train that are not normal included. A root without classes, a
// class or split that is asked for and missing, and a class or split without
// any picture are errors that wrap [ErrLayout]. No picture is opened yet.
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
		if slices.Contains(list.dirs, split) {
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
	var found []string
	for _, name := range top.dirs {
		list, err := f.list(name)
		if err != nil {
			return err
		}
		asked := cfg.Classes == nil || slices.Contains(cfg.Classes, name)
		switch {
		case cfg.isClass(list), asked && cfg.Classes != nil:
		case len(list.dirs)+len(list.files) == 0 && asked:
			return f.layoutError(name, "the class folder is empty; expected train/good/*.png and test/<kind>/*.png in it")
		default:
			f.issue(name, "not a class folder: it has no folder train or test")
			continue
		}
		lists[name] = list
		found = append(found, name)
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

// openClass adds the pictures of one class folder.
func (f *Files) openClass(class, dir string, list folder, cfg MVTecADConfig) error {
	f.stray(dir, list.files, "a file beside the folders of a class")
	for _, d := range list.dirs {
		switch d {
		case Train, Test, "validation", masksFolder, cfg.Split:
		default:
			f.issue(path.Join(dir, d), "not a folder of MVTec AD's layout")
		}
	}
	opened := false
	for _, split := range cfg.splits() {
		if !slices.Contains(list.dirs, split) {
			if cfg.Split == "" {
				continue // of train and test, one may be missing
			}
			return f.layoutError(dir, "class %s has no folder %q; expected %s/good/*.png", class, split, split)
		}
		opened = true
		if err := f.openSplit(class, split, dir, cfg); err != nil {
			return err
		}
	}
	if !opened {
		return f.layoutError(dir, "class %s has neither a folder train nor test; expected train/good/*.png", class)
	}
	return nil
}

func (f *Files) openSplit(class, split, dir string, cfg MVTecADConfig) error {
	at := path.Join(dir, split)
	list, err := f.list(at)
	if err != nil {
		return err
	}
	f.stray(at, list.files, "a file where only folders such as good were expected")
	before := len(f.items)
	for _, kind := range list.dirs {
		sub := path.Join(at, kind)
		normal := slices.Contains(cfg.Normal, kind)
		if split == Train && !normal {
			f.issue(sub, "not read: training takes normal pictures only")
			continue
		}
		names, err := f.pictures(sub)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			f.issue(sub, "holds no picture")
			continue
		}
		var masks map[string]string
		if split != Train {
			if masks, err = f.masks(path.Join(dir, masksFolder, kind), names); err != nil {
				return err
			}
		}
		for _, name := range names {
			it := Item{Name: path.Join(sub, name), Class: class, Split: split, Defect: kind, Label: LabelOf(kind), MaskName: masks[name]}
			if normal {
				it.Defect, it.Label = Good, LabelGood
			}
			if masks != nil && it.MaskName == "" {
				f.issue(it.Name, "has no mask in %s, though others have", path.Join(dir, masksFolder, kind))
			}
			f.items = append(f.items, it)
		}
	}
	if len(f.items) == before {
		if split == Train {
			return f.layoutError(at, "class %s has no normal picture to train on; expected %s/*.png (it holds %s)",
				class, cfg.Normal[0], nameList(append(list.dirs, list.files...)))
		}
		return f.layoutError(at, "class %s has no picture; expected <kind>/*.png (it holds %s)",
			class, nameList(append(list.dirs, list.files...)))
	}
	return nil
}

// masks finds the mask of each picture in a folder that need not exist: the
// file with the picture's stem and _mask, or else with the stem alone. The
// result is nil where there is none at all.
func (f *Files) masks(dir string, names []string) (map[string]string, error) {
	if info, err := fs.Stat(f.fsys, dir); err != nil || !info.IsDir() {
		return nil, nil
	}
	files, err := f.pictures(dir)
	if err != nil {
		return nil, err
	}
	byStem := make(map[string]string)
	used := make(map[string]bool)
	for _, file := range files {
		if first, twice := byStem[stem(file)]; twice {
			f.issue(path.Join(dir, file), "not read: %s has the same stem", first)
			used[file] = true
			continue
		}
		byStem[stem(file)] = file
	}
	out := make(map[string]string)
	for _, name := range names {
		for _, s := range []string{stem(name) + "_mask", stem(name)} {
			if file, ok := byStem[s]; ok {
				out[name] = path.Join(dir, file)
				used[file] = true
				break
			}
		}
	}
	for _, file := range files {
		if !used[file] {
			f.issue(path.Join(dir, file), "a mask without a picture")
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}
