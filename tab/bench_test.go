package tab_test

import (
	"fmt"
	"image"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

// large draws a picture of the network's usual size.
func large(size int, rng *rand.Rand) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, size, size))
	for y := range size {
		for x := range size {
			i := m.PixOffset(x, y)
			v := uint8(110 + 40*((x+y)/9%2) + rng.IntN(25))
			m.Pix[i], m.Pix[i+1], m.Pix[i+2], m.Pix[i+3] = v, v/2+60, 255-v, 255
		}
	}
	return m
}

// BenchmarkStep is one training step of 32 pairs on all processors, without data
// preparation. Compare BenchmarkTwins, the synthesis of the same 32 twins on one.
func BenchmarkStep(b *testing.B) {
	n := runtime.GOMAXPROCS(0)
	require.NoError(b, tensor.SetThreads(tensor.Threads{Cores: n, PerRun: n}))
	defer func() { require.NoError(b, tensor.SetThreads(tensor.Threads{Cores: 1, PerRun: 1})) }()
	for _, size := range []int{128, 224} {
		b.Run(fmt.Sprintf("%d", size), func(b *testing.B) {
			const pairs = 32
			c := config()
			c.Objective = tab.Joint()
			p := pretrainer(b, network(b), c)
			require.NoError(b, p.Prepare(b.Context(), names))
			rng := rand.New(rand.NewPCG(1, 1))
			batch := tab.Batch{H: size, W: size, Class: make([]int, pairs),
				Normal: make([]float32, pairs*size*size*3), Abnormal: make([]float32, pairs*size*size*3)}
			for i := range batch.Normal {
				batch.Normal[i], batch.Abnormal[i] = rng.Float32(), rng.Float32()
			}
			for b.Loop() {
				if _, err := p.Step(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(2*pairs*float64(b.N)/b.Elapsed().Seconds(), "images/s")
		})
	}
}

// BenchmarkTwins is the synthesis of 32 twins of 224x224 on one processor.
func BenchmarkTwins(b *testing.B) {
	for name, g := range map[string]synth.NSA{"default": synth.DefaultNSA(), "reference": synth.Reference()} {
		b.Run(name, func(b *testing.B) {
			g.Label = synth.LabelNone
			rng := rand.New(rand.NewPCG(1, 1))
			dst, src := large(224, rng), large(224, rng)
			for b.Loop() {
				for range 32 {
					if _, err := g.Generate(dst, src, rng); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkPack is the packing of 64 pictures of 224x224 on one processor.
func BenchmarkPack(b *testing.B) {
	m := large(224, rand.New(rand.NewPCG(1, 1)))
	out := make([]float32, 224*224*3)
	for b.Loop() {
		for range 64 {
			if err := dataset.ImageNet().Pack(out, m); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkRecipe is one training step of 16 pairs of 128x128 on all processors
// for each of the dense objectives and their mix, the frozen copy included, without
// data preparation.
func BenchmarkRecipe(b *testing.B) {
	n := runtime.GOMAXPROCS(0)
	require.NoError(b, tensor.SetThreads(tensor.Threads{Cores: n, PerRun: n}))
	defer func() { require.NoError(b, tensor.SetThreads(tensor.Threads{Cores: 1, PerRun: 1})) }()
	const pairs, size = 16, 128
	rng := rand.New(rand.NewPCG(1, 1))
	batch := tab.Batch{H: size, W: size, Class: make([]int, pairs),
		Normal: make([]float32, pairs*size*size*3), Abnormal: make([]float32, pairs*size*size*3), Masks: make([]uint8, pairs*size*size)}
	for i := range batch.Normal {
		batch.Normal[i] = rng.Float32()
	}
	copy(batch.Abnormal, batch.Normal)
	for i := range pairs {
		for y := 50; y < 70; y++ {
			for x := 40; x < 55; x++ {
				at := (i*size+y)*size + x
				batch.Masks[at], batch.Abnormal[3*at] = 255, rng.Float32()
			}
		}
	}
	for _, name := range []string{"keep", "amplify", "dense", "recipe"} {
		b.Run(name, func(b *testing.B) {
			c := tab.Recommended()
			c.Objective, c.Transform = denseObjectives()[name], dataset.Square(size)
			p := trainer(b, network(b), c)
			require.NoError(b, p.Prepare(b.Context(), names))
			require.NoError(b, p.MeasureProducts(b.Context(), panels(b, 8)))
			for b.Loop() {
				if _, err := p.Step(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(2*pairs*float64(b.N)/b.Elapsed().Seconds(), "images/s")
		})
	}
}
