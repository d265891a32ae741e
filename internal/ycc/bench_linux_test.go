package ycc

import (
	"bytes"
	"image"
	"image/draw"
	"image/jpeg"
	"math/rand/v2"
	"testing"
)

// planes is a picture of 512x512 with smooth or wild colours.
func planes(ratio image.YCbCrSubsampleRatio, wild bool) *image.YCbCr {
	m := image.NewYCbCr(image.Rect(0, 0, 512, 512), ratio)
	r := rand.New(rand.NewPCG(1, 2))
	for _, p := range [][]byte{m.Y, m.Cb, m.Cr} {
		for i := range p {
			if p[i] = byte(118 + r.IntN(20)); wild {
				p[i] = byte(r.IntN(256))
			}
		}
	}
	return m
}

// BenchmarkRGBA takes turns with the standard library, which takes the nearest
// sample: ratio is the time of this package over its.
func BenchmarkRGBA(b *testing.B) {
	for _, wild := range []string{"smooth", "wild"} {
		for _, ratio := range []image.YCbCrSubsampleRatio{image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420, image.YCbCrSubsampleRatio440} {
			src := planes(ratio, wild == "wild")
			dst := image.NewRGBA(src.Rect)
			b.Run(wild+"/"+ratio.String()[len("YCbCrSubsampleRatio"):], func(b *testing.B) {
				var t turns
				for b.Loop() {
					t.take(b, func() { RGBA(dst.Pix, dst.Stride, src) }, func() { draw.Draw(dst, dst.Rect, src, image.Point{}, draw.Src) })
				}
				t.report(b)
			})
		}
	}
}

// BenchmarkDecode is a whole file beside the standard library's decoder and
// conversion.
func BenchmarkDecode(b *testing.B) {
	for _, kind := range []string{"grey", "colour"} {
		data := photograph(b, kind == "grey")
		b.Run(kind, func(b *testing.B) {
			var t turns
			for b.Loop() {
				t.take(b, func() {
					if _, err := Decode(data); err != nil {
						b.Fatal(err)
					}
				}, func() {
					img, err := jpeg.Decode(bytes.NewReader(data))
					if err != nil {
						b.Fatal(err)
					}
					if _, ok := img.(*image.Gray); !ok {
						draw.Draw(image.NewRGBA(img.Bounds()), img.Bounds(), img, image.Point{}, draw.Src)
					}
				})
			}
			t.report(b)
		})
	}
}

// photograph is a file of 512x512: a gradient with a weave and noise, colours
// shared by two by two pixels.
func photograph(b *testing.B, grey bool) []byte {
	src := planes(image.YCbCrSubsampleRatio420, false)
	for y := range 512 {
		for x := range 512 {
			src.Y[y*512+x] = byte(70 + x/8 + y/8 + x*y/7%16)
		}
	}
	var img image.Image = src
	if grey {
		img = &image.Gray{Pix: src.Y, Stride: 512, Rect: src.Rect}
	}
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: 90}); err != nil {
		b.Fatal(err)
	}
	return buf.Bytes()
}
