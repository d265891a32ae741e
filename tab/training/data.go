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

// images are what is trained on, and the files that hold them.
type images struct {
	dataset.Seen
	files []card.Image
}

// good opens the good images below the roots, in MVTec AD's layout where there is
// one, else as one folder a class, and looks at all of them.
func good(ctx context.Context, o Config, notes io.Writer) (seen images, err error) {
	var faults []error
	var parts []dataset.Dataset
	for _, root := range o.Data {
		ds, err := o.Reading.OpenGood(root, notes)
		switch {
		case errors.Is(err, dataset.ErrLayout):
			faults = append(faults, err)
		case err != nil:
			return seen, err
		default:
			parts = append(parts, ds)
		}
	}
	if len(faults) > 0 {
		return seen, errors.Join(faults...)
	}
	all := parts[0]
	if len(parts) > 1 {
		all = dataset.Concat(parts...)
	}
	if all.Len() == 0 {
		return seen, fmt.Errorf("no good images below %v", o.Data)
	}
	if seen.Seen, err = o.Reading.Look(ctx, all, notes); err != nil {
		return seen, err
	}
	var at []string // the root of each image
	for i, p := range parts {
		at = append(at, slices.Repeat([]string{o.Data[i]}, p.Len())...)
	}
	for _, i := range seen.Kept {
		it := all.Item(i)
		path := filepath.Join(at[i], filepath.FromSlash(it.Name))
		seen.files = append(seen.files, card.Image{Class: it.Class, Name: it.Name, Open: func() (io.ReadCloser, error) { return os.Open(path) }})
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
