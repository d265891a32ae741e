package dataset

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
)

// GoodBadConfig says how plain folders of good and bad images are named.
type GoodBadConfig struct {
	// Class is the class of all images. Default "product".
	Class string
	// Split is what the items carry as their split. Default empty: such folders
	// have no split of their own, see [SplitConfig].
	Split string
	// Good are the names of folders with normal images, compared without case,
	// hyphens and underscores. Default "good" and what it is commonly called
	// instead: ok, normal, pass, defect-free and others.
	Good []string
	// Masks are the names of folders with masks, compared likewise. Default
	// "ground_truth" and what it is commonly called instead: gt, mask, label,
	// annotation and others.
	Masks []string
	// Decoder reads the files.
	Decoder Decoder
}

// DefaultGoodBad returns the defaults that the fields name.
func DefaultGoodBad() GoodBadConfig {
	return GoodBadConfig{
		Class: rootClass, Good: goodNames(), Masks: maskNames(), Decoder: DefaultDecoder(),
	}
}

// Validate reports settings that make no sense; the error wraps [ErrConfig].
func (c GoodBadConfig) Validate() error {
	if len(c.Good) == 0 {
		return fmt.Errorf("dataset: good and bad folders: %w: Good is empty, want at least one folder name", ErrConfig)
	}
	for _, m := range c.Masks {
		if among(c.Good, m) {
			return fmt.Errorf("dataset: good and bad folders: %w: %q is in Good and in Masks", ErrConfig, m)
		}
	}
	return c.Decoder.Validate()
}

// NewGoodBad opens plain folders of images:
//
//	good/*, <kind of defect>/*, masks/<same stem>.png or masks/<kind of defect>/<same stem>.png
//
// Every folder that is named neither in cfg.Good nor in cfg.Masks is a kind of
// defect, for instance "bad"; a folder "unknown" holds images without a label
// ([LabelUnknown]). Masks are optional, for all or for some, and may be named as
// [NewMVTecAD] has it. The order is folder, file, each sorted by name. A root without a
// good folder, or a good folder without an image, is an error that wraps
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
	kinds := slices.DeleteFunc(slices.Clone(top.dirs), func(d string) bool { return among(cfg.Masks, d) })
	lists, beside := make(map[string][]string), make(map[string]map[string]string)
	uses := make(map[string]int) // how many defective images have a stem
	good := 0
	for _, kind := range kinds {
		if lists[kind], beside[kind], err = f.pictured(kind); err != nil {
			return nil, err
		}
		if among(cfg.Good, kind) {
			good += len(lists[kind])
			continue
		}
		for _, name := range lists[kind] {
			uses[stem(name)]++
		}
	}
	if good == 0 {
		hint := ""
		if (MVTecADConfig{}).isClass(top) {
			hint = "; this looks like MVTec AD's layout"
		}
		return nil, f.layoutError(".", "no good image found; expected a folder %s with images (it holds %s)%s",
			nameList(cfg.Good[:min(3, len(cfg.Good))]), nameList(append(top.dirs, top.files...)), hint)
	}
	at := places{base: ".", dirs: maskDirs(top, cfg.Masks), good: cfg.Good}
	for _, kind := range kinds {
		it := Item{Class: cfg.Class, Split: cfg.Split}
		it.Defect, it.Label = kindOf(kind, cfg.Good)
		if len(lists[kind]) == 0 {
			f.issue(kind, "holds no image")
		}
		masks, err := f.masksAnywhere(at, it, kind, lists[kind], uses)
		if err != nil {
			return nil, err
		}
		if masks == nil {
			masks = beside[kind]
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
