package heatmap_test

import (
	"bytes"
	"flag"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/heatmap"
)

var update = flag.Bool("update", false, "write the golden pictures anew; look at them before they are committed")

// part is a grey part with a bright square, whose map peaks there and does not cover the
// outermost pixels.
func part(t *testing.T) heatmap.Part {
	const w, h = 72, 56
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			v := uint8(60 + 2*x)
			img.SetRGBA(x, y, color.RGBA{v, v, v - 20, 255})
		}
	}
	mask := image.NewGray(img.Rect)
	spot := image.Rect(30, 20, 44, 30)
	draw.Draw(img, spot, image.NewUniform(color.RGBA{250, 240, 220, 255}), image.Point{}, draw.Src)
	draw.Draw(mask, spot, image.White, image.Point{}, draw.Src)
	m := mapOf(32, make([]float32, 32*24)...)
	for y := range m.H {
		for x := range m.W {
			dx, dy := (float64(x)-16)/6, (float64(y)-10)/4
			m.Data[y*m.W+x] = float32(2 * math.Exp(-dx*dx-dy*dy))
		}
	}
	m.Rect = dataset.Rect{MinX: 4, MinY: 4, MaxX: 68, MaxY: 52}
	in, err := m.ToInput(w, h)
	require.NoError(t, err)
	return heatmap.Part{Image: img, Mask: mask,
		Views: []heatmap.View{{Map: in, Scale: heatmap.Scale{Low: 0.2, High: 2}, Threshold: 0.8}}}
}

func titles(panels []heatmap.Panel) (out []string) {
	for _, p := range panels {
		out = append(out, p.Title)
	}
	return out
}

func TestPanels(t *testing.T) {
	p := part(t)
	panels, err := p.Panels()
	require.NoError(t, err)
	require.Equal(t, []string{"image", "truth", "map", "cut"}, titles(panels))
	for _, q := range panels {
		require.Equal(t, image.Rect(0, 0, 72, 56), q.Image.Rect, q.Title)
	}

	other := p.Views[0]
	other.Name, other.Scale = "random", heatmap.Scale{Low: 20, High: 30}
	p.Views[0].Name = "trained"
	p.Views, p.Mask = append(p.Views, other), nil
	two, err := p.Panels()
	require.NoError(t, err)
	require.Equal(t, []string{"image", "truth: no mask", "map: trained", "map: random", "cut"}, titles(two))
	require.Equal(t, panels[2].Image.Pix, two[2].Image.Pix)
	require.NotEqual(t, two[2].Image.Pix, two[3].Image.Pix, "each view has its own scale")
}

// In units of one's own good images a detector whose values are four times as large is drawn
// alike.
func TestScaledViewsLookAlike(t *testing.T) {
	p := part(t)
	v := p.Views[0]
	other := v
	other.Map.Data = make([]float32, len(v.Map.Data))
	for i, x := range v.Map.Data {
		other.Map.Data[i] = 4 * x // exact, as are the ends below
	}
	other.Scale = heatmap.Scale{Low: 4 * v.Scale.Low, High: 4 * v.Scale.High}
	other.Threshold *= 4
	p.Views = append(p.Views, other)
	panels, err := p.Panels()
	require.NoError(t, err)
	require.Equal(t, panels[2].Image.Pix, panels[3].Image.Pix)
}

func TestPanelsRefuse(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*heatmap.Part)
		is     error
	}{
		"no picture": {func(p *heatmap.Part) { p.Image = nil }, heatmap.ErrSize},
		"no view":    {func(p *heatmap.Part) { p.Views = nil }, heatmap.ErrNoMaps},
		"mask":       {func(p *heatmap.Part) { p.Mask = image.NewGray(image.Rect(0, 0, 3, 3)) }, heatmap.ErrSize},
		"map":        {func(p *heatmap.Part) { p.Views[0].Map = mapOf(1, 1) }, heatmap.ErrSize},
		"scale":      {func(p *heatmap.Part) { p.Views[0].Scale = heatmap.Scale{} }, heatmap.ErrScale},
		"threshold":  {func(p *heatmap.Part) { p.Views[0].Threshold = math.NaN() }, heatmap.ErrNotFinite},
		"other map": {func(p *heatmap.Part) {
			p.Views = append(p.Views, heatmap.View{Map: mapOf(1, 1), Scale: p.Views[0].Scale})
		}, heatmap.ErrSize},
	} {
		p := part(t)
		c.change(&p)
		_, err := p.Panels()
		require.ErrorIs(t, err, c.is, name)
	}
}

