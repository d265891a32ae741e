package synth

import (
	"fmt"
	"image"
	"math"
	"math/rand/v2"
)

// painter is what the generators that paint a form share: how many draws, what counts as changed, and work memory.
type painter struct {
	of       string
	kind     Kind
	attempts int
	tol      float64
	label    LabelMode
	curve    Logistic
	buffers  *Buffers
}

// paintWork is their work memory.
type paintWork struct {
	stamp   stamp
	texture image.RGBA
	field   [2]lattice
}

func (c painter) check() error {
	if c.attempts < 1 {
		return fieldErr(c.of, "Attempts", c.attempts, "must be at least 1")
	}
	return checkTruth(c.of, c.tol, c.label, c.curve)
}

// into draws until a draw shows. draw damages p, a copy of d, and returns the box of what it may have changed.
func (c painter) into(p *Pair, d, s *image.RGBA, draw func(w *paintWork) (image.Rectangle, error)) error {
	b := c.buffers
	if b == nil {
		b = &Buffers{}
	}
	w, ok := b.pool.Get().(*paintWork)
	if !ok {
		w = &paintWork{}
	}
	defer b.pool.Put(w)
	for range c.attempts {
		p.begin(c.kind, d, s)
		r, err := draw(w)
		if err != nil {
			return err
		}
		if p.measure(d, r, c.tol) > 0 {
			p.Placed = 1
			p.label(d, nil, r, c.label, c.curve, 1)
			return nil
		}
	}
	return fmt.Errorf("synth: %s on %dx%d: none of %d draws changed a pixel by more than %g grey levels: %w", c.of, d.Rect.Dx(), d.Rect.Dy(), c.attempts, c.tol, ErrNotPlaced)
}

// Noise fills a form with noise: normal grey values, one for each block of pixels, around a mean of its own. The idea is
// that of DefectMaker (Lyu, Mo, Wong, "REB: Reducing biases in representation for industrial anomaly detection",
// Knowledge-Based Systems 2024). Zero is a value, not a request for a default: start from DefaultNoise. A Noise is safe for
// concurrent use when every call has its own rng.
type Noise struct {
	Outlines  Outlines
	Mean      Span    // grey level around which the noise lies, 0 to 255, drawn evenly
	Deviation Span    // grey levels, 0 to 255, drawn evenly
	Blocks    []int   // sides of a block in pixels, one of which is drawn evenly, each 1 to 64
	Colour    float64 // probability that the three channels have means of their own, 0 to 1; never on a grey image
	Opacity   Span    // share of the noise in what is seen, 0 to 1, drawn evenly

	Attempts int // whole draws until one shows, at least 1

	Tol   float64   // grey levels by which a pixel must change to count, 0 to 255
	Label LabelMode // what Pair.Label holds; all but LabelContinuous
	Curve Logistic  // curve of LabelLogistic

	// Buffers keeps work memory between calls and is shared by copies of this value. Nil is allowed: every call then makes its own.
	Buffers *Buffers `json:"-"`
}

// DefaultNoise fills every form with blocks of 1, 2 or 4 pixels, from almost even to coarse, three parts in ten to the whole.
func DefaultNoise() Noise {
	return Noise{
		Outlines: AllOutlines(), Mean: Span{20, 235}, Deviation: Span{3, 50}, Blocks: []int{1, 2, 4}, Colour: 0.3, Opacity: Span{0.3, 1},
		Attempts: 10, Tol: paintTol, Label: LabelMask, Curve: Logistic{Steepness: 1. / 6, Midpoint: 15}, Buffers: &Buffers{},
	}
}

// paintTol is the default tolerance of painted kinds: their soft edges change pixels by a level or two that nobody sees.
const paintTol = 6

func (g Noise) painter() painter {
	return painter{"Noise", KindNoise, g.Attempts, g.Tol, g.Label, g.Curve, g.Buffers}
}

// Validate says which field is out of its range, if any; the error is an ErrSettings.
func (g Noise) Validate() error {
	if err := g.Outlines.check("Noise"); err != nil {
		return err
	}
	switch {
	case !g.Mean.within(0, 255):
		return fieldErr("Noise", "Mean", g.Mean, "must satisfy 0 <= Lo <= Hi <= 255")
	case !g.Deviation.within(0, 255):
		return fieldErr("Noise", "Deviation", g.Deviation, "must satisfy 0 <= Lo <= Hi <= 255")
	case len(g.Blocks) == 0:
		return fieldErr("Noise", "Blocks", g.Blocks, "must hold at least one side")
	case !(g.Colour >= 0 && g.Colour <= 1):
		return fieldErr("Noise", "Colour", g.Colour, "must be from 0 to 1")
	case !g.Opacity.within(0, 1):
		return fieldErr("Noise", "Opacity", g.Opacity, "must satisfy 0 <= Lo <= Hi <= 1")
	}
	for i, k := range g.Blocks {
		if k < 1 || k > 64 {
			return fieldErr("Noise", fmt.Sprintf("Blocks[%d]", i), k, "must be from 1 to 64")
		}
	}
	return g.painter().check()
}

// Generate implements Generator; src is looked at for its size alone.
func (g Noise) Generate(dst, src image.Image, rng *rand.Rand) (Pair, error) {
	return fresh(g, dst, src, rng)
}

