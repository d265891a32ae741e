package synth

import (
	"fmt"
	"image"
	"math"
	"math/rand/v2"
)

// Cut says what CutPaste cuts out.
type Cut int

const (
	// CutPatch is a rectangle (the article's CutPaste).
	CutPatch Cut = iota
	// CutScar is a thin strip, turned (the article's CutPaste-Scar).
	CutScar
	// CutEither is one of the two, by a coin a call: the two damaged classes of the article's three-way task, whose third
	// is the good image. Pair.Kind says which.
	CutEither
)

// CutPaste copies a rectangle or a thin strip of an image to another place, with its colours changed a little (Li, Sohn,
// Yoon, Pfister, "CutPaste: Self-Supervised Learning for Anomaly Detection and Localization", CVPR 2021). Zero is a value,
// not a request for a default: start from a preset. A CutPaste is safe for concurrent use when every call has its own rng.
type CutPaste struct {
	Cut Cut // CutPatch, CutScar or CutEither

	Box Box // size of the rectangle (article: area 0.02 to 0.15, side ratio 0.3 to 1/0.3; TAB's code: 0.02 to 0.09, 0.2 to 5)

	ScarWidth  Span // width of the strip in pixels, cut to a whole number, above 0 (article: 2 to 16)
	ScarHeight Span // height of the strip in pixels, cut to a whole number, above 0 (article: 10 to 25)
	ScarAngle  Span // degrees by which the strip is turned, anticlockwise, -360 to 360 (article: -45 to 45)
	ScarSide   int  // shorter side, in pixels, of the images that the two sizes are meant for: strips grow with larger ones; 0: they do not (article)

	Jitter Jitter // change of the patch's colours (article: 0.1 each)
	Other  bool   // cut out of src; false: out of dst itself (article)

	Attempts int // whole draws until one shows, at least 1 (article: 1)

	Tol   float64   // grey levels by which a pixel must change to count, 0 to 255
	Label LabelMode // what Pair.Label holds; all but LabelContinuous
	Curve Logistic  // curve of LabelLogistic
}

// DefaultCutPaste is the article's rectangle.
func DefaultCutPaste() CutPaste {
	return CutPaste{
		Cut:        CutPatch,
		Box:        Box{Area: Span{0.02, 0.15}, Aspect: Span{0.3, 1 / 0.3}, Law: AspectLog},
		ScarWidth:  Span{2, 16},
		ScarHeight: Span{10, 25},
		ScarAngle:  Span{-45, 45},
		Jitter:     Jitter{0.1, 0.1, 0.1, 0.1},
		Attempts:   1,
		Tol:        1, Label: LabelMask, Curve: Logistic{Steepness: 1. / 6, Midpoint: 15},
	}
}

// ScarCutPaste is the article's turned strip. Its sizes are pixels of a 256x256 image.
func ScarCutPaste() CutPaste {
	g := DefaultCutPaste()
	g.Cut = CutScar
	return g
}

// ThreeWayCutPaste is a rectangle or a strip by a coin: with the good image the three classes of the article's best task.
// See also ThreeWay, which makes both.
func ThreeWayCutPaste() CutPaste {
	g := DefaultCutPaste()
	g.Cut = CutEither
	return g
}

// OfficialTABCutPaste is what TAB's released code compares with: rectangles alone, area 0.02 to 0.09 of the image, side
// ratio 0.2 to 5.
func OfficialTABCutPaste() CutPaste {
	g := DefaultCutPaste()
	g.Box = Box{Area: Span{0.02, 0.09}, Aspect: Span{0.2, 5}, Law: AspectLog}
	return g
}

