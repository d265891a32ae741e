package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tab"
)

// cacheBytes bounds the decoded and resized images that are kept: ten thousand of
// 224x224. What does not fit is read anew each time.
const cacheBytes = 2 << 30

// good opens the good images below the roots, in MVTec AD's layout where there is
// one, else as one folder a class.
func good(roots []string, stderr io.Writer) (dataset.Dataset, error) {
	var parts []dataset.Dataset
	for _, root := range roots {
		ds, err := dataset.OpenMVTecAD(root, "", dataset.Train)
		if errors.Is(err, dataset.ErrLayout) {
			folders, ferr := dataset.OpenFolders(root)
			if ferr != nil {
				return nil, errors.Join(err, ferr)
			}
			ds, err = folders, nil
		}
		if err != nil {
			return nil, err
		}
		for _, issue := range ds.Issues() {
			fmt.Fprintf(stderr, "note: %s: %s\n", root, issue)
		}
		parts = append(parts, dataset.Filter(ds, dataset.Item.IsGood))
	}
	all := parts[0]
	if len(parts) > 1 {
		all = dataset.Concat(parts...)
	}
	if all.Len() == 0 {
		return nil, fmt.Errorf("no good images below %v", roots)
	}
	return all, nil
}

// probe fits PaDiM on the network as it is and scores the test images of each
// class below dir.
func probe(dir string, stderr io.Writer) (tab.Probe, error) {
	all, err := dataset.OpenMVTecAD(dir, "", "")
	if err != nil {
		return nil, fmt.Errorf("-probe: %w", err)
	}
	classes := all.Classes()
	return tab.ProbeFunc(func(ctx context.Context, v tab.VisualEncoder) ([]tab.Measure, error) {
		var mean float64
		var out []tab.Measure
		for _, c := range classes {
			a, err := probeClass(ctx, dir, c, v)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", filepath.Join(dir, c), err)
			}
			out = append(out, tab.Measure{Name: "image AUROC " + c, Value: a})
			mean += a / float64(len(classes))
		}
		if len(classes) > 1 {
			out = append(out, tab.Measure{Name: "image AUROC mean", Value: mean})
		}
		for _, m := range out {
			fmt.Fprintf(stderr, "probe: %s %.4f\n", m.Name, m.Value)
		}
		return out, nil
	}), nil
}

func probeClass(ctx context.Context, dir, class string, v tab.VisualEncoder) (auroc float64, err error) {
	train, err := dataset.OpenMVTecAD(dir, class, dataset.Train)
	if err != nil {
		return 0, err
	}
	test, err := dataset.OpenMVTecAD(dir, class, dataset.Test)
	if err != nil {
		return 0, err
	}
	if err := dataset.RequireLabels(test); err != nil {
		return 0, err
	}
	det, err := downstream.NewPaDiM(v, downstream.DefaultPaDiM(), nil)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, det.Close()) }()
	if err := det.Fit(ctx, train); err != nil {
		return 0, err
	}
	var scores []float64
	var positive []bool
	for sc, err := range det.ScoreSet(ctx, test) {
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
