package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"path"
	"strings"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
)

// Decoder reads pictures and masks. It is a value and safe for concurrent use.
type Decoder struct {
	// MaxPixels is the most pixels, width times height, that a picture may
	// have. It is compared with the file's header before memory is spent;
	// decoding takes up to 24 bytes a pixel for a moment, 4 are kept. Default
	// 2^26, which is 8192 x 8192.
	MaxPixels int
	// MaskAbove is the brightness of 0 to 254 above which a pixel of a mask is
	// a defect. Default 127, the middle; 0 is right for masks that hold the
	// numbers of defect kinds, as VisA's do; it also takes 16-bit values that
	// are too small to show in their high byte.
	MaskAbove uint8
	// Bits16 is how many of the 16 bits of 16-bit pictures count, 9 to 16: a
	// value v becomes v >> (Bits16-8), at most 255. Cameras of 10, 12 or 14 bits
	// leave the upper ones 0, and their pictures come out nearly black
	// otherwise. 0 stands for 16, the default, which keeps the high byte.
	Bits16 int
	// KeepOrientation leaves pixels as they are stored, as Pillow's open and
	// OpenCV's imdecode with IMREAD_IGNORE_ORIENTATION do. Default false: the
	// EXIF orientation of JPEG, PNG and TIFF files is followed, for pictures and
	// masks, so that a picture lies as its viewer saw it.
	KeepOrientation bool
}

// DefaultDecoder returns the defaults that the fields name.
func DefaultDecoder() Decoder { return Decoder{MaxPixels: 1 << 26, MaskAbove: 127, Bits16: 16} }

// Validate reports settings that make no sense; the error wraps [ErrConfig].
func (d Decoder) Validate() error {
	if d.MaxPixels < 1 || d.MaxPixels > 1<<31 {
		return fmt.Errorf("dataset: decoder: %w: MaxPixels is %d, want 1 to 2^31", ErrConfig, d.MaxPixels)
	}
	if d.MaskAbove == 255 {
		return fmt.Errorf("dataset: decoder: %w: MaskAbove is 255, want 0 to 254", ErrConfig)
	}
	if d.Bits16 != 0 && (d.Bits16 < 9 || d.Bits16 > 16) {
		return fmt.Errorf("dataset: decoder: %w: Bits16 is %d, want 9 to 16, or 0 for 16", ErrConfig, d.Bits16)
	}
	return nil
}

// maxFile bounds how much of a stream is read: eight bytes a pixel, which is
// 16-bit colour with alpha and no compression, and room for what surrounds it.
func (d Decoder) maxFile() int64 { return 8*int64(d.MaxPixels) + 1<<20 }

// Image reads one PNG, JPEG, BMP or TIFF picture and converts it as [ToRGBA]
// does, after Bits16 and KeepOrientation. Errors wrap [ErrDecode] or
// [ErrTooLarge]; a file that ends early is an error.
func (d Decoder) Image(r io.Reader) (*image.RGBA, error) {
	img, err := d.decode(r, 0, nil)
	if err != nil {
		return nil, fmt.Errorf("dataset: decode: %w", err)
	}
	return asRGBA(img), nil
}

// Mask reads one picture as a mask: 255 where it is brighter than MaskAbove
// and 0 elsewhere. Colours count by their brightness.
func (d Decoder) Mask(r io.Reader) (*image.Gray, error) {
	img, err := d.decode(r, 0, nil)
	if err != nil {
		return nil, fmt.Errorf("dataset: decode mask: %w", err)
	}
	return d.binary(img), nil
}

// asRGBA is ToRGBA for a picture that nobody else holds.
func asRGBA(img image.Image) *image.RGBA {
	if rgba, ok := img.(*image.RGBA); ok && rgba.Rect.Min == (image.Point{}) {
		opaque(rgba.Pix)
		return rgba
	}
	return ToRGBA(img)
}

