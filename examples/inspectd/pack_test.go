package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/inspect/server"
	"github.com/gotab/gotab/inspect/service"
	"github.com/gotab/gotab/tensor"
)

const side = 48

// plate draws a part with some noise, with a black scratch where it is defective.
func plate(rng *rand.Rand, defective bool) []byte {
	img := image.NewRGBA(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			g := uint8(120 + rng.IntN(24) + 30*((x/6+y/6)%2))
			if defective && x > 10 && x < 34 && y > 20 && y < 26 {
				g = 5
			}
			img.SetRGBA(x, y, color.RGBA{g, g, g, 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// plant is a folder of good pictures and a file of weights.
func plant(t *testing.T) (data, weights string) {
	t.Helper()
	dir := t.TempDir()
	data, weights = filepath.Join(dir, "plates"), filepath.Join(dir, "net.safetensors")
	require.NoError(t, os.Mkdir(data, 0o755))
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 40 {
		require.NoError(t, os.WriteFile(filepath.Join(data, fmt.Sprintf("%03d.png", i)), plate(rng, false), 0o600))
	}
	net, err := backbone.NewResNet18(tensor.CPU, rng)
	require.NoError(t, err)
	require.NoError(t, net.Save(weights))
	require.NoError(t, net.Close())
	return data, weights
}

// From a folder of pictures to a verdict over HTTP, a bundle that is broken in between,
// and a new one.
func TestFromFolderToVerdict(t *testing.T) {
	live := tensor.Live()
	data, weights := plant(t)
	out := filepath.Join(t.TempDir(), "plates.gotab")
	var said bytes.Buffer
	model := filepath.Join(filepath.Dir(out), "plates.onnx")
	args := []string{"-data", data, "-weights", weights, "-out", out, "-onnx", model, "-device", "cpu", "-transform", "48x48", "-rate", "0.1", "-note", "licence=own"}
	require.NoError(t, pack(t.Context(), args, &said, io.Discard))
	require.Contains(t, said.String(), `padim of product "plates", fitted on 28 good images`)
	require.Contains(t, said.String(), "overkill of at most 10 %")
	require.FileExists(t, model)
	require.ErrorContains(t, pack(t.Context(), args, io.Discard, io.Discard), "-force replaces it")

	s, err := server.Parse([]string{"-device", "cpu", out}, func(string) string { return "" }, io.Discard)
	require.NoError(t, err)
	p, err := server.Open(t.Context(), out, s)
	require.NoError(t, err)
	h, err := service.New(s.Service, p)
	require.NoError(t, err)
	info := p.Info()
	require.Equal(t, "plates", info.Product)
	require.Equal(t, image.Pt(48, 48), info.Input)
	require.Equal(t, "own", info.Provenance["licence"])
	require.Equal(t, "28", info.Provenance["fit.pictures"])
	require.Len(t, info.Provenance["weights.sha256"], 64)

	rng := rand.New(rand.NewPCG(2, 2))
	for _, defective := range []bool{true, false, true} {
		r, err := http.NewRequest("POST", "/inspect?map=base64", bytes.NewReader(plate(rng, defective)))
		require.NoError(t, err)
		w := &answer{header: http.Header{}}
		h.ServeHTTP(w, r)
		require.Equal(t, 200, w.status, w.body.String())
		var a service.Answer
		require.NoError(t, json.Unmarshal(w.body.Bytes(), &a))
		if defective {
			require.Equal(t, service.Reject, a.Decision, a.Reason)
		}
		require.Equal(t, info.Bundle, a.Bundle)
		m, err := png.Decode(bytes.NewReader(a.Map.Data))
		require.NoError(t, err)
		require.Equal(t, image.Rect(0, 0, side, side), m.Bounds())
	}

	// The same file again, a broken one, one of another product, and a new one.
	changed, err := p.Reload(t.Context())
	require.NoError(t, err)
	require.False(t, changed)
	whole, err := os.ReadFile(out)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(out, whole[:len(whole)/2], 0o600))
	_, err = p.Reload(t.Context())
	require.ErrorIs(t, err, inspect.ErrBundle)
	require.Equal(t, info.Bundle, p.Info().Bundle)
	require.NoError(t, pack(t.Context(), append(args, "-force", "-product", "bolts"), io.Discard, io.Discard))
	_, err = p.Reload(t.Context())
	require.ErrorContains(t, err, "another product")
	require.NoError(t, pack(t.Context(), append(args, "-force", "-rate", "0.2"), io.Discard, io.Discard))
	changed, err = p.Reload(t.Context())
	require.NoError(t, err)
	require.True(t, changed)
	require.NotEqual(t, info.Bundle, p.Info().Bundle)
	require.Contains(t, p.Info().Rule, "20 %")
	require.NoError(t, p.Close())
	require.Equal(t, live, tensor.Live())
}

// answer is a http.ResponseWriter.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

func TestPackRefuses(t *testing.T) {
	data, weights := plant(t)
	out := filepath.Join(t.TempDir(), "p.gotab")
	for _, c := range []struct {
		args []string
		says string
	}{
		{nil, "-data FOLDER and -weights FILE"},
		{[]string{"-data", data, "-weights", weights, "more"}, "flags only"},
		{[]string{"-data", data, "-weights", weights, "-detector", "eye"}, "padim or patchcore"},
		{[]string{"-data", data, "-weights", weights, "-holdout", "1"}, "-holdout"},
		{[]string{"-data", data, "-weights", weights, "-rate", "2"}, "-rate 2: "},
		{[]string{"-data", data, "-weights", weights, "-note", "x"}, "KEY=VALUE"},
		{[]string{"-data", data, "-weights", weights, "-note", "seed=1"}, "pack writes that itself"},
		{[]string{"-data", data, "-weights", weights, "-out", out, "-rate", "0.01", "-transform", "48x48"}, "more images make it possible (-rate, -holdout)"},
		{[]string{"-data", data, "-weights", weights, "-out", out, "-transform", "tiles"}, "-transform is tiles, want square"},
		{[]string{"-data", data, "-weights", weights, "-out", out, "-rule", "youden"}, "labelled defective"},
		{[]string{"-data", data, "-weights", weights, "-class", "bolts"}, "-class: pack: wrong settings: no class is chosen: there is no class \"bolts\""},
		{[]string{"-data", filepath.Join(data, "nothing"), "-weights", weights}, "no such file"},
		{[]string{"-data", data, "-weights", filepath.Join(data, "nothing"), "-out", out}, "no such file"},
	} {
		require.ErrorContains(t, pack(t.Context(), append([]string{"-device", "cpu"}, c.args...), io.Discard, io.Discard), c.says, "%v", c.args)
		require.NoFileExists(t, out)
	}
}
