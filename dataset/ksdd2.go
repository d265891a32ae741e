package dataset

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/gotab/gotab/internal/pipeline"
)

// KSDD2Class is the only class of KolektorSDD2.
const KSDD2Class = "kolektorsdd2"

// NewKSDD2 opens KolektorSDD2:
//
//	train/NNNNN.png, train/NNNNN_GT.png, test/NNNNN.png, test/NNNNN_GT.png
//
// Every image has a mask, and only the mask tells whether it shows a defect:
// one pixel that is not background does. So all masks are decoded here (about 3,300
// of 230x630 pixels, in parallel), unlike in other readers. Names other
// than five digits are passed over, as some copies of the archive hold stray
// files. The training split has images with defects: see Config.TrainDefects.
// Defect is "defect" for them.
//
// An image without a mask has no label: it is passed over with an issue. A
// damaged mask is an error; it names all of them, up to a hundred. No folder train or test, or no image
// in them, is an error that wraps [ErrLayout].
func NewKSDD2(ctx context.Context, fsys fs.FS, cfg Config) (*Files, error) {
	f, err := cfg.start(fsys, "KolektorSDD2")
	if err != nil {
		return nil, err
	}
	top, err := f.list(".")
	if err != nil {
		return nil, err
	}
	f.stray(".", top.files, "a file beside the folders train and test")
	if f.classes, err = f.wanted([]string{KSDD2Class}, cfg.Classes); err != nil {
		return nil, err
	}
	for _, dir := range top.dirs {
		split := Train
		if among(splitNames(Test), dir) {
			split = Test
		}
		switch {
		case !among(splitNames(split), dir):
			f.issue(dir, "not a folder of KolektorSDD2's layout")
		case cfg.Split == "" || cfg.Split == split:
			if err := f.listKSDD2(dir, split); err != nil {
				return nil, err
			}
		}
	}
	if len(f.items) == 0 {
		return nil, f.layoutError(".", "no image found; expected train/10000.png with train/10000_GT.png (Split is %q, it holds %s)",
			cfg.Split, nameList(append(top.dirs, top.files...)))
	}
	if err := f.labelKSDD2(ctx); err != nil {
		return nil, err
	}
	if !cfg.TrainDefects {
		before := len(f.items)
		f.items = slices.DeleteFunc(f.items, func(it Item) bool { return it.Split == Train && it.IsDefective() })
		if n := before - len(f.items); n > 0 {
			f.issue(Train, "%d images with defects left out: training takes good images only", n)
		}
	}
	slices.SortStableFunc(f.items, func(a, b Item) int { return strings.Compare(b.Split, a.Split) }) // train before test
	f.finish()
	return f, nil
}

func (f *Files) listKSDD2(dir, split string) error {
	names, err := f.pictures(dir)
	if err != nil {
		return err
	}
	masks := make(map[string]string)
	for _, name := range names {
		if s, ok := unmasked(stem(name)); ok && fiveDigits(s) {
			masks[s] = name
		}
	}
	for _, name := range names {
		s := stem(name)
		bare, mask := unmasked(s)
		if mask && fiveDigits(bare) {
			continue
		}
		if !fiveDigits(s) {
			f.issue(path.Join(dir, name), "not a name of five digits, with or without _GT")
			continue
		}
		file, ok := masks[s]
		if !ok {
			f.issue(path.Join(dir, name), "not read: it has no mask %s_GT.png, so it has no label", s)
			continue
		}
		delete(masks, s)
		f.items = append(f.items, Item{Name: path.Join(dir, name), Class: KSDD2Class, Split: split, Defect: Unknown, MaskName: path.Join(dir, file)})
	}
	for _, mask := range masks {
		f.issue(path.Join(dir, mask), "a mask without an image")
	}
	return nil
}

func fiveDigits(s string) bool {
	return len(s) == 5 && strings.Trim(s, "0123456789") == ""
}

// labelKSDD2 looks into every mask.
func (f *Files) labelKSDD2(ctx context.Context) error {
	workers := runtime.GOMAXPROCS(0)
	type label struct {
		bad bool
		err error
	}
	var faults []error
	i := 0
	for l, err := range pipeline.Ordered(ctx, len(f.items), workers, 2*workers, func(_ context.Context, i int) (label, error) {
		p, err := f.read(f.items[i].MaskName, maskPixels, nil)
		if err != nil {
			return label{err: err}, nil
		}
		m, _ := f.dec.mask(p)
		return label{bad: slices.Contains(m.Pix, 255)}, nil
	}) {
		if err != nil {
			return fmt.Errorf("dataset: open KolektorSDD2: %w", err)
		}
		if l.err != nil && len(faults) < maxFaults {
			faults = append(faults, l.err)
		}
		if l.err == nil {
			f.items[i].Defect = Good
			if l.bad {
				f.items[i].Defect = "defect"
			}
			f.items[i].Label = LabelOf(f.items[i].Defect)
		}
		i++
	}
	if len(faults) > 0 {
		return fmt.Errorf("dataset: open KolektorSDD2: %w", errors.Join(faults...))
	}
	return nil
}
