package synth

import (
	"fmt"
	"image"
	"math/rand/v2"
	"testing"
)

// BenchmarkBlend is the whole of one blend of a square patch into the middle of a 224x224 image: copy of the image,
// gradients, solution and writing back of three channels. testdata/bench/pair.py runs it against OpenCV.
func BenchmarkBlend(b *testing.B) {
	dst := texture(1, 224, 224, 6)
	for _, side := range []int{25, 51, 77, 102, 128} {
		for mode, name := range []string{"normal", "mixed"} {
			b.Run(fmt.Sprintf("%d/%s", side, name), func(b *testing.B) {
				src := texture(2, side, side, 6)
				var blender Blender
				at := SeamlessOrigin(src.Rect.Size(), nil, image.Pt(112, 112))
				b.ReportAllocs()
				for b.Loop() {
					out := cloneRGBA(dst)
					if _, err := blender.Blend(out, src, nil, at, OpenCVPoisson(Mode(mode))); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkBlendLarge is for patches far above those of training: lengths of every kind.
func BenchmarkBlendLarge(b *testing.B) {
	dst := texture(1, 1100, 1100, 6)
	for _, side := range []int{256, 260, 512, 516, 1024, 1028} { // unknowns+1 is the side less 3: 253=11*23, 257, 509, 513=27*19, 1021, 1025=25*41
		b.Run(fmt.Sprint(side), func(b *testing.B) {
			src := texture(2, side, side, 6)
			var blender Blender
			b.ReportAllocs()
			for b.Loop() {
				if _, err := blender.Blend(cloneRGBA(dst), src, nil, image.Pt(30, 31), OpenCVPoisson(Normal)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkNSA is one call of Generate at 224x224.
func BenchmarkNSA(b *testing.B) {
	dst, src := texture(1, 224, 224, 6), texture(2, 224, 224, 6)
	for _, c := range []struct {
		name string
		g    NSA
	}{{"default", DefaultNSA()}, {"official", OfficialTAB()}, {"reference", Reference()}, {"texture", TextureNSA()}} {
		b.Run(c.name, func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 1))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.g.Generate(dst, src, rng); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
		})
	}
}

// BenchmarkSine is what sineCost is fitted to: nanoseconds a row of each kind.
func BenchmarkSine(b *testing.B) {
	for _, n := range []int{21, 47, 73, 90, 98, 106, 124, 127, 191, 256, 420, 508, 767, 1020, 1023} {
		for kind, name := range []string{"table", "fourier"} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				s := newSine(n, sineKind(kind))
				const rows = 24
				q := make([]float64, rows*n)
				room := make([]float64, s.room)
				for b.Loop() {
					s.forward(q, rows, room)
					s.inverse(q, rows, room)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/2/rows, "ns/row")
			})
		}
	}
}
