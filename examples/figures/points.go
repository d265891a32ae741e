package main

import (
	"context"
	"fmt"
	"image"
	"io"

	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/evaluate/report"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/metrics/tsne"
)

const (
	side       = 460 // pixels of a picture of points
	legendWide = 150
	votes      = 5  // neighbours that tell good from damaged
	kept       = 12 // neighbours that trustworthiness asks for, scikit-learn's examples' number
)

// points draws figure 5.
func points(ctx context.Context, o options, nets [2]network, stdout, stderr io.Writer) (*image.RGBA, error) {
	s, err := gather(ctx, o, nets)
	if err != nil {
		return nil, err
	}
	cfg := tsne.Default()
	cfg.Seed, cfg.Perplexity = o.seed, o.perplexity
	if o.perplexity == 0 {
		cfg.Perplexity = min(30, float64(len(s.class)-1)/3)
	}
	fmt.Fprintf(stderr, "%d images of %d classes on a plane, perplexity %.3g\n", len(s.class), len(s.names), cfg.Perplexity)
	plane := report.Points{Classes: s.names, Class: s.class}
	for _, d := range s.damaged {
		plane.Defective = append(plane.Defective, d == 1)
	}
	var columns []heatmap.Panel
	for k, n := range nets {
		e, err := tsne.Embed(ctx, s.rows[k], cfg)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.name, err)
		}
		lines, err := s.numbers(ctx, k, e)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.name, err)
		}
		for _, l := range lines {
			fmt.Fprintf(stdout, "%s: %s\n", n.name, l)
		}
		plane.At = e.Points
		p, err := plane.Scatter(side)
		if err != nil {
			return nil, err
		}
		one, err := heatmap.Row([]heatmap.Panel{{Title: n.name, Image: p}}, lines...)
		if err != nil {
			return nil, err
		}
		columns = append(columns, heatmap.Panel{Image: one})
	}
	legend, err := plane.Legend(legendWide)
	if err != nil {
		return nil, err
	}
	return heatmap.Row(append(columns, heatmap.Panel{Image: legend}))
}

// numbers are the lines below a picture.
func (s shown) numbers(ctx context.Context, k int, e tsne.Embedding) ([]string, error) {
	plane := make([][]float64, len(e.Points))
	for i := range e.Points {
		plane[i] = e.Points[i][:]
	}
	near := min(kept, (len(plane)-1)/2)
	trust, err := metrics.Trustworthiness(ctx, s.rows[k], plane, near)
	if err != nil {
		return nil, err
	}
	lines := []string{fmt.Sprintf("trustworthiness of %d neighbours %.3f, KL %.3f", near, trust, e.KL)}
	var accuracy, silhouette float64
	for c, name := range s.names {
		var rows [][]float64
		var damaged []int
		for i, r := range s.rows[k] {
			if s.class[i] == c {
				rows, damaged = append(rows, r), append(damaged, s.damaged[i])
			}
		}
		a, err := metrics.NeighbourAccuracy(ctx, rows, damaged, min(votes, len(rows)-1))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		h, err := metrics.Silhouette(ctx, rows, damaged)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		accuracy, silhouette = accuracy+a/float64(len(s.names)), silhouette+h/float64(len(s.names))
		if len(s.names) > 1 {
			lines = append(lines, fmt.Sprintf("%s: good from damaged %.3f, silhouette %.3f", name, a, h))
		}
	}
	return append(lines, fmt.Sprintf("good from damaged by %d neighbours %.3f, silhouette %.3f", votes, accuracy, silhouette)), nil
}
