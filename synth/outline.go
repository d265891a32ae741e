package synth

import (
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"slices"
)

// Outline is the form of a defect that is painted.
type Outline int

const (
	OutlineBlob   Outline = iota // a turned ellipse with an uneven edge
	OutlineLine                  // a bent line, two and a half sides long
	OutlineBezier                // a smooth closed curve through the middles of five to seven corners
	OutlinePerlin                // where gradient noise is high, fading out with the distance from the middle: ragged, often in pieces
	outlines
)

// Outlines is the law of the forms of painted defects. Edges are smoothed over about one pixel.
type Outlines struct {
	Kinds  []Outline // one of which is drawn evenly, at least one
	Side   Size      // side of the square of about the same area; of a line, two fifths of its length
	Aspect float64   // most ratio of a form's sides, either way, 1 to 16; even on a logarithmic scale
	Width  Span      // width of lines in pixels, above 0, at most 64; even on a logarithmic scale
}

// AllOutlines is every form, from 4 pixels to three tenths of the image, lines of 1 to 4 pixels.
func AllOutlines() Outlines {
	return Outlines{
		Kinds: []Outline{OutlineBlob, OutlineLine, OutlineBezier, OutlinePerlin},
		Side:  SmallDefects(), Aspect: 3, Width: Span{1, 4},
	}
}

// check returns an ErrSettings that names a field of the generator of.
func (o Outlines) check(of string) error {
	if len(o.Kinds) == 0 {
		return fieldErr(of, "Outlines.Kinds", o.Kinds, "must hold at least one form")
	}
	for i, k := range o.Kinds {
		if k < OutlineBlob || k >= outlines {
			return fieldErr(of, fmt.Sprintf("Outlines.Kinds[%d]", i), int(k), "is unknown")
		}
	}
	switch {
	case o.Side.fault() != "":
		return fieldErr(of, "Outlines.Side", o.Side, o.Side.fault())
	case !(o.Aspect >= 1 && o.Aspect <= 16):
		return fieldErr(of, "Outlines.Aspect", o.Aspect, "must be from 1 to 16")
	case slices.Contains(o.Kinds, OutlineLine) && !(o.Width.Lo > 0 && o.Width.within(0, 64)):
		return fieldErr(of, "Outlines.Width", o.Width, "must satisfy 0 < Lo <= Hi <= 64")
	}
	return nil
}

// stamp is a form on the grid of the image: how much of each pixel of rect it covers, 0 to 1, row by row.
type stamp struct {
	rect  image.Rectangle
	cover []float32
	side  float64 // as drawn
	tmp   []float32
	noise lattice
	poly  []point
	cross []float64
}

type point struct{ x, y float64 }

// row is the part of cover that belongs to row y of the image.
func (s *stamp) row(y int) []float32 {
	w := s.rect.Dx()
	return s.cover[(y-s.rect.Min.Y)*w:][:w]
}

// open makes rect, cut to the image, the stamp's place, with nothing covered.
func (s *stamp) open(r, img image.Rectangle) {
	s.rect = r.Intersect(img)
	s.cover = grow(s.cover, s.rect.Dx()*s.rect.Dy())
	clear(s.cover)
}

// draw makes a form somewhere on an image of w x h.
func (s *stamp) draw(o Outlines, w, h int, rng *rand.Rand) {
	kind := o.Kinds[rng.IntN(len(o.Kinds))]
	s.side = o.Side.draw(rng, w, h)
	aspect := math.Sqrt(logBetween(rng, Span{1 / o.Aspect, o.Aspect}))
	sin, cos := math.Sincos(math.Pi * rng.Float64())
	e := oval{a: s.side / 2 * aspect, b: s.side / 2 / aspect, sin: sin, cos: cos}
	img := image.Rect(0, 0, w, h)
	switch kind {
	case OutlineLine:
		s.line(2.5*s.side, logBetween(rng, o.Width), img, rng)
	case OutlineBezier:
		s.bezier(e, img, rng)
	case OutlinePerlin:
		s.cloud(e, img, rng)
	default:
		s.blob(e, img, rng)
	}
}

