package synth

import (
	"image"
	"math"
	"math/rand/v2"
)

// Warp bends the image itself inside a turned ellipse: pixels take the value of a place some pixels away, by a smooth field
// that fades out towards the edge. Lines bend, prints shift, textures lose their regularity, and nothing foreign appears.
// Zero is a value, not a request for a default: start from DefaultWarp. A Warp is safe for concurrent use when every call has
// its own rng.
type Warp struct {
	Side   Size    // side of the square of the ellipse's area
	Aspect float64 // most ratio of the axes, either way, 1 to 16; even on a logarithmic scale
	Shift  Span    // pixels by which the field moves at most, above 0, at most 256, even on a logarithmic scale, and no more than a third of the side
	Cells  [2]int  // the field has n x n cells inside the ellipse's box, n drawn evenly from Cells[0] to Cells[1], 1 to 32

	Attempts int // whole draws until one shows, at least 1

	Tol   float64   // grey levels by which a pixel must change to count, 0 to 255
	Label LabelMode // what Pair.Label holds; all but LabelContinuous
	Curve Logistic  // curve of LabelLogistic

	// Buffers keeps work memory between calls and is shared by copies of this value. Nil is allowed: every call then makes its own.
	Buffers *Buffers `json:"-"`
}

// DefaultWarp moves 4 to 12 pixels inside ellipses from 10 pixels to three tenths of the image.
func DefaultWarp() Warp {
	return Warp{
		Side: Size{Least: 10, Share: 0.3}, Aspect: 2, Shift: Span{4, 12}, Cells: [2]int{1, 3},
		Attempts: 10, Tol: paintTol, Label: LabelMask, Curve: Logistic{Steepness: 1. / 6, Midpoint: 15}, Buffers: &Buffers{},
	}
}

func (g Warp) painter() painter {
	return painter{"Warp", KindWarp, g.Attempts, g.Tol, g.Label, g.Curve, g.Buffers}
}

// Validate says which field is out of its range, if any; the error is an ErrSettings.
func (g Warp) Validate() error {
	switch {
	case g.Side.fault() != "":
		return fieldErr("Warp", "Side", g.Side, g.Side.fault())
	case !(g.Aspect >= 1 && g.Aspect <= 16):
		return fieldErr("Warp", "Aspect", g.Aspect, "must be from 1 to 16")
	case !(g.Shift.Lo > 0 && g.Shift.within(0, 256)):
		return fieldErr("Warp", "Shift", g.Shift, "must satisfy 0 < Lo <= Hi <= 256")
	case g.Cells[0] < 1 || g.Cells[0] > g.Cells[1] || g.Cells[1] > 32:
		return fieldErr("Warp", "Cells", g.Cells, "must satisfy 1 <= Cells[0] <= Cells[1] <= 32")
	}
	return g.painter().check()
}

// Generate implements Generator; src is looked at for its size alone.
func (g Warp) Generate(dst, src image.Image, rng *rand.Rand) (Pair, error) {
	return fresh(g, dst, src, rng)
}

// GenerateInto implements Reuser; see Generate.
func (g Warp) GenerateInto(p *Pair, dst, src image.Image, rng *rand.Rand) error {
	if err := g.Validate(); err != nil {
		return err
	}
	d, s, err := inputs("Warp", dst, src, rng)
	if err != nil {
		return err
	}
	return g.painter().into(p, d, s, func(w *paintWork) (image.Rectangle, error) {
		side := g.Side.draw(rng, d.Rect.Dx(), d.Rect.Dy())
		aspect := math.Sqrt(logBetween(rng, Span{1 / g.Aspect, g.Aspect}))
		sin, cos := math.Sincos(math.Pi * rng.Float64())
		e := oval{a: side / 2 * aspect, b: side / 2 / aspect, sin: sin, cos: cos}
		shift := min(logBetween(rng, g.Shift), side/3)
		cells := g.Cells[0] + rng.IntN(g.Cells[1]-g.Cells[0]+1)
		for i := range w.field {
			w.field[i].reset(cells, cells, rng)
		}
		rx, ry := e.extent(1)
		r := e.put(rx, ry, d.Rect, rng).Intersect(d.Rect)
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				at, c, sn := e.polar(x, y)
				if at >= 1 {
					continue
				}
				fade := (1 - at*at) * (1 - at*at) * shift
				u, v := (at*c+1)/2*float64(cells), (at*sn+1)/2*float64(cells)
				px := p.Image.Pix[p.Image.PixOffset(x, y):][:4]
				between4(px, d, float64(x)+fade*twice(w.field[0].at(v, u)), float64(y)+fade*twice(w.field[1].at(v, u)))
				p.Support.Pix[y*p.Support.Stride+x] = 255
			}
		}
		return r, nil
	})
}

// twice is 2v, held between -1 and 1: gradient noise seldom passes half of its range.
func twice(v float64) float64 { return min(max(2*v, -1), 1) }

// between4 sets the colours of px to those of d at (x, y), between pixels bilinear, beyond the border those at it.
func between4(px []uint8, d *image.RGBA, x, y float64) {
	w, h := d.Rect.Dx(), d.Rect.Dy()
	x, y = min(max(x, 0), float64(w-1)), min(max(y, 0), float64(h-1))
	x0, y0 := min(int(x), w-2), min(int(y), h-2)
	fx, fy := x-float64(x0), y-float64(y0)
	a, b := d.Pix[d.PixOffset(x0, y0):][:8], d.Pix[d.PixOffset(x0, y0+1):][:8]
	for c := range 3 {
		top := float64(a[c]) + fx*(float64(a[c+4])-float64(a[c]))
		low := float64(b[c]) + fx*(float64(b[c+4])-float64(b[c]))
		px[c] = uint8(top + fy*(low-top) + 0.5)
	}
}
