package dataset

import (
	"fmt"
	"image"
	"math"

	"github.com/gotab/gotab/internal/pixels"
)

// maxSide bounds the width and height that a Transform may ask for, in pixels.
const maxSide = 1 << 15

// Transform resizes and then cuts out the centre. The zero value changes
// nothing. Results equal those of Pillow's Image.resize and of torchvision's
// Resize and CenterCrop on Pillow images, byte for byte.
//
// A Transform is a value and safe for concurrent use. [Transform.Shared] makes
// one that remembers its tables of weights, which is faster for many images
// of few sizes.
type Transform struct {
	// Shorter is the length of the shorter side after resizing, in pixels; the
	// longer one follows, rounded down. 0 leaves it. Not together with Exact.
	Shorter int
	// Exact is the width and height after resizing, in pixels, whatever the
	// proportions. The zero point leaves them. Not together with Shorter.
	Exact image.Point
	// Filter is used for images; masks are resized with Nearest, or with
	// Bilinear by MaskBilinear.
	Filter Kernel
	// Crop is the width and height of the centre that is cut out after
	// resizing, in pixels. The zero point cuts nothing. Offsets of half a pixel
	// are rounded to the even neighbour, as Python does. An image that is
	// smaller is an error.
	Crop image.Point
	// RowsFirst resizes rows before columns for every size, as Pillow did
	// before version 13. Pillow 13 takes columns first where the height shrinks
	// by more than twice as many pixels as the width. With Shorter, images
	// that are square or wider than high come out alike.
	RowsFirst bool
	// Bits16 is how many of the 16 bits of *image.Gray16, RGBA64 and NRGBA64 count,
	// 8 to 16, as Decoder.Bits16 has it for files; 0 stands for 16. Images that a
	// [Decoder] has read are of 8 bits and stay. A detector keeps it with its
	// transform, so that what is scored is scaled as what was fitted; see
	// [Transform.Decoder] and [Transform.Agrees].
	Bits16 int

	shared *tables
}

// PaDiM224 is the transform of PaDiM and most detectors on MVTec AD: the
// shorter side to 256 with Lanczos, then the centre of 224x224.
func PaDiM224() Transform {
	return Transform{Shorter: 256, Filter: Lanczos, Crop: image.Pt(224, 224)}.Shared()
}

// Square resizes to n x n pixels with Lanczos and cuts nothing.
func Square(n int) Transform {
	return Transform{Exact: image.Pt(n, n), Filter: Lanczos}.Shared()
}

// Shared returns the same transform with a memory of weight tables and work
// space that all copies of the returned value use together.
func (t Transform) Shared() Transform {
	t.shared = newTables()
	return t
}

// String describes the transform for logs and messages. To compare settings, use
// [Transform.Fingerprint].
func (t Transform) String() string {
	s := ""
	switch {
	case t.Shorter != 0:
		s = fmt.Sprintf("shorter side %d %s", t.Shorter, t.Filter)
	case t.Exact != image.Point{}:
		s = fmt.Sprintf("exactly %s %s", sizeText(t.Exact), t.Filter)
	}
	if s != "" && t.RowsFirst {
		s += " rows first"
	}
	if t.Crop != (image.Point{}) {
		if s != "" {
			s += ", "
		}
		s += "centre " + sizeText(t.Crop)
	}
	if t.Bits16 != 0 && t.Bits16 != 16 {
		if s != "" {
			s += ", "
		}
		s += fmt.Sprintf("%d of 16 bits", t.Bits16)
	}
	if s == "" {
		return "unchanged"
	}
	return s
}

// Decoder returns the decoder for files that this transform is to scale as the
// images that a detector was fitted on: [DefaultDecoder] with its Bits16.
func (t Transform) Decoder() Decoder {
	d := DefaultDecoder()
	if t.Bits16 != 0 {
		d.Bits16 = t.Bits16
	}
	return d
}

// Agrees says whether a data set of files is read with the transform's Bits16, so
// that images scored later come out alike; an error that wraps [ErrConfig] says
// what to set. Other data sets always agree.
func (t Transform) Agrees(ds Dataset) error {
	if ds == nil || ds.Len() == 0 {
		return nil
	}
	f, _ := source(ds, 0)
	if f == nil {
		return nil
	}
	full := func(bits int) int {
		if bits == 0 {
			return 16
		}
		return bits
	}
	if own, read := full(t.Bits16), full(f.dec.Bits16); own != read {
		return fmt.Errorf("dataset: transform: %w: Transform.Bits16 is %d, the files are read with Decoder.Bits16 %d; set both alike, so that what is scored later is scaled as what is fitted",
			ErrConfig, own, read)
	}
	return nil
}

