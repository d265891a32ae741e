package synth

import (
	"image"
	"math"
	"math/rand/v2"
)

// maxEllipses bounds NSA.Ellipses.
const maxEllipses = 64

// AspectLaw says how the ratio of a rectangle's sides is drawn.
type AspectLaw int

const (
	// AspectLog draws evenly on a logarithmic scale between Aspect.Lo and Aspect.Hi.
	AspectLog AspectLaw = iota
	// AspectCoin draws evenly from [Aspect.Lo, 1) or from [1, Aspect.Hi), by a coin.
	AspectCoin
)

// Box is CutPaste's law of a rectangle (Li et al., "CutPaste: Self-Supervised Learning for Anomaly Detection and
// Localization", CVPR 2021): its area as a share of the image's, drawn evenly, and the ratio of its sides.
type Box struct {
	Area   Span // shares of the image's area, 0 < Lo <= Hi <= 1 (article: 0.02 to 0.15)
	Aspect Span // ratio of the sides, above 0 (article: 0.3 to 1/0.3)
	Law    AspectLaw
	// Side draws the side of the square of the same area instead, and Area is passed over. Off while Side.Least is 0.
	Side Size
}

// on says whether the box is to be used at all.
func (b Box) on() bool { return b.Area.Hi != 0 || b.Side.Least != 0 }

// fault says what is wrong, in words that follow "it"; empty where nothing is.
func (b Box) fault() string {
	switch {
	case b.Side.Least != 0 && b.Side.fault() != "":
		return "has a Side that " + b.Side.fault()
	case b.Side.Least == 0 && !(b.Area.Lo > 0 && b.Area.Lo <= b.Area.Hi && b.Area.Hi <= 1):
		return "must satisfy 0 < Area.Lo <= Area.Hi <= 1"
	case !(b.Aspect.Lo > 0 && b.Aspect.Lo <= b.Aspect.Hi && b.Aspect.Hi <= 1000):
		return "must satisfy 0 < Aspect.Lo <= Aspect.Hi <= 1000"
	case b.Law < AspectLog || b.Law > AspectCoin:
		return "has an unknown Law"
	case b.Law == AspectCoin && (b.Aspect.Lo > 1 || b.Aspect.Hi < 1):
		return "must satisfy Aspect.Lo <= 1 <= Aspect.Hi for AspectCoin"
	}
	return ""
}

// draw returns an area as a share of a w x h image and a ratio of sides.
func (b Box) draw(rng *rand.Rand, w, h int) (area, aspect float64) {
	if b.Side.Least != 0 {
		side := b.Side.draw(rng, w, h)
		area = min(side*side/float64(w)/float64(h), 1)
	} else {
		area = between(rng, b.Area)
	}
	if b.Law == AspectLog {
		return area, math.Exp(between(rng, Span{math.Log(b.Aspect.Lo), math.Log(b.Aspect.Hi)}))
	}
	if rng.IntN(2) == 1 {
		return area, between(rng, Span{b.Aspect.Lo, 1})
	}
	return area, between(rng, Span{1, b.Aspect.Hi})
}

// between draws evenly from [s.Lo, s.Hi).
func between(rng *rand.Rand, s Span) float64 { return s.Lo + (s.Hi-s.Lo)*rng.Float64() }

// EllipseShapes is g with the NSA article's other shape (its supplement): the union of five random ellipses.
func EllipseShapes(g NSA) NSA {
	g.Ellipses = 5
	return g
}

// CutPasteShapes is g with patches drawn as CutPaste draws them, one a call, at their own size and without a foreground
// test (NSA article's comparison): area 0.02 to 0.15 of the image, side ratio from (0.3, 1) or (1, 3.3) by a coin. The
// article's code takes square images only; here the area is that of the image.
func CutPasteShapes(g NSA) NSA {
	g.Box = Box{Area: Span{0.02, 0.15}, Aspect: Span{0.3, 3.3}, Law: AspectCoin}
	g.Patches, g.Further = 1, 0
	g.Scale.Law = ScaleOff
	g.Backgrounds = nil
	return g
}

// cutBox draws a box of src by g.Box: half sides rounded, wholly inside src.
func (r *nsaRun) cutBox() (image.Rectangle, bool) {
	h, w := r.src.Rect.Dy(), r.src.Rect.Dx()
	area, aspect := r.g.Box.draw(r.rng, w, h)
	quarter := area / 4 * float64(h) * float64(w)
	halfH := max(1, int(math.RoundToEven(min(math.Sqrt(quarter*aspect), float64(h)))))
	halfW := max(1, int(math.RoundToEven(min(quarter/float64(halfH), float64(w)))))
	if h <= 2*halfH || w <= 2*halfW {
		return image.Rectangle{}, false
	}
	y, x := halfH+r.rng.IntN(h-2*halfH), halfW+r.rng.IntN(w-2*halfW)
	return image.Rect(x-halfW, y-halfH, x+halfW, y+halfH), true
}

// ellipses draws the union of g.Ellipses ellipses on a w x h raster, 255 inside. Half axes go from lo to half of half the
// patch's side. The form is that of the article's code, whose second line has a plus where a turned ellipse has a minus:
// near 45 degrees its shapes become bands along the diagonal.
func (r *nsaRun) ellipses(w, h, halfH, halfW, loH, loW int) *image.Gray {
	m := image.NewGray(image.Rect(0, 0, w, h))
	axis := func(lo, half int) float64 {
		lo = max(lo, 1)
		return float64(lo + r.rng.IntN(max(lo+1, half/2)-lo))
	}
	for range r.g.Ellipses {
		sin, cos := math.Sincos(r.rng.Float64() * math.Pi)
		y0, x0 := float64(r.rng.IntN(h)), float64(r.rng.IntN(w))
		a, b := axis(loH, halfH), axis(loW, halfW)
		ellipse(m, sin, cos, y0, x0, a, b)
	}
	return m
}

