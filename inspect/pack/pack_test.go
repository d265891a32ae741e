package pack

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

// By default as many images are held back as the rule needs, and no more than half.
func TestHoldout(t *testing.T) {
	kind := func(k metrics.RuleKind, rate float64) metrics.Rule { return metrics.Rule{Kind: k, Rate: rate} }
	for _, c := range []struct {
		rule    metrics.Rule
		holdout float64
		good    int
		want    float64
	}{
		{metrics.Overkill(0.05), 0, 1000, 0.3},
		{metrics.Overkill(0.05), 0, 56, 21.0 / 56},
		{metrics.Overkill(0.05), 0, 20, 0.5},
		{metrics.Overkill(0.05), 0, 0, 0.5},
		{metrics.Overkill(0.01), 0, 250, 101.0 / 250},
		{metrics.Overkill(0), 0, 10, 0.3},
		{kind(metrics.RuleTail, 0.02), 0, 200, 81.0 / 200},
		{kind(metrics.RuleYouden, 0), 0, 10, 0.3},
		{metrics.Overkill(0.05), 0.2, 20, 0.2},
	} {
		p := Default()
		p.Rule, p.Holdout = c.rule, c.holdout
		require.InDelta(t, c.want, p.share(c.good), 1e-12, "%v", c)
	}
}

func TestConfigsThatAreRefused(t *testing.T) {
	for says, set := range map[string]func(*Config){
		"Data and Weights":   func(c *Config) { c.Weights = "" },
		"padim or patchcore": func(c *Config) { c.Detector = "eye" },
		"only padim can":     func(c *Config) { c.Detector, c.ONNX = "patchcore", "m.onnx" },
		"Holdout is 1":       func(c *Config) { c.Holdout = 1 },
		"View is tiles:64, want square, centre or WxH": func(c *Config) { c.Reading.View, _ = dataset.ParseView("tiles:64") },
	} {
		c := Default()
		c.Data, c.Weights = "d", "w"
		set(&c)
		_, err := Run(t.Context(), c)
		require.ErrorIs(t, err, ErrConfig)
		require.ErrorContains(t, err, says)
	}
	c := Default()
	c.Data, c.Weights, c.Rule.Rate = "d", "w", 2
	require.ErrorIs(t, c.Validate(), metrics.ErrRange)
	c = Default()
	c.Data, c.Weights, c.Reading.Decoder.Bits16 = "d", "w", 3
	require.ErrorIs(t, c.Validate(), dataset.ErrConfig)
}

// images is a folder with classes of some even images.
func images(t *testing.T, n int, classes ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, class := range classes {
		require.NoError(t, os.Mkdir(filepath.Join(dir, class), 0o755))
		for i := range n {
			m := image.NewGray(image.Rect(0, 0, 40, 40))
			for k := range m.Pix {
				m.Pix[k] = uint8(100 + (k*(i+3))%23)
			}
			var b bytes.Buffer
			require.NoError(t, png.Encode(&b, m))
			require.NoError(t, os.WriteFile(filepath.Join(dir, class, string(rune('a'+i))+".png"), b.Bytes(), 0o644))
		}
	}
	return dir
}

func TestClassesThatAreNotThere(t *testing.T) {
	c := Default()
	c.Data, c.Weights = images(t, 1, "bolts", "nuts"), "w"
	_, err := Run(t.Context(), c)
	require.ErrorIs(t, err, ErrClass)
	require.ErrorIs(t, err, ErrConfig)
	require.ErrorContains(t, err, "has several (bolts, nuts)")
	c.Class = "gears"
	_, err = Run(t.Context(), c)
	require.ErrorIs(t, err, ErrClass)
	require.ErrorContains(t, err, `no class "gears"`)
}

// No file is written over without Force, the ONNX model's neither, and none that is read with it.
func TestOutputsThatWouldBeLost(t *testing.T) {
	dir := t.TempDir()
	weights, model := filepath.Join(dir, "net"), filepath.Join(dir, "m.onnx")
	for _, name := range []string{weights, model} {
		require.NoError(t, os.WriteFile(name, []byte("kept"), 0o600))
	}
	good := Default()
	good.Data, good.Class, good.Weights, good.Out = images(t, 1, "bolts"), "bolts", weights, filepath.Join(dir, "b.gotab")
	for _, c := range []struct {
		out, onnx string
		force     bool
		is        error
	}{
		{good.Out, model, false, fs.ErrExist},
		{weights, "", false, fs.ErrExist},
		{weights, "", true, ErrConfig},
		{good.Out, weights, true, ErrConfig},
		{good.Out, filepath.Join(dir, ".", "b.gotab"), true, ErrConfig},
	} {
		p := good
		p.Out, p.ONNX, p.Force = c.out, c.onnx, c.force
		_, err := Run(t.Context(), p)
		require.ErrorIs(t, err, c.is, "%+v", c)
	}
	for _, name := range []string{weights, model} {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, "kept", string(data))
	}
	require.NoFileExists(t, good.Out)
}

// Neither file is there where the ONNX model cannot be made.
func TestNothingIsWrittenUnlessBothAreMade(t *testing.T) {
	testutil.NoLeak(t)
	dir := t.TempDir()
	c := Default()
	c.Data, c.Weights, c.Device, c.Rule = images(t, 8, "bolts"), filepath.Join(dir, "net"), tensor.CPU, metrics.Overkill(0.5)
	c.Reading.View, _ = dataset.ParseView("32x32")
	c.Out, c.ONNX = filepath.Join(dir, "b.gotab"), filepath.Join(dir, "m.onnx")
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 2)))
	require.NoError(t, err)
	require.NoError(t, net.Save(c.Weights))
	require.NoError(t, net.Close())

	// An ending of the context in the midst of the model is what a caller can bring about.
	ctx := &ending{Context: t.Context(), in: "WriteONNX"}
	_, err = Run(ctx, c)
	require.ErrorIs(t, err, context.Canceled)
	require.NoFileExists(t, c.Out)
	require.NoFileExists(t, c.ONNX)

	_, err = Run(t.Context(), c)
	require.NoError(t, err)
	require.FileExists(t, c.Out)
	require.FileExists(t, c.ONNX)
}

// ending is a context that has ended once it is asked within a function.
type ending struct {
	context.Context
	in string
}

func (e *ending) Err() error {
	pc := make([]uintptr, 64)
	frames := runtime.CallersFrames(pc[:runtime.Callers(2, pc)])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, e.in) {
			return context.Canceled
		}
		if !more {
			return e.Context.Err()
		}
	}
}
