package dataset

import (
	"fmt"
	"image"
	"strconv"
	"strings"
)

// Least and largest side of a [View] that names a size, in pixels.
const (
	minViewSide = 32
	maxViewSide = 8192
)

// View says what of an image a network sees, in place of the cut that a method's own
// transform makes. The zero value is the method's own. A View is a value, comparable and
// safe for concurrent use.
type View struct {
	word  string // centre, square, tiles; empty for a size or the method's own
	size  image.Point
	tiles int // side; 0 for the shorter one
}

// ParseView reads "centre" (a square of the method's size, cut out of the resized image),
// "square" (the whole image, stretched to that size), "WxH" (the whole image, stretched to so many
// pixels), "tiles" (squares of the shorter side that overlap), "tiles:SIDE" (of so many
// pixels), or "" (the method's own). Sides are 32 to 8192. Other texts are an error that
// wraps [ErrConfig].
func ParseView(text string) (View, error) {
	side, tiled := strings.CutPrefix(text, "tiles:")
	if n, err := strconv.Atoi(side); tiled && err == nil && n >= minViewSide && n <= maxViewSide {
		return View{word: "tiles", tiles: n}, nil
	}
	switch text {
	case "", "centre", "square", "tiles":
		return View{word: text}, nil
	}
	var p image.Point
	if n, err := fmt.Sscanf(text, "%dx%d", &p.X, &p.Y); n == 2 && err == nil && text == fmt.Sprintf("%dx%d", p.X, p.Y) &&
		min(p.X, p.Y) >= minViewSide && max(p.X, p.Y) <= maxViewSide {
		return View{size: p}, nil
	}
	return View{}, fmt.Errorf("dataset: view: %w: it is %q, want centre, square, tiles, tiles:SIDE or a size such as 448x128, with sides of %d to %d", ErrConfig, text, minViewSide, maxViewSide)
}

// String returns the text that [ParseView] reads.
func (v View) String() string {
	switch {
	case v.size != image.Point{}:
		return fmt.Sprintf("%dx%d", v.size.X, v.size.Y)
	case v.tiles > 0:
		return fmt.Sprintf("tiles:%d", v.tiles)
	}
	return v.word
}

// Tiles are those that images are cut into; false where a network sees images.
func (v View) Tiles() (Tiles, bool) {
	t := DefaultTiles()
	t.Side = v.tiles
	return t, v.word == "tiles"
}

// Of returns a method's transform as the view has it. For tiles it is the transform of one.
func (v View) Of(t Transform) Transform {
	whole := t.Exact
	if t.Crop != (image.Point{}) {
		whole = t.Crop
	}
	switch {
	case v.size != image.Point{}:
		return Transform{Exact: v.size, Filter: t.Filter, RowsFirst: t.RowsFirst, Bits16: t.Bits16}
	case (v.word == "square" || v.word == "tiles") && whole != (image.Point{}):
		return Transform{Exact: whole, Filter: t.Filter, RowsFirst: t.RowsFirst, Bits16: t.Bits16}
	case v.word == "centre" && t.Crop == (image.Point{}) && whole != (image.Point{}):
		return Transform{Shorter: min(whole.X, whole.Y) * 8 / 7, Crop: whole, Filter: t.Filter, RowsFirst: t.RowsFirst, Bits16: t.Bits16}
	}
	return t
}