// oval is a turned ellipse of half axes a and b.
type oval struct{ a, b, sin, cos, x, y float64 }

// put draws the middle so that a box of half a width rx and half a height ry around it lies inside the image where it can.
func (e *oval) put(rx, ry float64, img image.Rectangle, rng *rand.Rand) image.Rectangle {
	e.x, e.y = middle(rx, float64(img.Dx()), rng), middle(ry, float64(img.Dy()), rng)
	return image.Rect(int(math.Floor(e.x-rx)), int(math.Floor(e.y-ry)), int(math.Ceil(e.x+rx)), int(math.Ceil(e.y+ry)))
}

func middle(r, n float64, rng *rand.Rand) float64 {
	u := rng.Float64()
	if 2*r >= n {
		return n * u
	}
	return r + (n-2*r)*u
}

// extent is half the width and half the height of the box around the ellipse, f times as large, and a pixel more.
func (e *oval) extent(f float64) (rx, ry float64) {
	return f*math.Hypot(e.a*e.cos, e.b*e.sin) + 1, f*math.Hypot(e.a*e.sin, e.b*e.cos) + 1
}

// polar is the place of pixel (x, y) in the ellipse's own axes, in units of its half axes: distance and direction.
func (e *oval) polar(x, y int) (r, c, s float64) {
	dx, dy := float64(x)+0.5-e.x, float64(y)+0.5-e.y
	u, v := (dx*e.cos+dy*e.sin)/e.a, (dy*e.cos-dx*e.sin)/e.b
	r = math.Hypot(u, v)
	if r == 0 {
		return 0, 1, 0
	}
	return r, u / r, v / r
}

func cut1(v float64) float32 { return float32(min(max(v, 0), 1)) }

// blob has the radius 1 + sum of A_k cos(k t) + B_k sin(k t), k from 2 to 5.
func (s *stamp) blob(e oval, img image.Rectangle, rng *rand.Rand) {
	var a, b [4]float64
	most := 1.0
	for k := range a {
		a[k], b[k] = 0.16*rng.NormFloat64()/float64(k+1), 0.16*rng.NormFloat64()/float64(k+1)
		most += math.Hypot(a[k], b[k])
	}
	rx, ry := e.extent(most)
	s.open(e.put(rx, ry, img, rng), img)
	edge := max(min(e.a, e.b), 1)
	for y := s.rect.Min.Y; y < s.rect.Max.Y; y++ {
		row := s.row(y)
		for i := range row {
			d, c, sn := e.polar(s.rect.Min.X+i, y)
			radius, zc, zs := 1.0, c, sn
			for k := range a {
				zc, zs = zc*c-zs*sn, zc*sn+zs*c
				radius += a[k]*zc + b[k]*zs
			}
			row[i] = cut1((radius-d)*edge + 0.5)
		}
	}
}

// cloud is where noise less 1.3 times the distance from the middle exceeds -0.8.
func (s *stamp) cloud(e oval, img image.Rectangle, rng *rand.Rand) {
	cells := 2 + rng.IntN(5)
	s.noise.reset(cells, cells, rng)
	const reach = 1.8 / 1.3 // beyond, no noise is high enough
	rx, ry := e.extent(reach)
	s.open(e.put(rx, ry, img, rng), img)
	cell := 2 * reach * min(e.a, e.b) / float64(cells)
	for y := s.rect.Min.Y; y < s.rect.Max.Y; y++ {
		row := s.row(y)
		for i := range row {
			d, c, sn := e.polar(s.rect.Min.X+i, y)
			if d >= reach {
				continue
			}
			n := s.noise.at((d*sn/reach+1)/2*float64(cells), (d*c/reach+1)/2*float64(cells))
			row[i] = cut1((n+0.8-1.3*d)*max(cell/2, 1) + 0.5)
		}
	}
}

