package downstream_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/draw"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/internal/onnx"
	"github.com/gotab/gotab/internal/onnx/onnxtest"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

// onnxTolerance is relative to the largest value of a map: the model whitens with
// the same numbers and adds in another order.
const onnxTolerance = 1e-4

// padimNet returns a PaDiM on a real network, fitted on pictures of a side.
func padimNet(t testing.TB, side int, change func(c *downstream.PaDiMConfig)) *downstream.PaDiM {
	t.Helper()
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, net.Close()) })
	cfg := downstream.DefaultPaDiM()
	cfg.Transform = dataset.Square(side)
	cfg.Channels = []int{2, 5, 63, 64, 70, 190, 192, 193, 300, 447}
	change(&cfg)
	return fitted(t, net, cfg, textures(6, 11, side))
}

// networkInput are pictures of the right size as the network gets them.
func networkInput(t testing.TB, imgs []image.Image) onnxtest.Array {
	t.Helper()
	size := imgs[0].Bounds().Size()
	a := onnxtest.Array{Dims: []int{len(imgs), 3, size.Y, size.X}}
	for _, img := range imgs {
		px := image.NewRGBA(image.Rectangle{Max: size})
		draw.Draw(px, px.Rect, img, image.Point{}, draw.Src)
		rows := make([]float32, 3*size.X*size.Y)
		require.NoError(t, dataset.ImageNet().Pack(rows, px))
		for c := range 3 {
			for i := range size.X * size.Y {
				a.Data = append(a.Data, rows[3*i+c])
			}
		}
	}
	return a
}

func requireMapsEqual(t *testing.T, want []downstream.Result, got map[string]onnxtest.Array) {
	t.Helper()
	require.Len(t, got, 2)
	m, s := got["map"], got["score"]
	side := want[0].Map
	require.Equal(t, []int{len(want), side.H, side.W}, m.Dims)
	require.Equal(t, []int{len(want)}, s.Dims)
	for i, r := range want {
		require.LessOrEqual(t, relative(t, r.Map.Data, m.Data[i*side.H*side.W:][:side.H*side.W]), onnxTolerance)
		require.InEpsilon(t, r.Score, s.Data[i], onnxTolerance)
	}
}

// The written model, run operator by operator in Go, gives maps and scores of Score:
// with grids that are no multiples of each other, a layer of which no channel is
// chosen, one of which all are, a picture wider than high, without smoothing.
func TestPaDiMONNXComputesWhatScoreDoes(t *testing.T) {
	noLeak(t)
	for name, change := range map[string]func(c *downstream.PaDiMConfig){
		"three layers": func(*downstream.PaDiMConfig) {},
		"none of layer2": func(c *downstream.PaDiMConfig) {
			c.Channels = []int{1, 2, 200}
			c.Sigma = 0
		},
		"deeper first, all": func(c *downstream.PaDiMConfig) {
			c.Layers = []backbone.Layer{backbone.Layer2, backbone.Layer1}
			c.Channels = nil
			c.Transform = dataset.Transform{Exact: image.Pt(53, 34), Filter: dataset.Bilinear}
		},
	} {
		p := padimNet(t, 50, change)
		var b bytes.Buffer
		require.NoError(t, p.WriteONNX(t.Context(), &b))
		m, err := onnx.Read(b.Bytes())
		require.NoError(t, err)
		require.NotContains(t, m.Metadata, "threshold")
		test := append(textures(1, 12, 50), scratched(textures(1, 13, 50)[0]))
		for i := range test {
			px, err := p.Config().Transform.Image(test[i])
			require.NoError(t, err)
			test[i] = px
		}
		// A picture that has the size already goes through the resizing unchanged.
		want, err := p.Score(t.Context(), test...)
		require.NoError(t, err, name)
		got, err := onnxtest.Eval(m, networkInput(t, test))
		require.NoError(t, err, name)
		requireMapsEqual(t, want, got)
	}
}

