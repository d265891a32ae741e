package inspect_test

import (
	"context"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

const side = 32 // pixels of the pictures, and of the network's input

// plates draws n pictures whose neighbouring pixels belong together.
func plates(n int, seed uint64) []image.Image {
	rng := rand.New(rand.NewPCG(seed, 7))
	out := make([]image.Image, n)
	for i := range out {
		out[i] = plate(rng, side, side)
	}
	return out
}

func plate(rng *rand.Rand, w, h int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	phase := rng.Float64()
	for y := range h {
		for x := range w {
			v := 110 + 40*math.Sin(float64(x)/5+phase) + 12*rng.NormFloat64()
			c := func(k float64) uint8 { return uint8(min(max(v*k+6*rng.NormFloat64(), 0), 255)) }
			img.SetRGBA(x, y, color.RGBA{c(1), c(0.8), c(0.6), 255})
		}
	}
	return img
}

// scratched returns a copy of img with a dark bar in the right half, above.
func scratched(img image.Image) *image.RGBA {
	b := img.Bounds()
	out := image.NewRGBA(b)
	for y := range b.Dy() {
		for x := range b.Dx() {
			out.Set(x, y, img.At(x, y))
			if x > b.Dx()*5/8 && x < b.Dx()*7/8 && y > b.Dy()/8 && y < b.Dy()/2 {
				out.SetRGBA(x, y, color.RGBA{10, 10, 10, 255})
			}
		}
	}
	return out
}

func set(t testing.TB, imgs []image.Image) *dataset.Memory {
	t.Helper()
	ds, err := dataset.NewImages("plate", imgs...)
	require.NoError(t, err)
	return ds
}

// network returns a backbone of random weights.
func network(t testing.TB) *backbone.ResNet {
	t.Helper()
	return networkOf(t, 1)
}

// otherNetwork has other weights.
func otherNetwork(t testing.TB) *backbone.ResNet { return networkOf(t, 2) }

func networkOf(t testing.TB, seed uint64) *backbone.ResNet {
	t.Helper()
	net, err := backbone.New(backbone.ArchResNet18, tensor.CPU, rand.New(rand.NewPCG(seed, 2)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, net.Close()) })
	return net
}

func tinyConfig() downstream.PaDiMConfig {
	c := downstream.DefaultPaDiM()
	c.Layers = []backbone.Layer{backbone.Layer1, backbone.Layer2}
	c.Channels = []int{0, 5, 9, 20, 70, 80, 90, 100}
	c.Transform = dataset.Square(side)
	return c
}

// fittedPaDiM returns a detector that is fitted and not calibrated.
func fittedPaDiM(t testing.TB, net *backbone.ResNet) *downstream.PaDiM {
	t.Helper()
	p, err := downstream.NewPaDiM(net, tinyConfig(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	require.NoError(t, p.Fit(t.Context(), set(t, plates(20, 1))))
	return p
}

func realSpec(net *backbone.ResNet) inspect.Spec {
	good := plates(2, 3)
	return inspect.Spec{
		Product: "plate", Backbone: net, Golden: []image.Image{good[0], scratched(good[1])},
		Provenance: map[string]string{"data": "drawn"}, Created: time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

// realBundle writes a bundle of a PaDiM on a ResNet-18 and returns its path.
func realBundle(t testing.TB) (string, *downstream.PaDiM) {
	t.Helper()
	net := network(t)
	p := fittedPaDiM(t, net)
	_, err := p.Calibrate(t.Context(), set(t, plates(20, 2)), metrics.Overkill(0.1))
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "plate.gotab")
	require.NoError(t, inspect.Create(t.Context(), path, p, realSpec(net)))
	return path, p
}

// noLeak checks at the end of a test that every native tensor has been freed.
func noLeak(t testing.TB) {
	t.Helper()
	start := tensor.Live()
	t.Cleanup(func() { require.Equal(t, start, tensor.Live(), "native tensors were leaked") })
}

func TestFromFitToVerdict(t *testing.T) {
	noLeak(t)
	path, p := realBundle(t)
	b, err := inspect.Open(t.Context(), path)
	require.NoError(t, err)
	require.NoError(t, b.Verify(t.Context()))
	i, err := inspect.New(b, inspect.DefaultConfig())
	require.NoError(t, err)
	defer func() { require.NoError(t, i.Close()) }()
	fresh := plates(1, 4)[0]
	for _, img := range []image.Image{fresh, scratched(fresh)} {
		want, err := p.Score(t.Context(), img)
		require.NoError(t, err)
		got, err := i.Inspect(context.Background(), img)
		require.NoError(t, err)
		require.InEpsilon(t, want[0].Score, got.Score, 1e-5)
		require.Equal(t, img != fresh, got.Reject)
		require.Equal(t, side*side, len(got.Map.Data))
		require.Equal(t, "plate", got.Product)
	}
	info := i.Info()
	require.Equal(t, "padim", info.Detector)
	require.Equal(t, image.Pt(side, side), info.Input)
	require.Equal(t, map[string]string{"data": "drawn"}, info.Provenance)
	require.Equal(t, uint64(1), i.Stats().Accepted)
	require.Equal(t, uint64(1), i.Stats().Rejected)
}