// line is a chain of two to six pieces, each turned a little from the one before.
func (s *stamp) line(length, width float64, img image.Rectangle, rng *rand.Rand) {
	n := 2 + rng.IntN(5)
	turn := 2 * math.Pi * rng.Float64()
	s.poly = append(s.poly[:0], point{})
	lo, hi := point{}, point{}
	for range n {
		turn += 0.4 * rng.NormFloat64()
		last := s.poly[len(s.poly)-1]
		p := point{last.x + length/float64(n)*math.Cos(turn), last.y + length/float64(n)*math.Sin(turn)}
		s.poly = append(s.poly, p)
		lo, hi = point{min(lo.x, p.x), min(lo.y, p.y)}, point{max(hi.x, p.x), max(hi.y, p.y)}
	}
	rx, ry := (hi.x-lo.x+width)/2+1, (hi.y-lo.y+width)/2+1
	x, y := middle(rx, float64(img.Dx()), rng)-(lo.x+hi.x)/2, middle(ry, float64(img.Dy()), rng)-(lo.y+hi.y)/2
	for i := range s.poly {
		s.poly[i].x += x
		s.poly[i].y += y
	}
	s.open(image.Rect(int(math.Floor(lo.x+x-width/2-1)), int(math.Floor(lo.y+y-width/2-1)), int(math.Ceil(hi.x+x+width/2+1)), int(math.Ceil(hi.y+y+width/2+1))), img)
	// A line thinner than a pixel covers its width of it.
	half, most := max(width, 1)/2, min(width, 1)
	for i := 1; i < len(s.poly); i++ {
		p, q := s.poly[i-1], s.poly[i]
		dx, dy := q.x-p.x, q.y-p.y
		square := max(dx*dx+dy*dy, 1e-12)
		box := image.Rect(int(math.Floor(min(p.x, q.x)-half-1)), int(math.Floor(min(p.y, q.y)-half-1)),
			int(math.Ceil(max(p.x, q.x)+half+1)), int(math.Ceil(max(p.y, q.y)+half+1))).Intersect(s.rect)
		for y := box.Min.Y; y < box.Max.Y; y++ {
			row := s.row(y)
			for x := box.Min.X; x < box.Max.X; x++ {
				px, py := float64(x)+0.5-p.x, float64(y)+0.5-p.y
				t := min(max((px*dx+py*dy)/square, 0), 1)
				v := cut1(half+0.5-math.Hypot(px-t*dx, py-t*dy)) * float32(most)
				row[x-s.rect.Min.X] = max(row[x-s.rect.Min.X], v)
			}
		}
	}
}

// bezier is the closed curve of quadratic pieces whose ends are the middles between corners and whose handles are the
// corners, filled by the even-odd rule with four lines a row.
func (s *stamp) bezier(e oval, img image.Rectangle, rng *rand.Rand) {
	const steps = 8 // straight pieces that stand for one curve
	var corner [7]point
	n := 5 + rng.IntN(3)
	rx, ry := 1.0, 1.0
	for i := range n {
		sin, cos := math.Sincos(2 * math.Pi * (float64(i) + 0.7*(rng.Float64()-0.5)) / float64(n))
		r := 0.5 + 0.9*rng.Float64()
		u, v := r*cos*e.a, r*sin*e.b
		corner[i] = point{u*e.cos - v*e.sin, u*e.sin + v*e.cos}
		rx, ry = max(rx, math.Abs(corner[i].x)+1), max(ry, math.Abs(corner[i].y)+1)
	}
	s.open(e.put(rx, ry, img, rng), img)
	s.poly = s.poly[:0]
	for i := range n {
		a, b, c := corner[(i+n-1)%n], corner[i], corner[(i+1)%n]
		p, q := point{(a.x + b.x) / 2, (a.y + b.y) / 2}, point{(b.x + c.x) / 2, (b.y + c.y) / 2}
		for k := range steps {
			t := float64(k) / steps
			u := 1 - t
			s.poly = append(s.poly, point{e.x + u*u*p.x + 2*u*t*b.x + t*t*q.x, e.y + u*u*p.y + 2*u*t*b.y + t*t*q.y})
		}
	}
	s.fill()
}

