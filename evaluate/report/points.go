package report

import (
	"fmt"
	"image"
	"image/color"
	stddraw "image/draw"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// Points are images on a plane, as package tsne puts them.
type Points struct {
	Classes   []string     // names
	At        [][2]float64 // a place for each image
	Class     []int        // number of its class
	Defective []bool       // what its label says
}

func (p Points) check() error {
	if len(p.At) != len(p.Class) || len(p.At) != len(p.Defective) {
		return fmt.Errorf("report: points: %w: %d places, %d classes, %d labels", ErrData, len(p.At), len(p.Class), len(p.Defective))
	}
	for i, c := range p.Class {
		if c < 0 || c >= len(p.Classes) {
			return fmt.Errorf("report: points: %w: image %d is of class %d of %d", ErrData, i, c, len(p.Classes))
		}
	}
	return nil
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

// maxSide bounds a picture of points, in pixels.
const maxSide = 4096

// Scatter draws the points into a square of so many pixels a side, 1 to 4096: a colour a class, pale discs for good images and dark crosses for defective
// ones, which lie on top. It returns an error that wraps [ErrData] if the fields do not fit together.
func (p Points) Scatter(side int) (*image.RGBA, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if side < 1 || side > maxSide {
		return nil, fmt.Errorf("report: points: %w: a side of %d pixels, want 1 to %d", ErrData, side, maxSide)
	}
	drawn := plot.New()
	drawn.HideAxes()
	for _, defective := range []bool{false, true} {
		for c := range p.Classes {
			var xy plotter.XYs
			for i, at := range p.At {
				if p.Class[i] == c && p.Defective[i] == defective {
					xy = append(xy, plotter.XY{X: at[0], Y: at[1]})
				}
			}
			dots, err := plotter.NewScatter(xy)
			if err != nil {
				return nil, err
			}
			dots.GlyphStyle = glyph(c, defective)
			drawn.Add(dots)
		}
	}
	return raster(drawn, side, side), nil
}

// Legend names the glyphs, in a column of so many pixels, 1 to 4096. Errors are those of [Points.Scatter].
func (p Points) Legend(width int) (*image.RGBA, error) {
	if width < 1 || width > maxSide || len(p.Classes) > 100 {
		return nil, fmt.Errorf("report: points: %w: a width of %d pixels for %d classes, want 1 to %d, and 100 classes at most", ErrData, width, len(p.Classes), maxSide)
	}
	drawn := plot.New()
	drawn.HideAxes()
	drawn.Legend.Top, drawn.Legend.Left = true, true
	for c, name := range p.Classes {
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
			drawn.Legend.Add(name+what, dots)
		}
	}
	return raster(drawn, width, max(60, 34*len(p.Classes)+10)), nil
}

// raster draws a plot with so many pixels, one a point of print.
func raster(p *plot.Plot, w, h int) *image.RGBA {
	c := vgimg.NewWith(vgimg.UseWH(vg.Points(float64(w)), vg.Points(float64(h))), vgimg.UseDPI(72), vgimg.UseBackgroundColor(color.White))
	p.Draw(draw.New(c))
	drawn := c.Image()
	img := image.NewRGBA(image.Rectangle{Max: drawn.Bounds().Size()})
	stddraw.Draw(img, img.Rect, drawn, drawn.Bounds().Min, stddraw.Src)
	return img
}
