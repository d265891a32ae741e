package main

import (
	"context"
	"image"
	"image/color"
	"image/draw"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"github.com/gotab/gotab/dataset"
)

const (
	sheetColumns = 9
	thumb        = 128 // pixels of the longer side
	gap          = 8
	caption      = 16
	letter       = 7 // width of a letter of the font
	sheetRows    = 40
)

// contactSheet draws one row a class: normal pictures, then defective ones with
// the outline of their masks in magenta. Classes beyond sheetRows are left out.
func contactSheet(ctx context.Context, ds dataset.Dataset, all []facts) (image.Image, error) {
	classes := ds.Classes()
	classes = classes[:min(len(classes), sheetRows)]
	row := caption + thumb + caption + gap
	out := image.NewRGBA(image.Rect(0, 0, gap+sheetColumns*(thumb+gap), gap+max(1, len(classes))*row))
	draw.Draw(out, out.Rect, image.NewUniform(color.RGBA{245, 245, 245, 255}), image.Point{}, draw.Src)
	for r, class := range classes {
		y := gap + r*row
		label(out, gap, y, sheetColumns*(thumb+gap), class)
		for c, i := range chosen(all, class) {
			s, err := ds.Sample(ctx, i)
			if err != nil {
				return nil, err
			}
			at := image.Pt(gap+c*(thumb+gap), y+caption)
			if err := paste(out, at, s); err != nil {
				return nil, err
			}
			text := kindOf(s.Item)
			if s.Split != "" {
				text = s.Split + ": " + text
			}
			label(out, at.X, at.Y+thumb, thumb, text)
		}
	}
	return out, nil
}

// paste draws a sample into a square, in its proportions.
func paste(out *image.RGBA, at image.Point, s dataset.Sample) error {
	size := s.Image.Rect.Size()
	k := float64(thumb) / float64(max(size.X, size.Y))
	fit := image.Pt(max(1, int(float64(size.X)*k+0.5)), max(1, int(float64(size.Y)*k+0.5)))
	tr := dataset.Transform{Exact: fit, Filter: dataset.Lanczos}
	if k > 1 {
		tr.Filter = dataset.Nearest // wafer maps and icons keep their pixels
	}
	img, err := tr.Image(s.Image)
	if err != nil {
		return err
	}
	corner := at.Add(image.Pt((thumb-fit.X)/2, (thumb-fit.Y)/2))
	draw.Draw(out, image.Rectangle{Min: corner, Max: corner.Add(fit)}, img, image.Point{}, draw.Src)
	if s.Mask == nil {
		return nil
	}
	// Shrinking would lose small defects: a pixel of the thumbnail is in the mask
	// if any pixel of the picture that it covers is.
	in := make([]bool, fit.X*fit.Y)
	for y := range size.Y {
		for x, v := range s.Mask.Pix[y*s.Mask.Stride:][:size.X] {
			if v != 0 {
				in[y*fit.Y/size.Y*fit.X+x*fit.X/size.X] = true
			}
		}
	}
	for y := range fit.Y {
		for x := range fit.X {
			if !in[y*fit.X+x] && touches(in, fit, x, y) {
				out.SetRGBA(corner.X+x, corner.Y+y, color.RGBA{255, 0, 200, 255})
			}
		}
	}
	return nil
}

// touches says whether one of the four neighbours is in the mask.
func touches(in []bool, size image.Point, x, y int) bool {
	return x > 0 && in[y*size.X+x-1] || x+1 < size.X && in[y*size.X+x+1] ||
		y > 0 && in[(y-1)*size.X+x] || y+1 < size.Y && in[(y+1)*size.X+x]
}

// label writes one line of text, cut to the width.
func label(out *image.RGBA, x, y, width int, text string) {
	if most := width / letter; len(text) > most {
		text = text[:most]
	}
	d := font.Drawer{Dst: out, Src: image.NewUniform(color.RGBA{20, 20, 20, 255}), Face: basicfont.Face7x13, Dot: fixed.P(x, y+12)}
	d.DrawString(text)
}