// fill covers the inside of the polygon.
func (s *stamp) fill() {
	const lines = 4
	for y := s.rect.Min.Y; y < s.rect.Max.Y; y++ {
		row := s.row(y)
		for k := range lines {
			at := float64(y) + (float64(k)+0.5)/lines
			s.cross = s.cross[:0]
			for i, q := range s.poly {
				p := s.poly[(i+len(s.poly)-1)%len(s.poly)]
				if (p.y <= at) != (q.y <= at) {
					s.cross = append(s.cross, p.x+(at-p.y)/(q.y-p.y)*(q.x-p.x)-float64(s.rect.Min.X))
				}
			}
			slices.Sort(s.cross)
			for i := 0; i+1 < len(s.cross); i += 2 {
				lo, hi := max(s.cross[i], 0), min(s.cross[i+1], float64(len(row)))
				for x := int(lo); x < len(row) && float64(x) < hi; x++ {
					row[x] += float32(max(min(hi, float64(x+1))-max(lo, float64(x)), 0) / lines)
				}
			}
		}
	}
}

// soften smooths the cover with a Gaussian of deviation sigma, in pixels, cut at three deviations, and widens the place by
// as much. What lies beyond the image is lost.
func (s *stamp) soften(sigma float64, img image.Rectangle) {
	r := int(math.Ceil(3 * sigma))
	if r < 1 || s.rect.Empty() {
		return
	}
	kernel := make([]float32, 2*r+1)
	total := 0.0
	for i := range kernel {
		d := float64(i-r) / sigma
		v := math.Exp(-d * d / 2)
		kernel[i] = float32(v)
		total += v
	}
	for i := range kernel {
		kernel[i] /= float32(total)
	}
	from, to := s.rect, s.rect.Inset(-r).Intersect(img)
	// Along rows into tmp [from's rows, to's columns], then along columns.
	w := to.Dx()
	s.tmp = grow(s.tmp, from.Dy()*w)
	for y := range from.Dy() {
		in, out := s.cover[y*from.Dx():][:from.Dx()], s.tmp[y*w:][:w]
		for x := range out {
			at := x + to.Min.X - from.Min.X // of the middle, in in
			var sum float32
			for k := max(0, r-at); k < len(kernel) && at+k-r < len(in); k++ {
				sum += kernel[k] * in[at+k-r]
			}
			out[x] = sum
		}
	}
	s.rect = to
	s.cover = grow(s.cover, to.Dx()*to.Dy())
	clear(s.cover)
	for y := range to.Dy() {
		out := s.cover[y*w:][:w]
		at := y + to.Min.Y - from.Min.Y
		for k := max(0, r-at); k < len(kernel) && at+k-r < from.Dy(); k++ {
			for x, v := range s.tmp[(at+k-r)*w:][:w] {
				out[x] += kernel[k] * v
			}
		}
	}
}

// faint is the least cover of a pixel that may change.
const faint = 1. / 512

// lay replaces every covered pixel of p.Image by the mix of it and what paint returns, opacity times its cover of the
// latter, rounded, and marks it in Support. paint gets the place and the pixel as it is.
func (s *stamp) lay(p *Pair, opacity float64, paint func(x, y int, px []uint8) (c0, c1, c2 float64)) {
	mix := func(v uint8, c, a float64) uint8 {
		return uint8(min(max(float64(v)+a*(c-float64(v)), 0), 255) + 0.5)
	}
	for y := s.rect.Min.Y; y < s.rect.Max.Y; y++ {
		row := s.row(y)
		px := p.Image.Pix[p.Image.PixOffset(s.rect.Min.X, y):][:4*len(row)]
		support := p.Support.Pix[y*p.Support.Stride+s.rect.Min.X:][:len(row)]
		for i, v := range row {
			if v < faint {
				continue
			}
			a := opacity * min(float64(v), 1)
			q := px[4*i : 4*i+4]
			c0, c1, c2 := paint(s.rect.Min.X+i, y, q)
			q[0], q[1], q[2] = mix(q[0], c0, a), mix(q[1], c1, a), mix(q[2], c2, a)
			support[i] = 255
		}
	}
}