// The golden picture holds every kind of panel, the texts and the legend. It was looked at
// when it was made; a change of a pixel is a change of the look, to be looked at again.
func TestGoldenGallery(t *testing.T) {
	p := part(t)
	panels, err := p.Panels()
	require.NoError(t, err)
	row, err := heatmap.Row(panels, "score 2.00  part/test/spot/001.png")
	require.NoError(t, err)
	legend, err := heatmap.Legend(p.Views...)
	require.NoError(t, err)
	got, err := heatmap.Stack(row, legend)
	require.NoError(t, err)

	file := filepath.Join("testdata", "gallery.png")
	if *update {
		var b bytes.Buffer
		require.NoError(t, (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, got))
		require.NoError(t, os.WriteFile(file, b.Bytes(), 0o666))
	}
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	want, err := png.Decode(f)
	require.NoError(t, err)
	require.Equal(t, want.Bounds(), got.Rect)
	for y := range got.Rect.Dy() {
		for x := range got.Rect.Dx() {
			require.Equal(t, color.RGBAModel.Convert(want.At(x, y)), got.RGBAAt(x, y), "pixel %d,%d", x, y)
		}
	}
}

func TestRowsGrowWithTheirText(t *testing.T) {
	small := heatmap.Panel{Title: "a title that is far too long", Image: image.NewRGBA(image.Rect(3, 3, 23, 13))}
	row, err := heatmap.Row([]heatmap.Panel{small, small})
	require.NoError(t, err)
	require.Equal(t, 8+20+8+20+8, row.Rect.Dx())
	wide, err := heatmap.Row([]heatmap.Panel{small}, "a line that is longer than the panel")
	require.NoError(t, err)
	require.Equal(t, 16+7*36, wide.Rect.Dx())
	require.Equal(t, row.Rect.Dy()+17, wide.Rect.Dy())

	p := part(t)
	one, err := heatmap.Legend(p.Views...)
	require.NoError(t, err)
	two, err := heatmap.Legend(p.Views[0], p.Views[0])
	require.NoError(t, err)
	require.Equal(t, one.Rect.Dy()+17, two.Rect.Dy())
	all, err := heatmap.Stack(one, two)
	require.NoError(t, err)
	require.Equal(t, one.Rect.Dy()+two.Rect.Dy(), all.Rect.Dy())
}

// A line where the colours begin is no threshold: the legend calls it otherwise, and of two views
// that differ in that it says for each what its line is.
func TestLegendNamesTheLine(t *testing.T) {
	at := part(t).Views[0]
	begins := at
	begins.Threshold = begins.Scale.Low
	width := func(views ...heatmap.View) int {
		for i := range views {
			views[i].Scale.High = 3 // of one letter: the keys decide the width
		}
		legend, err := heatmap.Legend(views...)
		require.NoError(t, err)
		return legend.Rect.Dx()
	}
	threshold := width(at)
	require.Equal(t, threshold+7*(len("begin of the colours")-len("threshold")), width(begins))
	require.Equal(t, threshold+7*(len("line, see below")-len("threshold")), width(at, begins))
	require.Equal(t, threshold, width(at, at))
}

func TestRowsRefuse(t *testing.T) {
	_, err := heatmap.Row(nil)
	require.ErrorIs(t, err, heatmap.ErrSize)
	_, err = heatmap.Row([]heatmap.Panel{{Title: "none"}})
	require.ErrorIs(t, err, heatmap.ErrSize)
	require.ErrorContains(t, err, "panel 0 (none)")
	_, err = heatmap.Stack()
	require.ErrorIs(t, err, heatmap.ErrSize)
	_, err = heatmap.Stack(nil)
	require.ErrorIs(t, err, heatmap.ErrSize)
	_, err = heatmap.Legend()
	require.ErrorIs(t, err, heatmap.ErrNoMaps)
	_, err = heatmap.Legend(heatmap.View{})
	require.ErrorIs(t, err, heatmap.ErrScale)
}
