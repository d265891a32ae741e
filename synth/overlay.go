package synth

import (
	"fmt"
	"image"
	"math/rand/v2"
)

// Overlay fills a form with foreign material: a texture, or a piece of the source image that lies elsewhere, turned by
// quarters. Zero is a value, not a request for a default: start from TextureOverlay or ShapeOverlay. An Overlay is safe for
// concurrent use when every call has its own rng.
type Overlay struct {
	Outlines Outlines
	// Textures is where the material comes from: DrawnTextures, images of textures, or TextureCrops of other products.
	// Nil: from src, the second image of a call. Pair.Kind is KindTexture or KindShape.
	Textures Textures `json:"-"`
	Gain     Span     // factor of the material's grey levels, 0 to 4, drawn evenly
	Shift    Span     // grey levels added to them, -255 to 255, drawn evenly
	Opacity  Span     // share of the material in what is seen, 0 to 1, drawn evenly
	KeepGrey bool     // where dst is grey all over, so is the material

	Attempts int // whole draws until one shows, at least 1

	Tol   float64   // grey levels by which a pixel must change to count, 0 to 255
	Label LabelMode // what Pair.Label holds; all but LabelContinuous
	Curve Logistic  // curve of LabelLogistic

	// Buffers keeps work memory between calls and is shared by copies of this value. Nil is allowed: every call then makes its own.
	Buffers *Buffers `json:"-"`
}

// TextureOverlay fills every form with a drawn texture, three parts in ten to the whole.
func TextureOverlay() Overlay {
	g := ShapeOverlay()
	g.Textures, g.Gain, g.Shift, g.Opacity = DrawnTextures{}, Span{1, 1}, Span{}, Span{0.3, 1}
	return g
}

// ShapeOverlay fills every form with the product's own material from another place, a little lighter or darker.
func ShapeOverlay() Overlay {
	return Overlay{
		Outlines: AllOutlines(), Gain: Span{0.8, 1.2}, Shift: Span{-20, 20}, Opacity: Span{0.7, 1}, KeepGrey: true,
		Attempts: 10, Tol: paintTol, Label: LabelMask, Curve: Logistic{Steepness: 1. / 6, Midpoint: 15}, Buffers: &Buffers{},
	}
}

func (g Overlay) painter() painter {
	kind := KindTexture
	if g.Textures == nil {
		kind = KindShape
	}
	return painter{"Overlay", kind, g.Attempts, g.Tol, g.Label, g.Curve, g.Buffers}
}

// Validate says which field is out of its range, if any; the error is an ErrSettings.
func (g Overlay) Validate() error {
	if err := g.Outlines.check("Overlay"); err != nil {
		return err
	}
	switch {
	case !g.Gain.within(0, 4):
		return fieldErr("Overlay", "Gain", g.Gain, "must satisfy 0 <= Lo <= Hi <= 4")
	case !g.Shift.within(-255, 255):
		return fieldErr("Overlay", "Shift", g.Shift, "must satisfy -255 <= Lo <= Hi <= 255")
	case !g.Opacity.within(0, 1):
		return fieldErr("Overlay", "Opacity", g.Opacity, "must satisfy 0 <= Lo <= Hi <= 1")
	}
	return g.painter().check()
}

// Generate implements Generator. An error of Textures comes back wrapped.
func (g Overlay) Generate(dst, src image.Image, rng *rand.Rand) (Pair, error) {
	return fresh(g, dst, src, rng)
}

// GenerateInto implements Reuser; see Generate.
func (g Overlay) GenerateInto(p *Pair, dst, src image.Image, rng *rand.Rand) error {
	if p == nil {
		return errNoPair
	}
	if err := g.Validate(); err != nil {
		return err
	}
	d, s, err := inputs("Overlay", dst, src, rng)
	if err != nil {
		return err
	}
	grey := g.KeepGrey && isGrey(d)
	return g.painter().into(p, d, s, func(w *paintWork) (image.Rectangle, error) {
		f := &w.stamp
		f.draw(g.Outlines, d.Rect.Dx(), d.Rect.Dy(), rng)
		size := f.rect.Size()
		if size.X == 0 || size.Y == 0 {
			return image.Rectangle{}, nil
		}
		t := &w.texture
		t.Pix = grow(t.Pix, 4*size.X*size.Y)
		t.Stride, t.Rect = 4*size.X, image.Rectangle{Max: size}
		if g.Textures == nil {
			cropTurned(t, s, rng)
		} else if err := g.Textures.Texture(t, rng); err != nil {
			return image.Rectangle{}, fmt.Errorf("synth: Overlay: take a texture: %w", err)
		}
		gain, shift, opacity := between(rng, g.Gain), between(rng, g.Shift), between(rng, g.Opacity)
		value := func(v uint8) float64 { return cutLevel(gain*float64(v) + shift) }
		f.lay(p, opacity, func(x, y int, _ []uint8) (float64, float64, float64) {
			q := t.Pix[(y-f.rect.Min.Y)*t.Stride+4*(x-f.rect.Min.X):][:3]
			if grey {
				v := value(uint8(luma(q[0], q[1], q[2])))
				return v, v, v
			}
			return value(q[0]), value(q[1]), value(q[2])
		})
		return f.rect, nil
	})
}

// TextureCrops are images whose parts serve as textures at their own scale: good images of other products, for example.
// An image is drawn, then a place in it and one of eight quarter turns and mirrorings. An image smaller than what is
// asked for is repeated, mirrored at its edges. An *image.RGBA is used as it is, every other type is converted at each call.
type TextureCrops []image.Image

// Texture implements Textures. ErrImage says that there is no image or that one is too small.
func (t TextureCrops) Texture(dst *image.RGBA, rng *rand.Rand) error {
	if len(t) == 0 {
		return fmt.Errorf("synth: texture: there are no images: %w", ErrImage)
	}
	k := rng.IntN(len(t))
	m, err := asRGBA(fmt.Sprintf("texture %d", k), t[k])
	if err != nil {
		return err
	}
	cropTurned(dst, m, rng)
	return nil
}

// cropTurned fills dst with a part of m that rng picks, turned by quarters or mirrored; alpha is 255.
func cropTurned(dst, m *image.RGBA, rng *rand.Rand) {
	w, h := dst.Rect.Dx(), dst.Rect.Dy()
	way := rng.IntN(8)
	pw, ph := w, h // of the part, before it is turned
	if way&4 != 0 {
		pw, ph = h, w
	}
	x0, y0 := rng.IntN(max(m.Rect.Dx()-pw, 0)+1), rng.IntN(max(m.Rect.Dy()-ph, 0)+1)
	for y := range h {
		row := dst.Pix[y*dst.Stride:][:4*w]
		for x := range w {
			sx, sy := x, y
			if way&4 != 0 {
				sx, sy = y, x
			}
			if way&1 != 0 {
				sx = pw - 1 - sx
			}
			if way&2 != 0 {
				sy = ph - 1 - sy
			}
			i := m.PixOffset(mirrored(x0+sx, m.Rect.Dx()), mirrored(y0+sy, m.Rect.Dy()))
			copyColour(row[4*x:4*x+4], m.Pix[i:i+4])
			row[4*x+3] = 255
		}
	}
}

// mirrored brings i, 0 or more, into [0, n) by mirroring at the ends.
func mirrored(i, n int) int {
	if i < n {
		return i
	}
	i %= 2 * n
	return min(i, 2*n-1-i)
}
