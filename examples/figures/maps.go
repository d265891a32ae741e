package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"iter"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/metrics"
)

// detector is what both methods do.
type detector interface {
	downstream.Detector
	ScoreSet(ctx context.Context, ds dataset.Dataset) iter.Seq2[downstream.Scored, error]
}

// detect makes a detector on a network, and says how it sees images.
func detect(o options, n network) (detector, dataset.Transform, error) {
	if o.method == "patchcore" {
		cfg := downstream.DefaultPatchCore()
		cfg.Transform = o.reading.Tune(cfg.Transform)
		d, err := downstream.NewPatchCore(n.ResNet, cfg, seeded(o.seed, 2))
		return d, cfg.Transform, err
	}
	cfg := downstream.DefaultPaDiM()
	cfg.Transform = o.reading.Tune(cfg.Transform)
	d, err := downstream.NewPaDiM(n.ResNet, cfg, nil)
	return d, cfg.Transform, err
}

// seen is what one network says of a class: its maps of the images that are shown.
type seen struct {
	view      heatmap.View
	transform dataset.Transform
	scored    map[int]downstream.Scored // by number in the test set
	auroc     float64
}

// look fits a detector on a class and scores its test set.
func look(ctx context.Context, o options, n network, train, test dataset.Dataset, rows []int) (s seen, err error) {
	d, transform, err := detect(o, n)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if err := d.Fit(ctx, train); err != nil {
		return s, err
	}
	s = seen{transform: transform, scored: map[int]downstream.Scored{}}
	for _, i := range rows {
		s.scored[i] = downstream.Scored{}
	}
	var good heatmap.Good
	var scores []float64
	var damaged []bool
	i := 0
	for sc, err := range d.ScoreSet(ctx, test) {
		if err != nil {
			return s, err
		}
		if sc.IsGood() {
			if err := good.Add(sc.Map); err != nil {
				return s, err
			}
		}
		if _, shown := s.scored[i]; shown {
			s.scored[i] = sc
		}
		scores, damaged = append(scores, sc.Score), append(damaged, sc.IsDefective())
		i++
	}
	if s.auroc, err = metrics.AUROC(scores, damaged); err != nil {
		return s, err
	}
	scale, err := good.Scale(heatmap.DefaultGood())
	s.view = heatmap.View{Name: n.name, Scale: scale, Threshold: scale.Low}
	return s, err
}

// maps draws figure 6.
func maps(ctx context.Context, o options, nets [2]network, stdout, stderr io.Writer) (*image.RGBA, error) {
	names, err := o.names()
	if err != nil {
		return nil, err
	}
	var sheet []*image.RGBA
	for _, class := range names {
		train, err := o.set(class, dataset.Train)
		if err != nil {
			return nil, err
		}
		test, err := o.set(class, dataset.Test)
		if err != nil {
			return nil, err
		}
		_, damaged := apart(test)
		rows := spaced(damaged, o.rows)
		var said [2]seen
		for k, n := range nets {
			fmt.Fprintf(stderr, "%s: %s on %s, %d good images, %d to score\n", class, o.method, n.name, train.Len(), test.Len())
			if said[k], err = look(ctx, o, n, train, test, rows); err != nil {
				return nil, fmt.Errorf("%s, %s: %w", n.name, class, err)
			}
			fmt.Fprintf(stdout, "%s: %s: image AUROC %.3f of %d images\n", n.name, class, said[k].auroc, test.Len())
		}
		if o.sameScale {
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
		v.Map = s.scored[i].Map
		part.Views = append(part.Views, v)
		line += fmt.Sprintf(" %.4g (%s)", s.scored[i].Score, v.Name)
	}
	panels, err := part.Panels() // image, truth, the maps, a cut
	if err != nil {
		return nil, err
	}
	return heatmap.Row([]heatmap.Panel{panels[0], panels[2], panels[3], panels[1]}, line)
}
