package heatmap_test

import (
	"image"
	"image/color"
	"image/draw"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/heatmap"
)

var (
	white = color.RGBA{255, 255, 255, 255}
	blue  = color.RGBA{86, 180, 233, 255}
	dark  = color.RGBA{16, 16, 16, 255}
)

// coloured is a picture of many colours, with another origin than (0, 0).
func coloured(w, h int) *image.RGBA {
	img := image.NewRGBA(image.Rect(5, -3, 5+w, -3+h))
	for y := range h {
		for x := range w {
			img.SetRGBA(5+x, -3+y, color.RGBA{uint8(37 * x), uint8(91 * y), uint8(53 * (x + y)), 255})
		}
	}
	return img
}

func at(img *image.RGBA, x, y int) color.RGBA { return img.RGBAAt(img.Rect.Min.X+x, img.Rect.Min.Y+y) }

func neutral(c color.RGBA) bool { return c.R == c.G && c.G == c.B }

func TestOverlayLeavesAGoodPartGrey(t *testing.T) {
	img := coloured(16, 12)
	m := noise(16, 12, 3)
	out, err := heatmap.Overlay(img, m, heatmap.Scale{Low: 100, High: 200})
	require.NoError(t, err)
	require.Equal(t, image.Rect(0, 0, 16, 12), out.Rect)
	for y := range 12 {
		for x := range 16 {
			c := out.RGBAAt(x, y)
			require.True(t, neutral(c), "%v at %d,%d", c, x, y)
			grey := color.GrayModel.Convert(at(img, x, y)).(color.Gray).Y
			require.InDelta(t, 104+float64(grey)*9/17, float64(c.R), 1)
			require.Equal(t, uint8(255), c.A)
		}
	}
}

func TestOverlayColoursWithTheScale(t *testing.T) {
	// On even ground a larger value is never lighter for any channel that matters, and what
	// is above the scale looks like its end.
	m := mapOf(6, 9.999, 10, 12, 15, 20, 70)
	grey := image.NewRGBA(image.Rect(0, 0, 6, 1))
	draw.Draw(grey, grey.Rect, image.NewUniform(color.Gray{128}), image.Point{}, draw.Src)
	out, err := heatmap.Overlay(grey, m, heatmap.Scale{Low: 10, High: 20})
	require.NoError(t, err)
	require.True(t, neutral(out.RGBAAt(0, 0)))
	require.False(t, neutral(out.RGBAAt(1, 0)), "the lower end belongs to the scale")
	for x := 2; x < 5; x++ {
		a, b := out.RGBAAt(x-1, 0), out.RGBAAt(x, 0)
		// More opaque and darker: the distance from neutral (red over blue) grows until
		// vermilion, then green falls.
		require.True(t, int(b.R)-int(b.B) > int(a.R)-int(a.B) || b.G < a.G, "%v then %v", a, b)
	}
	require.Equal(t, out.RGBAAt(4, 0), out.RGBAAt(5, 0))
}

