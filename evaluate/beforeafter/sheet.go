package beforeafter

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/heatmap"
)

// Measures of the contact sheet, in pixels.
const (
	sheetTile   = 88
	sheetGap    = 6
	sheetLabel  = 116 // for the product's name
	sheetHead   = 40
	sheetFoot   = 30
	sheetSpread = 14 // between the damaged and the good part
)

var (
	sheetPaper = color.RGBA{245, 246, 248, 255}
	sheetInk   = color.RGBA{28, 36, 48, 255}
)

// WriteSheet writes the contact sheet as PNG: for each product one damaged and one good
// part with their maps. Product k shows its k-th kind of defect, so that the
// sheet holds different ones; the images are the first of their kind. It returns [ErrReport] for products that
// cannot be shown.
func (r *Report) WriteSheet(w io.Writer) error {
	if err := r.check(); err != nil {
		return err
	}
	before, after := r.names()
	columns := []string{"picture", "truth", before, after, "picture", before, after}
	at := func(col int) int {
		x := sheetLabel + col*(sheetTile+sheetGap)
		if col >= 4 {
			x += sheetSpread
		}
		return x
	}
	width := at(len(columns))
	height := sheetHead + len(r.Products)*(sheetTile+sheetGap) + sheetFoot
	sheet := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(sheet, sheet.Rect, image.NewUniform(sheetPaper), image.Point{}, draw.Src)
	write(sheet, at(0), 15, "a damaged part")
	write(sheet, at(4), 15, "a good part")
	for c, name := range columns {
		if column, ok := sheet.SubImage(image.Rect(at(c), 0, at(c)+sheetTile+sheetGap, height)).(*image.RGBA); ok { // a long name ends with its column
			write(column, at(c), 33, name)
		}
	}
	scale := dataset.Square(sheetTile)
	for row, p := range r.Products {
		y := sheetHead + row*(sheetTile+sheetGap)
		kinds, good := p.kinds()
		damaged := kinds[row%len(kinds)]
		write(sheet, 8, y+sheetTile/2-4, p.Class)
		write(sheet, 8, y+sheetTile/2+12, p.Before.Scored[damaged].Defect)
		imgs, err := p.draw(damaged)
		if err != nil {
			return err
		}
		clean, err := p.draw(good)
		if err != nil {
			return err
		}
		for c, img := range append(imgs, clean[0], clean[2], clean[3]) { // it has no truth to show
			small, err := scale.Image(img)
			if err != nil {
				return fmt.Errorf("contact sheet: %w", err)
			}
			coarsen(small)
			draw.Draw(sheet, image.Rect(at(c), y, at(c)+sheetTile, y+sheetTile), small, image.Point{}, draw.Src)
		}
	}
	y := height - sheetFoot + 8
	bar, err := heatmap.Bar(2*sheetTile, 12)
	if err != nil {
		return err
	}
	draw.Draw(sheet, bar.Rect.Add(image.Pt(at(2), y)), bar, image.Point{}, draw.Src)
	write(sheet, at(0), y+11, "grey: as on good parts")
	write(sheet, at(4), y+11, "unusual; line: above all good parts")
	return (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(w, sheet)
}

// coarsen keeps the upper five bits of every channel: sensor noise does not
// compress, and this halves the file without being seen.
func coarsen(img *image.RGBA) {
	for i, v := range img.Pix {
		if i%4 != 3 { // alpha stays
			img.Pix[i] = v&^7 | 4
		}
	}
}

// write puts a line of text with its baseline at y.
func write(img *image.RGBA, x, y int, text string) {
	d := font.Drawer{Dst: img, Src: image.NewUniform(sheetInk), Face: basicfont.Face7x13, Dot: fixed.P(x, y)}
	d.DrawString(text)
}
