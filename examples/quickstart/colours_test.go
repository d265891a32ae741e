package main

import (
	"image"
	"image/color"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/downstream"
)

// light is the lightness that grey print keeps (ITU-R BT.709 weights).
func light(c color.RGBA) float64 {
	return 0.2126*float64(c.R) + 0.7152*float64(c.G) + 0.0722*float64(c.B)
}

func TestRampRisesAndHoldsNoRed(t *testing.T) {
	last := -1.0
	for i := range 101 {
		c := colourOf(float64(i) / 100)
		require.Greater(t, light(c), last)
		last = light(c)
		require.LessOrEqual(t, int(c.R)-int(c.G), 40, "reddish at %d %%: %v", i, c)
	}
	require.Equal(t, colourOf(0), colourOf(-3))
	require.Equal(t, colourOf(1), colourOf(3))
}

func TestHeatHasAFixedScale(t *testing.T) {
	m := downstream.Map{W: 3, H: 1, Data: []float32{2, 5, 50}}
	img := heat(m, 5)
	require.Equal(t, colourOf(0), img.RGBAAt(0, 0))   // 0.4 of the highest good value
	require.Equal(t, colourOf(0.5), img.RGBAAt(1, 0)) // the highest good value
	require.Equal(t, colourOf(1), img.RGBAAt(2, 0))
}

func TestTruth(t *testing.T) {
	img := image.NewRGBA(image.Rect(0, 0, 2, 1))
	img.SetRGBA(0, 0, color.RGBA{220, 220, 220, 255})
	mask := image.NewGray(img.Rect)
	mask.Pix[1] = 255
	out := truth(img, mask)
	require.Equal(t, color.RGBA{100, 100, 100, 255}, out.RGBAAt(0, 0))
	require.Equal(t, color.RGBA{230, 159, 0, 255}, out.RGBAAt(1, 0))
	require.Equal(t, color.RGBA{0, 0, 0, 255}, truth(img, nil).RGBAAt(1, 0))
}
