package training

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/evaluate/detectors"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/card"
)

// cacheBytes bounds the decoded and resized images that are kept: ten thousand of
// 224x224. What does not fit is read anew each time.
const cacheBytes = 2 << 30

// images are what is trained on.
type images struct {
	dataset.Seen
	all    dataset.Dataset // that was looked at: the parts one after the other
	parts  []part
	starts []int       // in all, of each part, and their end
	open   []io.Closer // shards
}

// sums are the checksums of the classes. Names and sums of all images are held meanwhile, and not longer.
func (m *images) sums(ctx context.Context) ([]card.Class, error) {
	files := make([]card.Image, 0, len(m.Kept))
	k := 0
	for _, i := range m.Kept { // rising
		for i >= m.starts[k+1] {
			k++
		}
		f, err := m.parts[k].file(i-m.starts[k], m.all.Item(i))
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return card.Data(ctx, files)
}

// keep leaves out the images that keeps does not want.
func (m *images) keep(keeps func(dataset.Item) bool) {
	m.Data = dataset.Filter(m.Data, keeps)
	m.Kept = slices.DeleteFunc(m.Kept, func(i int) bool { return !keeps(m.all.Item(i)) })
}

// forget lets go of what only sums needs: a long training holds as little of each image as it can.
func (m *images) forget() { m.Kept, m.all, m.parts, m.starts = nil, nil, nil, nil }

// close closes the shards.
func (m *images) close() error {
	var errs []error
	for _, c := range m.open {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// part are the good images of a root.
type part struct {
	ds dataset.Dataset
	// file says of image i what the card needs.
	file func(i int, it dataset.Item) (card.Image, error)
	open io.Closer // to be closed; nil for files
}

// files are good images below a root as files.
func files(o Config, root string, notes io.Writer) (part, error) {
	ds, err := o.Reading.OpenGood(root, notes)
	return part{ds: ds, file: func(_ int, it dataset.Item) (card.Image, error) {
		path := filepath.Join(root, filepath.FromSlash(it.Name))
		return card.Image{Class: it.Class, Name: it.Name, Open: func() (io.ReadCloser, error) { return os.Open(path) }}, nil
	}}, err
}

// shards are the good images of shards that are for training, or for no split in particular.
func shards(ctx context.Context, o Config, root string) (part, error) {
	cfg := dataset.DefaultConfig()
	cfg.Decoder = o.Reading.Decoder
	s, err := dataset.NewShards(ctx, os.DirFS(root), cfg)
	if err != nil {
		return part{}, fmt.Errorf("%s: %w", root, err)
	}
	take := func(it dataset.Item) bool { return it.IsGood() && (it.Split == dataset.Train || it.Split == "") }
	var at []int // in s, of those that are taken
	for i := range s.Len() {
		if take(s.Item(i)) {
			at = append(at, i)
		}
	}
	return part{ds: dataset.Filter(s, take), open: s, file: func(i int, it dataset.Item) (card.Image, error) {
		crc, n, err := s.Checksum(at[i])
		return card.Image{Class: it.Class, Name: it.Name, Sum: card.ShardSum(crc, n)}, err
	}}, nil
}

// good opens the good images below the roots, in shards where there are some, in MVTec AD's layout where there is
// one, else as one folder a class, and looks at all of them.
func good(ctx context.Context, o Config, notes io.Writer) (seen images, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, seen.close())
		}
	}()
	var faults []error
	var parts []part
	var sets []dataset.Dataset
	for _, root := range o.Data {
		var p part
		if _, err := os.Stat(filepath.Join(root, dataset.ShardsFile)); err == nil {
			p, err = shards(ctx, o, root)
			if err != nil {
				return seen, err
			}
			seen.open = append(seen.open, p.open)
		} else if p, err = files(o, root, notes); errors.Is(err, dataset.ErrLayout) {
			faults = append(faults, err)
			continue
		} else if err != nil {
			return seen, err
		}
		parts, sets = append(parts, p), append(sets, p.ds)
	}
	if len(faults) > 0 {
		return seen, errors.Join(faults...)
	}
	all := sets[0]
	if len(sets) > 1 {
		all = dataset.Concat(sets...)
	}
	if all.Len() == 0 {
		return seen, fmt.Errorf("no good images below %v", o.Data)
	}
	if seen.Seen, err = o.Reading.Look(ctx, all, notes); err != nil {
		return seen, err
	}
	seen.all, seen.parts, seen.starts = all, parts, []int{0}
	for _, ds := range sets {
		seen.starts = append(seen.starts, seen.starts[len(seen.starts)-1]+ds.Len())
	}
	return seen, nil
}

// probe opens the classes below the folder of [Config.Probe] and looks at all their files, before
// the training that a fault in the midst of it would end. It returns what fits PaDiM on
// the network as it is and scores their test images, and the names of those that are left
// out.
func probe(ctx context.Context, o Config, notes io.Writer) (_ tab.Probe, skipped []string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("probe %s: %w", o.Probe, err)
		}
	}()
	files, err := dataset.OpenMVTecAD(o.Probe, "", "")
	if err == nil {
		files, err = files.WithDecoder(o.Reading.Decoder)
	}
	if err != nil {
		return nil, nil, err
	}
	for _, issue := range files.Issues() {
		fmt.Fprintf(notes, "note: %s: %s\n", o.Probe, issue)
	}
	seen, err := o.Reading.Look(ctx, files, notes)
	if err != nil {
		return nil, nil, err
	}
	var classes []detectors.ProbeClass
	for _, name := range seen.Data.Classes() {
		classes = append(classes, detectors.ProbeClass{Class: name, Train: dataset.Filter(dataset.Only(seen.Data, name, dataset.Train), dataset.Item.IsGood),
			Test: dataset.Only(seen.Data, name, dataset.Test)})
	}
	cfg := downstream.DefaultPaDiM()
	if bits := o.Reading.Decoder.Bits16; bits != dataset.DefaultDecoder().Bits16 {
		cfg.Transform.Bits16 = bits // as the files are read
	}
	pr, err := detectors.Probe(classes, cfg)
	if err != nil {
		return nil, nil, err
	}
	return tab.ProbeFunc(func(ctx context.Context, v tab.VisualEncoder) ([]tab.Measure, error) {
		out, err := pr.Probe(ctx, v)
		if err != nil {
			return nil, fmt.Errorf("probe %s: %w", o.Probe, err)
		}
		for _, m := range out {
			fmt.Fprintf(notes, "probe: %s %.4f\n", m.Name, m.Value)
		}
		return out, nil
	}), seen.Skipped, nil
}
