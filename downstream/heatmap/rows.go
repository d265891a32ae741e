package heatmap

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

// Measures of rows and legends, in pixels.
const (
	margin  = 8  // around a sheet
	gap     = 8  // between panels
	lineGap = 17 // from one line of text to the next
	glyph   = 7  // width of a letter
	swatch  = 12 // side of a sample of a colour
	barLong = 160
)

// Row puts panels side by side on white, their titles above and lines of text below. A title
// that is wider than its panel is cut short; a line that is wider than the row widens the row.
// Letters that are not ASCII are drawn as boxes. No panel, or one without pixels, is ErrSize.
func Row(panels []Panel, lines ...string) (*image.RGBA, error) {
	if len(panels) == 0 {
		return nil, fmt.Errorf("heatmap: row: %w: there are no panels", ErrSize)
	}
	w, h := 2*margin-gap, 0
	for i, p := range panels {
		if p.Image == nil || p.Image.Rect.Empty() {
			return nil, fmt.Errorf("heatmap: row: %w: panel %d (%s) has no pixels", ErrSize, i, p.Title)
		}
		w += p.Image.Rect.Dx() + gap
		h = max(h, p.Image.Rect.Dy())
	}
	for _, l := range lines {
		w = max(w, 2*margin+textWidth(l))
	}
	out := sheet(w, margin+lineGap+h+len(lines)*lineGap+margin)
	x := margin
	for _, p := range panels {
		write(out, x, margin, shorten(p.Title, p.Image.Rect.Dx()))
		place(out, x, margin+lineGap, p.Image)
		x += p.Image.Rect.Dx() + gap
	}
	for i, l := range lines {
		write(out, margin, margin+lineGap+h+6+i*lineGap, l)
	}
	return out, nil
}

// Legend explains what panels show: the colours from what is usual on good parts upwards, the
// lines, and the hatching. Below is a line for each view with the values of its map that the
// ends of its scale and the line stand for. A line at Scale.Low is no threshold and is not
// called one. No view is ErrNoMaps; a scale is what [Scale.Validate] says of it.
func Legend(views ...View) (*image.RGBA, error) {
	if len(views) == 0 {
		return nil, fmt.Errorf("heatmap: legend: %w", ErrNoMaps)
	}
	var values []string
	begin := 0 // views whose line is where their colours begin
	for _, v := range views {
		if err := v.Scale.Validate(); err != nil {
			return nil, fmt.Errorf("heatmap: legend: %s: %w", v.Name, err)
		}
		line := fmt.Sprintf("at %.4g", v.Threshold)
		if v.Threshold == v.Scale.Low {
			begin++
			line = "where they begin"
		}
		text := fmt.Sprintf("colours from %.4g to %.4g and above, line %s", v.Scale.Low, v.Scale.High, line)
		if v.Name != "" {
			text = v.Name + ": " + text
		}
		values = append(values, text)
	}
	line := "line, see below"
	switch begin {
	case 0:
		line = "threshold"
	case len(views):
		line = "begin of the colours"
	}
	bar, err := Bar(barLong, swatch)
	if err != nil {
		return nil, err
	}
	keys := []struct {
		sample *image.RGBA
		text   string
	}{
		{sample(color.RGBA{medium, medium, medium, 255}), "as good parts"},
		{bar, "unusual"},
		{lineSample(cutLine()), line},
		{lineSample(truthLine()), "true defect"},
		{hatchSample(), "not seen"},
	}
	w := 2 * margin
	for _, k := range keys {
		w += k.sample.Rect.Dx() + 5 + textWidth(k.text) + 2*gap
	}
	for _, v := range values {
		w = max(w, 2*margin+textWidth(v))
	}
	out := sheet(w, 2*margin+(1+len(values))*lineGap)
	x := margin
	for _, k := range keys {
		place(out, x, margin, k.sample)
		x += k.sample.Rect.Dx() + 5
		write(out, x, margin, k.text)
		x += textWidth(k.text) + 2*gap
	}
	for i, v := range values {
		write(out, margin, margin+(i+1)*lineGap+2, v)
	}
	return out, nil
}

// Stack puts pictures below one another on white, such as rows and a legend. No picture, or one
// without pixels, is ErrSize.
func Stack(pictures ...*image.RGBA) (*image.RGBA, error) {
	w, h := 0, 0
	for i, p := range pictures {
		if p == nil || p.Rect.Empty() {
			return nil, fmt.Errorf("heatmap: stack: %w: picture %d has no pixels", ErrSize, i)
		}
		w = max(w, p.Rect.Dx())
		h += p.Rect.Dy()
	}
	if len(pictures) == 0 {
		return nil, fmt.Errorf("heatmap: stack: %w: there are no pictures", ErrSize)
	}
	out := sheet(w, h)
	y := 0
	for _, p := range pictures {
		place(out, 0, y, p)
		y += p.Rect.Dy()
	}
	return out, nil
}

func sheet(w, h int) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(out, out.Rect, image.White, image.Point{}, draw.Src)
	return out
}

// place draws a picture with its upper left corner at (x, y).
func place(dst *image.RGBA, x, y int, src *image.RGBA) {
	draw.Draw(dst, image.Rectangle{Max: src.Rect.Size()}.Add(image.Pt(x, y)), src, src.Rect.Min, draw.Src)
}

// write draws a line of text whose letters begin at (x, y).
func write(dst *image.RGBA, x, y int, text string) {
	d := font.Drawer{
		Dst: dst, Src: image.NewUniform(color.RGBA{28, 36, 48, 255}),
		Face: basicfont.Face7x13, Dot: fixed.P(x, y+basicfont.Face7x13.Ascent),
	}
	d.DrawString(text)
}

func textWidth(text string) int { return glyph * len([]rune(text)) }

// shorten cuts a text so that it fits into a width in pixels.
func shorten(text string, width int) string {
	const dots = ".."
	letters := []rune(text)
	if textWidth(text) <= width {
		return text
	}
	return string(letters[:max(0, width/glyph-len(dots))]) + dots
}

func sample(c color.RGBA) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, swatch, swatch))
	draw.Draw(img, img.Rect, image.NewUniform(c), image.Point{}, draw.Src)
	return img
}

// lineSample is a piece of an outline on the grey of the image.
func lineSample(l line) *image.RGBA {
	img := sample(color.RGBA{medium, medium, medium, 255})
	r := newRegion(swatch, swatch)
	for y := range swatch {
		for x := range swatch {
			r.in[y*swatch+x] = x >= 4 && x < 8 && y >= 4 && y < 8
		}
	}
	r.outline(img, l)
	return img
}

// hatchSample is a piece of what was not seen.
func hatchSample() *image.RGBA {
	img := sample(color.RGBA{128, 128, 128, 255})
	hatch(img, image.Rectangle{})
	return img
}
