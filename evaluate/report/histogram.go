package report

import (
	"fmt"
	"image/color"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// bars is how many bars a histogram has over the range of the scores.
const bars = 40

// Colours of Okabe and Ito, "Color Universal Design", 2002. The two differ in lightness too, so
// that grey print keeps them apart.
func goodColour() color.RGBA   { return color.RGBA{86, 180, 233, 255} }
func defectColour() color.RGBA { return color.RGBA{213, 94, 0, 255} }

// counts are the parts of each bar. Bar i is of scores from low+i*width on.
type counts struct {
	low, width      float64
	good, defective []float64
}

// count puts an edge between two bars at the threshold where that is finite: what is right of it
// is rejected.
func count(c Class, det Detector) counts {
	low, high := math.Inf(1), math.Inf(-1)
	for _, s := range det.Scores {
		low, high = min(low, s), max(high, s)
	}
	bounded := finite(det.Threshold)
	if bounded {
		low, high = min(low, det.Threshold), max(high, det.Threshold)
	}
	if high == low {
		high = low + 1
	}
	n := counts{low: low, width: (high - low) / bars, good: make([]float64, bars+2), defective: make([]float64, bars+2)}
	edge := 0 // the bar that begins at the threshold
	if bounded {
		edge = int(math.Ceil((det.Threshold - low) / n.width))
		n.low = det.Threshold - float64(edge)*n.width
	}
	for i, s := range det.Scores {
		k := min(max(int((s-n.low)/n.width), 0), bars+1)
		if bounded { // rounding must not carry a part over the line
			if s < det.Threshold {
				k = min(k, edge-1)
			} else {
				k = max(k, edge)
			}
		}
		if c.Samples[i].Defective {
			n.defective[k]++
		} else {
			n.good[k]++
		}
	}
	return n
}

// histogram draws good parts upwards and defective ones downwards, so that no bar hides another.
func histogram(c Class, det Detector) (*plot.Plot, error) {
	n := count(c, det)
	p := newPlot("score", "parts: defective below, good above")
	p.X.Min, p.X.Max = n.low-n.width, n.low+float64(bars+3)*n.width
	placeLegend(p, true, false)
	top := 0.0
	for i := range n.good {
		top = max(top, n.good[i], n.defective[i])
	}
	up := barRow{n.low, n.width, n.good, 1, goodColour()}
	down := barRow{n.low, n.width, n.defective, -1, defectColour()}
	p.Add(up, down)
	p.Legend.Add("good parts", up)
	p.Legend.Add("defective parts", down)
	zero, err := plotter.NewLine(plotter.XYs{{X: p.X.Min, Y: 0}, {X: p.X.Max, Y: 0}})
	if err != nil {
		return nil, err
	}
	p.Add(zero)
	p.Y.Min, p.Y.Max = -1.08*top, 1.5*top // with room for the legend
	p.Y.Tick.Marker = plot.TickerFunc(counted)
	if finite(det.Threshold) {
		l, err := plotter.NewLine(plotter.XYs{{X: det.Threshold, Y: p.Y.Min}, {X: det.Threshold, Y: 1.08 * top}})
		if err != nil {
			return nil, err
		}
		l.LineStyle = draw.LineStyle{Color: color.Black, Width: vg.Points(1.4), Dashes: []vg.Length{vg.Points(5), vg.Points(2)}}
		p.Add(l)
		p.Legend.Add(fmt.Sprintf("threshold %.4g", det.Threshold), l)
	}
	return p, nil
}

// barRow is a row of bars that stand on zero, or hang from it.
type barRow struct {
	low, width float64 // of the first bar, in values of the x axis
	heights    []float64
	sign       float64 // 1 upwards, -1 downwards
	colour     color.Color
}

// Plot draws the bars with a little room between them.
func (b barRow) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for i, h := range b.heights {
		if h > 0 {
			from := b.low + (float64(i)+0.06)*b.width
			b.fill(&c, x(from), y(0), x(from+0.88*b.width), y(b.sign*h))
		}
	}
}

// Thumbnail draws the sample of the legend.
func (b barRow) Thumbnail(c *draw.Canvas) { b.fill(c, c.Min.X, c.Min.Y, c.Max.X, c.Max.Y) }

func (b barRow) fill(c *draw.Canvas, x0, y0, x1, y1 vg.Length) {
	c.FillPolygon(b.colour, []vg.Point{{X: x0, Y: y0}, {X: x0, Y: y1}, {X: x1, Y: y1}, {X: x1, Y: y0}})
}

// counted are the ticks that are whole numbers, without a sign.
func counted(low, high float64) []plot.Tick {
	var out []plot.Tick
	for _, t := range ticks(low, high) {
		if t.Value == math.Trunc(t.Value) {
			out = append(out, plot.Tick{Value: t.Value, Label: strconv.FormatFloat(math.Abs(t.Value), 'f', -1, 64)})
		}
	}
	return out
}