// Validate reports settings that make no sense; the error wraps [ErrConfig].
func (t Transform) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("dataset: transform: %w: %s", ErrConfig, fmt.Sprintf(format, args...))
	}
	switch {
	case t.Shorter < 0 || t.Shorter > maxSide:
		return bad("Shorter is %d, want 0 to %d", t.Shorter, maxSide)
	case t.Shorter != 0 && t.Exact != image.Point{}:
		return bad("Shorter and Exact are both set")
	case !sizeOrNone(t.Exact):
		return bad("Exact is %s, want sides of 1 to %d, or none", sizeText(t.Exact), maxSide)
	case !sizeOrNone(t.Crop):
		return bad("Crop is %s, want sides of 1 to %d, or none", sizeText(t.Crop), maxSide)
	case !bitsOf16(t.Bits16):
		return bad("Bits16 is %d, want 8 to 16, or 0 for 16", t.Bits16)
	case t.Filter < Lanczos || t.Filter > Nearest:
		return bad("Filter is %d, want Lanczos, Bicubic, Bilinear or Nearest", int(t.Filter))
	case t.Shorter != 0 && t.Crop.X > t.Shorter && t.Crop.Y > t.Shorter:
		return bad("Crop %s never fits into a shorter side of %d", sizeText(t.Crop), t.Shorter)
	case t.Exact != image.Point{} && (t.Crop.X > t.Exact.X || t.Crop.Y > t.Exact.Y):
		return bad("Crop %s does not fit into Exact %s", sizeText(t.Crop), sizeText(t.Exact))
	}
	return nil
}

func sizeOrNone(p image.Point) bool {
	return p == image.Point{} || p.X >= 1 && p.Y >= 1 && p.X <= maxSide && p.Y <= maxSide
}

// fixed returns the size of the output where it does not depend on the input.
func (t Transform) fixed() (image.Point, bool) {
	if t.Crop != (image.Point{}) {
		return t.Crop, true
	}
	return t.Exact, t.Exact != image.Point{}
}

// geometry is what a transform does to images of one size.
type geometry struct {
	in   image.Point     // size of the input
	full image.Point     // size after resizing
	crop image.Rectangle // what remains of it
}

// plan validates the settings and works out the geometry for an input size.
func (t Transform) plan(in image.Point) (geometry, error) {
	if err := t.Validate(); err != nil {
		return geometry{}, err
	}
	if in.X < 1 || in.Y < 1 {
		return geometry{}, fmt.Errorf("dataset: transform: %w: the image is %s", ErrSize, sizeText(in))
	}
	g := geometry{in: in, full: in}
	switch {
	case t.Exact != image.Point{}:
		g.full = t.Exact
	case t.Shorter != 0:
		// Python: int(shorter * long / short), a true division.
		if in.X <= in.Y {
			g.full = image.Pt(t.Shorter, longer(t.Shorter, in.Y, in.X))
		} else {
			g.full = image.Pt(longer(t.Shorter, in.X, in.Y), t.Shorter)
		}
		if g.full.X > maxSide || g.full.Y > maxSide {
			return geometry{}, fmt.Errorf("dataset: transform: %w: %s would become %s, the longest side allowed is %d",
				ErrSize, sizeText(in), sizeText(g.full), maxSide)
		}
	}
	g.crop = image.Rectangle{Max: g.full}
	if t.Crop != (image.Point{}) {
		if t.Crop.X > g.full.X || t.Crop.Y > g.full.Y {
			return geometry{}, fmt.Errorf("dataset: transform: %w: a centre of %s does not fit into %s (input %s)",
				ErrSize, sizeText(t.Crop), sizeText(g.full), sizeText(in))
		}
		at := image.Pt(halfEven(g.full.X-t.Crop.X), halfEven(g.full.Y-t.Crop.Y))
		g.crop = image.Rectangle{Min: at, Max: at.Add(t.Crop)}
	}
	return g, nil
}

func longer(shorter, long, short int) int {
	v := float64(shorter) * float64(long) / float64(short)
	return int(min(v, math.MaxInt32))
}

// halfEven is Python's round(n/2): halves go to the even neighbour.
func halfEven(n int) int { return int(math.RoundToEven(float64(n) / 2)) }

// Size returns the size of the output for an input of w x h pixels.
func (t Transform) Size(w, h int) (image.Point, error) {
	g, err := t.plan(image.Pt(w, h))
	return g.crop.Size(), err
}

