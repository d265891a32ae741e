package synth

import (
	"encoding/json"
	"image"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// colourPicture is the formula of testdata/parity/colours.py.
func colourPicture() *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, 23, 17))
	for y := range 17 {
		for x := range 23 {
			i := m.PixOffset(x, y)
			m.Pix[i], m.Pix[i+1], m.Pix[i+2], m.Pix[i+3] = uint8(x*11+y*3), uint8(40+x*y), uint8(200-7*x+5*y), 255
		}
	}
	return m
}

// TestColoursArePillows compares each step of the jitter and of the texture's changes with Pillow and torchvision.
func TestColoursArePillows(t *testing.T) {
	raw, err := os.ReadFile("testdata/parity/colours.json")
	require.NoError(t, err)
	var want map[string][]int
	require.NoError(t, json.Unmarshal(raw, &want))
	var tmp []uint8
	// Pillow's blending and ours round in other places by at most a level. Its hue goes through 8-bit HSV, cut and not
	// rounded: a hue of 1/255 of the circle moves a channel by up to 6 levels, the turn of 15.3 steps is cut to 15 (1.8
	// levels), the saturation to 1/255 (1 level), the result to whole levels (1).
	const blended, eightBitHSV = 1, 10
	for name, c := range map[string]struct {
		do  func(m *image.RGBA)
		tol int
	}{
		"brightness":   {func(m *image.RGBA) { remap(m, m.Rect, blendTable(0, 1.07)) }, 0},
		"contrast":     {func(m *image.RGBA) { remap(m, m.Rect, blendTable(math.Floor(meanLuma(m, m.Rect)+0.5), 0.93)) }, 0},
		"saturation":   {func(m *image.RGBA) { saturate(m, m.Rect, 1.08) }, blended},
		"hue":          {func(m *image.RGBA) { turnHue(m, m.Rect, 0.06) }, eightBitHSV},
		"autocontrast": {func(m *image.RGBA) { autocontrast(m, 0.05) }, blended},
		"equalize":     {equalize, 0},
		"sharpness":    {func(m *image.RGBA) { sharpen(m, 1.6, &tmp) }, blended},
	} {
		m := colourPicture()
		c.do(m)
		worst := 0
		for i, v := range want[name] {
			worst = max(worst, absInt(v-int(m.Pix[i/3*4+i%3])))
		}
		require.Len(t, want[name], 23*17*3)
		require.LessOrEqual(t, worst, c.tol, name)
		t.Logf("%s: worst %d", name, worst)
	}
}

// TestStripIsPillows compares the size of a turned strip and its pixels in each column with Pillow's rotate.
func TestStripIsPillows(t *testing.T) {
	raw, err := os.ReadFile("testdata/parity/colours.json")
	require.NoError(t, err)
	var want struct{ Strip, StripSize []int }
	require.NoError(t, json.Unmarshal(raw, &want))
	g := ScarCutPaste()
	g.ScarWidth, g.ScarHeight, g.ScarAngle, g.Jitter = Span{5, 5}, Span{14, 14}, Span{-31, -31}, Jitter{}
	from := colourPicture()
	into := image.NewRGBA(image.Rect(0, 0, 40, 40))
	var p Pair
	p.begin(KindCutScar, into, from)
	r := g.scar(&p, from, rand.New(rand.NewPCG(1, 1)))
	// Pillow takes its box one pixel wider where a corner falls just beyond a whole one.
	require.InDelta(t, want.StripSize[0], r.Dx(), 1)
	require.InDelta(t, want.StripSize[1], r.Dy(), 1)
	n, total := 0, 0
	for _, v := range p.Support.Pix {
		n += int(v >> 7)
	}
	for _, v := range want.Strip {
		total += v
	}
	// A strip of 5x14 pixels; where its edge falls on centres, one row or column of up to 5 more or less.
	require.InDelta(t, total, n, 5)
	require.InDelta(t, 70, n, 5)
	// It turns clockwise for a negative angle, as Pillow's does: the top lies to the right of the foot.
	top, foot := 0, 0
	for x := r.Min.X; x < r.Max.X; x++ {
		if p.Support.GrayAt(x, r.Min.Y+1).Y > 0 {
			top = x
		}
		if p.Support.GrayAt(x, r.Max.Y-2).Y > 0 && foot == 0 {
			foot = x
		}
	}
	require.Greater(t, top, foot)
}

