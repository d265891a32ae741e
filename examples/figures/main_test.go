package main

import (
	"bytes"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/testutil"
)

func TestMain(m *testing.M) { os.Exit(testutil.OneThread(m)) }

func picture(t *testing.T, path string) image.Image {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	m, err := png.Decode(f)
	require.NoError(t, err)
	return m
}

// inks counts the pixels that are not white.
func inks(m image.Image) (n int) {
	for y := m.Bounds().Min.Y; y < m.Bounds().Max.Y; y++ {
		for x := m.Bounds().Min.X; x < m.Bounds().Max.X; x++ {
			if r, g, b, _ := m.At(x, y).RGBA(); r+g+b < 3*0xffff {
				n++
			}
		}
	}
	return n
}

func TestPoints(t *testing.T) {
	testutil.NoLeak(t)
	root, out := testutil.Plant(t, 6, 6, true), filepath.Join(t.TempDir(), "points.png")
	base := []string{"points", "-data", root, "-weights", "random", "-compare", "random", "-out", out, "-transform", "64x64", "-device", "cpu"}
	var first string
	for i, more := range [][]string{nil, nil, {"-twins"}, {"-class", "steel", "-most", "5", "-layers", "pooled", "-perplexity", "3"}} {
		var stdout, stderr bytes.Buffer
		require.NoError(t, run(t.Context(), append(base[:len(base):len(base)], more...), &stdout, &stderr))
		text := stdout.String()
		require.Equal(t, 2, strings.Count(text, "trustworthiness of"), text)
		switch i {
		case 0:
			first = text
			require.Contains(t, stderr.String(), "24 images of 2 classes")
			require.Equal(t, 2, strings.Count(text, "cloth: good from damaged"))
			// A large dark hole is seen by any network.
			require.Equal(t, 2, strings.Count(text, "by 5 neighbours 1.000"), text)
		case 1:
			require.Equal(t, first, text, "the same again")
		case 2:
			require.NotEqual(t, first, text)
		case 3:
			require.Contains(t, stderr.String(), "10 images of 1 classes")
		}
		m := picture(t, out)
		require.Greater(t, m.Bounds().Dx(), 2*460)
		require.Greater(t, inks(m), 2000)
	}
}

func TestMaps(t *testing.T) {
	testutil.NoLeak(t)
	root, out := testutil.Plant(t, 6, 6, true), filepath.Join(t.TempDir(), "maps.png")
	for _, more := range [][]string{nil, {"-method", "patchcore", "-rows", "1", "-same-scale", "-class", "steel"}} {
		var stdout, stderr bytes.Buffer
		args := append([]string{"maps", "-data", root, "-weights", "random", "-compare", "random", "-out", out, "-transform", "64x64", "-device", "cpu"}, more...)
		require.NoError(t, run(t.Context(), args, &stdout, &stderr))
		rows, classes := 2*2, 2
		if more != nil {
			rows, classes = 1, 1
		}
		require.Equal(t, 2*classes, strings.Count(stdout.String(), "image AUROC"), stdout.String())
		m := picture(t, out)
		require.Greater(t, m.Bounds().Dx(), 4*64)
		require.Greater(t, m.Bounds().Dy(), rows*64)
		require.Greater(t, inks(m), rows*4*64*64*9/10)
	}
}

func TestWrongArguments(t *testing.T) {
	root := testutil.Plant(t, 6, 6, true)
	out := filepath.Join(t.TempDir(), "x.png")
	whole := []string{"-data", root, "-weights", "random", "-compare", "random", "-out", out}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "points or maps"}, {[]string{"pie"}, "points or maps"}, {[]string{"points"}, "are needed"},
		{append([]string{"points"}, append(whole, "-layers", "layer9")...), "layer9"},
		{append([]string{"points"}, append(whole, "-most", "1")...), "-most"},
		{append([]string{"points"}, append(whole, "-perplexity", "0.5")...), "-perplexity"},
		{append([]string{"maps"}, append(whole, "-method", "guess")...), "-method"},
		{append([]string{"maps"}, append(whole, "-rows", "0")...), "-rows"},
		{append([]string{"maps"}, append(whole, "stray")...), "stray"},
		{append([]string{"maps"}, append(whole, "-transform", "tiles")...), "whole image"},
		{append([]string{"maps"}, append(whole, "-class", "wood")...), "wood"},
		{append([]string{"points"}, append(whole, "-out", filepath.Join(root, "none", "x.png"))...), "none"},
		{append([]string{"points"}, append(whole, "-compare", filepath.Join(root, "none.pth"))...), "none.pth"},
	} {
		err := run(t.Context(), c.args, &bytes.Buffer{}, &bytes.Buffer{})
		require.ErrorContains(t, err, c.want)
		require.NoFileExists(t, out)
	}
}
