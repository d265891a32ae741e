package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
)

// Decoder reads pictures and masks. It is a value and safe for concurrent use.
//
// What is fitted and what is scored later must be read with the same settings:
// see [Transform.Decoder].
type Decoder struct {
	// MaxPixels is the most pixels, width times height, that a picture may
	// have. It is compared with the file's header before memory is spent;
	// decoding takes up to 24 bytes a pixel for a moment, 4 are kept. Default
	// 2^26, which is 8192 x 8192.
	MaxPixels int
	// MaskAbove is the brightness of 0 to 254 above which a pixel of a mask is
	// a defect, or MaskByBackground, the default: whatever is not the value of
	// the background. A brightness counts transparent pixels as black; with 0,
	// 16-bit values count that are too small to show in their high byte.
	MaskAbove int
	// MaskBackground is the value of the background of masks for
	// MaskByBackground, in the file's own numbers: 0 to 65535 in 16 bits, an
	// index of a palette, the brightness of colours. Default MaskBorder: the
	// most frequent value along the border of each mask.
	MaskBackground int
	// MasksStored says that masks were drawn on the pixels of a picture as they
	// are stored, before its EXIF orientation turned it. Default false: the sizes
	// decide where a quarter turn tells them apart, and a mask lies as the picture
	// is seen where they do not. A mask with an orientation of its own is turned
	// by that.
	MasksStored bool
	// Bits16 is how many of the 16 bits of 16-bit pictures count, 8 to 16: a
	// value v becomes v >> (Bits16-8), at most 255. Cameras of 10, 12 or 14 bits
	// leave the upper ones 0, and their pictures come out nearly black
	// otherwise: [Check] finds the number. It holds for PNG and TIFF files of 16
	// bits; where a file says itself how many it fills (12 bits in TIFF, the
	// value of white in PGM), that is taken. 0 stands for 16, the default, which
	// keeps the high byte.
	Bits16 int
	// White is the value that is white in TIFF files of floats or of integers of
	// more than 16 bits; 0 and less is black, and larger values are white too. 0,
	// the default, stands for 1 in floats and 255 in integers, and then a larger
	// value is an error, because it says that white is something else.
	White float64
	// Over is the colour over which transparent pixels are laid. Default nil:
	// alpha is ignored, as Pillow's convert("RGB") does.
	Over color.Color
	// KeepOrientation leaves pixels as they are stored, as Pillow's open and
	// OpenCV's imdecode with IMREAD_IGNORE_ORIENTATION do. Default false: the
	// EXIF orientation of JPEG, PNG, TIFF and WebP files is followed, for pictures
	// and masks, so that a picture lies as its viewer saw it.
	KeepOrientation bool
	// Draft lets JPEG pictures come out at a half, a quarter or an eighth of their width and
	// height, rounded up, the least of these that leaves the shorter side Draft pixels or more; their masks
	// follow. That saves most of the time where the files are much larger than what the transform
	// makes of them. Pixels are those of Pillow's Image.draft, smoothed otherwise than by a
	// resize of the whole: docs/files.md has how far they are apart. Twice the shorter side that the transform
	// asks for is a good choice. What is measured in pixels of the picture, such as [Transform.Rect], is then in those of the
	// smaller one. Only JPEG files that are sequential, whole, and of one component or three become smaller; others stay as they are, progressive ones for
	// instance. Default 0: everything does.
	Draft int
}

const (
	// MaskByBackground is the value of Decoder.MaskAbove for masks of any
	// encoding.
	MaskByBackground = -1
	// MaskBorder is the value of Decoder.MaskBackground that takes it from the
	// border.
	MaskBorder = -1
)

// DefaultDecoder returns the defaults that the fields name.
func DefaultDecoder() Decoder {
	return Decoder{MaxPixels: 1 << 26, MaskAbove: MaskByBackground, MaskBackground: MaskBorder, Bits16: 16}
}

// Decode reads one picture with [DefaultDecoder]: the pixels that the readers of
// this package give to a detector, whatever the format of the file. Errors wrap
// [ErrDecode] or [ErrTooLarge].
func Decode(r io.Reader) (*image.RGBA, error) { return DefaultDecoder().Image(r) }

