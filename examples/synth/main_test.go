package main

import (
	"bytes"
	"context"
	"flag"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/synth/sheet"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

// folder writes four pictures a class: stripes, and an even grey.
func folder(t *testing.T) string {
	dir := t.TempDir()
	for i := range 4 {
		stripes, even := image.NewRGBA(image.Rect(0, 0, 60, 50)), image.NewGray(image.Rect(0, 0, 60, 50))
		for y := range 50 {
			for x := range 60 {
				v := uint8(60 + 90*((x+y+i)/6%2) + y)
				stripes.SetRGBA(x, y, color.RGBA{v, v - 20, 40, 255})
				even.Pix[y*60+x] = 128
			}
		}
		for name, m := range map[string]image.Image{"stripes/train/good/": stripes, "even/": even, "stripes/test/good/": even} {
			var b bytes.Buffer
			if i == 0 && name == "stripes/train/good/" {
				require.NoError(t, jpeg.Encode(&b, m, nil))
				name += "a.jpg"
			} else {
				require.NoError(t, png.Encode(&b, m))
				name += string(rune('b'+i)) + ".png"
			}
			name = filepath.Join(dir, filepath.FromSlash(name))
			require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
			require.NoError(t, os.WriteFile(name, b.Bytes(), 0o644))
		}
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "README.txt"), []byte("no picture"), 0o644))
	return dir
}

func TestRun(t *testing.T) {
	dir, ctx := folder(t), context.Background()
	out := filepath.Join(t.TempDir(), "sheet.png")
	var stdout, stderr bytes.Buffer
	args := []string{"-data", dir, "-out", out, "-draws", "12", "-size", "64", "-rows", "2", "-seed", "7"}
	require.NoError(t, run(ctx, args, &stdout, &stderr))
	lines := strings.Split(stdout.String(), "\n")
	require.Contains(t, lines[4], "mix-stain")
	require.True(t, strings.HasPrefix(lines[5], "even"), stdout.String())
	require.True(t, strings.HasPrefix(lines[6], "stripes"))
	require.Equal(t, "0.0 100 % (0.0)", strings.Join(strings.Fields(lines[5])[1:5], " "), "an even surface blends into itself")
	require.Contains(t, stderr.String(), "stripes: 4 images")
	first, err := os.ReadFile(out)
	require.NoError(t, err)
	m, err := png.Decode(bytes.NewReader(first))
	require.NoError(t, err)
	require.Equal(t, image.Pt(2*8+10*116, 30+8+2*(22+2*(3*116+4))), m.Bounds().Size())
	// The same seed gives the same file, another seed another.
	require.NoError(t, run(ctx, args, &stdout, &stderr))
	second, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, first, second)
	require.NoError(t, run(ctx, append(args, "-seed", "8", "-exact"), &stdout, &stderr))
	third, err := os.ReadFile(out)
	require.NoError(t, err)
	require.NotEqual(t, first, third)
	// Every generator that has a name, on a folder of pictures alone.
	var names []string
	for _, g := range sheet.Columns() {
		names = append(names, g.Name)
	}
	stdout.Reset()
	require.NoError(t, run(ctx, []string{"-data", filepath.Join(dir, "stripes"), "-out", out, "-draws", "3", "-size", "48", "-generators", strings.Join(names, ",")}, &stdout, &stderr))
	require.Contains(t, stdout.String(), "\nstripes ")
}

func TestRefusals(t *testing.T) {
	dir, ctx := folder(t), context.Background()
	out := filepath.Join(t.TempDir(), "sheet.png")
	var w bytes.Buffer
	require.ErrorIs(t, run(ctx, []string{"-h"}, &w, &w), flag.ErrHelp)
	for _, args := range [][]string{
		{}, {"-data", dir}, {"-out", out}, {"-data", dir, "-out", out, "x"}, {"-nonsense"},
		{"-data", dir, "-out", out, "-least", "-1"}, {"-data", dir, "-out", out, "-least", "NaN"}, {"-data", dir, "-out", out, "-size", "7"},
		{"-data", dir, "-out", out, "-rows", "0"}, {"-data", dir, "-out", out, "-rows", "9"}, {"-data", dir, "-out", out, "-draws", "0"},
		{"-data", dir, "-out", out, "-generators", "nsa,magic"},
	} {
		require.ErrorIs(t, run(ctx, args, &w, &w), errUsage, "%v", args)
	}
	err := run(ctx, []string{"-data", t.TempDir(), "-out", out}, &w, &w)
	require.ErrorContains(t, err, "holds no image")
	err = run(ctx, []string{"-data", filepath.Join(dir, "nowhere"), "-out", out}, &w, &w)
	require.ErrorIs(t, err, os.ErrNotExist)
	bad := filepath.Join(dir, "even", "bad.png")
	require.NoError(t, os.WriteFile(bad, []byte("not a picture"), 0o644))
	require.ErrorContains(t, run(ctx, []string{"-data", dir, "-out", out}, &w, &w), "bad.png")
	require.NoError(t, os.Remove(bad))
	done, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, run(done, []string{"-data", dir, "-out", out}, &w, &w), context.Canceled)
	require.ErrorContains(t, run(ctx, []string{"-data", dir, "-out", filepath.Join(dir, "none", "x.png"), "-draws", "1", "-size", "32"}, &w, &w), "write the sheet")
	require.NoFileExists(t, out)
}

// TestMeasure: with a network a second table says what the kinds are to each
// class, and the same as JSON.
func TestMeasure(t *testing.T) {
	dir, ctx := folder(t), context.Background()
	weights, out, table := filepath.Join(t.TempDir(), "net.safetensors"), filepath.Join(t.TempDir(), "sheet.png"), filepath.Join(t.TempDir(), "twins.json")
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 2)))
	require.NoError(t, err)
	require.NoError(t, net.Save(weights))
	require.NoError(t, net.Close())
	var stdout, stderr bytes.Buffer
	args := []string{"-data", filepath.Join(dir, "stripes"), "-out", out, "-draws", "4", "-size", "40", "-generators", "mix-stain,mix-seam", "-weights", weights}
	require.NoError(t, run(ctx, append(args, "-table", table, "-bins"), &stdout, &stderr))
	text := stdout.String()
	require.Contains(t, text, "normal (", "what counts as normal is not to be seen")
	require.Contains(t, text, "stripes: spread of 4 good images")
	for _, k := range synth.DefaultMixture().List() {
		require.Contains(t, text, k.String())
	}
	require.Contains(t, text, "levels")
	f, err := os.Open(table)
	require.NoError(t, err)
	defer f.Close()
	got, err := tab.ReadTwinTable(f)
	require.NoError(t, err)
	p, ok := got.Product("stripes")
	require.True(t, ok)
	require.Len(t, p.Kinds, 9)
	again := stdout.String()
	stdout.Reset()
	require.NoError(t, run(ctx, append(args, "-table", table, "-bins"), &stdout, &stderr))
	require.Equal(t, again, stdout.String())
	for _, bad := range [][]string{{"-table", table}, {"-bins"}, {"-weights", weights, "-good", "3"}, {"-weights", weights, "-size", "20"}} {
		require.ErrorIs(t, run(ctx, append([]string{"-data", dir, "-out", out}, bad...), &stdout, &stderr), errUsage, "%v", bad)
	}
	err = run(ctx, append(args, "-weights", table), &stdout, &stderr)
	require.ErrorContains(t, err, "-weights")
	err = run(ctx, append(args, "-data", filepath.Join(dir, "even")), &stdout, &stderr)
	require.ErrorContains(t, err, "all the same", "even pictures have no spread")
}