// Rect is a rectangle with sides between pixels: pixel (x, y) covers X from x
// to x+1 and Y from y to y+1.
type Rect struct {
	MinX, MinY, MaxX, MaxY float64
}

// Rect returns the part of an input of w x h pixels that the output shows, in
// pixels of the input. Output column x covers from MinX+x*k to MinX+(x+1)*k
// with k = (MaxX-MinX)/width; rows likewise.
func (t Transform) Rect(w, h int) (Rect, error) {
	g, err := t.plan(image.Pt(w, h))
	if err != nil {
		return Rect{}, err
	}
	kx, ky := float64(g.in.X)/float64(g.full.X), float64(g.in.Y)/float64(g.full.Y)
	return Rect{
		MinX: float64(g.crop.Min.X) * kx, MinY: float64(g.crop.Min.Y) * ky,
		MaxX: float64(g.crop.Max.X) * kx, MaxY: float64(g.crop.Max.Y) * ky,
	}, nil
}

// Image transforms an image of any kind (see [ToRGBA] for how colours are
// taken over). The result has origin (0,0), alpha 255 and pixels of its own.
func (t Transform) Image(img image.Image) (*image.RGBA, error) {
	dst := new(image.RGBA)
	if err := t.into(dst, img); err != nil {
		return nil, err
	}
	return dst, nil
}

// into is Image with a destination whose pixels are used again where they are
// enough.
func (t Transform) into(dst *image.RGBA, img image.Image) error {
	if err := pixels.Check(img); err != nil {
		return fmt.Errorf("dataset: transform: %w: %w", ErrSize, err)
	}
	g, err := t.plan(img.Bounds().Size())
	if err != nil {
		return err
	}
	resetRGBA(dst, g.crop.Size())
	if t.Bits16 != 0 && t.Bits16 != 16 {
		img = widened(img, t.Bits16)
	}
	if g.full == g.in || t.Filter == Nearest {
		src, ok := img.(*image.RGBA)
		if !ok {
			src = ToRGBA(img)
		}
		nearestRGBA(dst, src, g)
		return nil
	}
	tb := t.shared
	if tb == nil {
		tb = newTables()
	}
	if gray, ok := img.(*image.Gray); ok {
		tb.resample(dst, gray.Pix, gray.Stride, 1, g, t)
		return nil
	}
	src, ok := img.(*image.RGBA)
	if !ok {
		src = ToRGBA(img)
	}
	tb.resample(dst, src.Pix, src.Stride, 4, g, t)
	return nil
}

// resetRGBA makes dst an image of that size with undefined pixels.
func resetRGBA(dst *image.RGBA, size image.Point) {
	n := 4 * size.X * size.Y
	if cap(dst.Pix) < n {
		dst.Pix = make([]byte, n)
	}
	dst.Pix = dst.Pix[:n]
	dst.Stride = 4 * size.X
	dst.Rect = image.Rectangle{Max: size}
}

// Mask transforms a mask with nearest neighbour and the same crop. A nil mask
// stays nil. The result has origin (0,0) and pixels of its own.
func (t Transform) Mask(m *image.Gray) (*image.Gray, error) {
	if m == nil {
		return nil, nil
	}
	if err := pixels.Check(m); err != nil {
		return nil, fmt.Errorf("dataset: transform: %w: %w", ErrMask, err)
	}
	g, err := t.plan(m.Rect.Size())
	if err != nil {
		return nil, err
	}
	return nearestGray(m, g), nil
}

// MaskBilinear transforms a mask with the bilinear filter, whatever Filter is,
// and the same crop, and makes it black and white again: 255 where the
// interpolated value is at least least, 0 elsewhere. The detectors of the field
// differ in least, and so do their numbers: 128 is "> 0.5" of RD4AD, 255 is
// "= 1" of SimpleNet, which drops the rim of every defect. A nil mask stays nil.
// The result has origin (0,0) and pixels of its own. A least of 0, which
// everything reaches, is an error that wraps [ErrConfig].
func (t Transform) MaskBilinear(m *image.Gray, least uint8) (*image.Gray, error) {
	if least == 0 {
		return nil, fmt.Errorf("dataset: transform: %w: a mask's least value is 0, want 1 to 255", ErrConfig)
	}
	if m == nil {
		return nil, nil
	}
	t.Filter = Bilinear
	soft, err := t.Image(m)
	if err != nil {
		return nil, err
	}
	out := image.NewGray(soft.Rect)
	for i := range out.Pix {
		if soft.Pix[4*i] >= least { // grey: red, green and blue are the same
			out.Pix[i] = 255
		}
	}
	return out, nil
}