// Validate says which field is out of its range, if any; the error is an ErrSettings.
func (g CutPaste) Validate() error {
	bad := func(field string, value any, why string) error { return fieldErr("CutPaste", field, value, why) }
	strip := func(s Span) bool { return s.Lo > 0 && s.Lo <= s.Hi && s.Hi <= 1<<14 }
	switch {
	case g.Cut < CutPatch || g.Cut > CutEither:
		return bad("Cut", g.Cut, "is unknown")
	case g.Cut != CutScar && g.Box.fault() != "":
		return bad("Box", g.Box, g.Box.fault())
	case g.Cut != CutPatch && !strip(g.ScarWidth):
		return bad("ScarWidth", g.ScarWidth, "must satisfy 0 < Lo <= Hi <= 16384")
	case g.Cut != CutPatch && !strip(g.ScarHeight):
		return bad("ScarHeight", g.ScarHeight, "must satisfy 0 < Lo <= Hi <= 16384")
	case g.Cut != CutPatch && !(g.ScarAngle.Lo >= -360 && g.ScarAngle.Lo <= g.ScarAngle.Hi && g.ScarAngle.Hi <= 360):
		return bad("ScarAngle", g.ScarAngle, "must satisfy -360 <= Lo <= Hi <= 360")
	case g.ScarSide < 0:
		return bad("ScarSide", g.ScarSide, "must not be negative")
	case g.Jitter.fault() != "":
		return bad("Jitter", g.Jitter, g.Jitter.fault())
	case g.Attempts < 1:
		return bad("Attempts", g.Attempts, "must be at least 1")
	}
	return checkTruth("CutPaste", g.Tol, g.Label, g.Curve)
}

// checkTruth checks the three fields that say what counts as changed and what the label holds.
func checkTruth(of string, tol float64, label LabelMode, c Logistic) error {
	switch {
	case !(tol >= 0 && tol <= 255):
		return fieldErr(of, "Tol", tol, "must be from 0 to 255")
	case label < LabelBinary || label > LabelSupport:
		return fieldErr(of, "Label", label, "is unknown")
	case label == LabelContinuous:
		return fieldErr(of, "Label", label, "is LabelContinuous, which is NSA's alone")
	case label == LabelLogistic && (math.IsNaN(c.Steepness+c.Midpoint) || math.IsInf(c.Steepness, 0) || math.IsInf(c.Midpoint, 0)):
		return fieldErr(of, "Curve", c, "must be finite")
	}
	return nil
}

// Generate implements Generator.
func (g CutPaste) Generate(dst, src image.Image, rng *rand.Rand) (Pair, error) {
	return fresh(g, dst, src, rng)
}

// GenerateInto implements Reuser.
func (g CutPaste) GenerateInto(p *Pair, dst, src image.Image, rng *rand.Rand) error {
	if err := g.Validate(); err != nil {
		return err
	}
	d, s, err := inputs("CutPaste", dst, src, rng)
	if err != nil {
		return err
	}
	from := d
	if g.Other {
		from = s
	}
	cut := g.Cut
	if cut == CutEither {
		cut = CutPatch
		if rng.IntN(2) == 1 {
			cut = CutScar
		}
	}
	for range g.Attempts {
		p.begin(KindCutPatch, d, s)
		var r image.Rectangle
		if cut == CutPatch {
			r = g.patch(p, from, rng)
		} else {
			p.Kind = KindCutScar
			r = g.scar(p, from, rng)
		}
		if p.measure(d, r, g.Tol) > 0 {
			p.Placed = 1
			p.label(d, nil, r, g.Label, g.Curve, 1)
			return nil
		}
	}
	return fmt.Errorf("synth: CutPaste on %dx%d: none of %d draws changed a pixel by more than %g grey levels: %w", d.Rect.Dx(), d.Rect.Dy(), g.Attempts, g.Tol, ErrNotPlaced)
}

// ThreeWay makes the two damaged members of the article's three-way task from one image, whatever Cut says: a rectangle
// and a strip. The third member is dst. The error is that of the first of the two that fails.
func (g CutPaste) ThreeWay(dst, src image.Image, rng *rand.Rand) (patch, scar Pair, err error) {
	g.Cut = CutPatch
	if patch, err = g.Generate(dst, src, rng); err != nil {
		return Pair{}, Pair{}, err
	}
	g.Cut = CutScar
	if scar, err = g.Generate(dst, src, rng); err != nil {
		return Pair{}, Pair{}, err
	}
	return patch, scar, nil
}