// hand is a map with a region of 3 x 2 and one of a single pixel, at or above 5.
func hand() downstream.Map {
	return mapOf(12,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0,
		0, 0, 0, 5, 6, 7, 4.99, 0, 0, 0, 0, 0,
		0, 0, 0, 9, 5, 8, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
}

func TestContourEnclosesExactlyWhatIsAbove(t *testing.T) {
	m := hand()
	img := coloured(m.W, m.H)
	out, err := heatmap.Contour(img, m, 5)
	require.NoError(t, err)
	in := func(x, y int) bool { return x >= 0 && y >= 0 && x < m.W && y < m.H && m.At(x, y) >= 5 }
	near := func(x, y, n int) bool {
		for dy := -n; dy <= n; dy++ {
			for dx := -n; dx <= n; dx++ {
				if in(x+dx, y+dy) {
					return true
				}
			}
		}
		return false
	}
	for y := range m.H {
		for x := range m.W {
			want := at(img, x, y)
			switch {
			case in(x, y):
			case near(x, y, 1):
				want = white
			case near(x, y, 2):
				want = dark
			}
			require.Equal(t, want, out.RGBAAt(x, y), "%d,%d", x, y)
		}
	}
}

func TestContourAtTheBorderAndBeyond(t *testing.T) {
	img := coloured(6, 5)
	all := make([]float32, 30)
	out, err := heatmap.Contour(img, mapOf(6, all...), 0)
	require.NoError(t, err)
	for y := range 5 {
		for x := range 6 {
			want := at(img, x, y)
			if x == 0 || y == 0 || x == 5 || y == 4 {
				want = white // there is no outside
			}
			require.Equal(t, want, out.RGBAAt(x, y))
		}
	}
	same, err := heatmap.Contour(img, mapOf(6, all...), math.Inf(1))
	require.NoError(t, err)
	for y := range 5 {
		for x := range 6 {
			require.Equal(t, at(img, x, y), same.RGBAAt(x, y), "nothing is above infinity")
		}
	}
}

func TestLinesAreWiderOnLargePictures(t *testing.T) {
	widths := func(side int) (ink, casing int) {
		m := mapOf(side, make([]float32, side*side)...)
		m.Data[side/2*side+side/2] = 1
		img := image.NewRGBA(image.Rect(0, 0, side, side))
		draw.Draw(img, img.Rect, image.NewUniform(color.Gray{100}), image.Point{}, draw.Src)
		out, err := heatmap.Contour(img, m, 1)
		require.NoError(t, err)
		for x := range side / 2 {
			switch out.RGBAAt(x, side/2) {
			case white:
				ink++
			case dark:
				casing++
			}
		}
		return ink, casing
	}
	ink, casing := widths(399)
	require.Equal(t, [2]int{1, 1}, [2]int{ink, casing})
	ink, casing = widths(400)
	require.Equal(t, [2]int{2, 2}, [2]int{ink, casing})
}

func TestCut(t *testing.T) {
	m := hand()
	img := coloured(m.W, m.H)
	out, err := heatmap.Cut(img, m, 5)
	require.NoError(t, err)
	line, err := heatmap.Contour(img, m, 5)
	require.NoError(t, err)
	for y := range m.H {
		for x := range m.W {
			c := out.RGBAAt(x, y)
			switch {
			case m.At(x, y) >= 5:
				require.Equal(t, at(img, x, y), c)
			case line.RGBAAt(x, y) != at(img, x, y):
				require.Equal(t, line.RGBAAt(x, y), c, "the line of Contour")
			default:
				require.True(t, neutral(c) && c.R >= 190 && c.R <= 230, "faded: %v at %d,%d", c, x, y)
			}
		}
	}
}

func TestTruth(t *testing.T) {
	img := coloured(7, 5)
	mask := image.NewGray(image.Rect(-2, 4, 5, 9))
	mask.SetGray(1, 6, color.Gray{128}) // in the middle, 3,2
	mask.SetGray(-2, 4, color.Gray{127})
	out, err := heatmap.Truth(img, mask)
	require.NoError(t, err)
	require.Equal(t, at(img, 3, 2), out.RGBAAt(3, 2))
	require.Equal(t, blue, out.RGBAAt(2, 1))
	require.Equal(t, dark, out.RGBAAt(1, 0))
	require.Equal(t, at(img, 0, 0), out.RGBAAt(0, 0))
	plain, err := heatmap.Truth(img, nil)
	require.NoError(t, err)
	require.Equal(t, img.Pix, plain.Pix)
	_, err = heatmap.Truth(img, image.NewGray(image.Rect(0, 0, 5, 7)))
	require.ErrorIs(t, err, heatmap.ErrSize)
	require.ErrorContains(t, err, "the mask is 5x7, the image 7x5")
	_, err = heatmap.Truth(nil, nil)
	require.ErrorIs(t, err, heatmap.ErrSize)
}

func TestWhatWasNotSeenIsHatched(t *testing.T) {
	// A map of 4x4 over the middle of 16x12, below the scale throughout.
	m := mapOf(4, make([]float32, 16)...)
	m.Rect = dataset.Rect{MinX: 4, MinY: 2, MaxX: 12, MaxY: 10}
	framed, err := m.ToInput(16, 12)
	require.NoError(t, err)
	img := image.NewRGBA(image.Rect(0, 0, 16, 12))
	draw.Draw(img, img.Rect, image.NewUniform(color.Gray{200}), image.Point{}, draw.Src)
	over, err := heatmap.Overlay(img, framed, heatmap.Scale{Low: 1, High: 2})
	require.NoError(t, err)
	cut, err := heatmap.Cut(img, framed, 1)
	require.NoError(t, err)
	good := over.RGBAAt(8, 6)
	for name, pic := range map[string]*image.RGBA{"overlay": over, "cut": cut} {
		striped := map[color.RGBA]int{}
		for y := range 12 {
			for x := range 16 {
				if !image.Pt(x, y).In(image.Rect(4, 2, 12, 10)) {
					striped[pic.RGBAAt(x, y)]++
				} else if name == "overlay" {
					require.Equal(t, good, pic.RGBAAt(x, y))
				}
			}
		}
		require.Len(t, striped, 2, name)
		for c, n := range striped {
			require.True(t, neutral(c))
			require.Greater(t, n, 128/3, "%s: stripes of %v", name, c)
		}
		require.Greater(t, striped[color.RGBA{72, 72, 72, 255}], 0, "%s: darker than any good pixel, which is 104 or more", name)
	}
	// A line that comes up against the frame does not leak into it.
	line, err := heatmap.Contour(img, framed, math.Inf(-1))
	require.NoError(t, err)
	require.Equal(t, white, line.RGBAAt(3, 6))
	require.Equal(t, img.RGBAAt(4, 6), line.RGBAAt(4, 6))
}

func TestMisfits(t *testing.T) {
	img := coloured(3, 2)
	fits := mapOf(3, 1, 2, 3, 4, 5, 6)
	scale := heatmap.Scale{Low: 1, High: 2}
	draws := map[string]func(image.Image, downstream.Map) error{
		"overlay": func(i image.Image, m downstream.Map) error { _, err := heatmap.Overlay(i, m, scale); return err },
		"contour": func(i image.Image, m downstream.Map) error { _, err := heatmap.Contour(i, m, 1); return err },
		"cut":     func(i image.Image, m downstream.Map) error { _, err := heatmap.Cut(i, m, 1); return err },
	}
	for name, c := range map[string]struct {
		img image.Image
		m   downstream.Map
		is  error
	}{
		"no picture":    {nil, fits, heatmap.ErrSize},
		"empty picture": {image.NewRGBA(image.Rectangle{}), downstream.Map{}, heatmap.ErrSize},
		"turned":        {img, mapOf(2, 1, 2, 3, 4, 5, 6), heatmap.ErrSize},
		"no map":        {img, downstream.Map{}, heatmap.ErrSize},
		"short data":    {img, downstream.Map{W: 3, H: 2, Data: make([]float32, 5)}, heatmap.ErrSize},
		"long data":     {img, downstream.Map{W: 3, H: 2, Data: make([]float32, 7)}, heatmap.ErrSize},
		"NaN inside":    {img, mapOf(3, 1, nan, 3, 4, 5, 6), heatmap.ErrNotFinite},
		"all NaN":       {img, mapOf(3, nan, nan, nan, nan, nan, nan), heatmap.ErrNotFinite},
		"infinite":      {img, mapOf(3, 1, 2, 3, 4, 5, float32(math.Inf(-1))), heatmap.ErrNotFinite},
	} {
		for doing, draw := range draws {
			err := draw(c.img, c.m)
			require.ErrorIs(t, err, c.is, "%s: %s", doing, name)
			require.ErrorContains(t, err, "heatmap: "+doing+": ")
		}
	}
	_, err := heatmap.Overlay(img, fits, heatmap.Scale{})
	require.ErrorIs(t, err, heatmap.ErrScale)
	_, err = heatmap.Contour(img, fits, math.NaN())
	require.ErrorIs(t, err, heatmap.ErrNotFinite)
	_, err = heatmap.Cut(img, fits, math.NaN())
	require.ErrorIs(t, err, heatmap.ErrNotFinite)
}

func TestTransparentPicturesLieOnWhite(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 1, 1))
	out, err := heatmap.Contour(img, mapOf(1, 0), 1)
	require.NoError(t, err)
	require.Equal(t, white, out.RGBAAt(0, 0))
}
