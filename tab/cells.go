package tab

import (
	"fmt"
	"math"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/tensor"
)

// Cells says what the masks of a batch mean on the grid of one stage. The tensors
// hold 1 for yes and 0 for no, float32. Cells within 16 pixels of the image's
// border are neither: they see the convolutions' zero padding.
type Cells struct {
	// Anomalous [B, h, w] are the twins' damaged cells: those of which the mask
	// covers 0.3 or more, and the fullest of each twin, so that small damage
	// counts too.
	Anomalous *tensor.Tensor
	// Clean [B, h, w] are the twins' cells that the damage cannot reach: no pixel
	// of the mask lies within 24, 40 or 64 pixels of the cell (layers 1, 2, 3; stem
	// 12, layer 4 96). A cell between is neither.
	Clean *tensor.Tensor
	// Inner [1, h, w] are the cells away from the border; on the good images all of
	// them are clean.
	Inner *tensor.Tensor
	// Within [B, h, w] are damaged cells that lie within the spread of good parts at
	// every stage; they are not among Anomalous then, nor among Clean. nil unless
	// asked for by Needs.WithinSpread.
	Within *tensor.Tensor
	// Displacement [B, h, w] is q between the twins in the frozen copy; nil like
	// Within.
	Displacement *tensor.Tensor
	// AnomalousCount, CleanCount and WithinCount count the cells of each twin;
	// InnerCount those of an image.
	AnomalousCount, CleanCount, WithinCount []int
	InnerCount                              int
}

const (
	// coverage is the share of a cell that damage covers at least in an anomalous
	// one.
	coverage = 0.3
	// borderPixels is the width of the margin in which padding is felt.
	borderPixels = 16
)

// reach is the distance in pixels, along rows and along columns, within which a
// mask may change a cell of the stage: about half of the receptive field, less at
// layer 3, where nothing else would be left of a crop.
func reach(l backbone.Layer) int {
	switch l {
	case backbone.Stem:
		return 12
	case backbone.Layer1:
		return 24
	case backbone.Layer2:
		return 40
	case backbone.Layer3:
		return 64
	}
	return 96
}

// grid is Cells on the host.
type grid struct {
	n, h, w                 int // masks, rows and columns of cells
	anomalous, clean, inner []float32
	counts                  Cells // the counts only
}

// gridOf computes cells of n masks of height x width, one byte a pixel. It fails
// where the border leaves nothing.
func gridOf(masks []uint8, n, height, width, h, w, reach int) (grid, error) {
	g := grid{n: n, h: h, w: w, anomalous: make([]float32, n*h*w), clean: make([]float32, n*h*w), inner: make([]float32, h*w),
		counts: Cells{AnomalousCount: make([]int, n), CleanCount: make([]int, n)}}
	// Half a cell is rounded to the even number, as the trials' program does.
	by := max(1, int(math.RoundToEven(float64(borderPixels*h)/float64(height))))
	bx := max(1, int(math.RoundToEven(float64(borderPixels*w)/float64(width))))
	for y := by; y < h-by; y++ {
		for x := bx; x < w-bx; x++ {
			g.inner[y*w+x] = 1
			g.counts.InnerCount++
		}
	}
	if g.counts.InnerCount == 0 {
		return g, fmt.Errorf("%w: images of %dx%d leave nothing of a grid of %dx%d cells beside the border of %d pixels; take larger images or crops",
			ErrConfig, width, height, w, h, borderPixels)
	}
	// sum[y][x] counts the mask's pixels above and left of (x, y).
	sum := make([]int32, (height+1)*(width+1))
	in := func(y0, x0, y1, x1 int) int32 { // pixels in rows y0 to y1-1, columns x0 to x1-1
		y0, x0, y1, x1 = max(y0, 0), max(x0, 0), min(y1, height), min(x1, width)
		s := width + 1
		return sum[y1*s+x1] - sum[y0*s+x1] - sum[y1*s+x0] + sum[y0*s+x0]
	}
	share := make([]float64, h*w)
	for i := range n {
		for y := range height {
			row := int32(0)
			for x := range width {
				if masks[(i*height+y)*width+x] != 0 {
					row++
				}
				sum[(y+1)*(width+1)+x+1] = sum[y*(width+1)+x+1] + row
			}
		}
		most := 0.0
		for y := range h {
			y0, y1 := y*height/h, ((y+1)*height+h-1)/h
			for x := range w {
				x0, x1 := x*width/w, ((x+1)*width+w-1)/w
				share[y*w+x] = float64(in(y0, x0, y1, x1)) / float64((y1-y0)*(x1-x0))
				most = max(most, share[y*w+x])
				if g.inner[y*w+x] != 0 && in(y0-reach, x0-reach, y1+reach, x1+reach) == 0 {
					g.clean[(i*h+y)*w+x] = 1
					g.counts.CleanCount[i]++
				}
			}
		}
		for c, m := range share {
			if g.inner[c] != 0 && (m >= coverage || m >= 0.999*most && most > 0) {
				g.anomalous[i*h*w+c] = 1
				g.counts.AnomalousCount[i]++
			}
		}
	}
	return g, nil
}

// hold makes all inner cells of tied twins clean, those that are damaged too.
func (g *grid) hold(tied []bool) {
	each := g.h * g.w
	for i, is := range tied {
		if is {
			clear(g.anomalous[i*each : (i+1)*each])
			copy(g.clean[i*each:], g.inner)
			g.counts.AnomalousCount[i], g.counts.CleanCount[i] = 0, g.counts.InnerCount
		}
	}
}

// cells brings the masks of a batch to the grid of each stage; tied says of each twin whether its class is tied, nil
// where none is.
func cells(s *tensor.Scope, b Batch, tied []bool, stages map[backbone.Layer]*tensor.Tensor) map[backbone.Layer]Cells {
	out := make(map[backbone.Layer]Cells, len(stages))
	for l, f := range stages {
		if s.Err() != nil {
			return out
		}
		h, w := f.Size(2), f.Size(3)
		g, err := gridOf(b.Masks, len(b.Class), b.H, b.W, int(h), int(w), reach(l))
		if err != nil {
			s.Fail(fmt.Errorf("tab: %s: %w", l, err))
			return out
		}
		g.hold(tied)
		c, n := g.counts, int64(g.n)
		c.Anomalous, c.Clean = s.FromFloats(g.anomalous, n, h, w), s.FromFloats(g.clean, n, h, w)
		c.Inner = s.FromFloats(g.inner, 1, h, w)
		out[l] = c
	}
	return out
}
