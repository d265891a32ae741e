package beforeafter

import (
	"context"
	"fmt"
	"image"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/detectors"
)

// pixelBudget is the memory for exact pixel AUROCs: the default test set of a
// product needs a tenth of it. Beyond it the area is counted in bins.
const pixelBudget = 64 << 20

// Verdict is what one network makes of one product's test images.
type Verdict struct {
	Image, Pixel float64           // AUROC, 0 to 1
	Bound        float64           // error bound of Pixel, 0 where exact
	Scored       []evaluate.Scored // in the order of the test images
	// Scale and Top are of the good images that are kept aside for them: the scale
	// of colours, and the highest value on any of them.
	Scale heatmap.Scale
	Top   float64
}

// draw lays the map of test image i over it, with a line around what is above Top.
func (v Verdict) draw(img image.Image, i int) (*image.RGBA, error) {
	m := downstream.Map(v.Scored[i].Map)
	over, err := heatmap.Overlay(img, m, v.Scale)
	if err != nil {
		return nil, err
	}
	return heatmap.Contour(over, m, v.Top)
}

// Judge fits PaDiM on the good images of a product's split dataset.Train, scores those of
// dataset.Test, which all have masks where they are defective, and takes the scale of colours from
// the good images of the split [SplitScale]. All images are size pixels wide and high. It returns an error
// that wraps dataset.ErrLabel where an image of the scale is not good, [ErrReport] where a mask is missing, and those of
// fitting and scoring.
func Judge(ctx context.Context, net downstream.Extractor, images dataset.Dataset, class string, size int) (v Verdict, err error) {
	cfg := downstream.DefaultPaDiM()
	cfg.Transform = dataset.Transform{} // the images have the right size
	cfg.Sigma *= float64(size) / 224    // the article's 4 pixels at 224
	scale := dataset.Only(images, class, SplitScale)
	if err := dataset.RequireGood(scale); err != nil {
		return v, fmt.Errorf("%s: %w", class, err)
	}
	m := detectors.Custom("padim", cfg, cfg.Transform, func(evaluate.Seed) (downstream.SetScorer, error) { return downstream.NewPaDiM(net, cfg, nil) })
	m.Protocol.Bootstrap.Resamples, m.Protocol.PixelBytes = 2, pixelBudget // no interval is told
	o, err := evaluate.Run(ctx, evaluate.Trial{Method: m, Class: class, Train: dataset.Only(images, class, dataset.Train), Test: dataset.Only(images, class, dataset.Test)},
		evaluate.WithScored(func(s evaluate.Scored) error {
			v.Scored = append(v.Scored, s)
			return nil
		}),
		evaluate.WithDetector(func(ctx context.Context, d evaluate.Detector, _ *evaluate.Outcome) error {
			var usual heatmap.Good
			for r, err := range evaluate.ScoreSet(ctx, d, scale) {
				if err != nil {
					return err
				}
				v.Top = max(v.Top, r.Score)
				if err := usual.Add(downstream.Map(r.Map)); err != nil {
					return err
				}
			}
			var err error
			v.Scale, err = usual.Scale(heatmap.DefaultGood())
			return err
		}))
	if err != nil {
		return v, fmt.Errorf("%s: %w", class, err)
	}
	v.Image, v.Bound = o.Record.ImageAUROC, o.Record.Bound(evaluate.PixelAUROC)
	var ok bool
	if v.Pixel, ok = o.Record.Value(evaluate.PixelAUROC); !ok {
		return v, fmt.Errorf("%s: beforeafter: %w: defective test images have no masks, and there is no pixel AUROC without", class, ErrReport)
	}
	return v, nil
}
