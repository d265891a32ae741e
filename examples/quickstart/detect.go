package main

import (
	"context"
	"fmt"
	"image"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/metrics"
)

// pixelBudget is the memory for exact pixel AUROCs: the default test set of a
// product needs a tenth of it. Beyond it the area is counted in bins.
const pixelBudget = 64 << 20

// verdict is what one network makes of one product's test pictures.
type verdict struct {
	Image, Pixel float64             // AUROC, 0 to 1
	Bound        float64             // error bound of Pixel, 0 where exact
	Scored       []downstream.Scored // in the order of the test pictures
	// Scale and Top are of the good pictures that are kept aside for them: the scale
	// of colours, and the highest value on any of them.
	Scale heatmap.Scale
	Top   float64
}

// draw lays the map of test picture i over it, with a line around what is above Top.
func (v verdict) draw(picture image.Image, i int) (*image.RGBA, error) {
	m := v.Scored[i].Map
	over, err := heatmap.Overlay(picture, m, v.Scale)
	if err != nil {
		return nil, err
	}
	return heatmap.Contour(over, m, v.Top)
}

// detect fits PaDiM on a product's good pictures and scores its test pictures.
func detect(ctx context.Context, net *backbone.ResNet18, pictures dataset.Dataset, class string, size int) (v verdict, err error) {
	cfg := downstream.DefaultPaDiM()
	cfg.Transform = dataset.Transform{} // the pictures have the right size
	cfg.Sigma *= float64(size) / 224    // the article's 4 pixels at 224
	det, err := downstream.NewPaDiM(net, cfg, nil)
	if err != nil {
		return v, err
	}
	defer func() {
		if e := det.Close(); err == nil {
			err = e
		}
	}()
	if err := det.Fit(ctx, part(pictures, class, splitTrain)); err != nil {
		return v, fmt.Errorf("%s: %w", class, err)
	}
	scale := part(pictures, class, splitScale)
	if err := dataset.RequireGood(scale); err != nil {
		return v, fmt.Errorf("%s: %w", class, err)
	}
	var usual heatmap.Good
	for r, err := range det.ScoreSet(ctx, scale) {
		if err != nil {
			return v, fmt.Errorf("%s: %w", class, err)
		}
		v.Top = max(v.Top, r.Score)
		if err := usual.Add(r.Map); err != nil {
			return v, fmt.Errorf("%s: %w", class, err)
		}
	}
	if v.Scale, err = usual.Scale(heatmap.DefaultGood()); err != nil {
		return v, fmt.Errorf("%s: %w", class, err)
	}
	var scores []float64
	var damaged []bool
	pixels := metrics.NewPixelAUROC(pixelBudget)
	for r, err := range det.ScoreSet(ctx, part(pictures, class, splitTest)) {
		if err != nil {
			return v, fmt.Errorf("%s: %w", class, err)
		}
		defective, err := r.Truth()
		if err != nil {
			return v, fmt.Errorf("%s: %w", class, err)
		}
		v.Scored = append(v.Scored, r)
		scores = append(scores, r.Score)
		damaged = append(damaged, defective)
		if err := pixels.AddMask(r.Map.Data, r.Mask); err != nil {
			return v, fmt.Errorf("%s: %w", class, err)
		}
	}
	if v.Image, err = metrics.AUROC(scores, damaged); err != nil {
		return v, fmt.Errorf("%s: %w", class, err)
	}
	p, err := pixels.Result()
	if err != nil {
		return v, fmt.Errorf("%s: %w", class, err)
	}
	v.Pixel, v.Bound = p.AUROC, p.Bound
	return v, nil
}