func (d Decoder) binary(img image.Image) *image.Gray {
	m := toGray(img)
	if deep, ok := img.(*image.Gray16); ok && d.MaskAbove == 0 {
		for y := range m.Rect.Dy() {
			in := deep.Pix[y*deep.Stride:]
			for x := range m.Rect.Dx() {
				m.Pix[y*m.Stride+x] = in[2*x] | in[2*x+1]
			}
		}
	}
	for i, v := range m.Pix {
		if v > d.MaskAbove {
			m.Pix[i] = 255
		} else {
			m.Pix[i] = 0
		}
	}
	return m
}

// codec is a file format.
type codec struct {
	name   string
	magic  []string
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}

func codecs() [4]codec {
	return [4]codec{
		{"PNG", []string{"\x89PNG\r\n\x1a\n"}, png.DecodeConfig, png.Decode},
		{"JPEG", []string{"\xff\xd8"}, jpeg.DecodeConfig, jpeg.Decode},
		{"BMP", []string{"BM"}, bmp.DecodeConfig, bmp.Decode},
		{"TIFF", []string{"II*\x00", "MM\x00*"}, tiff.DecodeConfig, tiff.Decode},
	}
}

// pictureFile says whether a name ends like a picture's.
func pictureFile(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff":
		return true
	}
	return false
}

// decode reads the whole stream, whose length is about hint, looks at the
// header, asks admit (if not nil) whether a picture of that size is wanted, and
// only then decodes.
func (d Decoder) decode(r io.Reader, hint int64, admit func(size image.Point) error) (image.Image, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	if r == nil {
		return nil, fmt.Errorf("%w: the reader is nil", ErrDecode)
	}
	data, err := readAll(r, hint, d.maxFile())
	if err != nil {
		return nil, err
	}
	for _, c := range codecs() {
		for _, m := range c.magic {
			if bytes.HasPrefix(data, []byte(m)) {
				return d.decodeAs(c, data, admit)
			}
		}
	}
	if len(data) == 0 {
		return nil, fmt.Errorf("%w: the file is empty", ErrDecode)
	}
	return nil, fmt.Errorf("%w: neither PNG, JPEG, BMP nor TIFF (it begins with %q)", ErrDecode, data[:min(len(data), 8)])
}

func (d Decoder) decodeAs(c codec, data []byte, admit func(size image.Point) error) (img image.Image, err error) {
	// Decoders of formats as wide as TIFF have been known to index out of
	// range on damaged files; a damaged file must not end the program.
	defer func() {
		if v := recover(); v != nil {
			img, err = nil, fmt.Errorf("%w: %s: damaged: %v", ErrDecode, c.name, v)
		}
	}()
	cfg, err := c.config(bytes.NewReader(data))
	if err != nil {
		return nil, decodeError(c, err)
	}
	if cfg.Width < 1 || cfg.Height < 1 {
		return nil, fmt.Errorf("%w: %s: the header says %dx%d pixels", ErrDecode, c.name, cfg.Width, cfg.Height)
	}
	if int64(cfg.Width)*int64(cfg.Height) > int64(d.MaxPixels) {
		return nil, fmt.Errorf("%w: %s of %dx%d pixels, the limit is %d", ErrTooLarge, c.name, cfg.Width, cfg.Height, d.MaxPixels)
	}
	if admit != nil {
		if err := admit(image.Pt(cfg.Width, cfg.Height)); err != nil {
			return nil, err
		}
	}
	if img, err = c.decode(bytes.NewReader(data)); err != nil {
		return nil, decodeError(c, err)
	}
	if got := img.Bounds().Size(); got != image.Pt(cfg.Width, cfg.Height) {
		return nil, fmt.Errorf("%w: %s: the header says %dx%d pixels, there are %s", ErrDecode, c.name, cfg.Width, cfg.Height, sizeText(got))
	}
	if d.Bits16 != 0 && d.Bits16 != 16 {
		narrow16(img, d.Bits16)
	}
	if !d.KeepOrientation {
		img = orient(img, orientation(c.name, data))
	}
	return img, nil
}

func decodeError(c codec, err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %s: the file ends too early", ErrDecode, c.name)
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