// TestNoiseIsNumPys compares the noise, turned, with the formula written out in NumPy.
func TestNoiseIsNumPys(t *testing.T) {
	raw, err := os.ReadFile("testdata/parity/perlin.json")
	require.NoError(t, err)
	var want struct {
		Rows, Cols, H, W int
		Degrees          float64
		Noise            []float64
	}
	require.NoError(t, json.Unmarshal(raw, &want))
	n := lattice{rows: want.Rows, cols: want.Cols}
	for k := range (want.Rows + 1) * (want.Cols + 1) {
		s, c := math.Sincos(2.4 * float64(k))
		n.grad = append(n.grad, c, s)
	}
	sin, cos := math.Sincos(want.Degrees * math.Pi / 180)
	cx, cy := float64(want.W-1)/2, float64(want.H-1)/2
	inside := 0
	for y := range want.H {
		for x := range want.W {
			dx, dy := float64(x)-cx, float64(y)-cy
			sx, sy := dx*cos-dy*sin+cx, dx*sin+dy*cos+cy
			v := 0.0
			if sx >= 0 && sy >= 0 && sx <= float64(want.W-1) && sy <= float64(want.H-1) {
				v = n.at(sy*float64(want.Rows)/float64(want.H), sx*float64(want.Cols)/float64(want.W))
				inside++
			}
			require.InDelta(t, want.Noise[y*want.W+x], v, 2e-9) // the fixture holds nine digits
		}
	}
	require.Greater(t, inside, want.W*want.H/2)
}

// TestNoiseMaskIsTheNoise: Perlin's own loop puts the mask where that noise exceeds the threshold.
func TestNoiseMaskIsTheNoise(t *testing.T) {
	g := DRAEMPerlin()
	g.Angle, g.Grid = Span{33, 33}, [2]int{2, 5}
	for seed := range uint64(8) {
		m := image.NewGray(image.Rect(0, 0, 61, 45))
		var n lattice
		box := g.shape(m, &n, rand.New(rand.NewPCG(seed, 1)))
		sin, cos := math.Sincos(33 * math.Pi / 180)
		var want image.Rectangle
		for y := range 45 {
			for x := range 61 {
				dx, dy := float64(x)-30, float64(y)-22
				sx, sy := dx*cos-dy*sin+30, dx*sin+dy*cos+22
				on := sx >= 0 && sy >= 0 && sx <= 60 && sy <= 44 && n.at(sy*float64(n.rows)/45, sx*float64(n.cols)/61) > 0.5
				require.Equal(t, on, m.GrayAt(x, y).Y == 255, "(%d,%d)", x, y)
				if on {
					want = want.Union(image.Rect(x, y, x+1, y+1))
				}
			}
		}
		require.Equal(t, want, box)
	}
}

// TestEveryStep: each change of a texture leaves alpha alone, keeps the size, and does something to a colourful picture
// in most draws.
func TestEveryStep(t *testing.T) {
	var tmp []uint8
	for step := range augKinds {
		changed := 0
		for seed := range uint64(12) {
			m := colourPicture()
			augment(m, step, &tmp, rand.New(rand.NewPCG(seed, 3)))
			diff := false
			for i, v := range colourPicture().Pix {
				if i%4 == 3 {
					require.EqualValues(t, 255, m.Pix[i])
				}
				diff = diff || v != m.Pix[i]
			}
			if diff {
				changed++
			}
		}
		require.GreaterOrEqual(t, changed, 3, "step %d", step)
	}
}

// TestEllipsesAreNumPys compares the union of four shapes, one of them near 45 degrees, with the article's formula in NumPy.
func TestEllipsesAreNumPys(t *testing.T) {
	raw, err := os.ReadFile("testdata/parity/ellipses.json")
	require.NoError(t, err)
	var want struct {
		H, W   int
		Shapes [][5]float64
		Rows   []string
	}
	require.NoError(t, json.Unmarshal(raw, &want))
	m := image.NewGray(image.Rect(0, 0, want.W, want.H))
	for _, s := range want.Shapes {
		sin, cos := math.Sincos(s[0])
		ellipse(m, sin, cos, s[1], s[2], s[3], s[4])
	}
	for y, row := range want.Rows {
		for x, v := range row {
			require.Equal(t, v == '1', m.GrayAt(x, y).Y == 255, "(%d,%d)", x, y)
		}
	}
}
