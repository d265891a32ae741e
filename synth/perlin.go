package synth

import (
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"sync"
)

// maxGrid bounds the exponents of Perlin.Grid.
const maxGrid = 10

// Perlin lays a texture over the image where gradient noise is high (Zavrtanik, Kristan, Skočaj, "DRAEM - A
// discriminatively trained reconstruction embedding for surface anomaly detection", ICCV 2021). Inside the noise's mask a
// pixel becomes (1-b)*texture + b*image, rounded, with b drawn from Beta. Zero is a value, not a request for a default:
// start from a preset. A Perlin is safe for concurrent use when every call has its own rng.
//
// Two things of DRAEM's trainer are left to the caller: it leaves half of its images undamaged, and it turns three in ten
// images by up to 90 degrees before it damages them.
type Perlin struct {
	Grid      [2]int  // the noise has 2^i x 2^j cells, i and j drawn evenly from Grid[0] to Grid[1]-1, 0 <= Grid[0] < Grid[1] <= 10 (DRAEM: 0, 6)
	Angle     Span    // degrees by which the noise is turned about the image's middle, drawn evenly, -360 to 360 (DRAEM: -90 to 90)
	Threshold float64 // noise, -1 to 1, above which a pixel is damaged (DRAEM: 0.5; TAB's code: 0.65)
	Beta      Span    // share of the image that shines through, drawn evenly, 0 to 1 (both: 0 to 0.8)

	Augment  int     // how many different steps change the texture, in random order, 0 to all (DRAEM: 3; TAB's code: 5)
	HueScale bool    // an eleventh step to choose from: hue and saturation times 0.5 to 1.5 (TAB's code)
	Gain     float64 // factor of the texture, 0 to 1 (DRAEM: 1; TAB's code, see OfficialTABPerlin: 1/255)
	KeepGrey bool    // where dst is grey all over, so is the texture; false: the texture keeps its colours (both)

	Textures Textures `json:"-"` // nil: DrawnTextures

	Attempts int // whole draws until one shows, at least 1 (DRAEM: 1)

	Tol   float64   // grey levels by which a pixel must change to count, 0 to 255
	Label LabelMode // what Pair.Label holds; all but LabelContinuous (both: LabelSupport)
	Curve Logistic  // curve of LabelLogistic

	// Buffers keeps work memory between calls and is shared by copies of this value. Nil is allowed: every call then makes its own.
	Buffers *Buffers `json:"-"`
}

// Buffers holds work memory of generators between calls. The zero value is ready. It is safe for concurrent use and must
// not be copied after its first use.
type Buffers struct{ pool sync.Pool }

// String is the same for all, so that printing a setting that holds one gives the same text every time.
func (b *Buffers) String() string { return "Buffers" }

type perlinWork struct {
	texture image.RGBA
	tmp     []uint8
	noise   lattice
}

// DRAEMPerlin is DRAEM's setting.
func DRAEMPerlin() Perlin {
	return Perlin{
		Grid: [2]int{0, 6}, Angle: Span{-90, 90}, Threshold: 0.5, Beta: Span{0, 0.8},
		Augment: 3, Gain: 1,
		Attempts: 1,
		Tol:      1, Label: LabelSupport, Curve: Logistic{Steepness: 1. / 6, Midpoint: 15},
		Buffers: &Buffers{},
	}
}

// DefaultPerlin is DRAEM's setting with two changes for use as it is: grey images get grey textures, since colour alone
// would give the damage away, and up to ten draws are made until one shows.
func DefaultPerlin() Perlin {
	g := DRAEMPerlin()
	g.KeepGrey, g.Attempts = true, 10
	return g
}

// OfficialTABPerlin is what TAB's released code compares with: threshold 0.65, five steps out of eleven, the damage always
// asked for. That code adds a texture from 0 to 1 to an image from 0 to 255, so its damage is the image darkened to b of
// itself; Gain repeats this, and a Gain of 1 is what its arithmetic was likely meant to do. (It also leaves the damaged
// image without the normalisation that the good one gets, which is the trainer's business and not repeated.)
func OfficialTABPerlin() Perlin {
	g := DRAEMPerlin()
	g.Threshold, g.Augment, g.HueScale, g.Gain = 0.65, 5, true, 1./255
	return g
}

// Validate says which field is out of its range, if any; the error is an ErrSettings.
func (g Perlin) Validate() error {
	bad := func(field string, value any, why string) error { return fieldErr("Perlin", field, value, why) }
	switch {
	case g.Grid[0] < 0 || g.Grid[0] >= g.Grid[1] || g.Grid[1] > maxGrid:
		return bad("Grid", g.Grid, fmt.Sprintf("must satisfy 0 <= Grid[0] < Grid[1] <= %d", maxGrid))
	case !(g.Angle.Lo >= -360 && g.Angle.Lo <= g.Angle.Hi && g.Angle.Hi <= 360):
		return bad("Angle", g.Angle, "must satisfy -360 <= Lo <= Hi <= 360")
	case !(g.Threshold >= -1 && g.Threshold <= 1):
		return bad("Threshold", g.Threshold, "must be from -1 to 1")
	case !(g.Beta.Lo >= 0 && g.Beta.Lo <= g.Beta.Hi && g.Beta.Hi <= 1):
		return bad("Beta", g.Beta, "must satisfy 0 <= Lo <= Hi <= 1")
	case g.Augment < 0 || g.Augment > g.steps():
		return bad("Augment", g.Augment, fmt.Sprintf("must be from 0 to %d", g.steps()))
	case !(g.Gain >= 0 && g.Gain <= 1):
		return bad("Gain", g.Gain, "must be from 0 to 1")
	case g.Attempts < 1:
		return bad("Attempts", g.Attempts, "must be at least 1")
	}
	return checkTruth("Perlin", g.Tol, g.Label, g.Curve)
}

