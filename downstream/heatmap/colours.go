package heatmap

import (
	"fmt"
	"image"
	"image/color"
)

// stops are the colours of the scale at equal distances, from its lower end to its
// upper one. The first three are the yellow, orange and vermilion of Okabe and Ito,
// "Color Universal Design", 2002, which stay apart for every common kind of colour
// blindness; the last goes on darker, so that lightness alone tells the order.
func stops() [4]color.RGBA {
	return [...]color.RGBA{{240, 228, 66, 255}, {230, 159, 0, 255}, {213, 94, 0, 255}, {96, 24, 0, 255}}
}

// The colours lie over the image with an opacity that grows over the first part
// of the scale, so that the border of what is usual is no edge.
const (
	opacityLow  = 0.30
	opacityHigh = 0.80
	opacityFull = 0.20 // share of the scale from which on the opacity is the high one
)

// Colour returns the colour of a share of the scale (see [Scale.Share]): 0 is its
// lower end, 1 its upper one. Shares outside get the colours of the ends, NaN that
// of the lower one.
func Colour(share float64) color.RGBA {
	s := stops()
	if !(share > 0) {
		return s[0]
	}
	t := min(share, 1) * float64(len(s)-1)
	i := min(int(t), len(s)-2)
	return blend(s[i], s[i+1], t-float64(i))
}

// blend is the fraction f of the way from a to b.
func blend(a, b color.RGBA, f float64) color.RGBA {
	mix := func(x, y uint8) uint8 { return uint8(float64(x) + (float64(y)-float64(x))*f + 0.5) }
	return color.RGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 255}
}

// over is what a pixel of the pale grey g looks like under a share of the scale.
func over(g uint8, share float64) color.RGBA {
	ground := color.RGBA{g, g, g, 255}
	if !(share >= 0) {
		return ground
	}
	f := opacityLow + (opacityHigh-opacityLow)*min(share/opacityFull, 1)
	return blend(ground, Colour(share), f)
}

// pale is the grey that stands for a pixel under the colours: lighter and of less
// contrast, so that they are seen on a black part as on a white one.
func pale(c color.RGBA) uint8 {
	return uint8(104 + int(color.GrayModel.Convert(c).(color.Gray).Y)*9/17) // 104 to 239
}

// medium is the pale grey of an image of medium brightness.
const medium = 171

// Bar is the scale as a bar of w x h pixels, its lower end on the left, as it looks
// on a medium grey. A size below 1 x 1 is ErrSize.
func Bar(w, h int) (*image.RGBA, error) {
	if w < 1 || h < 1 {
		return nil, fmt.Errorf("heatmap: bar: %w: it is to be %dx%d", ErrSize, w, h)
	}
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for x := range w {
		c := over(medium, (float64(x)+0.5)/float64(w))
		for y := range h {
			img.SetRGBA(x, y, c)
		}
	}
	return img, nil
}
