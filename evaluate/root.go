package evaluate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/gotab/gotab/dataset"
)

// Root is a folder or archive of classes with training and test images, in any layout that [dataset.Open] knows. One in
// MVTec AD's layout is opened a class and a split at a time, so that a broken folder costs its class alone; one
// in another layout is opened whole, once. It is safe for concurrent use until Close.
type Root struct {
	path   string
	dec    dataset.Decoder
	whole  dataset.Listed // nil for MVTec AD's layout
	closer io.Closer
}

// OpenRoot opens a root. What cannot be told is left to MVTec AD's reader, which says what it expects, when a class
// is opened. Errors are those of [dataset.Open]. The caller closes it.
func OpenRoot(ctx context.Context, path string, dec dataset.Decoder) (*Root, error) {
	if ctx == nil {
		return nil, fmt.Errorf("evaluate: open root: %w: the context is nil; pass context.Background()", dataset.ErrConfig)
	}
	if err := dec.Validate(); err != nil {
		return nil, err
	}
	r := &Root{path: path, dec: dec}
	if isMVTec(path) {
		return r, nil
	}
	cfg := dataset.DefaultConfig()
	cfg.Decoder = dec
	var err error
	if r.whole, r.closer, err = dataset.Open(ctx, path, cfg); err != nil {
		return nil, err
	}
	return r, nil
}

// isMVTec says whether a root is in MVTec AD's layout, or in none that is known.
func isMVTec(root string) bool {
	fsys, closer, err := dataset.OpenRoot(root)
	if err != nil {
		return true
	}
	layout, err := dataset.FindLayout(fsys)
	if err = errors.Join(err, closer.Close()); err != nil {
		return true
	}
	if info, err := os.Stat(root); err != nil || !info.IsDir() {
		return false // of an archive no class can be opened alone
	}
	return layout == dataset.LayoutMVTecAD || layout == dataset.LayoutMPDD
}

// Classes lists the classes and what was passed over. It reads no image.
func (r *Root) Classes() ([]string, []dataset.Issue, error) {
	if r.whole != nil {
		return r.whole.Classes(), r.whole.Issues(), nil
	}
	all, err := dataset.OpenMVTecAD(r.path, "", "")
	if err != nil {
		return nil, nil, err
	}
	return all.Classes(), all.Issues(), nil
}

// Has says whether there may be a class; opening it says for certain.
func (r *Root) Has(class string) bool {
	if r.whole != nil {
		return slices.Contains(r.whole.Classes(), class)
	}
	if st, err := os.Stat(filepath.Join(r.path, class)); err == nil && st.IsDir() {
		return true
	}
	abs, err := filepath.Abs(r.path)
	return err == nil && filepath.Base(abs) == class
}

// Split opens a split of a class, or of all classes with "", with what was passed over. Of [dataset.Train] there are the good
// images. It returns an error that wraps [dataset.ErrLayout] if there is no such class or it has no image of the split.
func (r *Root) Split(class, split string) (dataset.Dataset, []dataset.Issue, error) {
	if r.whole == nil {
		files, err := dataset.OpenMVTecAD(r.path, class, split)
		if err != nil {
			return nil, nil, err
		}
		if files, err = files.WithDecoder(r.dec); err != nil {
			return nil, nil, err
		}
		return files, files.Issues(), nil
	}
	if class != "" && !slices.Contains(r.whole.Classes(), class) {
		return nil, nil, fmt.Errorf("evaluate: open: %w: %s has no class %s, only %v", dataset.ErrLayout, r.path, class, r.whole.Classes())
	}
	part := dataset.Filter(r.whole, func(it dataset.Item) bool {
		return it.Split == split && (class == "" || it.Class == class) && (split != dataset.Train || it.IsGood())
	})
	if part.Len() == 0 {
		return nil, nil, fmt.Errorf("evaluate: open: %w: class %s of %s has no image of the split %s", dataset.ErrLayout, class, r.path, split)
	}
	return part, nil, nil
}

// Close closes what was opened whole. A second call does nothing.
func (r *Root) Close() error {
	if r.closer == nil {
		return nil
	}
	c := r.closer
	r.closer = nil
	return c.Close()
}
