package main

import (
	"image"
	"image/color"

	"github.com/gotab/gotab/downstream"
)

// ramp is the scale of colours from dark blue over grey to light yellow. Its
// lightness only ever rises, and blue against yellow is told apart with every
// common kind of colour blindness, as in grey print. There is no red: a good
// part never looks alarming.
var ramp = [...]color.RGBA{
	{10, 20, 54, 255}, {24, 48, 94, 255}, {58, 80, 118, 255}, {98, 110, 126, 255}, {140, 138, 122, 255},
	{184, 166, 104, 255}, {224, 198, 86, 255}, {250, 230, 120, 255}, {255, 250, 205, 255},
}

// The scale is fixed: a value counts as a share of the highest one on good
// pictures that were kept aside for this, 1 lies in the middle of the ramp.
const (
	rampFrom = 0.4
	rampTo   = 1.6
)

// colourOf returns the colour of a share from 0 to 1 of the way along the ramp.
func colourOf(t float64) color.RGBA {
	t = max(0, min(1, t)) * float64(len(ramp)-1)
	i := min(int(t), len(ramp)-2)
	f := t - float64(i)
	a, b := ramp[i], ramp[i+1]
	mix := func(x, y uint8) uint8 { return uint8(float64(x) + (float64(y)-float64(x))*f + 0.5) }
	return color.RGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 255}
}

// heat paints a map; top is the highest value on good pictures.
func heat(m downstream.Map, top float64) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, m.W, m.H))
	for y := range m.H {
		for x := range m.W {
			share := float64(m.At(x, y)) / top
			img.SetRGBA(x, y, colourOf((share-rampFrom)/(rampTo-rampFrom)))
		}
	}
	return img
}

// truth shows where the defect is: the picture in dark grey, the defect in
// orange. A nil mask means that there is none.
func truth(img *image.RGBA, mask *image.Gray) *image.RGBA {
	out := image.NewRGBA(img.Rect)
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			p := img.RGBAAt(x, y)
			grey := uint8((int(p.R)*3 + int(p.G)*6 + int(p.B)) / 22)
			c := color.RGBA{grey, grey, grey, 255}
			if mask != nil && mask.GrayAt(x, y).Y >= 128 {
				c = color.RGBA{230, 159, 0, 255}
			}
			out.SetRGBA(x, y, c)
		}
	}
	return out
}

// legend is a bar of the whole scale, dark on the left.
func legend(w, h int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for x := range w {
		c := colourOf((float64(x) + 0.5) / float64(w))
		for y := range h {
			img.SetRGBA(x, y, c)
		}
	}
	return img
}
