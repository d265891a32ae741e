package sheet

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"math/rand/v2"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/synth"
)

// Measures of the sheet, in pixels.
const (
	tile   = 112
	gap    = 4
	head   = 30 // generators' names
	title  = 22 // above each class
	margin = 8
)

// gain is how much stronger differences are shown than they are.
const gain = 4

var (
	paper = color.RGBA{245, 246, 248, 255}
	ink   = color.RGBA{28, 36, 48, 255}
	empty = color.RGBA{224, 227, 232, 255}
)

// twin makes the pair of one cell. A draw that is not placed or not seen is
// told in words on the sheet; every other error is returned.
func (o Config) twin(shown synth.Visible, dst, src image.Image, rng *rand.Rand) (twin, error) {
	if o.Exact {
		shown.Least = 0
	}
	for range attempts {
		p, err := shown.Generate(dst, src, rng)
		switch {
		case err == nil:
			return twin{pair: p}, nil
		case !errors.Is(err, synth.ErrNotPlaced):
			return twin{}, err
		case shown.Least > 0 && errors.Is(err, synth.ErrInvisible):
			return twin{none: "not seen"}, nil
		case shown.Least > 0:
			return twin{none: "not placed"}, nil
		}
	}
	return twin{none: "not placed"}, nil
}

// Write draws the contact sheet of blocks and writes it as PNG: for some images of each class the original
// and, side by side for all columns, the damaged twin, the mask of what changed, and the
// difference, four times as strong.
func Write(w io.Writer, blocks []Block, o Config) error {
	if w == nil {
		return fmt.Errorf("sheet: write: %w: the writer is nil", ErrConfig)
	}
	step := tile + gap
	width := margin + (1+len(o.Columns))*step + margin
	height := head + margin
	for _, b := range blocks {
		height += title + len(b.rows)*(3*step+gap)
	}
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(m, m.Rect, image.NewUniform(paper), image.Point{}, draw.Src)
	write(m, margin, 20, "original")
	for k, g := range o.Columns {
		write(m, margin+(k+1)*step, 20, g.Name)
	}
	scale := dataset.Square(tile)
	put := func(img image.Image, x, y int) error {
		small, err := scale.Image(img)
		if err != nil {
			return err
		}
		draw.Draw(m, image.Rect(x, y, x+tile, y+tile), small, image.Point{}, draw.Src)
		return nil
	}
	y := head
	for _, b := range blocks {
		write(m, margin, y+15, b.Class)
		for k, r := range b.Rates {
			note := unseen(r)
			if note != "normal" {
				note += " unseen"
			}
			write(m, margin+(k+1)*step, y+15, note)
		}
		y += title
		for _, row := range b.rows {
			if err := put(row.original, margin, y); err != nil {
				return err
			}
			for k, name := range []string{"mask", fmt.Sprintf("difference x%d", gain)} {
				write(m, margin, y+(k+1)*step+tile/2, name)
			}
			for k, t := range row.twins {
				x := margin + (k+1)*step
				if t.none != "" {
					draw.Draw(m, image.Rect(x, y, x+tile, y+tile), image.NewUniform(empty), image.Point{}, draw.Src)
					write(m, x+8, y+tile/2, t.none)
					continue
				}
				for i, img := range []image.Image{t.pair.Image, t.pair.Mask, difference(t.pair.Image, row.original)} {
					if err := put(img, x, y+i*step); err != nil {
						return err
					}
				}
			}
			y += 3*step + gap
		}
	}
	return (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(w, m)
}

// difference is the mean absolute change over the channels, times gain.
func difference(a *image.RGBA, original image.Image) *image.Gray {
	b := dataset.ToRGBA(original)
	d := image.NewGray(a.Rect)
	for i := range d.Pix {
		sum := 0
		for c := 4 * i; c < 4*i+3; c++ {
			sum += max(int(a.Pix[c])-int(b.Pix[c]), int(b.Pix[c])-int(a.Pix[c]))
		}
		d.Pix[i] = uint8(min(gain*sum/3, 255))
	}
	return d
}

// write puts a line of text with its baseline at y, as much of it as a tile holds.
func write(img *image.RGBA, x, y int, text string) {
	if most := tile / 7; len(text) > most {
		text = text[:most]
	}
	d := font.Drawer{Dst: img, Src: image.NewUniform(ink), Face: basicfont.Face7x13, Dot: fixed.P(x, y)}
	d.DrawString(text)
}
