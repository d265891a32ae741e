package detectors

import (
	"context"
	"errors"
	"fmt"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/tab"
)

// ProbeClass is a class that a probe fits and scores.
type ProbeClass struct {
	Class       string
	Train, Test dataset.Dataset // good images to fit on; labelled images of both kinds
}

// Probe fits PaDiM on the network as it is at some point of a pre-training and gives the
// image AUROC of each class and, of several, their mean. Errors in the classes are
// found at once and joined: dataset.ErrLayout without a good image to fit on, and those of
// evaluate.CheckTest.
func Probe(classes []ProbeClass, cfg downstream.PaDiMConfig) (tab.Probe, error) {
	var faults []error
	for _, c := range classes {
		if c.Train == nil || c.Train.Len() == 0 {
			faults = append(faults, fmt.Errorf("%s: %w: there is no good image to fit a detector on", c.Class, dataset.ErrLayout))
		} else if _, err := evaluate.CheckTest(c.Test); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", c.Class, err))
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return tab.ProbeFunc(func(ctx context.Context, v tab.VisualEncoder) ([]tab.Measure, error) {
		m := Custom("padim", cfg, cfg.Transform, func(evaluate.Seed) (downstream.SetScorer, error) { return downstream.NewPaDiM(v, cfg, nil) })
		m.Protocol.Bootstrap.Resamples = 2 // no interval is told
		var out []tab.Measure
		mean := 0.0
		for _, c := range classes {
			o, err := evaluate.Run(ctx, evaluate.Trial{Method: m, Class: c.Class, Train: c.Train, Test: c.Test}, evaluate.WithoutPixels())
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.Class, err)
			}
			out = append(out, tab.Measure{Name: "image AUROC " + c.Class, Value: o.Record.ImageAUROC})
			mean += o.Record.ImageAUROC / float64(len(classes))
		}
		if len(classes) > 1 {
			out = append(out, tab.Measure{Name: "image AUROC mean", Value: mean})
		}
		return out, nil
	}), nil
}
