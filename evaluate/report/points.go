package main

import (
	"context"
	"fmt"
	"image"
	"image/color"
	stddraw "image/draw"
	"io"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/gotab/gotab/downstream/heatmap"
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
		p, err := s.scatter(e)
		if err != nil {
			return nil, err
		}
		one, err := heatmap.Row([]heatmap.Panel{{Title: n.name, Image: p}}, lines...)
		if err != nil {
			return nil, err
		}
		columns = append(columns, heatmap.Panel{Image: one})
	}
	legend, err := s.legend()
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

// colours of classes, told apart by colour-blind eyes too (Okabe and Ito).
func colour(class int) color.RGBA {
	list := []color.RGBA{{0, 114, 178, 255}, {230, 159, 0, 255}, {0, 158, 115, 255}, {204, 121, 167, 255}, {86, 180, 233, 255}, {213, 94, 0, 255}, {130, 130, 60, 255}, {90, 90, 90, 255}}
	return list[class%len(list)]
}

// glyph is a pale disc for good parts, and a dark cross for damaged ones.
func glyph(class int, damaged bool) draw.GlyphStyle {
	c := colour(class)
	if !damaged {
		pale := func(v uint8) uint8 { return uint8((int(v) + 2*255) / 3) }
		return draw.GlyphStyle{Color: color.RGBA{pale(c.R), pale(c.G), pale(c.B), 255}, Radius: vg.Points(2.6), Shape: draw.CircleGlyph{}}
	}
	dark := func(v uint8) uint8 { return uint8(3 * int(v) / 4) }
	return draw.GlyphStyle{Color: color.RGBA{dark(c.R), dark(c.G), dark(c.B), 255}, Radius: vg.Points(3), Shape: draw.CrossGlyph{}}
}

// scatter draws the points, damaged ones on top.
func (s shown) scatter(e tsne.Embedding) (*image.RGBA, error) {
	p := plot.New()
	p.HideAxes()
	for _, damaged := range []int{0, 1} {
		for c := range s.names {
			var xy plotter.XYs
			for i, at := range e.Points {
				if s.class[i] == c && s.damaged[i] == damaged {
					xy = append(xy, plotter.XY{X: at[0], Y: at[1]})
				}
			}
			dots, err := plotter.NewScatter(xy)
			if err != nil {
				return nil, err
			}
			dots.GlyphStyle = glyph(c, damaged == 1)
			p.Add(dots)
		}
	}
	return render(p, side, side), nil
}

// legend names the glyphs.
func (s shown) legend() (*image.RGBA, error) {
	p := plot.New()
	p.HideAxes()
	p.Legend.Top, p.Legend.Left = true, true
	for c, name := range s.names {
		for _, damaged := range []bool{false, true} {
			dots, err := plotter.NewScatter(plotter.XYs{{}})
			if err != nil {
				return nil, err
			}
			dots.GlyphStyle = glyph(c, damaged)
			what := ", good"
			if damaged {
				what = ", damaged"
			}
			p.Legend.Add(name+what, dots)
		}
	}
	return render(p, legendWide, max(60, 34*len(s.names)+10)), nil
}

// render draws a plot with so many pixels, one a point of print.
func render(p *plot.Plot, w, h int) *image.RGBA {
	c := vgimg.NewWith(vgimg.UseWH(vg.Points(float64(w)), vg.Points(float64(h))), vgimg.UseDPI(72), vgimg.UseBackgroundColor(color.White))
	p.Draw(draw.New(c))
	drawn := c.Image()
	img := image.NewRGBA(image.Rectangle{Max: drawn.Bounds().Size()})
	stddraw.Draw(img, img.Rect, drawn, drawn.Bounds().Min, stddraw.Src)
	return img
}