// Validate reports settings that make no sense; the error wraps [ErrConfig].
func (d Decoder) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("dataset: decoder: %w: %s", ErrConfig, fmt.Sprintf(format, args...))
	}
	switch {
	case d.MaxPixels < 1 || d.MaxPixels > 1<<31:
		return bad("MaxPixels is %d, want 1 to 2^31", d.MaxPixels)
	case d.MaskAbove < MaskByBackground || d.MaskAbove > 254:
		return bad("MaskAbove is %d, want 0 to 254, or MaskByBackground (-1)", d.MaskAbove)
	case d.MaskBackground < MaskBorder || d.MaskBackground > 0xffff:
		return bad("MaskBackground is %d, want 0 to 65535, or MaskBorder (-1)", d.MaskBackground)
	case !bitsOf16(d.Bits16):
		return bad("Bits16 is %d, want 8 to 16, or 0 for 16", d.Bits16)
	case d.Draft < 0 || d.Draft > maxSide:
		return bad("Draft is %d, want 0 to %d", d.Draft, maxSide)
	case !(d.White >= 0) || d.White-d.White != 0:
		return bad("White is %v, want a positive number, or 0", d.White)
	}
	return nil
}

// bitsOf16 says whether n can be Bits16.
func bitsOf16(n int) bool { return n == 0 || n >= 8 && n <= 16 }

// maxFile bounds how much of a stream is read: eight bytes a pixel, which is
// 16-bit colour with alpha and no compression, and room for what surrounds it.
func (d Decoder) maxFile() int64 { return 8*int64(d.MaxPixels) + 1<<20 }

// Image reads one picture and converts it as [ToRGBA] does, after the settings of
// d. PNG, JPEG, BMP, TIFF, WebP, GIF and PNM are told apart by their first bytes;
// of several pages or frames the first is read. Errors wrap [ErrDecode] or
// [ErrTooLarge]; a file that ends early is an error.
func (d Decoder) Image(r io.Reader) (*image.RGBA, error) {
	p, err := d.decode(r, 0, picturePixels, nil)
	if err != nil {
		return nil, fmt.Errorf("dataset: decode: %w", err)
	}
	return d.colours(p), nil
}

// Mask reads one picture as a mask: 255 where it shows a defect and 0 elsewhere.
// By default that is whatever is not the background, in any encoding: 0 and 255, 0
// and 1, numbers of kinds, 16 bits, palettes (their indices), colours, drawings on
// a transparent ground, and defects in black on white. A mask of one value marks
// nothing where that is black or transparent, and everything else. Of JPEG, whose
// edges are blurred, a defect is what is nearer to the value that differs most
// from the background. See MaskAbove and MaskBackground for other rules.
func (d Decoder) Mask(r io.Reader) (*image.Gray, error) {
	p, err := d.decode(r, 0, maskPixels, nil)
	if err != nil {
		return nil, fmt.Errorf("dataset: decode mask: %w", err)
	}
	m, _ := d.mask(p)
	return m, nil
}

// purpose is what a file is read for.
type purpose bool

const (
	picturePixels purpose = false
	maskPixels    purpose = true // small numbers are kept apart from 0
)

// decoded is a picture as it is stored.
type decoded struct {
	image.Image
	turn   int  // EXIF orientation to be followed, 1 to 8
	raw16  bool // 16 bits of which a camera may fill fewer
	lossy  bool // whether values near to each other may be the same
	opaque bool // whether an image.RGBA has alpha 255 throughout
	format string
	shrunk int         // how many times the sides are shorter than those of the file; 0 for 1
	full   image.Point // size in the file
}

// colours brings a picture that nobody else holds to RGBA.
func (d Decoder) colours(p decoded) *image.RGBA {
	if p.raw16 && d.Bits16 != 0 && d.Bits16 != 16 {
		narrow16(p.Image, d.Bits16)
	}
	if rgba, ok := p.Image.(*image.RGBA); ok && p.opaque && rgba.Rect.Min == (image.Point{}) {
		return orientRGBA(rgba, p.turn)
	}
	return orientRGBA(asRGBA(p.Image, d.Over), p.turn)
}

// asRGBA is ToRGBA for a picture that nobody else holds, laid over a colour
// where that is not nil.
func asRGBA(img image.Image, over color.Color) *image.RGBA {
	if rgba, ok := img.(*image.RGBA); ok && over == nil && rgba.Rect.Min == (image.Point{}) {
		opaque(rgba.Pix)
		return rgba
	}
	return toRGBA(img, over)
}