// GenerateInto implements Reuser; see Generate.
func (g Noise) GenerateInto(p *Pair, dst, src image.Image, rng *rand.Rand) error {
	if p == nil {
		return errNoPair
	}
	if err := g.Validate(); err != nil {
		return err
	}
	d, s, err := inputs("Noise", dst, src, rng)
	if err != nil {
		return err
	}
	grey := isGrey(d)
	return g.painter().into(p, d, s, func(w *paintWork) (image.Rectangle, error) {
		f := &w.stamp
		f.draw(g.Outlines, d.Rect.Dx(), d.Rect.Dy(), rng)
		side := g.Blocks[rng.IntN(len(g.Blocks))]
		var mean [3]float64
		for c := range mean {
			mean[c] = between(rng, g.Mean)
		}
		if tinted := rng.Float64() < g.Colour; !tinted || grey {
			mean[1], mean[2] = mean[0], mean[0]
		}
		deviation, opacity := between(rng, g.Deviation), between(rng, g.Opacity)
		// One number a block, in levels around the mean.
		cols, rows := (f.rect.Dx()+side-1)/side, (f.rect.Dy()+side-1)/side
		f.tmp = grow(f.tmp, cols*rows)
		for i := range f.tmp {
			f.tmp[i] = float32(deviation * rng.NormFloat64())
		}
		f.lay(p, opacity, func(x, y int, _ []uint8) (float64, float64, float64) {
			n := float64(f.tmp[(y-f.rect.Min.Y)/side*cols+(x-f.rect.Min.X)/side])
			return cutLevel(mean[0] + n), cutLevel(mean[1] + n), cutLevel(mean[2] + n)
		})
		return f.rect, nil
	})
}

func cutLevel(v float64) float64 { return min(max(v, 0), 255) }

// Stain makes a form lighter or darker, in grey or in a colour, with a soft edge: dirt, wear, moisture, a burn. Zero is a
// value, not a request for a default: start from DefaultStain. A Stain is safe for concurrent use when every call has its
// own rng.
type Stain struct {
	Outlines Outlines
	Soft     Span    // deviation of the Gaussian that softens the edge, in pixels, 0 to 64, drawn evenly, at most a third of the form's side
	Strength Span    // grey levels by which the middle becomes lighter or darker, by a coin, above 0 to 255, even on a logarithmic scale
	Colour   float64 // probability that the channels change by different shares, 0 to 1; never on a grey image

	Attempts int // whole draws until one shows, at least 1

	Tol   float64   // grey levels by which a pixel must change to count, 0 to 255
	Label LabelMode // what Pair.Label holds; all but LabelContinuous
	Curve Logistic  // curve of LabelLogistic

	// Buffers keeps work memory between calls and is shared by copies of this value. Nil is allowed: every call then makes its own.
	Buffers *Buffers `json:"-"`
}

// DefaultStain is every form, softened by half a pixel to four, 10 to 70 grey levels strong.
func DefaultStain() Stain {
	return Stain{
		Outlines: AllOutlines(), Soft: Span{0.5, 4}, Strength: Span{10, 70}, Colour: 0.3,
		Attempts: 10, Tol: paintTol, Label: LabelMask, Curve: Logistic{Steepness: 1. / 6, Midpoint: 15}, Buffers: &Buffers{},
	}
}

func (g Stain) painter() painter {
	return painter{"Stain", KindStain, g.Attempts, g.Tol, g.Label, g.Curve, g.Buffers}
}

// Validate says which field is out of its range, if any; the error is an ErrSettings.
func (g Stain) Validate() error {
	if err := g.Outlines.check("Stain"); err != nil {
		return err
	}
	switch {
	case !g.Soft.within(0, 64):
		return fieldErr("Stain", "Soft", g.Soft, "must satisfy 0 <= Lo <= Hi <= 64")
	case !(g.Strength.Lo > 0 && g.Strength.within(0, 255)):
		return fieldErr("Stain", "Strength", g.Strength, "must satisfy 0 < Lo <= Hi <= 255")
	case !(g.Colour >= 0 && g.Colour <= 1):
		return fieldErr("Stain", "Colour", g.Colour, "must be from 0 to 1")
	}
	return g.painter().check()
}

// Generate implements Generator; src is looked at for its size alone.
func (g Stain) Generate(dst, src image.Image, rng *rand.Rand) (Pair, error) {
	return fresh(g, dst, src, rng)
}

// GenerateInto implements Reuser; see Generate.
func (g Stain) GenerateInto(p *Pair, dst, src image.Image, rng *rand.Rand) error {
	if p == nil {
		return errNoPair
	}
	if err := g.Validate(); err != nil {
		return err
	}
	d, s, err := inputs("Stain", dst, src, rng)
	if err != nil {
		return err
	}
	grey := isGrey(d)
	return g.painter().into(p, d, s, func(w *paintWork) (image.Rectangle, error) {
		f := &w.stamp
		f.draw(g.Outlines, d.Rect.Dx(), d.Rect.Dy(), rng)
		f.soften(min(between(rng, g.Soft), f.side/3), d.Rect)
		strength := logBetween(rng, g.Strength)
		if rng.IntN(2) == 1 {
			strength = -strength
		}
		var part [3]float64
		for c := range part {
			part[c] = rng.Float64()
		}
		most := max(part[0], part[1], part[2])
		tinted := rng.Float64() < g.Colour && !grey && most > 0
		// Softening and thin lines thin the cover out; the middle still changes by the whole strength.
		top := float32(0)
		for _, v := range f.cover {
			top = max(top, v)
		}
		if top == 0 {
			return image.Rectangle{}, nil
		}
		for c := range part {
			if !tinted {
				part[c] = most
			}
			part[c] *= strength / max(most, math.SmallestNonzeroFloat64) / float64(top)
		}
		// With a share of 1 the sum is laid down as it is: paint adds and lay mixes by the cover.
		f.lay(p, 1, func(_, _ int, px []uint8) (float64, float64, float64) {
			return float64(px[0]) + part[0], float64(px[1]) + part[1], float64(px[2]) + part[2]
		})
		return f.rect, nil
	})
}
