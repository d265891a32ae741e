package dataset_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"testing"

	"github.com/gotab/gotab/dataset"
)

// smooth is a colour picture that compresses like a photograph.
func smooth(w, h int, grey bool) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	noise := pictureBytes(w*h, false)
	for y := range h {
		for x := range w {
			v := byte(60 + 120*x/w + int(noise[y*w+x]&15))
			c := color.RGBA{v, byte(40 + 150*y/h + int(noise[y*w+x]&15)), v / 2, 255}
			if grey {
				c.G, c.B = v, v
			}
			img.SetRGBA(x, y, c)
		}
	}
	return img
}

func imagesPerSecond(b *testing.B) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
}

func BenchmarkTransform(b *testing.B) {
	for _, size := range []int{128, 300, 640, 1024} {
		for _, f := range []dataset.Kernel{dataset.Lanczos, dataset.Bilinear} {
			for _, grey := range []bool{false, true} {
				kind := "rgb"
				if grey {
					kind = "grey"
				}
				b.Run(fmt.Sprintf("%s/%d/%s", f, size, kind), func(b *testing.B) {
					tr := dataset.PaDiM224()
					tr.Filter = f
					img := smooth(size, size, grey)
					for b.Loop() {
						if _, err := tr.Image(img); err != nil {
							b.Fatal(err)
						}
					}
					imagesPerSecond(b)
				})
			}
		}
	}
}

func BenchmarkPack(b *testing.B) {
	img := smooth(224, 224, false)
	dst := make([]float32, 3*224*224)
	n := dataset.ImageNet()
	for b.Loop() {
		if err := n.Pack(dst, img); err != nil {
			b.Fatal(err)
		}
	}
	imagesPerSecond(b)
}

func pngBytes(b testing.TB, img image.Image) []byte {
	var buf bytes.Buffer
	if err := png.Encode(&buf, img); err != nil {
		b.Fatal(err)
	}
	return buf.Bytes()
}

// grayOf is the red channel.
func grayOf(img *image.RGBA) *image.Gray {
	g := image.NewGray(img.Rect)
	for i := range g.Pix {
		g.Pix[i] = img.Pix[4*i]
	}
	return g
}
