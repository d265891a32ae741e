package wafers

import (
	"image"
	"image/color"
	"image/draw"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

const (
	sheetMaps = 6  // of a combination
	zoom      = 2  // pixels of a die
	gap       = 6  // pixels between maps
	caption   = 15 // rows above them
)

// Sheet draws the first six maps of every combination of a set, two combinations side
// by side: blank black, passed blue, failed yellow. Errors wrap [ErrCounts].
func Sheet(seed uint64, counts Counts) (*image.RGBA, error) {
	if err := counts.Validate(); err != nil {
		return nil, err
	}
	const map1 = Side*zoom + gap
	combos := Combinations()
	half := (len(combos) + 1) / 2
	img := image.NewRGBA(image.Rect(0, 0, gap+2*sheetMaps*map1, gap+half*(map1+caption)))
	draw.Draw(img, img.Rect, image.White, image.Point{}, draw.Src)
	colours := [3]*image.Uniform{
		Blank:  image.NewUniform(color.RGBA{20, 20, 30, 255}),
		Passed: image.NewUniform(color.RGBA{86, 140, 200, 255}),
		Failed: image.NewUniform(color.RGBA{250, 220, 60, 255}),
	}
	index := 0
	for i, c := range combos {
		corner := image.Pt(gap+i/half*sheetMaps*map1, gap+i%half*(map1+caption))
		text := font.Drawer{Dst: img, Src: image.Black, Face: basicfont.Face7x13, Dot: fixed.P(corner.X, corner.Y+11)}
		text.DrawString(c.String())
		for k := range min(sheetMaps, counts[i]) {
			m := Draw(seed, index+k, c)
			at := corner.Add(image.Pt(k*map1, caption))
			for d, v := range m {
				p := at.Add(image.Pt(d%Side*zoom, d/Side*zoom))
				draw.Draw(img, image.Rectangle{Min: p, Max: p.Add(image.Pt(zoom, zoom))}, colours[v], image.Point{}, draw.Src)
			}
		}
		index += counts[i]
	}
	return img, nil
}
