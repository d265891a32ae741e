package dataset

import (
	"fmt"
	"image"
	"math/rand/v2"
)

// RandomTurn mirrors and turns a sample by quarters at random, mask and all,
// each of the eight ways alike; where the image is not square, the four that
// keep its size. It is meant for [LoaderConfig] and for products without an
// upper side, and changes no value of a pixel. A nil rng is an error that wraps
// [ErrConfig].
func RandomTurn(s Sample, rng *rand.Rand) (Sample, error) {
	if rng == nil {
		return Sample{}, fmt.Errorf("dataset: random turn: %w: rng is nil", ErrConfig)
	}
	if err := s.check(); err != nil {
		return Sample{}, err
	}
	w, h := s.Image.Rect.Dx(), s.Image.Rect.Dy()
	o := 1 + rng.IntN(8)
	if w != h {
		o = 1 + (o-1)%4
	}
	if o == 1 {
		return s, nil
	}
	img := image.NewRGBA(image.Rectangle{Max: turned(image.Pt(w, h), o)})
	turn(img.Pix, img.Stride, s.Image.Pix, s.Image.Stride, w, h, 4, o)
	s.Image = img
	if s.Mask != nil {
		m := image.NewGray(img.Rect)
		turn(m.Pix, m.Stride, s.Mask.Pix, s.Mask.Stride, w, h, 1, o)
		s.Mask = m
	}
	return s, nil
}
