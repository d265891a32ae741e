package dataset

import (
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Splits of MVTec AD 2 whose labels are not published.
const (
	TestPrivate      = "test_private"
	TestPrivateMixed = "test_private_mixed"
)

// NewMVTecAD2 opens MVTec AD 2:
//
//	<class>/train/good/*.png
//	<class>/validation/good/*.png
//	<class>/test_public/{good,bad}/*.png
//	<class>/test_public/ground_truth/bad/<same stem>_mask.png
//	<class>/test_private/*.png, <class>/test_private_mixed/*.png
//
// The splits are called [Train], [Validation] and [Test] (the public one), and
// [TestPrivate] and [TestPrivateMixed]. The private ones have no labels: their
// items carry [LabelUnknown], and [Unknown] as their defect, and they are read
// only if cfg.Split asks for them by name. Group is the scene, the part of the file name before
// the first underscore: the same scene is taken under several lights.
//
// Of the splits, some may be missing; otherwise as [NewMVTecAD].
func NewMVTecAD2(fsys fs.FS, cfg Config) (*Files, error) {
	f, err := cfg.start(fsys, "MVTec AD 2")
	if err != nil {
		return nil, err
	}
	top, err := f.list(".")
	if err != nil {
		return nil, err
	}
	f.stray(".", top.files, "a file beside the class folders")
	lists, at := make(map[string]folder), make(map[string]string)
	var found []string
	if isMVTec2Class(top) && cfg.RootClass != "" { // the root is a class folder itself
		lists[cfg.RootClass], at[cfg.RootClass], found = top, ".", []string{cfg.RootClass}
		top.dirs = nil
	}
	for _, name := range top.dirs {
		list, err := f.list(name)
		if err != nil {
			return nil, err
		}
		if !isMVTec2Class(list) {
			f.issue(name, "not a class folder: it has no folder train, validation or test_public")
			continue
		}
		lists[name], at[name] = list, name
		found = append(found, name)
	}
	if len(found) == 0 {
		return nil, f.layoutError(".", "no class folder found; expected <class>/train/good/*.png and <class>/test_public below it (it holds %s)",
			nameList(append(top.dirs, top.files...)))
	}
	if f.classes, err = f.wanted(found, cfg.Classes); err != nil {
		return nil, err
	}
	for _, class := range f.classes {
		if err := f.openMVTec2Class(class, at[class], lists[class], cfg); err != nil {
			return nil, err
		}
	}
	if len(f.items) == 0 {
		return nil, f.layoutError(".", "no image found of the splits asked for (Split is %q)", cfg.Split)
	}
	f.finish()
	return f, nil
}

// mvtec2Splits are folders with the names of their splits.
func mvtec2Splits() [][2]string {
	return [][2]string{{Train, Train}, {Validation, Validation}, {"test_public", Test}, {TestPrivate, TestPrivate}, {TestPrivateMixed, TestPrivateMixed}}
}

// isMVTec2Class says whether a folder has a split of MVTec AD 2.
func isMVTec2Class(list folder) bool {
	return slices.ContainsFunc(mvtec2Splits(), func(s [2]string) bool { return mvtec2Dir(list, s[0]) != "" })
}

// mvtec2Dir is the folder of a split, in any case; empty for none.
func mvtec2Dir(list folder, name string) string {
	if i := slices.IndexFunc(list.dirs, func(d string) bool { return among([]string{name}, d) }); i >= 0 {
		return list.dirs[i]
	}
	return ""
}

func (f *Files) openMVTec2Class(class, at string, list folder, cfg Config) error {
	f.stray(at, list.files, "a file beside the folders of a class")
	for _, d := range list.dirs {
		if !slices.ContainsFunc(mvtec2Splits(), func(s [2]string) bool { return mvtec2Dir(list, s[0]) == d }) {
			f.issue(path.Join(at, d), "not a folder of MVTec AD 2's layout")
		}
	}
	for _, s := range mvtec2Splits() {
		name, split := mvtec2Dir(list, s[0]), s[1]
		private := split == TestPrivate || split == TestPrivateMixed
		if name == "" || cfg.Split == "" && private || cfg.Split != "" && cfg.Split != split {
			continue
		}
		dir := path.Join(at, name)
		if private {
			names, err := f.pictures(dir)
			if err != nil {
				return err
			}
			f.addScenes(dir, names, Item{Class: class, Split: split, Defect: Unknown}, nil)
			continue
		}
		sub, err := f.list(dir)
		if err != nil {
			return err
		}
		f.stray(dir, sub.files, "a file where only folders such as good were expected")
		for _, kind := range sub.dirs {
			if among(maskNames(), kind) {
				continue
			}
			at := path.Join(dir, kind)
			it := Item{Class: class, Split: split}
			if it.Defect, it.Label = kindOf(kind, goodNames()); !it.IsGood() && split != Test {
				f.issue(at, "not read: %s takes good images only", split)
				continue
			}
			names, masks, err := f.pictured(at)
			if err != nil {
				return err
			}
			if it.IsDefective() {
				found, err := f.masksAnywhere(places{base: dir, dirs: maskDirs(sub, maskNames()), good: goodNames()}, it, kind, names, nil)
				if err != nil {
					return err
				}
				if found != nil {
					masks = found
				}
			}
			f.addScenes(at, names, it, masks)
		}
	}
	return nil
}

// addScenes adds images of one folder; it holds what they have in common.
func (f *Files) addScenes(dir string, names []string, it Item, masks map[string]string) {
	if len(names) == 0 {
		f.issue(dir, "holds no image")
	}
	for _, name := range names {
		it.Name, it.MaskName = path.Join(dir, name), masks[name]
		scene, _, _ := strings.Cut(stem(name), "_")
		it.Group = path.Join(dir, scene)
		if it.IsDefective() && it.MaskName == "" {
			f.issue(it.Name, "has no mask")
		}
		f.items = append(f.items, it)
	}
}
