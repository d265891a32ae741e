package heatmap

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"reflect"

	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/internal/pixels"
)

// Overlay lays the colours of a map over a pale grey copy of the image. Where the map is
// below the scale, the grey is all there is; where the detector has not looked, it is hatched.
//
// Image and map must be of one size, else it is ErrSize; a map with NaN or infinity where
// the detector has looked is ErrNotFinite, and a scale is what [Scale.Validate] says of it.
func Overlay(img image.Image, m downstream.Map, s Scale) (*image.RGBA, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	out, in, err := prepare("overlay", img, m)
	if err != nil {
		return nil, err
	}
	hatch(out, in)
	for y := in.Min.Y; y < in.Max.Y; y++ {
		for x := in.Min.X; x < in.Max.X; x++ {
			out.SetRGBA(x, y, over(pale(out.RGBAAt(x, y)), s.Share(float64(m.At(x, y)))))
		}
	}
	return out, nil
}

// Contour draws a line around what lies at or above a threshold, on a copy of the image,
// which can be an Overlay. The line, white in a dark casing, lies outside of what it
// surrounds and leaves that untouched; only along the border of the image, where there is no
// outside, it takes the outermost pixels. It is one pixel wide, and two where the shorter side
// is 400 pixels or more. A hole is surrounded too, if the line does not fill it.
//
// An infinite threshold is allowed, NaN is ErrNotFinite; the other errors are those of
// Overlay.
func Contour(img image.Image, m downstream.Map, threshold float64) (*image.RGBA, error) {
	out, in, err := prepare("contour", img, m)
	if err != nil {
		return nil, err
	}
	r, err := above(m, in, threshold)
	if err != nil {
		return nil, fmt.Errorf("heatmap: contour: %w", err)
	}
	r.outline(out, cutLine())
	return out, nil
}

// Cut shows the image as it is where the map is at or above a threshold, with the line of
// Contour around it, and faded elsewhere; hatched where the detector has not looked. Errors
// are those of Contour.
func Cut(img image.Image, m downstream.Map, threshold float64) (*image.RGBA, error) {
	out, in, err := prepare("cut", img, m)
	if err != nil {
		return nil, err
	}
	r, err := above(m, in, threshold)
	if err != nil {
		return nil, fmt.Errorf("heatmap: cut: %w", err)
	}
	hatch(out, in)
	for y := in.Min.Y; y < in.Max.Y; y++ {
		for x := in.Min.X; x < in.Max.X; x++ {
			if !r.at(x, y) {
				g := 168 + pale(out.RGBAAt(x, y))/4 // 194 to 227
				out.SetRGBA(x, y, color.RGBA{g, g, g, 255})
			}
		}
	}
	r.outline(out, cutLine())
	return out, nil
}

// Truth draws a blue line, in a dark casing, around the defect: the pixels of the mask from
// 128 on. The line lies as that of Contour does. A nil mask gives a copy of the image; one of
// another size is ErrSize.
func Truth(img image.Image, mask *image.Gray) (*image.RGBA, error) {
	out, err := canvas(img)
	if err != nil {
		return nil, fmt.Errorf("heatmap: truth: %w", err)
	}
	if mask == nil {
		return out, nil
	}
	if mask.Rect.Size() != out.Rect.Size() {
		return nil, fmt.Errorf("heatmap: truth: %w: the mask is %s, the image %s", ErrSize, size(mask.Rect), size(out.Rect))
	}
	r := newRegion(out.Rect.Dx(), out.Rect.Dy())
	for y := range r.h {
		for x := range r.w {
			r.in[y*r.w+x] = mask.GrayAt(mask.Rect.Min.X+x, mask.Rect.Min.Y+y).Y >= 128
		}
	}
	r.outline(out, truthLine())
	return out, nil
}

// prepare copies the image and finds what of the map the detector has seen.
func prepare(doing string, img image.Image, m downstream.Map) (*image.RGBA, image.Rectangle, error) {
	out, err := canvas(img)
	if err != nil {
		return nil, image.Rectangle{}, fmt.Errorf("heatmap: %s: %w", doing, err)
	}
	if out.Rect.Dx() != m.W || out.Rect.Dy() != m.H {
		return nil, image.Rectangle{}, fmt.Errorf("heatmap: %s: %w: the map is %dx%d, the image %s", doing, ErrSize, m.W, m.H, size(out.Rect))
	}
	in, err := seen(m)
	if err != nil {
		return nil, image.Rectangle{}, fmt.Errorf("heatmap: %s: %w", doing, err)
	}
	return out, in, nil
}

// canvas is a copy of an image with origin (0, 0), on white where it is transparent.
func canvas(img image.Image) (*image.RGBA, error) {
	if v := reflect.ValueOf(img); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() || img.Bounds().Empty() {
		return nil, fmt.Errorf("%w: there is no image", ErrSize)
	}
	if err := pixels.Check(img); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSize, err)
	}
	b := img.Bounds()
	out := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(out, out.Rect, image.White, image.Point{}, draw.Src)
	draw.Draw(out, out.Rect, img, b.Min, draw.Over)
	return out, nil
}

// hatch strikes out everything outside of in with slanting stripes over the pale image.
func hatch(dst *image.RGBA, in image.Rectangle) {
	stripe := max(2, min(dst.Rect.Dx(), dst.Rect.Dy())/56) // pixels
	for y := range dst.Rect.Dy() {
		for x := range dst.Rect.Dx() {
			if image.Pt(x, y).In(in) {
				continue
			}
			g := pale(dst.RGBAAt(x, y))
			if (x+y)/stripe%2 == 0 {
				g = 72
			}
			dst.SetRGBA(x, y, color.RGBA{g, g, g, 255})
		}
	}
}

// above is the region of a map at or above a threshold, which the seen part is searched for.
func above(m downstream.Map, in image.Rectangle, threshold float64) (region, error) {
	if math.IsNaN(threshold) {
		return region{}, fmt.Errorf("%w: the threshold is NaN", ErrNotFinite)
	}
	r := newRegion(m.W, m.H)
	for y := in.Min.Y; y < in.Max.Y; y++ {
		for x := in.Min.X; x < in.Max.X; x++ {
			r.in[y*m.W+x] = float64(m.At(x, y)) >= threshold
		}
	}
	return r, nil
}

func size(r image.Rectangle) string { return fmt.Sprintf("%dx%d", r.Dx(), r.Dy()) }
