package synth

import (
	"errors"
	"fmt"
	"image"
	"math/rand/v2"
)

// Errors of this package, to be tested with errors.Is.
var (
	// ErrNotPlaced says that a draw made no defect: no patch found a place, or what was blended changed no pixel by
	// more than the tolerance. Another draw may succeed; a caller that trains counts these.
	ErrNotPlaced = errors.New("no defect was placed")
	// ErrInvisible is an ErrNotPlaced too: defects were placed, and none changed enough to be seen; see Visible.
	ErrInvisible = fmt.Errorf("the change is too faint to be seen: %w", ErrNotPlaced)
	// ErrSettings says that a setting is out of its range; the message names the field.
	ErrSettings = errors.New("bad setting")
	// ErrImage says that an image or a mask cannot be used: nil, too small, or of the wrong size.
	ErrImage = errors.New("unusable image")
	// ErrNoRand says that the random source is nil.
	ErrNoRand = errors.New("the random source is nil")

	errNoPair = fmt.Errorf("synth: generate into: the pair is nil: %w", ErrImage)
)

// MinSide is the least width and height, in pixels, of an image that a generator takes.
const MinSide = 8

// Pair is what a generator makes of one good image. All rasters have the size of dst and their origin at (0,0).
type Pair struct {
	// Image is the damaged twin. Its alpha is that of dst as image/draw converts it: 255 for every opaque image.
	Image *image.RGBA
	// Support is 255 where the generator may have changed a pixel and 0 where it has not: there Image equals dst.
	Support *image.Gray
	// Mask is 255 where the mean over the colour channels of |Image - dst| exceeds the tolerance; it lies inside Support.
	// It is empty in a normal pair.
	Mask *image.Gray
	// Label holds width*height values from 0 (good) to 1, in row order (grey levels for LabelIntensity); nil for LabelNone.
	Label []float32
	// Placed is the number of patches, strips or cells that were placed (for Perlin 1), at least 1.
	Placed int
	// Change is how much is to be seen: the mean over Mask's pixels and the colour channels of |Image - dst|, in grey levels.
	Change float64
	// Kind says what made the pair.
	Kind Kind
	// Normal says that what changed is no damage (Unchanged, Reseam): Mask is empty, Label all 0 and Change 0, whatever
	// happened inside Support.
	Normal bool
}

// Generator makes damaged twins. Implementations are safe for concurrent use when every call has its own rng. One of your
// own fills Image, Support, Mask, Placed, Change and Kind (any name) of the Pair, and Label if what reads the pair does; it
// needs a Fingerprint (Fingerprinter) for a training to be resumed.
type Generator interface {
	// Generate damages a copy of dst with material from src, an image of the same class; dst and src stay as they are and
	// may be the same. Any image type and any origin will do, from 8x8 pixels. It returns ErrNotPlaced when this draw made
	// no defect, ErrImage for an unusable image, ErrNoRand for a nil rng, ErrSettings for a setting out of range.
	Generate(dst, src image.Image, rng *rand.Rand) (Pair, error)
}
