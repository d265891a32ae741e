package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// Reading is how long work reads images: with what decoder, what of them a network sees, and
// what becomes of those that cannot be read. It is a value and safe for concurrent use.
type Reading struct {
	Decoder Decoder
	View    View
	// SkipBroken leaves out what cannot be read. Default false: it is an error that
	// names all of it.
	SkipBroken bool
}

// DefaultReading is [DefaultDecoder], with a method's own view.
func DefaultReading() Reading { return Reading{Decoder: DefaultDecoder()} }

// ErrBroken reports images that cannot be read, where they are not to be left out.
var ErrBroken = errors.New("images cannot be read")

// Transform is a method's as the reading has it: of its View, and of its decoder's Bits16.
func (r Reading) Transform(t Transform) Transform {
	t = r.View.Of(t)
	if r.Decoder.Bits16 != DefaultDecoder().Bits16 {
		t.Bits16 = r.Decoder.Bits16
	}
	return t.Shared()
}

// Seen is what [Reading.Look] found.
type Seen struct {
	Data    Dataset  // without the broken samples
	Kept    []int    // what Data holds, as numbers of what was looked at
	Skipped []string // names of the broken ones
	Report  Report
}

// Look checks all files of a data set before long work begins, as [Check] does. Notes that
// may not be meant are written to notes, a line each; nil for nowhere. Samples that cannot
// be read are an error that wraps [ErrBroken] and their faults, or are left out with
// SkipBroken. Images of too many tiles are [ErrSize].
func (r Reading) Look(ctx context.Context, ds Dataset, notes io.Writer) (Seen, error) {
	if notes == nil {
		notes = io.Discard
	}
	found, err := Check(ctx, ds, DefaultCheck())
	if err != nil {
		return Seen{}, err
	}
	s := Seen{Data: ds, Report: found}
	for _, n := range found.Notes {
		if _, err := fmt.Fprintf(notes, "note: %s\n", n); err != nil {
			return s, err
		}
	}
	if t, ok := r.View.Tiles(); ok {
		for _, p := range found.sizes() {
			if _, err := t.Count(p.X, p.Y); err != nil {
				return s, fmt.Errorf("view %s: %w", r.View, err)
			}
		}
	}
	if len(found.Broken) > 0 && !r.SkipBroken {
		return s, fmt.Errorf("%w: %w", ErrBroken, found.Err())
	}
	for k, i := range found.Broken {
		s.Skipped = append(s.Skipped, ds.Item(i).Name)
		if _, err := fmt.Fprintf(notes, "note: left out: %v\n", found.Faults[k]); err != nil {
			return s, err
		}
	}
	s.Data, s.Kept, err = found.Whole(ds)
	return s, err
}

// OpenGood opens the good images below a folder: of MVTec AD's layout where it is one, else
// one folder a class. What is passed over is written to notes, a line each; nil for
// nowhere. A folder that is neither is an error that wraps [ErrLayout].
func (r Reading) OpenGood(root string, notes io.Writer) (Dataset, error) {
	if notes == nil {
		notes = io.Discard
	}
	ds, err := OpenMVTecAD(root, "", Train)
	if errors.Is(err, ErrLayout) {
		folders, ferr := OpenFolders(root)
		if ferr != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			return nil, fmt.Errorf("%w; nor is it one folder of images a class: %w", err, ferr)
		}
		ds, err = folders, nil
	}
	if err == nil {
		ds, err = ds.WithDecoder(r.Decoder)
	}
	if err != nil {
		return nil, err
	}
	for _, issue := range ds.Issues() {
		if _, err := fmt.Fprintf(notes, "note: %s: %s\n", root, issue); err != nil {
			return nil, err
		}
	}
	return Filter(ds, Item.IsGood), nil
}

// UnseenNote says in words what a transform cuts off of the images that were looked at;
// empty where all of every image is seen. Errors are those of [Transform.Rect].
func (r Report) UnseenNote(t Transform) (string, error) {
	share, size, err := r.UnseenBy(t)
	if err != nil || share == 0 {
		return "", err
	}
	return fmt.Sprintf("%.0f %% of an image of %dx%d pixels is not seen (%s): a defect there cannot be found or learnt; the transforms square, WxH and tiles show all of it",
		100*share, size.X, size.Y, t), nil
}
