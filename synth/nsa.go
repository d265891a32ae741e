package synth

import (
	"fmt"
	"image"
	"math"
	"math/rand/v2"
)

// LabelMode says what Pair.Label holds.
type LabelMode int

const (
	// LabelBinary is 1 where the change exceeds the tolerance, after a 5x5 median, else 0.
	LabelBinary LabelMode = iota
	// LabelIntensity is the mean absolute change over the channels in grey levels (0 to 255), inside the binary label,
	// after a median over a disk of radius 5.
	LabelIntensity
	// LabelLogistic is base / (1 + exp(-Steepness*(d-Midpoint))) with base the binary label and d the intensity label.
	LabelLogistic
	// LabelNone makes no label: Pair.Label is nil.
	LabelNone
	// LabelContinuous is the binary label times a factor drawn evenly between 0.05 and 0.95, one a call, by which NSA weighs
	// the patches (article's code: the mask of blending, rounded up to 1/255, or the mixing of Uniform). Of NSA alone.
	LabelContinuous
	// LabelMask is 1 where Pair.Mask is 255, else 0.
	LabelMask
	// LabelSupport is 1 where Pair.Support is 255, else 0: what Perlin and Mask take for the truth in their own articles.
	LabelSupport
)

// ScaleLaw says how the factor is drawn by which a patch is resized.
type ScaleLaw int

const (
	// ScaleOff leaves patches at their size.
	ScaleOff ScaleLaw = iota
	// ScaleNormal draws from a normal distribution with mean 1 and deviation Std, clipped to [Lo, Hi] (NSA article).
	ScaleNormal
	// ScaleUniform draws evenly from [Lo, Hi).
	ScaleUniform
)

// Span is a closed range.
type Span struct{ Lo, Hi float64 }

// Gamma is the law of half a patch's side as a share of the image's: Offset + Gamma(Shape, Scale). A Shape of 0 means an
// even draw between the bounds instead.
type Gamma struct{ Shape, Scale, Offset float64 }

// Scale is the resizing of a patch.
type Scale struct {
	Law ScaleLaw
	Span
	Std float64 // deviation for ScaleNormal
}

// Background describes the plain background of an object's photograph: a pixel belongs to it when its mean over the
// channels is within Threshold grey levels of Brightness (both 0 to 255).
type Background struct{ Brightness, Threshold float64 }

// Logistic is the curve of LabelLogistic: Steepness per grey level, Midpoint in grey levels.
type Logistic struct{ Steepness, Midpoint float64 }

// NSA blends patches of one image into another. Zero is a value, not a request for a default: start from DefaultNSA or
// from another preset. An NSA is safe for concurrent use when every call has its own rng.
//
// Sizes go by the image's height and width. First Height and Width bound HALF the side of what is cut out of src. With
// Hold, the article's code then applies the same bounds to the FULL side after resizing, so that a pasted patch is at most
// Hi of the image wide: that is kept, because it is what the published figures were made with.
type NSA struct {
	Patches int     // most patches a call, at least 1 (article: 3 for objects, 4 for textures)
	Further float64 // probability of each patch after the first, 0 to 1 (article's code: 0.5)

	Size          Gamma // law of half the side (article: 2, 0.05, 0.03; TAB's code: 2, 0.07, 0.05)
	Height, Width Span  // bounds of half the side, as shares of the image's height and width, 0 to 0.5
	Whole         bool  // the crop lies wholly inside src; false: its centre does, and the crop is cut at the border (article)
	Scale         Scale // resizing (article: normal, deviation 0.5, clipped to [0.7, 1.3] for objects, [0.5, 2] for textures)
	// Box draws the patch's side as CutPaste does instead; Size, Height, Width, Whole, Scale, Hold, Ellipses and Backgrounds
	// are then passed over. Off while Box.Area.Hi and
	// Box.Side.Least are 0. See CutPasteShapes.
	Box Box
	// Ellipses makes the pasted shape the union of so many random ellipses inside the patch; 0: all of the patch. See EllipseShapes.
	Ellipses int

	Hold  bool // round the bounds to pixels and hold the resized side between them (article)
	Shift bool // paste at a random place; false: where the crop came from (article: true)

	Mode     Mode // Normal, Mixed, Coin (a coin a call), Swap or Uniform (article: Normal for objects, Mixed for textures; TAB's code: Coin)
	Erode    int  // pixels by which blending shrinks a patch's mask, 0 to 64 (OpenCV: 3)
	Truncate bool // cut results to whole grey levels as OpenCV does, half a level darker on average; false: round

	Backgrounds []Background // a pixel is object when it belongs to none of these; empty: no foreground test
	MinObject   float64      // least share of object pixels in a patch, 0 to 1; foreground test only
	MinOverlap  float64      // least share of the patch's object that falls on dst's object, 0 to 1; foreground test only
	Tries       int          // places tried for one patch against the foreground test (article's code: 200)
	MinPixels   int          // least pixels of a patch without its one-pixel frame (article's code: 50)
	Attempts    int          // whole draws of a patch until one finds a place and shows, at least 1

	Tol   float64   // grey levels by which a pixel must change to count, 0 to 255 (article's code: 1)
	Label LabelMode // what Pair.Label holds
	Curve Logistic  // curve of LabelLogistic

	// Blender holds tables and work buffers between calls and is shared by copies of this value. Nil is allowed: every
	// call then makes its own, which is slower.
	Blender *Blender `json:"-"`
}

