package report

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/gotab/gotab/metrics"
)

// Size of a plot. At 144 dots an inch it is twice as fine as the page shows it.
const (
	plotWide = 4.6 * vg.Inch
	plotHigh = 3.6 * vg.Inch
	plotDots = 144
)

// curveStyle is how the curves of detector i look: apart in colour, of Okabe and Ito, and in
// dashes.
func curveStyle(i int) draw.LineStyle {
	colours := []color.RGBA{{0, 114, 178, 255}, {213, 94, 0, 255}, {0, 158, 115, 255}, {0, 0, 0, 255}, {204, 121, 167, 255}, {86, 180, 233, 255}, {230, 159, 0, 255}}
	dashes := [][]vg.Length{nil, {vg.Points(6), vg.Points(2)}, {vg.Points(2), vg.Points(2)}, {vg.Points(8), vg.Points(2), vg.Points(2), vg.Points(2)}}
	return draw.LineStyle{Color: colours[i%len(colours)], Width: vg.Points(1.6), Dashes: dashes[i%len(dashes)]}
}

// picture is a plot of a class.
type picture struct {
	file, title, alt string
	png              []byte
}

func render(p *plot.Plot) ([]byte, error) {
	c := vgimg.NewWith(vgimg.UseWH(plotWide, plotHigh), vgimg.UseDPI(plotDots), vgimg.UseBackgroundColor(color.White))
	p.Draw(draw.Crop(draw.New(c), vg.Points(4), -vg.Points(10), vg.Points(2), -vg.Points(7)))
	var b bytes.Buffer
	_, err := vgimg.PngCanvas{Canvas: c}.WriteTo(&b)
	return b.Bytes(), err
}

