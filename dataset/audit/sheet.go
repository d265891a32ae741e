package audit

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"maps"
	"slices"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/pixels"
)

const (
	sheetColumns = 9
	thumb        = 128 // pixels of the longer side
	gap          = 8
	caption      = 16
	letter       = 7 // width of a letter of the font
	sheetRows    = 40
)

// Sheet draws a contact sheet of the data set of a survey, a row a class: good images, then defective ones with
// the outline of their masks in magenta, of each kind in turn. Classes beyond 40 are left out. It returns an error that wraps
// [dataset.ErrConfig] if the survey is of another number of samples, what reading them returns, and ctx's.
func Sheet(ctx context.Context, ds dataset.Dataset, s Survey) (*image.RGBA, error) {
	if ctx == nil || ds == nil || ds.Len() != len(s) {
		return nil, fmt.Errorf("audit: draw a sheet: %w: the survey is not of this data set", dataset.ErrConfig)
	}
	classes := ds.Classes()
	classes = classes[:min(len(classes), sheetRows)]
	row := caption + thumb + caption + gap
	out := image.NewRGBA(image.Rect(0, 0, gap+sheetColumns*(thumb+gap), gap+max(1, len(classes))*row))
	draw.Draw(out, out.Rect, image.NewUniform(color.RGBA{245, 245, 245, 255}), image.Point{}, draw.Src)
	for r, class := range classes {
		y := gap + r*row
		label(out, gap, y, sheetColumns*(thumb+gap), class)
		for c, i := range s.chosen(class) {
			sample, err := ds.Sample(ctx, i)
			if err == nil {
				err = drawable(sample)
			}
			if err != nil {
				return nil, err
			}
			at := image.Pt(gap+c*(thumb+gap), y+caption)
			if err := paste(out, at, sample); err != nil {
				return nil, err
			}
			text := sample.Kind()
			if sample.Split != "" {
				text = sample.Split + ": " + text
			}
			label(out, at.X, at.Y+thumb, thumb, text)
		}
	}
	return out, nil
}

// drawable refuses what no reader of package dataset returns.
func drawable(s dataset.Sample) error {
	if err := pixels.Check(s.Image); err != nil {
		return fmt.Errorf("audit: sample %s: %w: %w", s.Name, dataset.ErrSize, err)
	}
	if s.Mask == nil {
		return nil
	}
	if err := pixels.Check(s.Mask); err != nil || s.Mask.Rect != s.Image.Rect {
		return fmt.Errorf("audit: sample %s: %w: its mask is %v, the image %v", s.Name, dataset.ErrMask, s.Mask.Rect, s.Image.Rect)
	}
	return nil
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
	// if any pixel of the image that it covers is.
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

// chosen are the samples of one class for the sheet: some good ones, and some
// of each kind of defect in turn.
func (s Survey) chosen(class string) []int {
	var good []int
	kinds := make(map[string][]int)
	for i, f := range s {
		switch {
		case f.Item.Class != class || f.Err != nil:
		case f.Item.IsGood():
			good = append(good, i)
		default:
			kind := f.Item.Kind()
			kinds[kind] = append(kinds[kind], i)
		}
	}
	var bad []int
	for round := 0; len(bad) < sheetColumns; round++ {
		before := len(bad)
		for _, k := range slices.Sorted(maps.Keys(kinds)) {
			if round < len(kinds[k]) {
				bad = append(bad, kinds[k][round])
			}
		}
		if len(bad) == before {
			break
		}
	}
	n := min(len(good), max(sheetColumns-len(bad), sheetColumns/3))
	out := slices.Clone(good[:n])
	return append(out, bad[:min(len(bad), sheetColumns-n)]...)
}
