package dataset

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// FoldersConfig says what to read of a folder of class folders.
type FoldersConfig struct {
	// Classes are the class folders to read; nil reads all.
	Classes []string
	// Split is what the items carry as their split. Default Train.
	Split string
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
// [NewFolders].
func OpenFolders(dir string) (*Files, error) {
	return newFolders(os.DirFS(dir), filepath.ToSlash(dir), DefaultFolders())
}

// NewFolders opens a folder of class folders, <class>/*.png, whose pictures are
// all normal. PNG, JPEG, BMP and TIFF are read. The order is class, file, each
// sorted by name.
//
// What does not belong there is passed over and listed by [Files.Issues]. A
// root without class folders, a class that is asked for and missing, and a
// class without any picture are errors that wrap [ErrLayout]. No picture is
// opened yet.
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
	if len(top.dirs) == 0 {
		return nil, f.layoutError(".", "no class folder found; expected <class>/*.png below it (it holds %s)", nameList(top.files))
	}
	if f.classes, err = f.wanted(top.dirs, cfg.Classes); err != nil {
		return nil, err
	}
	f.stray(".", top.files, "a file beside the class folders")
	for _, class := range f.classes {
		names, err := f.pictures(class)
		if err != nil {
			return nil, err
		}
		if len(names) == 0 {
			list, err := f.list(class)
			if err != nil {
				return nil, err
			}
			hint := ""
			if (MVTecADConfig{}).isClass(list) {
				hint = "; this looks like MVTec AD's layout"
			}
			return nil, f.layoutError(class, "class %s has no picture; expected %s/*.png (it holds %s)%s",
				class, class, nameList(append(list.dirs, list.files...)), hint)
		}
		for _, name := range names {
			f.items = append(f.items, Item{Name: path.Join(class, name), Class: class, Split: cfg.Split, Defect: Good, Label: LabelGood})
		}
	}
	f.finish()
	return f, nil
}
