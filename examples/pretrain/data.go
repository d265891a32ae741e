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
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/examples/internal/inputs"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/card"
)

// cacheBytes bounds the decoded and resized images that are kept: ten thousand of
// 224x224. What does not fit is read anew each time.
const cacheBytes = 2 << 30

// images are what is trained on, and the files that hold them.
type images struct {
	inputs.Seen
	files []card.Image
}

// good opens the good images below the roots, in MVTec AD's layout where there is
// one, else as one folder a class, and looks at all of them.
func good(ctx context.Context, o options, stderr io.Writer) (seen images, err error) {
	var faults []error
	var parts []dataset.Dataset
	for _, root := range o.data {
		ds, err := o.reading.Good(root, stderr)
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
		return seen, fmt.Errorf("no good images below %v", o.data)
	}
	if seen.Seen, err = o.reading.Look(ctx, all, stderr); err != nil {
		return seen, err
	}
	var at []string // the root of each image
	for i, p := range parts {
		at = append(at, slices.Repeat([]string{o.data[i]}, p.Len())...)
	}
	for _, i := range seen.Kept {
		it := all.Item(i)
		path := filepath.Join(at[i], filepath.FromSlash(it.Name))
		seen.files = append(seen.files, card.Image{Class: it.Class, Name: it.Name, Open: func() (io.ReadCloser, error) { return os.Open(path) }})
	}
	return seen, nil
}

// probed is a class that a probe fits and scores.
type probed struct {
	name        string
	train, test dataset.Dataset
	bits        int // of 16-bit pictures that count
}

// probe looks at the classes below the folder of -probe and returns what fits PaDiM
// on the network as it is and scores their test images, and the names of those that
// are left out.
func probe(ctx context.Context, o options, stderr io.Writer) (_ tab.Probe, skipped []string, _ error) {
	classes, skipped, err := probes(ctx, o, stderr)
	if err != nil {
		return nil, nil, fmt.Errorf("-probe %s: %w", o.probe, err)
	}
	return tab.ProbeFunc(func(ctx context.Context, v tab.VisualEncoder) ([]tab.Measure, error) {
		var mean float64
		var out []tab.Measure
		for _, c := range classes {
			a, err := c.measure(ctx, v)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", filepath.Join(o.probe, c.name), err)
			}
			out = append(out, tab.Measure{Name: "image AUROC " + c.name, Value: a})
			mean += a / float64(len(classes))
		}
		if len(classes) > 1 {
			out = append(out, tab.Measure{Name: "image AUROC mean", Value: mean})
		}
		for _, m := range out {
			fmt.Fprintf(stderr, "probe: %s %.4f\n", m.Name, m.Value)
		}
		return out, nil
	}), skipped, nil
}

// probes opens the classes of -probe and looks at all their files, before the
// training that a fault in the midst of it would end. What is wrong with the classes
// is listed at once.
func probes(ctx context.Context, o options, stderr io.Writer) (_ []probed, skipped []string, _ error) {
	files, err := dataset.OpenMVTecAD(o.probe, "", "")
	if err == nil {
		files, err = files.WithDecoder(o.reading.Decoder())
	}
	if err != nil {
		return nil, nil, err
	}
	for _, issue := range files.Issues() {
		fmt.Fprintf(stderr, "note: %s: %s\n", o.probe, issue)
	}
	seen, err := o.reading.Look(ctx, files, stderr)
	if err != nil {
		return nil, nil, err
	}
	var classes []probed
	var faults []error
	for _, name := range seen.Data.Classes() {
		of := func(split string) dataset.Dataset {
			return dataset.Filter(seen.Data, func(it dataset.Item) bool { return it.Class == name && it.Split == split })
		}
		c := probed{name, dataset.Filter(of(dataset.Train), dataset.Item.IsGood), of(dataset.Test), o.reading.Bits}
		if err := c.check(); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
		}
		classes = append(classes, c)
	}
	return classes, seen.Skipped, errors.Join(faults...)
}

// check says whether there is what PaDiM and an AUROC want.
func (c probed) check() error {
	if c.train.Len() == 0 {
		return fmt.Errorf("%w: it has no good pictures in train to fit a detector on", dataset.ErrLayout)
	}
	if err := dataset.RequireLabels(c.test); err != nil {
		return err
	}
	good := 0
	for _, it := range dataset.Items(c.test) {
		if it.IsGood() {
			good++
		}
	}
	if n := c.test.Len(); good == 0 || good == n {
		return fmt.Errorf("%w: its test pictures are %d good and %d defective ones, and an area under the ROC curve wants both kinds", dataset.ErrLayout, good, n-good)
	}
	return nil
}

// measure fits PaDiM and returns the area under the ROC curve of its scores.
func (c probed) measure(ctx context.Context, v tab.VisualEncoder) (auroc float64, err error) {
	cfg := downstream.DefaultPaDiM()
	if c.bits != dataset.DefaultDecoder().Bits16 {
		cfg.Transform.Bits16 = c.bits // as the files are read
	}
	fe, ok := v.(downstream.Extractor)
	if !ok {
		return 0, fmt.Errorf("%w: a %T does not say on which device it is", downstream.ErrConfig, v)
	}
	det, err := downstream.NewPaDiM(fe, cfg, nil)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, det.Close()) }()
	if err := det.Fit(ctx, c.train); err != nil {
		return 0, err
	}
	var scores []float64
	var positive []bool
	for sc, err := range det.ScoreSet(ctx, c.test) {
		if err != nil {
			return 0, err
		}
		defective, err := sc.Truth()
		if err != nil {
			return 0, err
		}
		scores, positive = append(scores, sc.Score), append(positive, defective)
	}
	return metrics.AUROC(scores, positive)
}
