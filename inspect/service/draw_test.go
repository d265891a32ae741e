package service_test

import (
	"bytes"
	"image/color"
	"image/png"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/inspect"
)

// What a bundle's regions hide is hatched, in the middle of a map as at its border, and
// never coloured; a frame is hatched as heatmap does it.
func TestHiddenPlacesAreHatched(t *testing.T) {
	pic := part(40, 30, true)
	draw := func(hide func(x, y int) bool) *bytes.Buffer {
		h := handler(t, nil, &odd{fake{name: "gear"}, func(v *inspect.Verdict) {
			for i := range v.Map.Data {
				if hide(i%40, i/40) {
					v.Map.Data[i] = float32(math.NaN())
				}
			}
		}})
		w := call(h, "POST", "/inspect?map=png", bytes.NewReader(encoded(t, pic)))
		require.Equal(t, 200, w.Code, w.Body.String())
		return w.Body
	}
	got, err := png.Decode(draw(func(x, y int) bool { return x >= 12 && x < 18 && y >= 12 && y < 18 }))
	require.NoError(t, err)
	stripes := 0
	for y := range 30 {
		for x := range 40 {
			c := color.RGBAModel.Convert(got.At(x, y)).(color.RGBA)
			defect := x >= 10 && x < 20 && y >= 10 && y < 20
			hidden := x >= 12 && x < 18 && y >= 12 && y < 18
			require.Equal(t, defect && !hidden, c.R != c.B, "%d,%d", x, y)
			if c == (color.RGBA{72, 72, 72, 255}) {
				require.True(t, hidden)
				stripes++
			}
		}
	}
	require.InDelta(t, 18, stripes, 3, "half of the hidden pixels")

	frame := func(x, y int) bool { return x < 5 || y >= 25 }
	sent := draw(frame).Bytes()
	v, err := (&fake{name: "gear"}).Inspect(t.Context(), pic)
	require.NoError(t, err)
	for i := range v.Map.Data {
		if frame(i%40, i/40) {
			v.Map.Data[i] = float32(math.NaN())
		}
	}
	want, err := heatmap.Overlay(pic, v.Map, v.Scale)
	require.NoError(t, err)
	framed, err := png.Decode(bytes.NewReader(sent))
	require.NoError(t, err)
	for y := range 30 {
		for x := range 40 {
			require.Equal(t, want.RGBAAt(x, y), color.RGBAModel.Convert(framed.At(x, y)), "%d,%d", x, y)
		}
	}
}
