package dataset

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
)

// GoodBadConfig says how plain folders of good and bad pictures are named.
type GoodBadConfig struct {
	// Class is the class of all pictures. Default "product".
	Class string
	// Split is what the items carry as their split. Default empty: such folders
	// have no split of their own, see [SplitConfig].
	Split string
	// Good are the names of folders with normal pictures. Default good, ok,
	// normal.
	Good []string
	// Masks are the names of folders with masks. Default masks, mask,
	// ground_truth.
	Masks []string
	// Decoder reads the files.
	Decoder Decoder
}

// DefaultGoodBad returns the defaults that the fields name.
func DefaultGoodBad() GoodBadConfig {
	return GoodBadConfig{
		Class: "product", Good: []string{Good, "ok", "normal"},
		Masks: []string{"masks", "mask", masksFolder}, Decoder: DefaultDecoder(),
	}
}

// Validate reports settings that make no sense; the error wraps [ErrConfig].
func (c GoodBadConfig) Validate() error {
	if len(c.Good) == 0 {
		return fmt.Errorf("dataset: good and bad folders: %w: Good is empty, want at least one folder name", ErrConfig)
	}
	for _, m := range c.Masks {
		if slices.Contains(c.Good, m) {
			return fmt.Errorf("dataset: good and bad folders: %w: %q is in Good and in Masks", ErrConfig, m)
		}
	}
	return c.Decoder.Validate()
}

// NewGoodBad opens plain folders of pictures:
//
//	good/*, <kind of defect>/*, masks/<same stem>.png or masks/<kind of defect>/<same stem>.png
//
// Every folder that is named neither in cfg.Good nor in cfg.Masks is a kind of
// defect, for instance "bad"; a folder "unknown" holds pictures without a label
// ([LabelUnknown]). Masks are optional, for all or for some, and may
// end in _mask. The order is folder, file, each sorted by name. A root without a
// good folder, or a good folder without a picture, is an error that wraps
// [ErrLayout]; what does not belong there is listed by [Files.Issues].
func NewGoodBad(fsys fs.FS, cfg GoodBadConfig) (*Files, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if fsys == nil {
		return nil, fmt.Errorf("dataset: good and bad folders: %w: the file system is nil", ErrConfig)
	}
	f := &Files{fsys: fsys, dec: cfg.Decoder, classes: []string{cfg.Class}}
	top, err := f.list(".")
	if err != nil {
		return nil, err
	}
	f.stray(".", top.files, "a file beside the folders")
	kinds := slices.DeleteFunc(slices.Clone(top.dirs), func(d string) bool { return slices.Contains(cfg.Masks, d) })
	lists := make(map[string][]string)
	uses := make(map[string]int) // how many defective pictures have a stem
	good := 0
	for _, kind := range kinds {
		if lists[kind], err = f.pictures(kind); err != nil {
			return nil, err
		}
		if slices.Contains(cfg.Good, kind) {
			good += len(lists[kind])
			continue
		}
		for _, name := range lists[kind] {
			uses[stem(name)]++
		}
	}
	if good == 0 {
		return nil, f.layoutError(".", "no good picture found; expected a folder %s with pictures (it holds %s)",
			nameList(cfg.Good), nameList(append(top.dirs, top.files...)))
	}
	for _, kind := range kinds {
		it := Item{Class: cfg.Class, Split: cfg.Split, Defect: Good, Label: LabelGood}
		if !slices.Contains(cfg.Good, kind) {
			it.Defect, it.Label = kind, LabelOf(kind)
		}
		if len(lists[kind]) == 0 {
			f.issue(kind, "holds no picture")
		}
		masks, err := f.masksAnywhere(top, cfg.Masks, it, kind, lists[kind], uses)
		if err != nil {
			return nil, err
		}
		for _, name := range lists[kind] {
			it.Name, it.MaskName = path.Join(kind, name), masks[name]
			if it.IsDefective() && masks != nil && it.MaskName == "" {
				f.issue(it.Name, "has no mask, though others have")
			}
			f.items = append(f.items, it)
		}
	}
	f.finish()
	return f, nil
}

// masksAnywhere looks for masks of one kind in <masks>/<kind>, or for defects
// in <masks> itself, where several kinds may lie together.
func (f *Files) masksAnywhere(top folder, folders []string, it Item, kind string, names []string, uses map[string]int) (map[string]string, error) {
	for _, dir := range folders {
		if !slices.Contains(top.dirs, dir) {
			continue
		}
		list, err := f.list(dir)
		if err != nil {
			return nil, err
		}
		if slices.Contains(list.dirs, kind) {
			return f.masks(path.Join(dir, kind), names)
		}
		if !it.IsDefective() {
			continue // a mask of that stem belongs to the defective namesake
		}
		byStem := make(map[string]string)
		for _, file := range list.files {
			if pictureFile(file) {
				byStem[stem(file)] = path.Join(dir, file)
			}
		}
		out := make(map[string]string)
		for _, name := range names {
			m := byStem[stem(name)+"_mask"]
			if m == "" {
				m = byStem[stem(name)]
			}
			switch {
			case m == "":
			case uses[stem(name)] > 1:
				f.issue(m, "not read: several folders have a picture %s; put it into %s/%s", stem(name), dir, kind)
			default:
				out[name] = m
			}
		}
		if len(out) > 0 {
			return out, nil
		}
	}
	return nil, nil
}
