package synth

import (
	"fmt"
	"image"
	"math/rand/v2"
)

// Mask blanks random cells of a grid (Zavrtanik, Kristan, Skočaj, "Reconstruction by inpainting for visual anomaly
// detection", Pattern Recognition 2021, called RIAD below). The cells are shuffled and dealt into groups one after the
// other, each as large as the first can be; one group, drawn evenly, is blanked. The last groups can be short or empty: of
// the 52 groups of TAB's 196 cells, 49 hold four and three hold none, so that draw is not placed. Cells at the right and lower border may be narrower. An
// image with fewer cells than groups has as many groups as cells. Zero is a value, not a request for a default: start from
// a preset. A Mask is safe for concurrent use when every call has its own rng.
type Mask struct {
	Sides  []int    // sides of a cell in pixels, one of which is drawn evenly, each at least 1 (RIAD: 2, 4, 8, 16; TAB's code: 16)
	Groups int      // how many groups the cells are dealt into, at least 1 (RIAD: 3; TAB's code: 52)
	Fill   [3]uint8 // colour of a blanked cell, red, green, blue (both: black)

	Attempts int // whole draws until one shows, at least 1 (both: 1)

	Tol   float64   // grey levels by which a pixel must change to count, 0 to 255
	Label LabelMode // what Pair.Label holds; all but LabelContinuous
	Curve Logistic  // curve of LabelLogistic
}

// DefaultMask is what the TAB article compares with, by the values of its released code: cells of 16 pixels, one group of
// 52, black; about two hundredths of a 224x224 image.
func DefaultMask() Mask {
	return Mask{
		Sides: []int{16}, Groups: 52, Attempts: 1,
		Tol: 1, Label: LabelSupport, Curve: Logistic{Steepness: 1. / 6, Midpoint: 15},
	}
}

// RIADMask is RIAD's setting: cells of 2, 4, 8 or 16 pixels, a third of the image.
func RIADMask() Mask {
	g := DefaultMask()
	g.Sides, g.Groups = []int{2, 4, 8, 16}, 3
	return g
}

// Validate says which field is out of its range, if any; the error is an ErrSettings.
func (g Mask) Validate() error {
	switch {
	case len(g.Sides) == 0:
		return fieldErr("Mask", "Sides", g.Sides, "must hold at least one side")
	case g.Groups < 1:
		return fieldErr("Mask", "Groups", g.Groups, "must be at least 1")
	case g.Attempts < 1:
		return fieldErr("Mask", "Attempts", g.Attempts, "must be at least 1")
	}
	for i, s := range g.Sides {
		if s < 1 {
			return fieldErr("Mask", fmt.Sprintf("Sides[%d]", i), s, "must be at least 1")
		}
	}
	return checkTruth("Mask", g.Tol, g.Label, g.Curve)
}

// Generate implements Generator; src is looked at for its size alone.
func (g Mask) Generate(dst, src image.Image, rng *rand.Rand) (Pair, error) {
	return fresh(g, dst, src, rng)
}

// GenerateInto implements Reuser; see Generate.
func (g Mask) GenerateInto(p *Pair, dst, src image.Image, rng *rand.Rand) error {
	if p == nil {
		return errNoPair
	}
	if err := g.Validate(); err != nil {
		return err
	}
	d, s, err := inputs("Mask", dst, src, rng)
	if err != nil {
		return err
	}
	for range g.Attempts {
		p.begin(KindMask, d, s)
		r := g.blank(p, rng)
		if p.measure(d, r, g.Tol) > 0 {
			p.label(d, nil, r, g.Label, g.Curve, 1)
			return nil
		}
	}
	return fmt.Errorf("synth: Mask on %dx%d: none of %d draws changed a pixel by more than %g grey levels: %w", d.Rect.Dx(), d.Rect.Dy(), g.Attempts, g.Tol, ErrNotPlaced)
}

// blank fills the cells of one group and returns the box around them. Which group it is tells how many cells it holds;
// which cells these are is an even choice among all sets of so many, made cell by cell without shuffling (Knuth's algorithm S).
func (g Mask) blank(p *Pair, rng *rand.Rand) image.Rectangle {
	w, h := p.Image.Rect.Dx(), p.Image.Rect.Dy()
	side := g.Sides[rng.IntN(len(g.Sides))]
	cols, rows := (w+side-1)/side, (h+side-1)/side
	n := cols * rows
	groups := min(g.Groups, n)
	per := (n + groups - 1) / groups
	left := min(max(n-rng.IntN(groups)*per, 0), per)
	p.Placed = left
	var box image.Rectangle
	for i := 0; i < n && left > 0; i++ {
		if rng.IntN(n-i) >= left {
			continue
		}
		left--
		x, y := i%cols*side, i/cols*side
		r := image.Rect(x, y, min(x+side, w), min(y+side, h))
		fillGray(p.Support, r, 255)
		for y := r.Min.Y; y < r.Max.Y; y++ {
			row := p.Image.Pix[p.Image.PixOffset(r.Min.X, y):][:4*r.Dx()]
			for j := 0; j+3 < len(row); j += 4 {
				row[j], row[j+1], row[j+2] = g.Fill[0], g.Fill[1], g.Fill[2]
			}
		}
		box = box.Union(r)
	}
	return box
}
