package dataset

import (
	"fmt"
	"io/fs"
	"slices"
)

// NewList returns a data set of the files that items name, below a root: what a database or a program of one's own knows of
// images. Names have slashes; each must be a valid path for the file system and end like an image's ([ImageFile]), masks too. No file is opened. It
// returns an error that wraps [ErrConfig] for no file system, no item or settings of the decoder that make no sense, [ErrLayout] for a name
// that cannot be one, and [ErrLabel] for a Label that contradicts Defect.
func NewList(fsys fs.FS, items []Item, dec Decoder) (*Files, error) {
	if fsys == nil || len(items) == 0 {
		return nil, fmt.Errorf("dataset: list: %w: there must be a file system and at least one item", ErrConfig)
	}
	if err := dec.Validate(); err != nil {
		return nil, err
	}
	f := &Files{fsys: fsys, dec: dec, items: slices.Clone(items)}
	for i, it := range f.items {
		for _, name := range []string{it.Name, it.MaskName} {
			if name == "" && it.Name != "" { // it has no mask
				continue
			}
			if !fs.ValidPath(name) || !imageFile(name) {
				return nil, fmt.Errorf("dataset: list: %w: item %d is called %q, want a path of an image file below the root (%s)", ErrLayout, i, name, imageEndings)
			}
		}
		if err := it.checkLabel(); err != nil {
			return nil, fmt.Errorf("dataset: list: %s: %w", it.Name, err)
		}
	}
	f.classes = classesOf(f)
	return f, nil
}
