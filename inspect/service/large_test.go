package service_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/inspect/service"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

// The picture of TestLargePicture, and the most memory that a server of it may ever have
// had in use.
const (
	largeW, largeH = 8000, 2000
	largeMost      = 2 << 30
)

// largeChild is the environment's name that makes TestLargePicture the server; its value is
// the bundle.
const largeChild = "GOTAB_LARGE_BUNDLE"

// ripples is a smooth texture, with a dark spot of 40 pixels where one is wanted.
func ripples(w, h int, seed uint64, spot image.Point) *image.RGBA {
	rng := rand.New(rand.NewPCG(seed, 9))
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	shift := rng.IntN(16)
	for y := range h {
		for x := range w {
			g := uint8(90 + (x+shift)%16*3 + y%16*3 + rng.IntN(6))
			if spot != (image.Point{}) && max(x-spot.X, spot.X-x, y-spot.Y, spot.Y-y) < 20 {
				g = 20
			}
			img.SetRGBA(x, y, color.RGBA{g, g, g, 255})
		}
	}
	return img
}

// largeBundle writes a bundle of a PaDiM with its default layers and channels that looks at
// tiles of 640 pixels, at 256 x 256 each.
func largeBundle(t *testing.T) string {
	t.Helper()
	set := func(n, side int, seed uint64) *dataset.Memory {
		imgs := make([]image.Image, n)
		for i := range imgs {
			imgs[i] = ripples(side, side, seed+uint64(i), image.Point{})
		}
		ds, err := dataset.NewImages("sheet", imgs...)
		require.NoError(t, err)
		return ds
	}
	net, err := backbone.New(backbone.ArchResNet18, tensor.CPU, rand.New(rand.NewPCG(1, 2)))
	require.NoError(t, err)
	cfg := downstream.DefaultPaDiM()
	cfg.Transform = dataset.Square(256)
	det, err := downstream.NewPaDiM(net, cfg, nil)
	require.NoError(t, err)
	tiles := downstream.DefaultTiled()
	tiles.Tiles.Side = 640
	tiled, err := downstream.NewTiled(det, tiles)
	require.NoError(t, err)
	require.NoError(t, tiled.Fit(t.Context(), set(8, 640, 1)))
	_, err = tiled.Calibrate(t.Context(), set(10, 640, 100), metrics.Overkill(0.1))
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "sheet.gotab")
	require.NoError(t, inspect.Create(t.Context(), path, tiled, inspect.Spec{Product: "sheet", Backbone: net, Golden: []image.Image{ripples(640, 640, 200, image.Point{})}}))
	require.NoError(t, tiled.Close())
	require.NoError(t, net.Close())
	return path
}

// A picture of 8000 x 2000 pixels goes through a server with its defaults and a bundle with
// tiles, decision and heat map, within 2 GiB: of all that a process of its own ever had
// in use, libraries and detector included. The worst place of the map is the defect.
func TestLargePicture(t *testing.T) {
	if path := os.Getenv(largeChild); path != "" {
		serveLarge(t, path)
		return
	}
	if _, ok := status("VmHWM:"); !ok {
		t.Skip("the system does not say what memory a process has had in use")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run", "^TestLargePicture$", "-test.v")
	cmd.Env = append(os.Environ(), largeChild+"="+largeBundle(t))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	_, said, ok := strings.Cut(string(out), "resident at most: ")
	require.True(t, ok, "%s", out)
	text, rest, _ := strings.Cut(said, " bytes, ")
	most, err := strconv.ParseInt(text, 10, 64)
	require.NoError(t, err)
	rest, _, _ = strings.Cut(rest, "\n")
	t.Logf("%d MB resident at most; %s", most>>20, rest)
	require.Less(t, most, int64(largeMost))
}

// serveLarge is the server, which sends itself the picture and asks for its map in JSON, which
// takes the most memory.
func serveLarge(t *testing.T, path string) {
	b, err := inspect.Open(t.Context(), path)
	require.NoError(t, err)
	in, err := inspect.New(b, inspect.DefaultConfig())
	require.NoError(t, err)
	srv := httptest.NewServer(handler(t, func(c *service.Config) { c.Timeout = 10 * time.Minute }, in))
	spot := image.Pt(6500, 300)
	var body bytes.Buffer
	require.NoError(t, jpeg.Encode(&body, ripples(largeW, largeH, 300, spot), nil))
	resp, err := http.Post(srv.URL+"/inspect?map=base64", "image/jpeg", &body)
	require.NoError(t, err)
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 200, resp.StatusCode, "%.300s", data)
	var a service.Answer
	require.NoError(t, json.Unmarshal(data, &a))
	require.Equal(t, service.Reject, a.Decision)
	require.Equal(t, [2]int{largeW, largeH}, [2]int{a.Width, a.Height})
	v, err := in.Inspect(inspect.WithoutMap(t.Context()), ripples(largeW, largeH, 301, spot))
	require.NoError(t, err)
	at := 0
	for i, x := range v.Map.Data {
		if x > v.Map.Data[at] {
			at = i
		}
	}
	k := float64(largeW) / float64(v.Map.W) // pixels a value
	require.InDelta(t, float64(spot.X), k*float64(at%v.Map.W), 60)
	require.InDelta(t, float64(spot.Y), k*float64(at/v.Map.W), 60)
	srv.Close()
	require.NoError(t, in.Close())
	most, ok := status("VmHWM:")
	require.True(t, ok)
	fmt.Printf("resident at most: %d bytes, decoded in %.0f ms, judged in %.0f ms\n", most, a.Timing.Decode, a.Timing.Inspect)
}