// decode reads the whole stream, whose length is about hint, looks at the
// header, asks admit (if not nil) whether a picture of that size is wanted, and
// only then decodes.
func (d Decoder) decode(r io.Reader, hint int64, use purpose, admit func(size image.Point) error) (decoded, error) {
	if err := d.Validate(); err != nil {
		return decoded{}, err
	}
	if r == nil {
		return decoded{}, fmt.Errorf("%w: the reader is nil", ErrDecode)
	}
	var data []byte
	if held, ok := r.(*heldFile); ok {
		data = held.data
	} else {
		var err error
		if data, err = readAll(r, hint, d.maxFile()); err != nil {
			return decoded{}, err
		}
	}
	c, err := codecOf(data)
	if err != nil {
		return decoded{}, err
	}
	return d.decodeAs(c, data, use, admit)
}

func (d Decoder) decodeAs(c codec, data []byte, use purpose, admit func(size image.Point) error) (out decoded, err error) {
	// Decoders of formats as wide as these have been known to index out of
	// range on damaged files; a damaged file must not end the program.
	defer func() {
		if v := recover(); v != nil {
			out, err = decoded{}, fmt.Errorf("%w: %s: damaged: %v", ErrDecode, c.name, v)
		}
	}()
	size, err := c.size(data)
	if err != nil {
		return decoded{}, decodeError(c, data, err)
	}
	if err := d.admit(c, size); err != nil {
		return decoded{}, err
	}
	if admit != nil {
		if err := admit(size); err != nil {
			return decoded{}, err
		}
	}
	if out, err = c.decode(d, data, use); err != nil {
		return decoded{}, decodeError(c, data, err)
	}
	if got := out.Bounds().Size(); got != shorter(size, out.shrunk) {
		return decoded{}, fmt.Errorf("%w: %s: the header says %s pixels, there are %s", ErrDecode, c.name, sizeText(size), sizeText(got))
	}
	out.format, out.turn, out.full = c.name, 1, size
	if !d.KeepOrientation {
		out.turn = orientation(c.name, data)
	}
	return out, nil
}

// shorter is a size whose sides are by times shorter, rounded up; by is 0 for 1.
func shorter(size image.Point, by int) image.Point {
	by = max(by, 1)
	return image.Pt((size.X+by-1)/by, (size.Y+by-1)/by)
}

// draft is how many times shorter the sides of a JPEG picture become.
func (d Decoder) draft(size image.Point) int {
	by := 8
	for d.Draft == 0 && by > 1 || by > 1 && min(shorter(size, by).X, shorter(size, by).Y) < d.Draft {
		by /= 2
	}
	return by
}

// admit compares a size with the limit.
func (d Decoder) admit(c codec, size image.Point) error {
	if size.X < 1 || size.Y < 1 {
		return fmt.Errorf("%w: %s: the header says %s pixels", ErrDecode, c.name, sizeText(size))
	}
	if size.X > d.MaxPixels/size.Y { // a product of two sides of 32 bits may be more than an int
		return fmt.Errorf("%w: %s of %s pixels, the limit is %d; raise MaxPixels if it is meant", ErrTooLarge, c.name, sizeText(size), d.MaxPixels)
	}
	return nil
}

// decodeError names the format and what ended.
func decodeError(c codec, data []byte, err error) error {
	switch {
	case errors.Is(err, ErrTooLarge):
		return fmt.Errorf("%s: %w", c.name, err)
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || c.cut != nil && c.cut(data):
		return fmt.Errorf("%w: %s: the file ends too early; copy or export it again", ErrDecode, c.name)
	}
	return fmt.Errorf("%w: %s: %w", ErrDecode, c.name, err)
}

// readAll reads at most limit bytes and complains about more. hint is only
// where growing starts.
func readAll(r io.Reader, hint, limit int64) ([]byte, error) {
	var buf bytes.Buffer
	if hint > 0 && hint <= limit {
		buf.Grow(int(hint) + bytes.MinRead)
	}
	n, err := buf.ReadFrom(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, fmt.Errorf("%w: the file has more than %d bytes", ErrTooLarge, limit)
	}
	return buf.Bytes(), nil
}
