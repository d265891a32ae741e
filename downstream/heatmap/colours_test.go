package heatmap_test

import (
	"image/color"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/downstream/heatmap"
)

// linear is the light of a channel of sRGB (IEC 61966-2-1), 0 to 1.
func linear(v uint8) float64 {
	x := float64(v) / 255
	if x <= 0.04045 {
		return x / 12.92
	}
	return math.Pow((x+0.055)/1.055, 2.4)
}

type vec [3]float64

func (m matrix) times(v vec) (out vec) {
	for i, row := range m {
		for j, a := range row {
			out[i] += a * v[j]
		}
	}
	return out
}

type matrix [3]vec

// eyes are the matrices on linear sRGB of Machado, Oliveira and Fernandes, "A
// Physiologically-based Model for Simulation of Color Vision Deficiency", IEEE
// Transactions on Visualization and Computer Graphics 15, 2009, at severity 1.
func eyes() map[string]matrix {
	return map[string]matrix{
		"common":      {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
		"deuteranope": {{0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881}},
		"protanope":   {{0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216}, {-0.003882, -0.048116, 1.051998}},
	}
}

// lab is CIE L*a*b* under D65 of a colour as eyes see it.
func lab(c color.RGBA, eye matrix) vec {
	seen := eye.times(vec{linear(c.R), linear(c.G), linear(c.B)})
	for i := range seen {
		seen[i] = min(max(seen[i], 0), 1)
	}
	xyz := matrix{{0.4124, 0.3576, 0.1805}, {0.2126, 0.7152, 0.0722}, {0.0193, 0.1192, 0.9505}}.times(seen)
	f := func(t float64) float64 {
		if t > 216.0/24389 {
			return math.Cbrt(t)
		}
		return (24389.0/27*t + 16) / 116
	}
	x, y, z := f(xyz[0]/0.95047), f(xyz[1]), f(xyz[2]/1.08883)
	return vec{116*y - 16, 500 * (x - y), 200 * (y - z)}
}

// apart is the difference of two colours, Delta E of 1976. A trained eye just sees 2.3
// (Mahy, Van Eycken and Oosterlinck, "Evaluation of uniform color spaces", 1994).
func apart(a, b vec) float64 { return math.Hypot(math.Hypot(a[0]-b[0], a[1]-b[1]), a[2]-b[2]) }

func TestColoursGetDarkerForAllEyes(t *testing.T) {
	for name, eye := range eyes() {
		last := lab(heatmap.Colour(0), eye)
		for i := 1; i <= 100; i++ {
			c := lab(heatmap.Colour(float64(i)/100), eye)
			require.Less(t, c[0], last[0], "%s: lightness at %d %%", name, i)
			last = c
		}
	}
	require.Equal(t, heatmap.Colour(0), heatmap.Colour(-3))
	require.Equal(t, heatmap.Colour(0), heatmap.Colour(math.NaN()))
	require.Equal(t, heatmap.Colour(1), heatmap.Colour(3))
	require.Equal(t, heatmap.Colour(1), heatmap.Colour(math.Inf(1)))
}

// Neighbouring tenths of the scale are told apart by all eyes, and no colour is taken for the
// grey of a picture.
func TestColoursStayApartForAllEyes(t *testing.T) {
	const justSeen = 2.3
	bar, err := heatmap.Bar(1000, 1)
	require.NoError(t, err)
	for name, eye := range eyes() {
		for i := 1; i <= 10; i++ {
			a, b := lab(heatmap.Colour(float64(i-1)/10), eye), lab(heatmap.Colour(float64(i)/10), eye)
			require.Greater(t, apart(a, b), 2*justSeen, "%s: tenths %d and %d", name, i-1, i)
			shown := lab(bar.RGBAAt(100*i-1, 0), eye)
			for g := range 256 {
				d := apart(shown, lab(color.RGBA{uint8(g), uint8(g), uint8(g), 255}, eye))
				require.Greater(t, d, 5*justSeen, "%s: tenth %d beside grey %d", name, i, g)
			}
		}
	}
}

func TestBar(t *testing.T) {
	bar, err := heatmap.Bar(50, 3)
	require.NoError(t, err)
	require.Equal(t, 50, bar.Rect.Dx())
	require.Equal(t, 3, bar.Rect.Dy())
	require.Equal(t, bar.RGBAAt(49, 0), bar.RGBAAt(49, 2))
	for _, size := range [][2]int{{0, 3}, {3, 0}, {-1, -1}} {
		_, err := heatmap.Bar(size[0], size[1])
		require.ErrorIs(t, err, heatmap.ErrSize)
	}
}
