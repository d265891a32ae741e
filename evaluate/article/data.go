package article

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/study"
	"github.com/gotab/gotab/internal/atomicfile"
)

// source is a data set below the root.
type source struct {
	name, path string
	layout     dataset.Layout
	dataset.Listed
	closer io.Closer
}

// data are all that the root holds.
type data struct {
	own   []source // trained and tested on
	other []source // tested on by networks that were trained on own
	wafer string   // npz file; empty for none
}

// openData opens a root that is a data set, or else those in it.
func openData(ctx context.Context, root string, stderr io.Writer) (_ data, err error) {
	var d data
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	parts, several, err := partsOf(root)
	if err != nil {
		return d, err
	}
	whole := error(nil)
	if !several {
		if whole = d.add(ctx, root, stderr); whole == nil {
			return d, d.check(root)
		}
		if !errors.Is(whole, dataset.ErrLayout) {
			return d, whole
		}
	}
	for _, path := range parts {
		if err := d.add(ctx, path, stderr); errors.Is(err, dataset.ErrLayout) {
			fmt.Fprintf(stderr, "note: passed over: %v\n", err)
		} else if err != nil {
			return d, err
		}
	}
	if len(d.own)+len(d.other) == 0 && d.wafer == "" {
		return d, fmt.Errorf("%w; nor does it hold a data set", cmp.Or(whole, dataset.ErrLayout))
	}
	return d, d.check(root)
}

// partsOf are the folders and npz files of a root. several says that they are data sets
// although the root looks like one: a file of wafer maps, or the folder of BTAD's archive, is
// taken for the whole by its name, whatever lies beside it.
func partsOf(root string) (parts []string, several bool, err error) {
	st, err := os.Stat(root)
	if err != nil || !st.IsDir() {
		return nil, false, err
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, false, err
	}
	for _, e := range entries {
		path := filepath.Join(root, e.Name())
		st, err := os.Stat(path) // a link counts as what it points to
		if err != nil {
			return nil, false, err
		}
		if strings.HasPrefix(e.Name(), ".") || !st.IsDir() && filepath.Ext(e.Name()) != ".npz" {
			continue
		}
		parts = append(parts, path)
		several = several || !st.IsDir() || e.Name() == btadFolder
	}
	return parts, several && len(parts) > 1, nil
}

// btadFolder is the folder of BTAD's archive.
const btadFolder = "BTech_Dataset_transformed"

// add opens one data set.
func (d *data) add(ctx context.Context, path string, stderr io.Writer) error {
	if filepath.Ext(path) == ".npz" {
		w, err := dataset.OpenMixedWM38(path)
		if err != nil {
			return err
		}
		d.wafer = path
		return w.Close()
	}
	fsys, closer, err := dataset.OpenRoot(path)
	if err != nil {
		return err
	}
	layout, err := dataset.FindLayout(fsys)
	if err = errors.Join(err, closer.Close()); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if layout == dataset.LayoutMixedWM {
		files, err := filepath.Glob(filepath.Join(path, "*.npz"))
		if err != nil || len(files) != 1 {
			return fmt.Errorf("%w: %s has %d npz files, want one", dataset.ErrLayout, path, len(files))
		}
		d.wafer = files[0]
		return nil
	}
	ds, closer, err := dataset.Open(ctx, path, dataset.DefaultConfig())
	if err != nil {
		return err
	}
	for _, issue := range ds.Issues() {
		fmt.Fprintf(stderr, "note: %s: %s\n", path, issue)
	}
	s := source{strings.TrimSuffix(filepath.Base(path), ".zip"), path, layout, ds, closer}
	if layout == dataset.LayoutBTAD || layout == dataset.LayoutKSDD2 {
		d.other = append(d.other, s)
	} else {
		d.own = append(d.own, s)
	}
	return nil
}

// check refuses classes of one name, which training would take for one. A root that
// holds nothing to train on is trained on what it holds.
func (d *data) check(root string) error {
	if len(d.own) == 0 {
		d.own, d.other = d.other, nil
	}
	seen := map[string]string{}
	for _, s := range d.own {
		for _, c := range s.Classes() {
			if was, ok := seen[c]; ok {
				return fmt.Errorf("%w: class %s is in %s and in %s below %s: rename one", dataset.ErrLayout, c, was, s.name, root)
			}
			seen[c] = s.name
		}
	}
	return nil
}