// DefaultNSA is the description in the TAB article with the patch sizes of its released code: several patches, each
// further one with probability 1/2 and four at most, resized, shifted, blended with normal or mixed gradients by a coin.
// Results are rounded, where the released code's OpenCV truncates.
func DefaultNSA() NSA {
	return NSA{
		Patches: 4, Further: 0.5,
		Size:   Gamma{Shape: 2, Scale: 0.07, Offset: 0.05},
		Height: Span{0.05, 0.2}, Width: Span{0.05, 0.2},
		Scale: Scale{Law: ScaleNormal, Span: Span{0.7, 1.3}, Std: 0.5},
		Hold:  true, Shift: true,
		Mode: Coin, Erode: 3,
		Tries: 200, MinPixels: 50, Attempts: 10,
		Tol: 1, Label: LabelBinary, Curve: Logistic{Steepness: 1. / 6, Midpoint: 15},
		Blender: &Blender{},
	}
}

// Validate says which field is out of its range, if any; the error is an ErrSettings.
func (g NSA) Validate() error {
	share := func(v float64) bool { return v >= 0 && v <= 1 }
	half := func(s Span) bool { return s.Lo >= 0 && s.Lo <= s.Hi && s.Hi <= 0.5 }
	finite := func(vs ...float64) bool {
		for _, v := range vs {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return false
			}
		}
		return true
	}
	switch {
	case g.Patches < 1:
		return settingErr("Patches", g.Patches, "must be at least 1")
	case !share(g.Further):
		return settingErr("Further", g.Further, "must be from 0 to 1")
	case !finite(g.Size.Shape, g.Size.Scale, g.Size.Offset) || g.Size.Shape < 0 || g.Size.Scale < 0:
		return settingErr("Size", g.Size, "must be finite, Shape and Scale not negative")
	case !half(g.Height):
		return settingErr("Height", g.Height, "must satisfy 0 <= Lo <= Hi <= 0.5")
	case !half(g.Width):
		return settingErr("Width", g.Width, "must satisfy 0 <= Lo <= Hi <= 0.5")
	case g.Scale.Law < ScaleOff || g.Scale.Law > ScaleUniform:
		return settingErr("Scale.Law", g.Scale.Law, "is unknown")
	case g.Scale.Law != ScaleOff && !(g.Scale.Lo > 0 && g.Scale.Lo <= g.Scale.Hi && g.Scale.Hi <= 16):
		return settingErr("Scale", g.Scale.Span, "must satisfy 0 < Lo <= Hi <= 16")
	case g.Scale.Law == ScaleNormal && !(g.Scale.Std >= 0 && finite(g.Scale.Std)):
		return settingErr("Scale.Std", g.Scale.Std, "must be finite and not negative")
	case g.Mode < Normal || g.Mode > Uniform:
		return settingErr("Mode", g.Mode, "is unknown")
	case g.Erode < 0 || g.Erode > maxErode:
		return settingErr("Erode", g.Erode, fmt.Sprintf("must be from 0 to %d", maxErode))
	case !share(g.MinObject):
		return settingErr("MinObject", g.MinObject, "must be from 0 to 1")
	case !share(g.MinOverlap):
		return settingErr("MinOverlap", g.MinOverlap, "must be from 0 to 1")
	case len(g.Backgrounds) > 0 && g.Tries < 1:
		return settingErr("Tries", g.Tries, "must be at least 1")
	case g.MinPixels < 0:
		return settingErr("MinPixels", g.MinPixels, "must not be negative")
	case g.Attempts < 1:
		return settingErr("Attempts", g.Attempts, "must be at least 1")
	case !(g.Tol >= 0 && g.Tol <= 255):
		return settingErr("Tol", g.Tol, "must be from 0 to 255")
	case g.Ellipses < 0 || g.Ellipses > maxEllipses:
		return settingErr("Ellipses", g.Ellipses, fmt.Sprintf("must be from 0 to %d", maxEllipses))
	case g.Box.on() && g.Box.fault() != "":
		return settingErr("Box", g.Box, g.Box.fault())
	case g.Label < LabelBinary || g.Label > LabelSupport:
		return settingErr("Label", g.Label, "is unknown")
	case g.Label == LabelLogistic && !finite(g.Curve.Steepness, g.Curve.Midpoint):
		return settingErr("Curve", g.Curve, "must be finite")
	}
	for i, b := range g.Backgrounds {
		if !(b.Brightness >= 0 && b.Brightness <= 255) || !(b.Threshold >= 0 && b.Threshold <= 255) {
			return settingErr(fmt.Sprintf("Backgrounds[%d]", i), b, "must hold values from 0 to 255")
		}
	}
	return nil
}

func settingErr(field string, value any, why string) error {
	return fieldErr("NSA", field, value, why)
}

// fieldErr says what is wrong with a field of a generator's settings.
func fieldErr(of, field string, value any, why string) error {
	return fmt.Errorf("synth: %s.%s is %v: it %s: %w", of, field, value, why, ErrSettings)
}

// Generate implements Generator. Patches are applied one after the other to the running result and always cut from src.
// Size, place and mode come from rng alone, so the same dst, src, settings and seed give the same bytes.
func (g NSA) Generate(dst, src image.Image, rng *rand.Rand) (Pair, error) {
	return fresh(g, dst, src, rng)
}

// GenerateInto implements Reuser; see Generate.
func (g NSA) GenerateInto(p *Pair, dst, src image.Image, rng *rand.Rand) error {
	if err := g.Validate(); err != nil {
		return err
	}
	d, s, err := inputs("NSA", dst, src, rng)
	if err != nil {
		return err
	}
	p.begin(KindNSA, d, s)
	run := newNSARun(g, d, s, rng)
	run.into(p)
	for i := range g.Patches {
		if i > 0 && rng.Float64() >= g.Further {
			continue // every further patch has its own coin; a refusal does not end the call
		}
		for range g.Attempts {
			ok, err := run.patch()
			if err != nil {
				return err
			}
			if ok {
				run.placed++
				break
			}
		}
	}
	return run.finish(p)
}
