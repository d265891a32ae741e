package downstream_test

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/tensor"
)

// fake is an extractor of three layers with grids of a quarter, an eighth and a
// sixteenth of the image: averages of the pixels, mixed by fixed numbers and
// bent, so that channels differ and are not linear in each other.
type fake struct {
	scale float64      // of all features: another scale is another network
	bad   atomic.Int64 // how many passes more give NaN
	calls atomic.Int64
}

var fakeChannels = map[backbone.Layer]int{backbone.Layer1: 4, backbone.Layer2: 6, backbone.Layer3: 5, backbone.Pooled: 5}

func (*fake) Device() tensor.Device { return tensor.CPU }

func (f *fake) Channels(l backbone.Layer) int { return fakeChannels[l] }

func (f *fake) Forward(s *tensor.Scope, x *tensor.Tensor, at ...backbone.Layer) []*tensor.Tensor {
	f.calls.Add(1)
	out := make([]*tensor.Tensor, len(at))
	for i, l := range at {
		c := fakeChannels[l]
		k := int64(4) << (l - backbone.Layer1)
		w := make([]float32, 3*c)
		for j := range w {
			w[j] = float32(math.Sin(float64(1+j) * float64(2+l)))
		}
		out[i] = s.Sub(func(s *tensor.Scope) *tensor.Tensor {
			y := s.Conv2d(s.AvgPool2d(x, k, k, 0), s.FromFloats(w, int64(c), 3, 1, 1), nil, tensor.Conv{})
			y = s.MulScalar(s.Add(y, s.MulScalar(s.Square(y), 0.3)), f.scale)
			if f.bad.Load() > 0 {
				f.bad.Add(-1)
				y = s.Log(s.Neg(s.Square(y)))
			}
			return y
		})
	}
	return out
}

const fakeSide = 32 // pixels of the transformed images: a grid of 8x8

func fakeConfig() downstream.PaDiMConfig {
	c := downstream.DefaultPaDiM()
	c.Channels = nil
	c.Transform = dataset.Square(fakeSide)
	c.Batch = 3
	return c
}

// textures draws n random images whose neighbouring pixels belong together.
func textures(n int, seed uint64, side int) []image.Image {
	rng := rand.New(rand.NewPCG(seed, 7))
	out := make([]image.Image, n)
	for i := range out {
		img := image.NewRGBA(image.Rect(0, 0, side, side))
		for y := range side {
			for x := range side {
				v := 110 + 40*math.Sin(float64(x)/5+rng.Float64()) + 20*rng.NormFloat64()
				c := func(k float64) uint8 { return uint8(min(max(v*k+10*rng.NormFloat64(), 0), 255)) }
				img.SetRGBA(x, y, color.RGBA{c(1), c(0.8), c(0.6), 255})
			}
		}
		out[i] = img
	}
	return out
}

// scratched returns a copy of img with a dark bar.
func scratched(img image.Image) image.Image {
	b := img.Bounds()
	out := image.NewRGBA(b)
	for y := range b.Dy() {
		for x := range b.Dx() {
			out.Set(x, y, img.At(x, y))
			if x > b.Dx()/2 && x < b.Dx()/2+6 && y > 8 && y < 20 {
				out.SetRGBA(x, y, color.RGBA{10, 10, 10, 255})
			}
		}
	}
	return out
}

func memory(t testing.TB, imgs []image.Image) *dataset.Memory {
	t.Helper()
	ds, err := dataset.NewImages("texture", imgs...)
	require.NoError(t, err)
	return ds
}

// noLeak checks at the end of a test that every native tensor has been freed.
func noLeak(t testing.TB) {
	t.Helper()
	start := tensor.Live()
	t.Cleanup(func() { require.Equal(t, start, tensor.Live(), "native tensors were leaked") })
}

func fitted(t testing.TB, fe downstream.Extractor, cfg downstream.PaDiMConfig, imgs []image.Image) *downstream.PaDiM {
	t.Helper()
	p, err := downstream.NewPaDiM(fe, cfg, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	require.NoError(t, p.Fit(t.Context(), memory(t, imgs)))
	return p
}

// relative returns the largest difference in units of want's largest value. NaN
// never equals.
func relative(t testing.TB, want, got []float32) float64 {
	t.Helper()
	require.Len(t, got, len(want))
	top, diff := 0.0, 0.0
	for i := range want {
		require.False(t, math.IsNaN(float64(want[i])) || math.IsNaN(float64(got[i])), fmt.Sprint("NaN at ", i))
		top = max(top, math.Abs(float64(want[i])))
		diff = max(diff, math.Abs(float64(want[i])-float64(got[i])))
	}
	return diff / top
}