// steps is how many steps Augment chooses from.
func (g Perlin) steps() int {
	if g.HueScale {
		return augKinds
	}
	return augHueMul
}

// Generate implements Generator; src is looked at for its size alone. An error of Textures comes back wrapped.
func (g Perlin) Generate(dst, src image.Image, rng *rand.Rand) (Pair, error) {
	return fresh(g, dst, src, rng)
}

// GenerateInto implements Reuser; see Generate.
func (g Perlin) GenerateInto(p *Pair, dst, src image.Image, rng *rand.Rand) error {
	if p == nil {
		return errNoPair
	}
	if err := g.Validate(); err != nil {
		return err
	}
	d, s, err := inputs("Perlin", dst, src, rng)
	if err != nil {
		return err
	}
	b := g.Buffers
	if b == nil {
		b = &Buffers{}
	}
	w, ok := b.pool.Get().(*perlinWork)
	if !ok {
		w = &perlinWork{}
	}
	defer b.pool.Put(w)
	for range g.Attempts {
		p.begin(KindPerlin, d, s)
		r := g.shape(p.Support, &w.noise, rng)
		if r.Empty() {
			continue
		}
		if err := g.paint(p, d, r, w, rng); err != nil {
			return err
		}
		if p.measure(d, r, g.Tol) > 0 {
			p.Placed = 1
			p.label(d, nil, r, g.Label, g.Curve, 1)
			return nil
		}
	}
	return fmt.Errorf("synth: Perlin on %dx%d: none of %d draws changed a pixel by more than %g grey levels: %w", d.Rect.Dx(), d.Rect.Dy(), g.Attempts, g.Tol, ErrNotPlaced)
}

// shape sets support to 255 where the turned noise exceeds the threshold and returns the box around it. Noise is computed
// at the turned place itself, not drawn first and turned then; what is turned in from outside counts as 0.
func (g Perlin) shape(support *image.Gray, n *lattice, rng *rand.Rand) image.Rectangle {
	w, h := support.Rect.Dx(), support.Rect.Dy()
	side := func() int { return 1 << (g.Grid[0] + rng.IntN(g.Grid[1]-g.Grid[0])) }
	rows, cols := side(), side()
	n.reset(rows, cols, rng)
	sin, cos := math.Sincos(between(rng, g.Angle) * math.Pi / 180)
	cx, cy := float64(w-1)/2, float64(h-1)/2
	perY, perX := float64(rows)/float64(h), float64(cols)/float64(w)
	outside := uint8(0)
	if 0 > g.Threshold {
		outside = 255
	}
	box := image.Rectangle{Min: image.Pt(w, h)}
	for y := range h {
		line := support.Pix[y*support.Stride : y*support.Stride+w]
		dy := float64(y) - cy
		first, last := w, -1
		for x := range line {
			dx := float64(x) - cx
			sx, sy := dx*cos-dy*sin+cx, dx*sin+dy*cos+cy
			v := outside
			// The slack keeps the border pixels of noise that is not turned at all.
			if sx > -1e-9 && sy > -1e-9 && sx < float64(w-1)+1e-9 && sy < float64(h-1)+1e-9 {
				v = 0
				if n.at(max(sy, 0)*perY, max(sx, 0)*perX) > g.Threshold {
					v = 255
				}
			}
			if v != 0 {
				line[x] = v
				first, last = min(first, x), x
			}
		}
		if last >= 0 {
			box.Min.X, box.Max.X = min(box.Min.X, first), max(box.Max.X, last+1)
			box.Min.Y, box.Max.Y = min(box.Min.Y, y), y+1
		}
	}
	if box.Max.X == 0 {
		return image.Rectangle{}
	}
	return box
}

// paint lays a texture over the part r of p.Image where p.Support is set.
func (g Perlin) paint(p *Pair, d *image.RGBA, r image.Rectangle, w *perlinWork, rng *rand.Rand) error {
	t := &w.texture
	t.Pix = grow(t.Pix, 4*d.Rect.Dx()*d.Rect.Dy())
	t.Stride, t.Rect = 4*d.Rect.Dx(), d.Rect
	source := g.Textures
	if source == nil {
		source = DrawnTextures{}
	}
	if err := source.Texture(t, rng); err != nil {
		return fmt.Errorf("synth: Perlin: take a texture: %w", err)
	}
	var order [augKinds]int
	for i := range order {
		order[i] = i
	}
	for i := range g.Augment {
		k := i + rng.IntN(g.steps()-i)
		order[i], order[k] = order[k], order[i]
		augment(t, order[i], &w.tmp, rng)
	}
	beta := between(rng, g.Beta)
	// Both sides in 2^-16, rounded once.
	a, b := int(math.Round((1-beta)*g.Gain*(1<<16))), int(math.Round(beta*(1<<16)))
	grey := g.KeepGrey && isGrey(d)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		px, tx := p.Image.Pix[y*p.Image.Stride:], t.Pix[y*t.Stride:]
		for x, on := range p.Support.Pix[y*p.Support.Stride:][:r.Max.X] {
			if on == 0 {
				continue
			}
			i := 4 * x
			c0, c1, c2 := int(tx[i]), int(tx[i+1]), int(tx[i+2])
			if grey {
				c0 = luma(tx[i], tx[i+1], tx[i+2])
				c1, c2 = c0, c0
			}
			px[i] = uint8((a*c0 + b*int(px[i]) + 1<<15) >> 16)
			px[i+1] = uint8((a*c1 + b*int(px[i+1]) + 1<<15) >> 16)
			px[i+2] = uint8((a*c2 + b*int(px[i+2]) + 1<<15) >> 16)
		}
	}
	return nil
}