func TestPaDiMONNXSaysHowToUseIt(t *testing.T) {
	noLeak(t)
	p := padimNet(t, 32, func(c *downstream.PaDiMConfig) { c.Channels = []int{3, 70, 200} })
	calibration, err := p.Calibrate(t.Context(), parts(t, textures(12, 14, 32), nil), metrics.Overkill(0.2))
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, p.WriteONNX(t.Context(), &b))
	m, err := onnx.Read(b.Bytes())
	require.NoError(t, err)
	threshold := m.Metadata["threshold"]
	delete(m.Metadata, "threshold")
	scale := m.Metadata["scale"]
	delete(m.Metadata, "scale")
	require.Equal(t, map[string]string{
		"kind": "gotab.padim.onnx.1", "architecture": "resnet18",
		"transform": `{"shorter":0,"exact":[32,32],"filter":"` + p.Config().Transform.Filter.String() + `","crop":[0,0],"rows_first":false,"bits16":0}`,
		"mean":      "[0.485,0.456,0.406]", "std": "[0.229,0.224,0.225]",
		"layers": `["layer1","layer2","layer3"]`, "channels": "[3,70,200]",
		"rule": calibration.Point().Rule.String(), "reject": "score >= threshold, or score is NaN",
	}, m.Metadata)
	var v float64
	var ends [2]float64
	for text, to := range map[string]any{threshold: &v, scale: &ends} {
		require.NoError(t, json.Unmarshal([]byte(text), to))
	}
	require.Equal(t, calibration.Threshold(), v)
	require.Equal(t, [2]float64{calibration.Scale().Low, calibration.Scale().High}, ends)
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestPaDiMONNXErrors(t *testing.T) {
	noLeak(t)
	path := filepath.Join(t.TempDir(), "padim.onnx")
	p := fitted(t, &fake{scale: 1}, fakeConfig(), textures(3, 15, fakeSide))
	require.ErrorIs(t, p.SaveONNX(t.Context(), path), downstream.ErrConfig, "an extractor without ONNX form")
	p = padimNet(t, 32, func(*downstream.PaDiMConfig) {})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, p.SaveONNX(ctx, path), context.Canceled)
	restore := atomicfile.Inject(func(s atomicfile.Step, _ string) error {
		if s == atomicfile.Rename {
			return syscall.ENOSPC
		}
		return nil
	})
	err := p.SaveONNX(t.Context(), path)
	restore()
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NoFileExists(t, path)
	full := errors.New("full")
	require.ErrorIs(t, p.WriteONNX(t.Context(), failingWriter{full}), full)
	require.NoError(t, p.SaveONNX(t.Context(), path))
	require.NoError(t, p.Reset(t.Context()))
	require.ErrorIs(t, p.SaveONNX(t.Context(), path), downstream.ErrNotFitted)
	require.FileExists(t, path, "the file of before stays")
	require.NoError(t, p.Close())
	require.ErrorIs(t, p.WriteONNX(t.Context(), &bytes.Buffer{}), downstream.ErrClosed)
}

// ONNX Runtime gives maps and scores of Score.
func TestPaDiMONNXRuntimeAgrees(t *testing.T) {
	p := padimNet(t, 50, func(c *downstream.PaDiMConfig) { c.Channels = nil; c.Reduced = 0 })
	path := filepath.Join(t.TempDir(), "padim.onnx")
	require.NoError(t, p.SaveONNX(t.Context(), path))
	for _, test := range [][]image.Image{textures(3, 16, 50), {scratched(textures(1, 17, 50)[0])}} {
		got, metadata := onnxtest.Runtime(t, path, networkInput(t, test))
		require.Equal(t, "gotab.padim.onnx.1", metadata["kind"])
		want, err := p.Score(t.Context(), test...)
		require.NoError(t, err)
		requireMapsEqual(t, want, got)
	}
}
