package synth

import (
	"fmt"
	"image"
	"image/draw"
	"math/rand/v2"

	"github.com/gotab/gotab/internal/pixels"
)

// inputs checks what every generator is given; of names the generator.
func inputs(of string, dst, src image.Image, rng *rand.Rand) (d, s *image.RGBA, err error) {
	if rng == nil {
		return nil, nil, fmt.Errorf("synth: %s: %w", of, ErrNoRand)
	}
	if d, err = asRGBA("dst", dst); err != nil {
		return nil, nil, err
	}
	if s, err = asRGBA("src", src); err != nil {
		return nil, nil, err
	}
	return d, s, nil
}

// usable is ErrImage for an image that is nil, larger than memory should hold, or without the pixels that its bounds promise.
func usable(img image.Image) error {
	if err := pixels.Check(img); err != nil {
		return fmt.Errorf("%w: %w", ErrImage, err)
	}
	return nil
}

// asRGBA views img as RGBA with its origin at (0,0). An *image.RGBA is not copied: the result shares its pixels and must
// not be written to. Every other type is converted once by image/draw.
func asRGBA(name string, img image.Image) (*image.RGBA, error) {
	if err := usable(img); err != nil {
		return nil, fmt.Errorf("synth: read %s: %w", name, err)
	}
	r := img.Bounds()
	if r.Dx() < MinSide || r.Dy() < MinSide {
		return nil, fmt.Errorf("synth: read %s: it is %dx%d, at least %dx%d is needed: %w", name, r.Dx(), r.Dy(), MinSide, MinSide, ErrImage)
	}
	if m, ok := img.(*image.RGBA); ok {
		return &image.RGBA{Pix: m.Pix[m.PixOffset(r.Min.X, r.Min.Y):], Stride: m.Stride, Rect: image.Rect(0, 0, r.Dx(), r.Dy())}, nil
	}
	m := image.NewRGBA(image.Rect(0, 0, r.Dx(), r.Dy()))
	draw.Draw(m, m.Rect, img, r.Min, draw.Src)
	return m, nil
}

// cloneRGBA copies m, whose origin is (0,0), into memory of its own without gaps between rows.
func cloneRGBA(m *image.RGBA) *image.RGBA {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	c := &image.RGBA{Stride: 4 * w, Rect: m.Rect}
	if m.Stride == c.Stride {
		c.Pix = append([]uint8(nil), m.Pix[:4*w*h]...) // memory that is not zeroed first
		c.Pix = c.Pix[:len(c.Pix):len(c.Pix)]
		return c
	}
	c.Pix = make([]uint8, 4*w*h)
	for y := range h {
		copy(c.Pix[y*c.Stride:(y+1)*c.Stride], m.Pix[y*m.Stride:])
	}
	return c
}

// crop is the part r of m as an image with its origin at (0,0), sharing m's pixels. r must lie inside m.
func crop(m *image.RGBA, r image.Rectangle) *image.RGBA {
	return &image.RGBA{Pix: m.Pix[m.PixOffset(r.Min.X, r.Min.Y):], Stride: m.Stride, Rect: image.Rect(0, 0, r.Dx(), r.Dy())}
}

// fillGray sets the part r of m, which must lie inside m, to v.
func fillGray(m *image.Gray, r image.Rectangle, v uint8) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		row := m.Pix[y*m.Stride+r.Min.X : y*m.Stride+r.Max.X]
		for i := range row {
			row[i] = v
		}
	}
}

func absInt(v int) int {
	if v < 0 {
		return -v
	}
	return v
}