// Close closes the data sets.
func (d *data) Close() (err error) {
	for _, s := range slices.Concat(d.own, d.other) {
		err = errors.Join(err, s.closer.Close())
	}
	return err
}

// sets are the classes of sources that have test images of both kinds; the names of others
// are said.
func sets(of []source, keep func(class string) bool, stderr io.Writer) (out []study.Set) {
	for _, s := range of {
		for _, c := range s.Classes() {
			if !keep(c) {
				continue
			}
			one := study.Set{Data: s.name, Class: c, Good: dataset.Filter(dataset.Only(s, c, dataset.Train), dataset.Item.IsGood), Test: dataset.Only(s, c, dataset.Test)}
			if one.Good.Len() == 0 {
				fmt.Fprintf(stderr, "note: class %s of %s has no good images for training and is not tested\n", c, s.name)
				continue
			}
			if _, err := evaluate.CheckTest(one.Test); err != nil {
				fmt.Fprintf(stderr, "note: class %s of %s is not tested: %v\n", c, s.name, err)
				continue
			}
			one.Others = dataset.Filter(s, func(it dataset.Item) bool { return it.Split == dataset.Train && it.IsGood() && it.Class != c })
			out = append(out, one)
		}
	}
	return out
}

// trains says whether a network may be trained on an image.
func trains(it dataset.Item) bool {
	return (it.Split == dataset.Train || it.Split == "") && it.IsGood()
}

// contents are the bytes of image i: its file where there is one, else its pixels.
func (s source) contents(ctx context.Context, i int) (io.ReadCloser, error) {
	f, err := os.Open(filepath.Join(s.path, filepath.FromSlash(s.Item(i).Name)))
	if err == nil {
		return f, nil
	}
	sample, err := s.Sample(ctx, i)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(io.MultiReader(strings.NewReader(sample.Image.Rect.String()), bytes.NewReader(sample.Image.Pix))), nil
}

// trainFolders are what pretrain reads: the folders in MVTec AD's layout as they are, or a
// folder with copies of the good images of the classes that are kept.
func trainFolders(ctx context.Context, of []source, dir string, whole bool, keep func(class string) bool) ([]string, error) {
	var out []string
	for _, s := range of {
		st, err := os.Stat(s.path)
		if err != nil {
			return nil, err
		}
		plain := s.layout == dataset.LayoutMVTecAD && st.IsDir()
		if plain && whole {
			out = append(out, s.path)
			continue
		}
		if err := copyGood(ctx, s, dir, plain, keep); err != nil {
			return nil, err
		}
		if !slices.Contains(out, dir) {
			out = append(out, dir)
		}
	}
	return out, nil
}

// copyGood copies good images for training: files where there are some, else what
// the reader makes of them. What is there stays.
func copyGood(ctx context.Context, s source, dir string, plain bool, keep func(class string) bool) error {
	if plain {
		_, err := study.CopyGood(ctx, s.path, dir, func(class string, good dataset.Dataset) []int {
			if !keep(class) {
				return nil
			}
			all := make([]int, good.Len())
			for i := range all {
				all[i] = i
			}
			return all
		})
		return err
	}
	for i := range s.Len() {
		it := s.Item(i)
		if !trains(it) || !keep(it.Class) {
			continue
		}
		// The folder's name is the class that is trained, so that it cannot be another one.
		if !filepath.IsLocal(it.Class) || filepath.Base(it.Class) != it.Class || it.Class == "." {
			return fmt.Errorf("%w: %s of %s is of class %q, which is no name of a folder for the copy that is trained on: rename it", dataset.ErrLayout, it.Name, s.name, it.Class)
		}
		to := filepath.Join(dir, it.Class, "train", "good", fmt.Sprintf("%06d.png", i))
		if _, err := os.Stat(to); err == nil {
			continue
		}
		sample, err := s.Sample(ctx, i)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := atomicfile.Write(to, func(w io.Writer) error { return png.Encode(w, sample.Image) }); err != nil {
			return err
		}
	}
	return nil
}
