package synth

import (
	"errors"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
)

// Unchanged makes a twin without damage: the image itself, or the image with another exposure and a little more noise of
// the sensor. Pair.Normal is true, Mask empty, Support all of the image. What learns from twins learns from it that light
// is no damage. Zero is a value, not a request for a default: start from DefaultUnchanged. An Unchanged is safe for
// concurrent use when every call has its own rng.
type Unchanged struct {
	Share      float64 // probability that anything changes, 0 to 1; else the twin is the image
	Brightness Span    // grey levels that are added, -255 to 255, drawn evenly
	Contrast   Span    // factor of the distance from the middle of the scale, 128, 0 to 4, drawn evenly
	Noise      Span    // deviation of normal noise, in grey levels, 0 to 64, drawn evenly; the same in the three channels

	Label LabelMode // LabelNone, or any other for a label that is 0 everywhere
}

// DefaultUnchanged leaves half of its twins as they are and changes the others by up to 10 grey levels, 7 % of contrast and
// one level of noise.
func DefaultUnchanged() Unchanged {
	return Unchanged{Share: 0.5, Brightness: Span{-10, 10}, Contrast: Span{0.93, 1.07}, Noise: Span{0, 1}, Label: LabelMask}
}

// Validate says which field is out of its range, if any; the error is an ErrSettings.
func (g Unchanged) Validate() error {
	switch {
	case !(g.Share >= 0 && g.Share <= 1):
		return fieldErr("Unchanged", "Share", g.Share, "must be from 0 to 1")
	case !g.Brightness.within(-255, 255):
		return fieldErr("Unchanged", "Brightness", g.Brightness, "must satisfy -255 <= Lo <= Hi <= 255")
	case !g.Contrast.within(0, 4):
		return fieldErr("Unchanged", "Contrast", g.Contrast, "must satisfy 0 <= Lo <= Hi <= 4")
	case !g.Noise.within(0, 64):
		return fieldErr("Unchanged", "Noise", g.Noise, "must satisfy 0 <= Lo <= Hi <= 64")
	case g.Label < LabelBinary || g.Label > LabelSupport:
		return fieldErr("Unchanged", "Label", g.Label, "is unknown")
	}
	return nil
}

// Generate implements Generator; src is looked at for its size alone. It is never ErrNotPlaced.
func (g Unchanged) Generate(dst, src image.Image, rng *rand.Rand) (Pair, error) {
	return fresh(g, dst, src, rng)
}

// GenerateInto implements Reuser; see Generate.
func (g Unchanged) GenerateInto(p *Pair, dst, src image.Image, rng *rand.Rand) error {
	if err := g.Validate(); err != nil {
		return err
	}
	d, s, err := inputs("Unchanged", dst, src, rng)
	if err != nil {
		return err
	}
	p.begin(KindUnchanged, d, s)
	fillGray(p.Support, d.Rect, 255)
	if rng.Float64() < g.Share {
		add, factor, noise := between(rng, g.Brightness), between(rng, g.Contrast), between(rng, g.Noise)
		for i := 0; i+3 < len(p.Image.Pix); i += 4 {
			n := 128 + add
			if noise > 0 {
				n += noise * rng.NormFloat64()
			}
			for c := i; c < i+3; c++ {
				p.Image.Pix[c] = uint8(cutLevel((float64(p.Image.Pix[c])-128)*factor+n) + 0.5)
			}
		}
	}
	p.normal(g.Label)
	return nil
}

// normal makes p a normal pair.
func (p *Pair) normal(label LabelMode) {
	p.Normal, p.Placed, p.Label = true, 1, p.Label[:0]
	if label == LabelNone {
		p.Label = nil
		return
	}
	p.Label = grow(p.Label, len(p.Mask.Pix))
	clear(p.Label)
}

// Reseam makes a twin without damage that has gone through what blending does to a damaged one: a patch of the image is
// resized up and down again and blended, by Poisson image editing, into the place that it came from. Pair.Normal is true,
// Mask empty, Support the blended box. What learns from twins learns from it that resampling and rounding are no damage,
// and cannot tell NSA's twins by these. Zero is a value, not a request for a default: start from DefaultReseam. A Reseam is
// safe for concurrent use when every call has its own rng.
type Reseam struct {
	Box      Box  // size of the patch
	Resample Span // factor by which the patch grows before it shrinks again, 1 to 4, drawn evenly; 1 leaves it as it is
	Mode     Mode // Normal, Mixed or Coin
	Erode    int  // pixels by which blending shrinks the patch's mask, 0 to 64
	Truncate bool // cut results to whole grey levels as OpenCV does, half a level darker on average; false: round

	Attempts int // draws until a patch fits, at least 1

	Label LabelMode // LabelNone, or any other for a label that is 0 everywhere

	// Blender holds tables and work buffers between calls and is shared by copies of this value. Nil is allowed.
	Blender *Blender `json:"-"`
}

