package synth

// OfficialTAB is what TAB's released trainer does: one patch, gamma(2, 0.07)+0.05 of the side within [0.05, 0.2], normal
// or mixed by a coin, no foreground test, grey levels truncated. Its label, which the trainer never reads, is left out.
// A single draw is made: where the released code stops with an error, this returns ErrNotPlaced.
func OfficialTAB() NSA {
	g := DefaultNSA()
	g.Patches, g.Further = 1, 0
	g.Attempts = 1
	g.Truncate = true
	g.Label = LabelNone
	return g
}

// Reference is the plain program with OpenCV that this package is measured against: one patch, half its side
// gamma(2, 0.07)+0.05 within [0.05, 0.2] of the image, cut wholly inside src, resized evenly between 0.7 and 1.3, placed
// anywhere, normal or mixed by a coin, grey levels truncated, up to ten draws. A pasted side is 0.07 to 0.52 of the image,
// so its defects are larger than those of OfficialTAB, which holds the resized side within the bounds of the half side.
func Reference() NSA {
	g := OfficialTAB()
	g.Whole, g.Hold = true, false
	g.Scale = Scale{Law: ScaleUniform, Span: Span{0.7, 1.3}}
	g.MinPixels = 4
	g.Attempts = 10
	return g
}

// articleNSA holds what all settings of the NSA article share.
func articleNSA(patches int, scale Span, mode Mode) NSA {
	g := DefaultNSA()
	g.Patches = patches
	g.Size = Gamma{Shape: 2, Scale: 0.05, Offset: 0.03}
	g.Height, g.Width = Span{0.03, 0.40}, Span{0.03, 0.40}
	g.Scale.Span = scale
	g.Mode = mode
	g.Truncate = true
	g.Label = LabelLogistic
	return g
}

// ObjectNSA is the NSA article's setting for objects that fill the image or have no plain background (its cable and
// transistor): three patches at most, source gradients, resized between 0.7 and 1.3.
func ObjectNSA() NSA { return articleNSA(3, Span{0.7, 1.3}, Normal) }

// TextureNSA is the NSA article's setting for textures: four patches at most, mixed gradients, resized between 0.5 and 2.
func TextureNSA() NSA {
	g := articleNSA(4, Span{0.5, 2}, Mixed)
	g.Curve = Logistic{Steepness: 1. / 3, Midpoint: 7}
	return g
}

// ClassNSA is the NSA article's setting for a class of MVTec AD by its folder name ("metal_nut"); ok is false for a name
// that the article has no setting for. Sizes are shares of the image, so they hold at any resolution. One thing is not
// repeated: the article's code pastes patches of odd width one pixel to the right of the box that it records for the label;
// here the label is made of what changed, wherever that is.
func ClassNSA(class string) (g NSA, ok bool) {
	light, dark := Background{Brightness: 200, Threshold: 60}, Background{Brightness: 20, Threshold: 20}
	object := func(height, width Span, patches int, minObject float64, bg Background, c Logistic) (NSA, bool) {
		g := articleNSA(patches, Span{0.7, 1.3}, Normal)
		g.Height, g.Width = height, width
		g.Backgrounds = []Background{bg}
		g.MinObject, g.MinOverlap = minObject, 0.25
		g.Curve = c
		return g, true
	}
	switch class {
	case "bottle":
		return object(Span{.03, .40}, Span{.03, .40}, 3, .7, light, Logistic{1. / 12, 24})
	case "cable":
		g = ObjectNSA()
		g.Height, g.Width = Span{.05, .40}, Span{.05, .40}
		g.Curve = Logistic{1. / 12, 24}
		return g, true
	case "capsule":
		return object(Span{.03, .15}, Span{.03, .40}, 3, .7, light, Logistic{1. / 2, 4})
	case "hazelnut":
		return object(Span{.03, .35}, Span{.03, .35}, 3, .7, dark, Logistic{1. / 12, 24})
	case "metal_nut":
		return object(Span{.03, .40}, Span{.03, .40}, 3, .5, dark, Logistic{1. / 3, 7})
	case "pill":
		return object(Span{.03, .20}, Span{.03, .40}, 3, .7, dark, Logistic{1. / 3, 7})
	case "screw":
		return object(Span{.03, .12}, Span{.03, .12}, 4, .5, light, Logistic{1, 3})
	case "toothbrush":
		return object(Span{.03, .40}, Span{.03, .20}, 3, .25, dark, Logistic{1. / 6, 15})
	case "transistor":
		return ObjectNSA(), true
	case "zipper":
		return object(Span{.03, .40}, Span{.03, .20}, 4, .7, light, Logistic{1. / 6, 15})
	case "carpet", "grid", "leather", "tile":
		return TextureNSA(), true
	case "wood":
		g = TextureNSA()
		g.Curve = Logistic{1. / 6, 15}
		return g, true
	}
	return NSA{}, false
}
