// Package pixels says whether an image that a caller passed is one: there, of a
// size that memory can hold, and with the pixels that its bounds promise.
package pixels

import (
	"errors"
	"fmt"
	"image"
	"reflect"
)

// Max is the largest number of pixels of an image that is worked on, 2^28, four
// times what a decoder may give.
const Max = 1 << 28

// far bounds the coordinates of corners, so that sums of them do not overflow.
const far = 1 << 40

// ErrImage says that an image is nil, too large or has fewer pixels than its
// bounds promise.
var ErrImage = errors.New("unusable image")

// Check returns an error that wraps ErrImage and says what is wrong with img, or
// nil. An empty image is no fault here.
func Check(img image.Image) error {
	if img == nil {
		return fmt.Errorf("%w: it is nil", ErrImage)
	}
	if v := reflect.ValueOf(img); v.Kind() == reflect.Pointer && v.IsNil() {
		return fmt.Errorf("%w: it is a nil %T", ErrImage, img)
	}
	b := img.Bounds()
	w, h := b.Dx(), b.Dy()
	if min(b.Min.X, b.Min.Y) < -far || max(b.Max.X, b.Max.Y) > far || w < 0 || h < 0 || w > Max || h > Max || h > 0 && w > Max/h {
		return fmt.Errorf("%w: its bounds are %v, want at most %d pixels", ErrImage, b, Max)
	}
	if w == 0 || h == 0 {
		return nil
	}
	switch p := img.(type) {
	case *image.RGBA:
		return plane(p.Pix, p.Stride, 4*w, h)
	case *image.NRGBA:
		return plane(p.Pix, p.Stride, 4*w, h)
	case *image.CMYK:
		return plane(p.Pix, p.Stride, 4*w, h)
	case *image.RGBA64:
		return plane(p.Pix, p.Stride, 8*w, h)
	case *image.NRGBA64:
		return plane(p.Pix, p.Stride, 8*w, h)
	case *image.Gray:
		return plane(p.Pix, p.Stride, w, h)
	case *image.Alpha:
		return plane(p.Pix, p.Stride, w, h)
	case *image.Paletted:
		return plane(p.Pix, p.Stride, w, h)
	case *image.Gray16:
		return plane(p.Pix, p.Stride, 2*w, h)
	case *image.Alpha16:
		return plane(p.Pix, p.Stride, 2*w, h)
	case *image.YCbCr:
		last := p.COffset(b.Max.X-1, b.Max.Y-1)
		if first := p.COffset(b.Min.X, b.Min.Y); first < 0 || last < first || last >= len(p.Cb) || last >= len(p.Cr) {
			return fmt.Errorf("%w: its colours are fewer than its bounds %v promise", ErrImage, b)
		}
		return plane(p.Y, p.YStride, w, h)
	}
	return nil
}

// plane checks that h rows of row bytes lie in pix, stride bytes apart.
func plane(pix []uint8, stride, row, h int) error {
	if len(pix) < row || stride < row || h > 1 && stride > (len(pix)-row)/(h-1) {
		return fmt.Errorf("%w: %d bytes with a stride of %d are no %d rows of %d bytes", ErrImage, len(pix), stride, h, row)
	}
	return nil
}
