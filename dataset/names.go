package dataset

import (
	"path"
	"slices"
	"strings"
)

// What plants and papers call folders. Names are compared without case, spaces,
// hyphens, underscores and full stops.

// goodNames are names of folders with good images.
func goodNames() []string {
	return []string{Good, "ok", "okay", "normal", "pass", "passed", "non_defective", "not_defective", "defect_free", "no_defect", "no_defects",
		"no_anomaly", "io", "良品", "正常", "合格"}
}

// badNames are names of folders with defects of no particular kind.
func badNames() []string {
	return []string{"bad", "ng", "nok", "not_ok", "ko", "nio", "defect", "defects", "defective", "anomaly", "anomalies", "anomalous", "abnormal",
		"fail", "failed", "faulty", "reject", "rejected", "not_good", "不良", "不良品", "異常", "异常"}
}

// maskNames are names of folders with masks.
func maskNames() []string {
	return []string{masksFolder, "ground_truths", "gt", "gts", "mask", "masks", "label", "labels", "annotation", "annotations", "segmentation", "segmentations"}
}

// unknownNames are names of folders with images without a label.
func unknownNames() []string { return []string{Unknown, "unlabelled", "unlabeled"} }

// splitNames are names of the folder of a split.
func splitNames(split string) []string {
	switch nameKey(split) {
	case Train:
		return []string{Train, "training"}
	case Test:
		return []string{Test, "testing"}
	case Validation, "valid", "val":
		return []string{Validation, "valid", "val"}
	}
	return []string{split}
}

// separators does not count in names. It is made once: a folder's names are compared
// with dozens of others.
var separators = strings.NewReplacer("_", "", "-", "", " ", "", ".", "")

// nameKey is equal for names that are compared as equal.
func nameKey(name string) string { return separators.Replace(strings.ToLower(name)) }

// among says whether a name is one of a list.
func among(list []string, name string) bool {
	key := nameKey(name)
	return slices.ContainsFunc(list, func(n string) bool { return nameKey(n) == key })
}

// isBad says whether a folder is named for defects of no particular kind.
func isBad(name string) bool { return among(badNames(), name) }

// kindOf makes Defect and Label of the name of a folder.
func kindOf(folder string, good []string) (defect string, l Label) {
	switch {
	case among(good, folder):
		return Good, LabelGood
	case among(unknownNames(), folder):
		return Unknown, LabelUnknown
	}
	return folder, LabelDefective
}

// sameKind finds the folder of a kind among others: of the same name, of one that
// is compared as equal, or of another name for good or for defects in general.
func sameKind(dirs []string, kind string, good []string) (string, bool) {
	for _, same := range []func(d string) bool{
		func(d string) bool { return d == kind },
		func(d string) bool { return nameKey(d) == nameKey(kind) },
		func(d string) bool { return among(good, d) && among(good, kind) || isBad(d) && isBad(kind) },
	} {
		if i := slices.IndexFunc(dirs, same); i >= 0 {
			return dirs[i], true
		}
	}
	return "", false
}

// unmasked takes off the name of a mask, without its ending, what makes it a
// mask's: 000_mask, 000_GT, label_000, 000.bm. It is false where there is nothing
// of the kind.
func unmasked(stem string) (string, bool) {
	for _, word := range []string{"mask", "masks", "gt", "label", "labels", "ground_truth", "groundtruth", "seg", "bm"} {
		for _, sep := range []string{"_", "-", "."} {
			if n := len(stem) - len(sep+word); n > 0 && strings.EqualFold(stem[n:], sep+word) {
				return stem[:n], true
			}
			if n := len(word + sep); n < len(stem) && strings.EqualFold(stem[:n], word+sep) {
				return stem[n:], true
			}
		}
	}
	return "", false
}

// maskDirs are the folders of masks in a folder.
func maskDirs(list folder, names []string) []string {
	var out []string
	for _, d := range list.dirs {
		if among(names, d) {
			out = append(out, d)
		}
	}
	return out
}

