package main

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/internal/atomicfile"
)

const (
	gap     = 4  // pixels between panels
	caption = 34 // rows below the panels, for two lines of text
)

// band is a range of the scale and its colour. The colours are those of Okabe
// and Ito that stay apart for colour-blind eyes, from light to dark; below the
// first band the image shows through.
type band struct {
	from   float64 // fraction of the scale
	colour color.RGBA
}

func bands() []band {
	return []band{
		{0.25, color.RGBA{86, 180, 233, 255}},
		{0.40, color.RGBA{240, 228, 66, 255}},
		{0.55, color.RGBA{230, 159, 0, 255}},
		{0.75, color.RGBA{213, 94, 0, 255}},
	}
}

// drawAll scores the test set once more and writes one picture a test image to
// dir/class/kind/name.png. low and high are the ends of the scale: the extremes
// of all maps of the class.
func drawAll(ctx context.Context, dir, class string, det detector, test dataset.Dataset, transform dataset.Transform, low, high float64) error {
	i := 0
	for sc, err := range det.ScoreSet(ctx, test) {
		if err != nil {
			return err
		}
		sample, err := test.Sample(ctx, i)
		if err != nil {
			return err
		}
		i++
		img, err := transform.Image(sample.Image)
		if err != nil {
			return fmt.Errorf("draw %s: %w", sc.Name, err)
		}
		mask, err := transform.Mask(sc.Mask)
		if err != nil {
			return fmt.Errorf("draw %s: %w", sc.Name, err)
		}
		base := path.Base(sc.Name)
		to := filepath.Join(dir, class, sc.Defect, strings.TrimSuffix(base, path.Ext(base))+".png")
		if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
			return fmt.Errorf("draw %s: %w", sc.Name, err)
		}
		pic := compose(img, mask, sc, low, high)
		if err := atomicfile.Write(to, func(w io.Writer) error { return png.Encode(w, pic) }); err != nil {
			return fmt.Errorf("draw %s: %w", sc.Name, err)
		}
	}
	return nil
}

// compose puts image, mask and overlay side by side with a legend below.
func compose(img *image.RGBA, mask *image.Gray, sc downstream.Scored, low, high float64) *image.RGBA {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	panels := []image.Image{img}
	if mask != nil {
		panels = append(panels, mask)
	}
	panels = append(panels, overlay(img, sc.Map, low, high))
	width := len(panels)*(w+gap) - gap
	out := image.NewRGBA(image.Rect(0, 0, width, h+caption))
	draw.Draw(out, out.Rect, image.White, image.Point{}, draw.Src)
	for i, p := range panels {
		draw.Draw(out, image.Rect(i*(w+gap), 0, i*(w+gap)+w, h), p, image.Point{}, draw.Src)
	}
	// The legend: a swatch for each colour, the value at which it begins, and the
	// ends of the scale.
	x, y := 2, h+4
	for _, b := range bands() {
		draw.Draw(out, image.Rect(x, y, x+10, y+10), image.NewUniform(b.colour), image.Point{}, draw.Src)
		x = write(out, x+13, y+9, fmt.Sprintf("%.3g", low+b.from*(high-low))) + 8
	}
	write(out, x, y+9, fmt.Sprintf("of %.3g to %.3g", low, high))
	write(out, 2, y+24, fmt.Sprintf("score %.3g  %s", sc.Score, sc.Name))
	return out
}

// write draws text with its base line at y and returns where it ends.
func write(dst draw.Image, x, y int, text string) int {
	d := font.Drawer{Dst: dst, Src: image.Black, Face: basicfont.Face7x13, Dot: fixed.P(x, y)}
	d.DrawString(text)
	return d.Dot.X.Ceil()
}

// overlay lays the bands of m over a pale grey copy of img of the same size.
func overlay(img *image.RGBA, m downstream.Map, low, high float64) *image.RGBA {
	const opacity = 0.65
	w, h := img.Rect.Dx(), img.Rect.Dy()
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	levels := bands()
	for y := range h {
		for x := range w {
			g := color.GrayModel.Convert(img.RGBAAt(x, y)).(color.Gray).Y
			g = 80 + g/8*5 // so that colours read on black and on white
			c := color.RGBA{g, g, g, 255}
			f := 0.0
			if high > low {
				f = (float64(m.At(x, y)) - low) / (high - low)
			}
			for i := len(levels) - 1; i >= 0; i-- {
				if f >= levels[i].from {
					b := levels[i].colour
					c = color.RGBA{blend(g, b.R, opacity), blend(g, b.G, opacity), blend(g, b.B, opacity), 255}
					break
				}
			}
			out.SetRGBA(x, y, c)
		}
	}
	return out
}

func blend(a, b uint8, f float64) uint8 { return uint8(float64(a)*(1-f) + float64(b)*f + 0.5) }
