package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/internal/wafers"
)

// generate is the command of that name.
func generate(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("classify generate", flag.ContinueOnError)
	fs.SetOutput(stderr)
	out := fs.String("out", "", "`file` to write, npz (required)")
	sheet := fs.String("sheet", "", "`file` for a contact sheet, PNG")
	per := fs.Int("per", 0, "`number` of maps of each combination")
	published := fs.Float64("published", 0, "`part` of the published numbers, such as 0.1; 1 gives 38,015 maps")
	seed := fs.Uint64("seed", 1, "seed of the maps")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	switch {
	case fs.NArg() > 0:
		return fmt.Errorf("%w: %q is not a flag", errUsage, fs.Arg(0))
	case *out == "":
		return fmt.Errorf("%w: -out is missing, the file to write", errUsage)
	case (*per > 0) == (*published > 0):
		return fmt.Errorf("%w: want either -per, maps of each combination, or -published, a part of the published numbers, above 0", errUsage)
	}
	counts := wafers.Even(*per)
	if *published > 0 {
		counts = wafers.Published(*published)
	}
	err := atomicfile.Write(*out, func(w io.Writer) error { return wafers.Write(ctx, w, *seed, counts) })
	if err == nil && *sheet != "" {
		err = atomicfile.Write(*sheet, func(w io.Writer) error { return png.Encode(w, contactSheet(*seed, counts)) })
	}
	if err != nil {
		return fmt.Errorf("classify: generate: %w", err)
	}
	fmt.Fprintf(stdout, "%s: %d maps of %d combinations\n", *out, counts.Total(), len(counts))
	return nil
}

const (
	sheetMaps = 6  // of a combination
	zoom      = 2  // pixels of a die
	gap       = 6  // pixels between maps
	caption   = 15 // rows above them
)

// contactSheet draws the first maps of every combination, two combinations side
// by side: blank black, passed blue, failed yellow.
func contactSheet(seed uint64, counts wafers.Counts) image.Image {
	const map1 = wafers.Side*zoom + gap
	combos := wafers.Combinations()
	half := (len(combos) + 1) / 2
	img := image.NewRGBA(image.Rect(0, 0, gap+2*sheetMaps*map1, gap+half*(map1+caption)))
	draw.Draw(img, img.Rect, image.White, image.Point{}, draw.Src)
	colours := [3]*image.Uniform{
		wafers.Blank:  image.NewUniform(color.RGBA{20, 20, 30, 255}),
		wafers.Passed: image.NewUniform(color.RGBA{86, 140, 200, 255}),
		wafers.Failed: image.NewUniform(color.RGBA{250, 220, 60, 255}),
	}
	index := 0
	for i, c := range combos {
		corner := image.Pt(gap+i/half*sheetMaps*map1, gap+i%half*(map1+caption))
		text := font.Drawer{Dst: img, Src: image.Black, Face: basicfont.Face7x13, Dot: fixed.P(corner.X, corner.Y+11)}
		text.DrawString(c.String())
		for k := range min(sheetMaps, counts[i]) {
			m := wafers.Draw(seed, index+k, c)
			at := corner.Add(image.Pt(k*map1, caption))
			for d, v := range m {
				p := at.Add(image.Pt(d%wafers.Side*zoom, d/wafers.Side*zoom))
				draw.Draw(img, image.Rectangle{Min: p, Max: p.Add(image.Pt(zoom, zoom))}, colours[v], image.Point{}, draw.Src)
			}
		}
		index += counts[i]
	}
	return img
}
