package tab_test

import (
	"context"
	"fmt"
	"image"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

const side = 32 // the smallest input of the network: tests are about logic

// texture draws a striped, noisy picture.
func texture(class int, rng *rand.Rand) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, side, side))
	shift := rng.IntN(8)
	for y := range side {
		for x := range side {
			v := 60 + 60*class + 40*(((x*(1+class)+y+shift)/4)%2) + rng.IntN(25)
			i := m.PixOffset(x, y)
			m.Pix[i], m.Pix[i+1], m.Pix[i+2], m.Pix[i+3] = uint8(v), uint8(v/2+40), uint8(255-v/2), 255
		}
	}
	return m
}

var names = []string{"cloth", "steel"}

// material returns a small data set of two classes.
func material(t testing.TB, each int) dataset.Dataset {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 4))
	var s []dataset.Sample
	for k, c := range names {
		for i := range each {
			s = append(s, dataset.Sample{Item: dataset.Item{Name: fmt.Sprintf("%s/%03d", c, i), Class: c, Split: dataset.Train, Defect: dataset.Good, Label: dataset.LabelGood}, Image: texture(k, rng)})
		}
	}
	ds, err := dataset.NewMemory(s)
	require.NoError(t, err)
	return ds
}

// bank returns unit anchors of the given width for the two classes.
func bank(t testing.TB, width int) *tab.Bank {
	t.Helper()
	rng := rand.New(rand.NewPCG(5, 6))
	enc := encoder(func(string) []float32 {
		v := make([]float32, width)
		for i := range v {
			v[i] = float32(rng.NormFloat64())
		}
		return v
	})
	b := &tab.Bank{Classes: names}
	for range names {
		n, a := enc(""), enc("")
		normalise(n)
		normalise(a)
		b.Normal, b.Abnormal = append(b.Normal, n), append(b.Abnormal, a)
	}
	return b
}

type encoder func(string) []float32

func (e encoder) Encode(_ context.Context, texts []string) ([][]float32, error) {
	var out [][]float32
	for _, t := range texts {
		out = append(out, e(t))
	}
	return out, nil
}

func normalise(v []float32) {
	s := 0.0
	for _, x := range v {
		s += float64(x) * float64(x)
	}
	for i := range v {
		v[i] = float32(float64(v[i]) / sqrt(s))
	}
}

func network(t testing.TB) *backbone.ResNet18 {
	t.Helper()
	m, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 2)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

func config() tab.Config {
	c := tab.DefaultConfig()
	c.Epochs, c.Batch, c.Repeat, c.LR, c.Workers = 2, 4, 1, 1e-2, 2
	c.Transform = dataset.Square(side)
	return c
}

func generator() synth.NSA {
	g := synth.OfficialTAB()
	g.Label = synth.LabelNone
	g.Height, g.Width = synth.Span{Lo: 0.3, Hi: 0.5}, synth.Span{Lo: 0.3, Hi: 0.5} // 32 pixels leave little room
	return g
}

func pretrainer(t testing.TB, m tab.VisualEncoder, c tab.Config, opts ...tab.Option) *tab.Pretrainer {
	t.Helper()
	p, err := tab.New(tab.Parts{Visual: m, Anchors: bank(t, 16), Synth: generator()}, c, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// arrays copies all weights and statistics of a network.
func arrays(t testing.TB, m tab.VisualEncoder) []tensor.Array {
	t.Helper()
	a, err := m.Params().Arrays(context.Background())
	require.NoError(t, err)
	return a
}
