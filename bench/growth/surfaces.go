package main

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"math/rand/v2"

	"github.com/gotab/gotab/dataset"
)

var white = color.Gray{Y: 255}

// surfaces is a data set of n good images that are drawn when they are asked for.
type surfaces struct{ n, side int }

func (d surfaces) Len() int { return d.n }

func (d surfaces) Classes() []string { return []string{"surface"} }

func (d surfaces) Item(i int) dataset.Item {
	if i < 0 || i >= d.n {
		return dataset.Item{}
	}
	return dataset.Item{Name: fmt.Sprintf("surface/%d", i), Class: "surface", Split: dataset.Train, Defect: dataset.Good, Label: dataset.LabelGood}
}

// Sample is a weave whose place and light differ from image to image, with noise.
func (d surfaces) Sample(ctx context.Context, i int) (dataset.Sample, error) {
	if i < 0 || i >= d.n {
		return dataset.Sample{}, fmt.Errorf("%w: %d of %d", dataset.ErrIndex, i, d.n)
	}
	if err := ctx.Err(); err != nil {
		return dataset.Sample{}, err
	}
	rng := rand.New(rand.NewPCG(uint64(i), 1))
	img := image.NewRGBA(image.Rect(0, 0, d.side, d.side))
	shift, light := rng.IntN(12), 60+rng.IntN(40)
	noise := rng.Uint64()
	for y := range d.side {
		row := img.Pix[y*img.Stride:][:4*d.side]
		for x := range d.side {
			noise = noise*6364136223846793005 + 1442695040888963407
			v := light + 60*(((x+shift)/6+(y+2*shift)/6)%2) + int(noise>>59)
			row[4*x], row[4*x+1], row[4*x+2], row[4*x+3] = byte(v), byte(v*7/8), byte(v*3/4), 255
		}
	}
	return dataset.Sample{Item: d.Item(i), Image: img}, nil
}
