package pixels_test

import (
	"errors"
	"image"
	"math"
	"testing"

	"github.com/gotab/gotab/internal/pixels"
)

func TestCheck(t *testing.T) {
	r := image.Rect(3, 5, 12, 16)
	for _, good := range []image.Image{image.NewRGBA(r), image.NewNRGBA(r), image.NewGray(r), image.NewGray16(r), image.NewRGBA64(r),
		image.NewNRGBA64(r), image.NewPaletted(r, nil), image.NewCMYK(r), image.NewAlpha(r), image.NewAlpha16(r),
		image.NewYCbCr(r, image.YCbCrSubsampleRatio420), image.NewRGBA(image.Rectangle{}), &image.Gray{},
		image.NewRGBA(image.Rect(0, 0, 30, 30)).SubImage(r), image.NewGray(image.Rect(0, 0, 30, 30)).SubImage(image.Rect(20, 20, 30, 30))} {
		if err := pixels.Check(good); err != nil {
			t.Errorf("%T %v: %v", good, good.Bounds(), err)
		}
	}
	short := image.NewGray(r)
	short.Pix = short.Pix[:len(short.Pix)-1]
	narrow := image.NewRGBA(r)
	narrow.Stride--
	wide := image.NewRGBA(r)
	wide.Stride = math.MaxInt
	colours := image.NewYCbCr(r, image.YCbCrSubsampleRatio444)
	colours.Cr = nil
	for name, bad := range map[string]image.Image{"nil": nil, "typed nil": (*image.RGBA)(nil), "without end": image.NewUniform(nil),
		"short": short, "narrow": narrow, "wide": wide, "colours": colours, "no pixels": &image.RGBA{Rect: r},
		"inside out": &image.Gray{Rect: image.Rectangle{Min: image.Pt(5, 5)}},
		"overflow":   &image.Gray{Rect: image.Rectangle{Min: image.Pt(math.MinInt, 0), Max: image.Pt(math.MaxInt, 1)}}} {
		if err := pixels.Check(bad); !errors.Is(err, pixels.ErrImage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
