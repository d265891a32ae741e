package main

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

// sources are the roots of -data. Those in MVTec AD's layout are opened a class and a
// split at a time, so that a broken folder costs its class alone; those in another
// layout are opened whole, once.
type sources struct {
	dec     dataset.Decoder
	whole   map[string]dataset.Listed
	closers []io.Closer
}

// openSources opens the roots that are not in MVTec AD's layout. What cannot be told
// is left to MVTec AD's reader, which says what it expects.
func openSources(ctx context.Context, roots []string, dec dataset.Decoder) (_ *sources, err error) {
	s := &sources{dec: dec, whole: map[string]dataset.Listed{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	for _, root := range roots {
		if isMVTec(root) {
			continue
		}
		cfg := dataset.DefaultConfig()
		cfg.Decoder = dec
		ds, closer, err := dataset.Open(ctx, root, cfg)
		if err != nil {
			return nil, err
		}
		s.whole[root] = ds
		s.closers = append(s.closers, closer)
	}
	return s, nil
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
	return layout == dataset.LayoutMVTecAD || layout == dataset.LayoutMPDD
}

// classes lists the classes of a root and what was passed over there. It reads no
// picture.
func (s *sources) classes(root string) ([]string, []dataset.Issue, error) {
	if ds, ok := s.whole[root]; ok {
		return ds.Classes(), ds.Issues(), nil
	}
	all, err := dataset.OpenMVTecAD(root, "", "")
	if err != nil {
		return nil, nil, err
	}
	return all.Classes(), all.Issues(), nil
}

// has says whether a root may have a class; opening it says for certain.
func (s *sources) has(root, class string) bool {
	if ds, ok := s.whole[root]; ok {
		return slices.Contains(ds.Classes(), class)
	}
	st, err := os.Stat(filepath.Join(root, class))
	return err == nil && st.IsDir() || baseOf(root) == class
}

// open opens a split of a class, or of all classes, with what was passed over.
func (s *sources) open(root, class, split string) (dataset.Dataset, []dataset.Issue, error) {
	all, ok := s.whole[root]
	if !ok {
		files, err := dataset.OpenMVTecAD(root, class, split)
		if err != nil {
			return nil, nil, err
		}
		files, err = files.WithDecoder(s.dec)
		if err != nil {
			return nil, nil, err
		}
		return files, files.Issues(), nil
	}
	if class != "" && !slices.Contains(all.Classes(), class) {
		return nil, nil, fmt.Errorf("%w: %s has no class %s, only %v", dataset.ErrLayout, root, class, all.Classes())
	}
	part := dataset.Filter(all, func(it dataset.Item) bool {
		return it.Split == split && (class == "" || it.Class == class) && (split != dataset.Train || it.IsGood())
	})
	if part.Len() == 0 {
		return nil, nil, fmt.Errorf("%w: class %s of %s has no image of the split %s", dataset.ErrLayout, class, root, split)
	}
	return part, nil, nil
}

// Close closes what was opened whole.
func (s *sources) Close() (err error) {
	for _, c := range s.closers {
		err = errors.Join(err, c.Close())
	}
	s.closers = nil
	return err
}
