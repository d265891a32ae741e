package figures

import (
	"context"
	"fmt"
	"image"

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

// Points puts good and damaged images on a plane by t-SNE, for each network, with numbers
// below that do not come from the plane, but for the first: trustworthiness (how far neighbours
// on the plane are neighbours in truth), the share of images whose 5 nearest of their
// class tell good from damaged (0.5 by guessing), and the silhouette of the two. Sizes and distances
// of groups on the plane mean nothing. It returns an error that wraps [ErrConfig], dataset.ErrBroken
// for images that cannot be read where Reading does not leave them out, those of reading, or that of ctx.
func Points(ctx context.Context, o Config) (*image.RGBA, error) {
	o, err := o.whole()
	if err != nil {
		return nil, err
	}
	s, err := gather(ctx, o)
	if err != nil {
		return nil, err
	}
	cfg := tsne.Default()
	cfg.Seed, cfg.Perplexity = o.Seed, o.Perplexity
	if o.Perplexity == 0 {
		cfg.Perplexity = min(30, float64(len(s.class)-1)/3)
	}
	fmt.Fprintf(o.Log, "%d images of %d classes on a plane, perplexity %.3g\n", len(s.class), len(s.names), cfg.Perplexity)
	plane := report.Points{Classes: s.names, Class: s.class}
	for _, d := range s.damaged {
		plane.Defective = append(plane.Defective, d == 1)
	}
	var columns []heatmap.Panel
	for k, n := range o.Nets {
		e, err := tsne.Embed(ctx, s.rows[k], cfg)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.Name, err)
		}
		lines, err := s.numbers(ctx, k, e)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.Name, err)
		}
		for _, l := range lines {
			fmt.Fprintf(o.Print, "%s: %s\n", n.Name, l)
		}
		plane.At = e.Points
		p, err := plane.Scatter(side)
		if err != nil {
			return nil, err
		}
		one, err := heatmap.Row([]heatmap.Panel{{Title: n.Name, Image: p}}, lines...)
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

// numbers are the lines below a plane.
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
