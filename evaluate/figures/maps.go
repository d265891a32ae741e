package figures

import (
	"context"
	"fmt"
	"image"
	"slices"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/detectors"
)

// method is the detector on a network, as an evaluation takes it.
func method(o Config, n Network) (m evaluate.Method) {
	if o.Method == "patchcore" {
		cfg := downstream.DefaultPatchCore()
		cfg.Transform = o.Reading.Transform(cfg.Transform)
		m = detectors.Custom("patchcore", cfg, cfg.Transform, func(evaluate.Seed) (downstream.SetScorer, error) {
			return downstream.NewPatchCore(n.ResNet, cfg, seeded(o.Seed, 2))
		})
	} else {
		cfg := downstream.DefaultPaDiM()
		cfg.Transform = o.Reading.Transform(cfg.Transform)
		m = detectors.Custom("padim", cfg, cfg.Transform, func(evaluate.Seed) (downstream.SetScorer, error) { return downstream.NewPaDiM(n.ResNet, cfg, nil) })
	}
	m.Protocol.Bootstrap.Resamples = 2 // no interval is told
	return m
}

// seen is what one network says of a class: its maps of the images that are shown.
type seen struct {
	view      heatmap.View
	transform dataset.Transform
	scored    map[int]evaluate.Scored // by number in the test set
	auroc     float64
}

// look fits a detector on a class and scores its test set.
func look(ctx context.Context, o Config, n Network, class string, train, test dataset.Dataset, rows []int) (s seen, err error) {
	m := method(o, n)
	s = seen{transform: m.Protocol.Transform, scored: map[int]evaluate.Scored{}}
	var good heatmap.Good
	i := 0
	out, err := evaluate.Run(ctx, evaluate.Trial{Method: m, Seed: m.Seed, Class: class, Train: train, Test: test}, evaluate.WithoutPixels(),
		evaluate.WithScored(func(sc evaluate.Scored) error {
			if slices.Contains(rows, i) {
				s.scored[i] = sc
			}
			i++
			if !sc.IsGood() {
				return nil
			}
			return good.Add(downstream.Map(sc.Map))
		}))
	if err != nil {
		return s, err
	}
	s.auroc = out.Record.ImageAUROC
	scale, err := good.Scale(heatmap.DefaultGood())
	s.view = heatmap.View{Name: n.Name, Scale: scale, Threshold: scale.Low}
	return s, err
}

// Maps fits a detector on each network and shows images of the test set, evenly spaced over
// the damaged ones in the order of their names, with both maps and the truth: none is chosen
// by what it shows. Colours begin at what good parts have; each network has the scale of
// its own good test images. Errors are those of [Points], and of fitting.
func Maps(ctx context.Context, o Config) (*image.RGBA, error) {
	o, err := o.whole()
	if err != nil {
		return nil, err
	}
	names, err := o.names()
	if err != nil {
		return nil, err
	}
	var sheet []*image.RGBA
	for _, class := range names {
		train, err := o.set(ctx, class, dataset.Train)
		if err != nil {
			return nil, err
		}
		test, err := o.set(ctx, class, dataset.Test)
		if err != nil {
			return nil, err
		}
		_, damaged := apart(test)
		rows := spaced(damaged, o.Rows)
		var said [2]seen
		for k, n := range o.Nets {
			fmt.Fprintf(o.Log, "%s: %s on %s, %d good images, %d to score\n", class, o.Method, n.Name, train.Len(), test.Len())
			if said[k], err = look(ctx, o, n, class, train, test, rows); err != nil {
				return nil, fmt.Errorf("%s, %s: %w", n.Name, class, err)
			}
			fmt.Fprintf(o.Print, "%s: %s: image AUROC %.3f of %d images\n", n.Name, class, said[k].auroc, test.Len())
		}
		if o.SameScale {
			said[1].view.Scale, said[1].view.Threshold = said[0].view.Scale, said[0].view.Threshold
		}
		for _, i := range rows {
			row, err := drawRow(ctx, test, i, said)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", test.Item(i).Name, err)
			}
			sheet = append(sheet, row)
		}
		legend, err := heatmap.Legend(said[0].view, said[1].view)
		if err != nil {
			return nil, err
		}
		sheet = append(sheet, legend)
	}
	return heatmap.Stack(sheet...)
}

// drawRow puts an image, both maps and the truth side by side, as the article does.
func drawRow(ctx context.Context, test dataset.Dataset, i int, said [2]seen) (*image.RGBA, error) {
	sample, err := test.Sample(ctx, i)
	if err != nil {
		return nil, err
	}
	img, err := said[0].transform.Image(sample.Image)
	if err != nil {
		return nil, err
	}
	mask, err := said[0].transform.Mask(sample.Mask)
	if err != nil {
		return nil, err
	}
	part := heatmap.Part{Image: img, Mask: mask}
	line := sample.Name + ", score"
	for _, s := range said {
		v := s.view
		v.Map = downstream.Map(s.scored[i].Map)
		part.Views = append(part.Views, v)
		line += fmt.Sprintf(" %.4g (%s)", s.scored[i].Score, v.Name)
	}
	panels, err := part.Panels() // image, truth, the maps, a cut
	if err != nil {
		return nil, err
	}
	return heatmap.Row([]heatmap.Panel{panels[0], panels[2], panels[3], panels[1]}, line)
}