// spot draws where a box of pw x ph lies, wholly inside r.
func spot(r image.Rectangle, pw, ph int, rng *rand.Rand) image.Rectangle {
	y := r.Min.Y + rng.IntN(r.Dy()-ph+1)
	x := r.Min.X + rng.IntN(r.Dx()-pw+1)
	return image.Rect(x, y, x+pw, y+ph)
}

// patch copies a rectangle and changes its colours where it has come to lie.
func (g CutPaste) patch(p *Pair, from *image.RGBA, rng *rand.Rand) image.Rectangle {
	w, h := p.Image.Rect.Dx(), p.Image.Rect.Dy()
	area, aspect := g.Box.draw(rng, w, h)
	pixels := area * float64(w) * float64(h)
	side := func(v float64, a, b int) int { return min(max(int(math.RoundToEven(v)), 1), a, b) }
	pw := side(math.Sqrt(pixels*aspect), w, from.Rect.Dx())
	ph := side(math.Sqrt(pixels/aspect), h, from.Rect.Dy())
	src, box := spot(from.Rect, pw, ph, rng), spot(p.Image.Rect, pw, ph, rng)
	for y := range ph {
		to := p.Image.Pix[p.Image.PixOffset(box.Min.X, box.Min.Y+y):][:4*pw]
		copyColour(to, from.Pix[from.PixOffset(src.Min.X, src.Min.Y+y):])
	}
	g.Jitter.apply(p.Image, box, rng)
	fillGray(p.Support, box, 255)
	return box
}

// copyColour copies pixels and leaves to's alpha.
func copyColour(to, from []uint8) {
	for i := 0; i+3 < len(to); i += 4 {
		to[i], to[i+1], to[i+2] = from[i], from[i+1], from[i+2]
	}
}

// scar copies a strip, changes its colours, turns it and pastes what lies inside: the pixel whose centre the strip covers
// takes the nearest pixel of the strip.
func (g CutPaste) scar(p *Pair, from *image.RGBA, rng *rand.Rand) image.Rectangle {
	w, h := p.Image.Rect.Dx(), p.Image.Rect.Dy()
	scale := 1.0
	if g.ScarSide > 0 {
		scale = float64(min(w, h)) / float64(g.ScarSide)
	}
	side := func(s Span, n int) int { return min(max(int(between(rng, s)*scale), 1), n) }
	pw, ph := side(g.ScarWidth, from.Rect.Dx()), side(g.ScarHeight, from.Rect.Dy())
	box := spot(from.Rect, pw, ph, rng)
	strip := image.NewRGBA(image.Rect(0, 0, pw, ph))
	copyRGBA(strip, crop(from, box))
	g.Jitter.apply(strip, strip.Rect, rng)
	sin, cos := math.Sincos(between(rng, g.ScarAngle) * math.Pi / 180)
	// The box around the turned strip; what does not fit into the image is cut off.
	fw, fh := float64(pw), float64(ph)
	bw := min(int(math.Ceil(fw*math.Abs(cos)+fh*math.Abs(sin)-1e-9)), w)
	bh := min(int(math.Ceil(fw*math.Abs(sin)+fh*math.Abs(cos)-1e-9)), h)
	to := spot(p.Image.Rect, bw, bh, rng)
	for y := range bh {
		px := p.Image.Pix[p.Image.PixOffset(to.Min.X, to.Min.Y+y):][:4*bw]
		support := p.Support.Pix[(to.Min.Y+y)*p.Support.Stride+to.Min.X:][:bw]
		dy := float64(y) + 0.5 - float64(bh)/2
		for x := range bw {
			dx := float64(x) + 0.5 - float64(bw)/2
			sx, sy := math.Floor(dx*cos-dy*sin+fw/2), math.Floor(dx*sin+dy*cos+fh/2)
			if sx < 0 || sy < 0 || sx >= fw || sy >= fh {
				continue
			}
			i := strip.PixOffset(int(sx), int(sy))
			copyColour(px[4*x:4*x+4], strip.Pix[i:])
			support[x] = 255
		}
	}
	return to
}