// plots are the curves of all detectors of a class, and the histogram of each.
func plots(c Class) ([]picture, error) {
	roc, pr, err := curves(c)
	if err != nil {
		return nil, err
	}
	out := []picture{
		{file: "roc.png", title: "ROC curve", alt: "ROC curve of " + c.Name + ": defective parts found over good parts rejected"},
		{file: "precision-recall.png", title: "Precision and recall", alt: "Precision-recall curve of " + c.Name},
	}
	all := []*plot.Plot{roc, pr}
	for i, det := range c.Detectors {
		h, err := histogram(c, det)
		if err != nil {
			return nil, err
		}
		p := picture{file: "histogram.png", title: "Scores", alt: "Histogram of the scores of good and of defective parts of " + c.Name}
		if len(c.Detectors) > 1 {
			p.file = fmt.Sprintf("histogram-%d.png", i+1)
			p.title += ": " + det.Name
			p.alt += " by " + det.Name
		}
		out, all = append(out, p), append(all, h)
	}
	for i := range out {
		if out[i].png, err = render(all[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// curves are the ROC and the precision-recall curve.
func curves(c Class) (roc, pr *plot.Plot, err error) {
	roc = percentPlot("good parts rejected (overkill), %", "defective parts found, %")
	pr = percentPlot("defective parts found (recall), %", "rejected parts that are defective, %")
	placeLegend(roc, false, false)
	placeLegend(pr, false, true)
	labels := c.labels()
	share := 0.0 // of defective parts, in percent
	for _, defective := range labels {
		if defective {
			share += 100 / float64(len(labels))
		}
	}
	if err := addLine(roc, "chance", 0, 100); err != nil {
		return nil, nil, err
	}
	if err := addLine(pr, "all rejected", share, share); err != nil {
		return nil, nil, err
	}
	for i, det := range c.Detectors {
		curve, err := metrics.ROC(det.Scores, labels)
		if err != nil {
			return nil, nil, err
		}
		cut, err := det.cut(c)
		if err != nil {
			return nil, nil, err
		}
		found := 100 * (1 - cut.EscapeRate())
		if err := addCurve(roc, i, det.Name, rocPoints(curve), plotter.XY{X: 100 * cut.OverkillRate(), Y: found}); err != nil {
			return nil, nil, err
		}
		at := plotter.XY{X: found, Y: math.NaN()} // of nothing rejected there is no precision
		if n := cut.Defects - cut.Missed; n+cut.Overkilled > 0 {
			at.Y = 100 * float64(n) / float64(n+cut.Overkilled)
		}
		if err := addCurve(pr, i, det.Name, recallPoints(curve, cut.Defects, cut.Good), at); err != nil {
			return nil, nil, err
		}
	}
	return roc, pr, nil
}

// percentPlot is an empty plot of 0 to 100 % both ways.
func percentPlot(x, y string) *plot.Plot {
	p := newPlot(x, y)
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Min, a.Max = 0, 100
	}
	return p
}

func newPlot(x, y string) *plot.Plot {
	p := plot.New()
	p.X.Label.Text, p.Y.Label.Text = x, y
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Label.TextStyle.Font = sans(10)
		a.Tick.Label.Font = sans(9)
		a.Label.Padding = vg.Points(4)
		a.Padding = 0
		a.Tick.Marker = plot.TickerFunc(ticks)
	}
	p.Legend.TextStyle.Font = sans(9)
	p.Legend.Padding = vg.Points(2)
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = color.Gray{228}, color.Gray{228}
	p.Add(grid)
	return p
}

func sans(size float64) font.Font {
	return font.Font{Typeface: "Liberation", Variant: "Sans", Size: vg.Points(size)}
}

// placeLegend puts the legend into a corner, a little away from the axes.
func placeLegend(p *plot.Plot, top, left bool) {
	const away = 6
	p.Legend.Top, p.Legend.Left = top, left
	p.Legend.XOffs, p.Legend.YOffs = vg.Points(-away), vg.Points(away)
	if left {
		p.Legend.XOffs = vg.Points(away)
	}
	if top {
		p.Legend.YOffs = vg.Points(-away)
	}
}

// addLine draws a quiet dashed line from one side to the other.
func addLine(p *plot.Plot, name string, left, right float64) error {
	l, err := plotter.NewLine(plotter.XYs{{X: 0, Y: left}, {X: 100, Y: right}})
	if err != nil {
		return err
	}
	l.LineStyle = draw.LineStyle{Color: color.RGBA{140, 140, 140, 255}, Width: vg.Points(0.8), Dashes: []vg.Length{vg.Points(3), vg.Points(3)}}
	p.Add(l)
	p.Legend.Add(name, l)
	return nil
}

// addCurve draws the curve of detector i and, as a dot, where the threshold puts it. A point
// that is not there is NaN.
func addCurve(p *plot.Plot, i int, name string, points plotter.XYs, at plotter.XY) error {
	l, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	l.LineStyle = curveStyle(i)
	p.Add(l)
	p.Legend.Add(name, l)
	if math.IsNaN(at.X) || math.IsNaN(at.Y) {
		return nil
	}
	s, err := plotter.NewScatter(plotter.XYs{at})
	if err != nil {
		return err
	}
	s.GlyphStyle = draw.GlyphStyle{Color: l.Color, Radius: vg.Points(4), Shape: draw.CircleGlyph{}}
	p.Add(s)
	return nil
}

func rocPoints(curve []metrics.ROCPoint) plotter.XYs {
	out := make(plotter.XYs, len(curve))
	for i, p := range curve {
		out[i] = plotter.XY{X: 100 * p.FPR, Y: 100 * p.TPR}
	}
	return out
}

// recallPoints is the precision-recall curve as the step function whose area is the average
// precision: the precision that a threshold has holds for the recall that it adds.
func recallPoints(curve []metrics.ROCPoint, defects, good int) plotter.XYs {
	var out plotter.XYs
	last := 0.0
	for _, p := range curve[1:] {
		if p.TPR == last {
			continue
		}
		tp, fp := p.TPR*float64(defects), p.FPR*float64(good)
		precision := 100 * tp / (tp + fp)
		out = append(out, plotter.XY{X: 100 * last, Y: precision}, plotter.XY{X: 100 * p.TPR, Y: precision})
		last = p.TPR
	}
	return out
}

// ticks are four to nine round numbers, 1, 2 or 5 times a power of ten apart.
func ticks(low, high float64) []plot.Tick {
	step := math.Pow(10, math.Floor(math.Log10(high-low)))
	for _, f := range []float64{0.1, 0.2, 0.5, 1} {
		if (high-low)/(step*f) <= 8 {
			step *= f
			break
		}
	}
	first := math.Ceil(low / step)
	var out []plot.Tick
	for i := range 10 { // not until high: where low is huge, a step may not change it
		v := (first + float64(i)) * step
		if v > high {
			break
		}
		out = append(out, plot.Tick{Value: v, Label: tickLabel(v, step)})
	}
	return out
}

// tickLabel has as many decimals as the step, so that no two labels are the same.
func tickLabel(v, step float64) string {
	if math.Abs(v) >= 1e6 || step < 1e-4 {
		return strconv.FormatFloat(v, 'g', 6, 64)
	}
	return strconv.FormatFloat(v, 'f', max(0, int(math.Ceil(-math.Log10(step)-1e-9))), 64)
}
