package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/metrics"
)

// pixelBudget is how many bytes the pixels of a test set may take before the
// pixel AUROC is counted in bins: 14 million pixels, 290 images of 224x224.
const pixelBudget = 128 << 20

// evaluate fits and scores one class.
func evaluate(ctx context.Context, o options, net *backbone.ResNet18, class, progress string, stderr io.Writer) (r row, err error) {
	train, err := dataset.OpenMVTecAD(o.data, class, dataset.Train)
	if err != nil {
		return r, err
	}
	test, err := dataset.OpenMVTecAD(o.data, class, dataset.Test)
	if err != nil {
		return r, err
	}
	masked, err := checkTest(test)
	if err != nil {
		return r, err
	}
	if o.class != "all" {
		for _, issue := range append(train.Issues(), test.Issues()...) {
			fmt.Fprintf(stderr, "note: %s\n", issue)
		}
	}
	det, transform, err := methodNamed(o.method).make(net, o.seed)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, det.Close()) }()

	fmt.Fprintf(stderr, "%s%s: fit on %d good images\n", progress, class, train.Len())
	start := time.Now()
	if err := det.Fit(ctx, train); err != nil {
		return r, err
	}
	fitted := time.Since(start)

	fmt.Fprintf(stderr, "%s%s: score %d images\n", progress, class, test.Len())
	pixels := metrics.NewPixelAUROC(pixelBudget)
	var scores []float64
	var positive []bool
	var good heatmap.Good
	start = time.Now()
	for sc, err := range det.ScoreSet(ctx, test) {
		if err != nil {
			return r, err
		}
		scores = append(scores, sc.Score)
		positive = append(positive, sc.Anomalous)
		if o.maps != "" && !sc.Anomalous {
			if err := good.Add(sc.Map); err != nil {
				return r, fmt.Errorf("map of %s: %w", sc.Name, err)
			}
		}
		if !masked {
			continue
		}
		mask, err := transform.Mask(sc.Mask)
		if err != nil {
			return r, fmt.Errorf("mask of %s: %w", sc.Name, err)
		}
		if err := pixels.AddMask(sc.Map.Data, mask); err != nil {
			return r, fmt.Errorf("pixels of %s: %w", sc.Name, err)
		}
	}
	scored := time.Since(start)

	r = row{
		Class: class, Method: o.method, FitImages: train.Len(), ScoreImages: test.Len(),
		FitSpeed:   float64(train.Len()) / fitted.Seconds(),
		ScoreSpeed: float64(test.Len()) / scored.Seconds(),
	}
	if r.ImageAUROC, err = metrics.AUROC(scores, positive); err != nil {
		return r, err
	}
	if masked {
		p, err := pixels.Result()
		if err != nil {
			return r, err
		}
		r.PixelAUROC, r.PixelExact, r.PixelBound = &p.AUROC, &p.Exact, &p.Bound
	}
	if r.PeakRSS, err = peakRSS(); err != nil {
		return r, err
	}
	if o.maps != "" {
		view, err := viewOf(&good)
		if err != nil {
			return r, err
		}
		fmt.Fprintf(stderr, "%s%s: draw %d maps, scale %.4g to %.4g\n", progress, class, test.Len(), view.Scale.Low, view.Scale.High)
		if err := drawAll(ctx, o.maps, class, det, test, transform, view); err != nil {
			return r, err
		}
	}
	return r, nil
}

// checkTest says whether every defect has a mask, and refuses a test set that
// cannot be judged before anything is fitted.
func checkTest(test dataset.Dataset) (masked bool, err error) {
	defects, masks := 0, 0
	for i := range test.Len() {
		if it := test.Item(i); it.Anomalous {
			defects++
			if it.MaskName != "" {
				masks++
			}
		}
	}
	switch {
	case defects == 0:
		return false, fmt.Errorf("%w: all %d test images are good, there is nothing to find", metrics.ErrOneClass, test.Len())
	case defects == test.Len():
		return false, fmt.Errorf("%w: none of the %d test images is good; put some under test/good", metrics.ErrOneClass, test.Len())
	case masks > 0 && masks < defects:
		return false, fmt.Errorf("%w: %d of %d defective test images have no mask; give all of them one, or none", dataset.ErrMask, defects-masks, defects)
	}
	return masks > 0, nil
}
