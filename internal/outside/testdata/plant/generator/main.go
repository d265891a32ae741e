// Generator draws damage of its own kind, a bright straight scratch, and counts over a
// data set how many draws nobody would see.
//
//	generator -data ROOT -out twin.png
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"log"
	"math"
	"math/rand/v2"
	"os"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/synth"
)

// Scratch is a line of a length in pixels that is brighter by so many grey levels.
type Scratch struct{ Length, Brighter int }

// Generate paints one scratch onto a copy of dst.
func (g Scratch) Generate(dst, _ image.Image, rng *rand.Rand) (synth.Pair, error) {
	switch {
	case rng == nil:
		return synth.Pair{}, synth.ErrNoRand
	case g.Length < 1 || g.Brighter < 1 || g.Brighter > 255:
		return synth.Pair{}, fmt.Errorf("scratch: length %d, brighter by %d: %w", g.Length, g.Brighter, synth.ErrSettings)
	case dst == nil || min(dst.Bounds().Dx(), dst.Bounds().Dy()) < synth.MinSide:
		return synth.Pair{}, fmt.Errorf("scratch: %w", synth.ErrImage)
	}
	rect := image.Rectangle{Max: dst.Bounds().Size()}
	p := synth.Pair{Image: image.NewRGBA(rect), Support: image.NewGray(rect), Mask: image.NewGray(rect), Kind: "scratch", Placed: 1}
	draw.Draw(p.Image, rect, dst, dst.Bounds().Min, draw.Src)
	x, y := rng.Float64()*float64(rect.Dx()), rng.Float64()*float64(rect.Dy())
	sin, cos := math.Sincos(2 * math.Pi * rng.Float64())
	changed, pixels := 0, 0
	for i := range g.Length {
		at := image.Pt(int(x+cos*float64(i)), int(y+sin*float64(i)))
		if !at.In(rect) || p.Support.GrayAt(at.X, at.Y).Y != 0 {
			continue
		}
		p.Support.Pix[p.Support.PixOffset(at.X, at.Y)] = 255
		by := 0
		for c := range 3 {
			v := &p.Image.Pix[p.Image.PixOffset(at.X, at.Y)+c]
			after := min(int(*v)+g.Brighter, 255)
			by += after - int(*v)
			*v = uint8(after)
		}
		if by > 0 { // white stays as it is, and is no damage
			p.Mask.Pix[p.Mask.PixOffset(at.X, at.Y)] = 255
			changed += by
			pixels++
		}
	}
	if pixels == 0 {
		return synth.Pair{}, fmt.Errorf("scratch: %w", synth.ErrNotPlaced)
	}
	p.Change = float64(changed) / float64(3*pixels)
	return p, nil
}

// Fingerprint lets a training be resumed with the same scratches and no others.
func (g Scratch) Fingerprint() string { return fmt.Sprint("scratch ", g.Length, " ", g.Brighter) }

func main() {
	data := flag.String("data", "", "data set in any layout")
	out := flag.String("out", "twin.png", "picture of one twin to write")
	flag.Parse()
	if err := show(context.Background(), *data, *out); err != nil {
		log.Fatal(err)
	}
}

func show(ctx context.Context, data, out string) error {
	all, closer, err := dataset.Open(ctx, data, dataset.DefaultConfig())
	if err != nil {
		return err
	}
	defer closer.Close()
	good := dataset.Filter(all, dataset.Item.IsGood)
	rng := rand.New(rand.NewPCG(1, 2))
	gen := synth.Visible{Generator: Scratch{Length: 60, Brighter: 80}, Least: 6, Attempts: 4} // draws again until it can be seen
	survey := synth.Survey{Least: 6}
	for i := range min(good.Len(), 20) {
		s, err := good.Sample(ctx, i)
		if err != nil {
			return err
		}
		pair, err := gen.Generate(s.Image, s.Image, rng)
		if err := survey.Count(s.Class, pair, err); err != nil {
			return err
		}
		if i == 0 && err == nil {
			if err := save(out, pair.Image); err != nil {
				return err
			}
		}
	}
	for _, r := range survey.Rates() {
		fmt.Println(r)
	}
	return nil
}

func save(name string, img image.Image) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return png.Encode(f, img)
}