// DefaultReseam blends patches from 8 pixels to three tenths of the image, resized by up to 1.3, as MixtureNSA does.
func DefaultReseam() Reseam {
	return Reseam{
		Box:      Box{Side: Size{Least: 8, Share: 0.3}, Aspect: Span{0.5, 2}},
		Resample: Span{1, 1.3}, Mode: Coin, Erode: 1, Attempts: 10, Label: LabelMask, Blender: &Blender{},
	}
}

// Validate says which field is out of its range, if any; the error is an ErrSettings.
func (g Reseam) Validate() error {
	switch {
	case g.Box.fault() != "":
		return fieldErr("Reseam", "Box", g.Box, g.Box.fault())
	case !g.Resample.within(1, 4):
		return fieldErr("Reseam", "Resample", g.Resample, "must satisfy 1 <= Lo <= Hi <= 4")
	case g.Mode < Normal || g.Mode > Coin:
		return fieldErr("Reseam", "Mode", g.Mode, "must be Normal, Mixed or Coin")
	case g.Erode < 0 || g.Erode > maxErode:
		return fieldErr("Reseam", "Erode", g.Erode, fmt.Sprintf("must be from 0 to %d", maxErode))
	case g.Attempts < 1:
		return fieldErr("Reseam", "Attempts", g.Attempts, "must be at least 1")
	case g.Label < LabelBinary || g.Label > LabelSupport:
		return fieldErr("Reseam", "Label", g.Label, "is unknown")
	}
	return nil
}

// Generate implements Generator; src is looked at for its size alone. ErrNotPlaced says that no patch had room.
func (g Reseam) Generate(dst, src image.Image, rng *rand.Rand) (Pair, error) {
	return fresh(g, dst, src, rng)
}

// GenerateInto implements Reuser; see Generate.
func (g Reseam) GenerateInto(p *Pair, dst, src image.Image, rng *rand.Rand) error {
	if err := g.Validate(); err != nil {
		return err
	}
	d, s, err := inputs("Reseam", dst, src, rng)
	if err != nil {
		return err
	}
	b := g.Blender
	if b == nil {
		b = &Blender{}
	}
	w, h := d.Rect.Dx(), d.Rect.Dy()
	for range g.Attempts {
		area, aspect := g.Box.draw(rng, w, h)
		pixels := area * float64(w) * float64(h)
		pw := min(max(int(math.RoundToEven(math.Sqrt(pixels*aspect))), 4), w-2)
		ph := min(max(int(math.RoundToEven(math.Sqrt(pixels/aspect))), 4), h-2)
		box := spot(d.Rect.Inset(1), pw, ph, rng)
		factor := between(rng, g.Resample)
		opt := Poisson{Mode: g.Mode, Erode: g.Erode, Truncate: g.Truncate}
		if g.Mode == Coin {
			opt.Mode = Mode(rng.IntN(2)) // Normal or Mixed
		}
		patch := image.NewRGBA(image.Rect(0, 0, pw, ph))
		lw, lh := int(math.RoundToEven(float64(pw)*factor)), int(math.RoundToEven(float64(ph)*factor))
		if lw == pw && lh == ph {
			copyRGBA(patch, crop(d, box))
		} else {
			large := image.NewRGBA(image.Rect(0, 0, lw, lh))
			resizeBilinear(large.Pix, large.Stride, lw, lh, d.Pix[d.PixOffset(box.Min.X, box.Min.Y):], d.Stride, pw, ph, 4, float64(pw)/float64(lw), float64(ph)/float64(lh))
			resizeBilinear(patch.Pix, patch.Stride, pw, ph, large.Pix, large.Stride, lw, lh, 4, float64(lw)/float64(pw), float64(lh)/float64(ph))
		}
		p.begin(KindSeam, d, s)
		r, err := b.blend(p.Image, patch, nil, box.Min, opt, -1)
		if errors.Is(err, ErrNotPlaced) {
			continue
		}
		if err != nil {
			return fmt.Errorf("synth: Reseam: patch of %dx%d at %v: %w", pw, ph, box.Min, err)
		}
		fillGray(p.Support, r, 255)
		p.normal(g.Label)
		return nil
	}
	return fmt.Errorf("synth: Reseam on %dx%d: none of %d patches had room: %w", w, h, g.Attempts, ErrNotPlaced)
}