// ellipse adds one shape with its middle at (y0, x0): a is the half axis along the rows' direction, b along the columns'.
func ellipse(m *image.Gray, sin, cos, y0, x0, a, b float64) {
	for y := range m.Rect.Dy() {
		row := m.Pix[y*m.Stride : y*m.Stride+m.Rect.Dx()]
		dy := float64(y) - y0
		for x := range row {
			dx := float64(x) - x0
			u, v := (dy*cos+dx*sin)/a, (dy*sin+dx*cos)/b
			if u*u+v*v <= 1 {
				row[x] = 255
			}
		}
	}
}

// harden makes a mask 0/255 again after resizing.
func harden(m *image.Gray) {
	for i, v := range m.Pix {
		m.Pix[i] = uint8(int8(v) >> 7)
	}
}

// shapeShare is the share of the shape's pixels that show an object; nil is a full shape.
func shapeShare(obj, shape *image.Gray) float64 {
	if shape == nil {
		return objectShare(obj)
	}
	both, all := 0, 0
	for y := range obj.Rect.Dy() {
		o, s := obj.Pix[y*obj.Stride:], shape.Pix[y*shape.Stride:]
		for x := range obj.Rect.Dx() {
			all += int(s[x] >> 7)
			both += int(o[x] & s[x] >> 7)
		}
	}
	if all == 0 {
		return 0
	}
	return float64(both) / float64(all)
}

// shapes returns the two masks of a patch that lies at at: shown is where it counts and, in Swap and Uniform, where it is
// pasted; solved is what Poisson blending is given, shown and what is background in both images. nil means all of it.
func (r *nsaRun) shapes(pw, ph int, shape, obj *image.Gray, at image.Point) (shown, solved *image.Gray) {
	shown, solved = shape, shape
	if obj != nil {
		shown = image.NewGray(image.Rect(0, 0, pw, ph))
		if shape != nil {
			solved = image.NewGray(shown.Rect)
		}
		for y := range ph {
			o, d := obj.Pix[y*obj.Stride:], r.objDst.Pix[(at.Y+y)*r.objDst.Stride+at.X:]
			for x := range pw {
				// obj was resized and holds values between: 128 and more count.
				i, on := y*pw+x, uint8(int8(o[x]|d[x])>>7)
				if shape == nil {
					shown.Pix[i] = on
				} else {
					shown.Pix[i] = on & shape.Pix[y*shape.Stride+x]
					solved.Pix[i] = shown.Pix[i] | ^on
				}
			}
		}
	}
	if r.factor < 1 { // whole weight takes the faster way through a nil mask
		weight := uint8(math.Ceil(r.factor * 255))
		m := image.NewGray(image.Rect(0, 0, pw, ph))
		for i := range m.Pix {
			m.Pix[i] = weight
			if solved != nil {
				m.Pix[i] &= solved.Pix[i]
			}
		}
		solved = m
	}
	return shown, solved
}

// inner counts the set pixels of a mask without its one-pixel frame.
func inner(m *image.Gray) int {
	n := 0
	for y := 1; y < m.Rect.Dy()-1; y++ {
		for _, v := range m.Pix[y*m.Stride+1 : y*m.Stride+m.Rect.Dx()-1] {
			if v != 0 {
				n++
			}
		}
	}
	return n
}

// paste is Swap and Uniform: it lays p over the running result. False: no pixel would change by more than the tolerance;
// nothing has changed then.
func (r *nsaRun) paste(p *image.RGBA, shown *image.Gray, at image.Point) bool {
	box := p.Rect.Add(at)
	f := 1.0
	if r.g.Mode == Uniform {
		f = r.factor
	}
	value := func(d, s uint8) uint8 {
		if f == 1 {
			return s
		}
		return uint8(min(max(math.Floor(float64(d)-f*float64(d)+f*float64(s)), 0), 255))
	}
	limit, seen := int(3*r.g.Tol), false
	for pass := range 2 { // look first, then write
		for y := range p.Rect.Dy() {
			px := r.out.Pix[(at.Y+y)*r.out.Stride+4*at.X:][:4*p.Rect.Dx()]
			src := p.Pix[y*p.Stride:]
			for x := range p.Rect.Dx() {
				if shown != nil && shown.Pix[y*shown.Stride+x] == 0 {
					continue
				}
				i, change := 4*x, 0
				for c := i; c < i+3; c++ {
					v := value(px[c], src[c])
					if pass == 0 {
						change += absInt(int(v) - int(px[c]))
					} else {
						px[c] = v
					}
				}
				if pass == 1 {
					r.support.Pix[(at.Y+y)*r.support.Stride+at.X+x] = 255
				}
				seen = seen || change > limit
			}
		}
		if !seen {
			return false
		}
	}
	r.touched = r.touched.Union(box)
	return true
}

// mark adds a mask's pixels inside rect to the label's place.
func mark(label *image.Gray, rect image.Rectangle, at image.Point, m *image.Gray) {
	for y := rect.Min.Y; y < rect.Max.Y; y++ {
		p := m.Pix[(y-at.Y)*m.Stride+rect.Min.X-at.X:]
		out := label.Pix[y*label.Stride+rect.Min.X:]
		for x := range rect.Dx() {
			out[x] |= p[x]
		}
	}
}
