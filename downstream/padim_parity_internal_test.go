package downstream

import (
	"encoding/json"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// formulaImage is image of testdata/parity/padim_formula.py.
func formulaImage(name string, h, w int) *image.RGBA {
	noise := testutil.Draw(name, int64(h*w*3))
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			p := img.Pix[img.PixOffset(x, y):]
			for c := range 3 {
				wave := math.Abs(float64((x*5+y*3+c*7)%64-32))/16 - 1
				p[c] = uint8(min(max(math.Floor(128+63*wave+64*float64(noise[(y*w+x)*3+c])), 0), 255))
			}
			p[3] = 255
		}
	}
	return img
}

// TestPaDiMEqualsPyTorchOnFormula fits a ResNet-18 of formula weights and compares
// the maps of two images with a program that works in float64. Unlike
// TestPaDiMEqualsPyTorch, which needs real images and weights, it runs everywhere.
func TestPaDiMEqualsPyTorchOnFormula(t *testing.T) {
	// Rounding of the features, 1e-6 of them, counts up to ten times as much behind
	// an epsilon of 0.01; measured are 2e-6.
	const tolerance = 5e-5
	testutil.NoLeak(t)
	raw, err := os.ReadFile(filepath.Join("testdata", "parity", "padim_formula.json"))
	require.NoError(t, err)
	var want struct {
		Height, Width, Train, Step int
		Channels                   []int
		Images                     []struct {
			Score  float64
			Values []float64
		}
	}
	require.NoError(t, json.Unmarshal(raw, &want))
	require.Equal(t, referenceChannels()[:len(want.Channels)], want.Channels, "CPython's draw")
	require.Len(t, want.Images, 2)

	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 0)))
	require.NoError(t, err)
	defer net.Close()
	arrays, err := net.Params().Arrays(t.Context())
	require.NoError(t, err)
	for i, a := range arrays {
		if a.DType == tensor.Float32 {
			arrays[i] = tensor.FloatArray(a.Name, testutil.DrawParameter(a.Name, a.Shape), a.Shape...)
		}
	}
	require.NoError(t, net.Params().SetArrays(t.Context(), arrays, nil))

	named := func(kind string, n int) (out []image.Image) {
		for i := range n {
			out = append(out, formulaImage(fmt.Sprintf("%s %d", kind, i), want.Height, want.Width))
		}
		return out
	}
	train, err := dataset.NewImages("formula", named("train", want.Train)...)
	require.NoError(t, err)
	test := named("test", len(want.Images))
	bar := test[1].(*image.RGBA)
	for y := 20; y < 40; y++ {
		for x := 50; x < 60; x++ {
			copy(bar.Pix[bar.PixOffset(x, y):], []byte{10, 10, 10, 255})
		}
	}
	// maps are the values of the fixture's places for an epsilon.
	maps := func(epsilon float64) (out [][]float64, scores []float64) {
		cfg := DefaultPaDiM()
		cfg.Channels, cfg.Transform, cfg.Batch, cfg.Epsilon = want.Channels, dataset.Transform{}, 3, epsilon
		p, err := NewPaDiM(net, cfg, nil)
		require.NoError(t, err)
		defer p.Close()
		require.NoError(t, p.Fit(t.Context(), train))
		results, err := p.Score(t.Context(), test...)
		require.NoError(t, err)
		for _, r := range results {
			var v []float64
			for y := 0; y < r.Map.H; y += want.Step {
				for x := 0; x < r.Map.W; x += want.Step {
					v = append(v, float64(r.Map.At(x, y)))
				}
			}
			out, scores = append(out, v), append(scores, r.Score)
		}
		return out, scores
	}
	// worst is the largest difference, relative to the reference's largest value.
	worst := func(got [][]float64) (diff float64) {
		for i, w := range want.Images {
			require.Len(t, got[i], len(w.Values))
			top := 0.0
			for _, v := range w.Values {
				top = max(top, v)
			}
			for k, v := range w.Values {
				diff = max(diff, math.Abs(got[i][k]-v)/top)
			}
		}
		return diff
	}
	got, scores := maps(0.01)
	t.Logf("maps differ by %.1e", worst(got))
	require.LessOrEqual(t, worst(got), tolerance)
	for i, w := range want.Images {
		require.InEpsilon(t, w.Score, scores[i], tolerance)
	}
	require.Greater(t, want.Images[1].Score, want.Images[0].Score, "the bar stands out")
	other, _ := maps(0.0101)
	require.Greater(t, worst(other), 4*tolerance, "a wrong epsilon must show, or the comparison proves nothing")
}