// pictured lists the images of a folder, and what is named as a mask of another
// image beside it: masks by image, nil for none.
func (f *Files) pictured(dir string) (names []string, masks map[string]string, err error) {
	files, err := f.pictures(dir)
	if err != nil {
		return nil, nil, err
	}
	have := make(map[string]bool, len(files))
	for _, file := range files {
		have[stem(file)] = true
	}
	var beside []string
	for _, file := range files {
		if bare, ok := unmasked(stem(file)); ok && have[bare] {
			beside = append(beside, file)
			continue
		}
		names = append(names, file)
	}
	if len(beside) == 0 {
		return names, nil, nil
	}
	f.issue(dir, "%d files are named as masks of the images beside them, and taken as that: %s", len(beside), nameList(beside))
	return names, f.match(dir, beside, names), nil
}

// places are folders of masks.
type places struct {
	base  string   // the folder that they lie in
	dirs  []string // their names
	split string   // of the images; some have a folder for each split
	good  []string // names for good images
}

// masksAnywhere looks for the masks of the images of one kind in
// <masks>/<kind> or <masks>/<split>/<kind>, or for defects in <masks> itself, where
// several kinds may lie together: uses counts the defective images of each stem.
// The result is nil where there is none at all.
func (f *Files) masksAnywhere(p places, it Item, kind string, names []string, uses map[string]int) (map[string]string, error) {
	for _, d := range p.dirs {
		dir := path.Join(p.base, d)
		list, err := f.list(dir)
		if err != nil {
			return nil, err
		}
		if p.split != "" {
			if i := slices.IndexFunc(list.dirs, func(d string) bool { return among(splitNames(p.split), d) }); i >= 0 {
				dir = path.Join(dir, list.dirs[i])
				if list, err = f.list(dir); err != nil {
					return nil, err
				}
			}
		}
		if sub, ok := sameKind(list.dirs, kind, p.good); ok {
			return f.masks(path.Join(dir, sub), names)
		}
		if !it.IsDefective() {
			continue // a mask of that stem belongs to the defective namesake
		}
		var files []string
		for _, file := range list.files {
			if imageFile(file) {
				files = append(files, file)
			}
		}
		out := make(map[string]string)
		for name, m := range f.matchQuietly(dir, files, names) {
			if uses[stem(name)] > 1 {
				f.issue(m, "not read: several folders have an image %s; put it into %s/%s", stem(name), dir, kind)
				continue
			}
			out[name] = m
		}
		if len(out) > 0 {
			return out, nil
		}
	}
	return nil, nil
}

// masks matches the masks of a folder with images; nil for none at all.
func (f *Files) masks(dir string, names []string) (map[string]string, error) {
	files, err := f.pictures(dir)
	if err != nil {
		return nil, err
	}
	return f.match(dir, files, names), nil
}

// match finds the mask of each image among the files of a folder: the one that is
// named as its mask, or else the one with its stem alone. Files that are left become
// issues. The result is nil where there is none at all.
func (f *Files) match(dir string, files, names []string) map[string]string {
	out := f.matchQuietly(dir, files, names)
	used := make(map[string]bool)
	for _, m := range out {
		used[path.Base(m)] = true
	}
	taken := make(map[string]string) // stem of an image: its mask
	for name, m := range out {
		taken[stem(name)] = path.Base(m)
	}
	for _, file := range files {
		if used[file] {
			continue
		}
		s := stem(file)
		first, twice := taken[s]
		if bare, ok := unmasked(s); ok && !twice {
			first, twice = taken[bare]
		}
		if twice {
			f.issue(path.Join(dir, file), "not read: %s has the same stem, and is the mask of the image", first)
			continue
		}
		f.issue(path.Join(dir, file), "a mask without an image")
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func (f *Files) matchQuietly(dir string, files, names []string) map[string]string {
	named, alone := make(map[string]string), make(map[string]string)
	for _, file := range files {
		s := stem(file)
		if alone[s] == "" {
			alone[s] = file
		}
		if bare, ok := unmasked(s); ok && named[bare] == "" {
			named[bare] = file
		}
	}
	out := make(map[string]string)
	for _, name := range names {
		m := named[stem(name)]
		if m == "" {
			m = alone[stem(name)]
		}
		if m != "" {
			out[name] = path.Join(dir, m)
		}
	}
	return out
}
