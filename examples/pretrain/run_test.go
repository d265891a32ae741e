package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

func TestMain(m *testing.M) { os.Exit(testutil.OneThread(m)) }

// plant writes a small data set in MVTec AD's layout: two classes, four good
// images each, and a test set with a dark square as the defect.
func plant(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 1))
	draw := func(path string, class int, defect bool) {
		m := image.NewRGBA(image.Rect(0, 0, 64, 64))
		for y := range 64 {
			for x := range 64 {
				v := uint8(90 + 50*class + 40*(((x*(1+class)+y)/5)%2) + rng.IntN(20))
				if defect && x > 20 && x < 34 && y > 20 && y < 40 {
					v = 5
				}
				m.Set(x, y, color.RGBA{v, v, 255 - v, 255})
			}
		}
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		f, err := os.Create(path)
		require.NoError(t, err)
		require.NoError(t, png.Encode(f, m))
		require.NoError(t, f.Close())
	}
	for k, c := range []string{"cloth", "steel"} {
		for i := range 4 {
			draw(filepath.Join(root, c, "train", "good", fmt.Sprintf("%03d.png", i)), k, false)
		}
		draw(filepath.Join(root, c, "test", "good", "000.png"), k, false)
		draw(filepath.Join(root, c, "test", "hole", "000.png"), k, true)
	}
	return root
}

func bankFile(t *testing.T) string {
	t.Helper()
	b := &tab.Bank{Classes: []string{"cloth", "steel"}, Model: "by hand",
		Normal: [][]float32{{1, 0, 0, 0}, {0, 1, 0, 0}}, Abnormal: [][]float32{{0, 0, 1, 0}, {0, 0, 0, 1}}}
	path := filepath.Join(t.TempDir(), "bank.safetensors")
	require.NoError(t, b.Save(path))
	return path
}

func TestPretrainEndToEnd(t *testing.T) {
	testutil.NoLeak(t)
	root, dir := plant(t), t.TempDir()
	base := []string{"-data", root, "-bank", bankFile(t), "-size", "64", "-epochs", "2", "-batch", "2", "-repeat", "1", "-device", "cpu", "-objective", "joint"}
	with := func(name string, more ...string) []string {
		return append(append(append([]string(nil), base...), "-out", filepath.Join(dir, name)), more...)
	}
	var stdout, stderr bytes.Buffer
	log := filepath.Join(dir, "log.jsonl")
	require.NoError(t, run(t.Context(), with("whole", "-log", log, "-probe", filepath.Join(root, "cloth"), "-head-epochs", "1", "-bn", "frozen"), &stdout, &stderr))
	require.Equal(t, 2, strings.Count(stdout.String(), "loss"), stdout.String())
	require.Contains(t, stderr.String(), "8 good images of 2 classes")
	require.Equal(t, 2, strings.Count(stderr.String(), "probe: image AUROC cloth"))

	f, err := os.Open(log)
	require.NoError(t, err)
	defer f.Close()
	var steps []tab.Step
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var st tab.Step
		require.NoError(t, json.Unmarshal(sc.Bytes(), &st))
		steps = append(steps, st)
	}
	require.Len(t, steps, 1+8, "the first probe and eight steps")
	require.NotEmpty(t, steps[8].Probe)

	// What was written is read by a detector's loader, the projection included.
	net, err := backbone.OpenResNet18(filepath.Join(dir, "whole"), tensor.CPU)
	require.NoError(t, err)
	require.NoError(t, net.Close())
	w, err := tensor.OpenWeights(filepath.Join(dir, "whole"))
	require.NoError(t, err)
	require.Equal(t, `["cloth","steel"]`, w.Metadata["classes"])

	// Stopped and resumed gives the same bytes.
	require.NoError(t, run(t.Context(), with("parts", "-head-epochs", "1", "-bn", "frozen", "-max-steps", "3"), &stdout, &stderr))
	require.NoFileExists(t, filepath.Join(dir, "parts"))
	require.NoError(t, run(t.Context(), with("parts", "-resume"), &stdout, &stderr))
	a, err := os.ReadFile(filepath.Join(dir, "whole"))
	require.NoError(t, err)
	b, err := os.ReadFile(filepath.Join(dir, "parts"))
	require.NoError(t, err)
	require.True(t, bytes.Equal(a, b))
}

func TestRecipes(t *testing.T) {
	for _, r := range []string{"paper", "official", "ref", "amplify"} {
		o, err := parse([]string{"-data", "x", "-out", "y", "-recipe", r}, &bytes.Buffer{})
		require.NoError(t, err)
		cfg, gen, err := settings(o)
		require.NoError(t, err)
		require.NoError(t, gen.(interface{ Validate() error }).Validate())
		require.NoError(t, cfg.Validate())
	}
	o, err := parse([]string{"-data", "x", "-out", "y", "-recipe", "ref", "-batch", "8", "-lr", "0.5"}, &bytes.Buffer{})
	require.NoError(t, err)
	cfg, _, err := settings(o)
	require.NoError(t, err)
	require.Equal(t, 8, cfg.Batch)
	require.Equal(t, 0.5, cfg.LR)
	require.Equal(t, "joint", cfg.Objective.Name())
	o, err = parse([]string{"-data", "x", "-out", "y", "-recipe", "amplify", "-warmup", "7"}, &bytes.Buffer{})
	require.NoError(t, err)
	cfg, _, err = settings(o)
	require.NoError(t, err)
	require.Equal(t, tab.AmplifyDense().Objective, cfg.Objective)
	require.Equal(t, 7, cfg.Schedule.WarmupSteps)
	require.Equal(t, []string{"mixture", "auto"}, []string{o.synth, o.twins})
}

func TestGenerators(t *testing.T) {
	for _, g := range []string{"nsa", "cutpaste", "perlin", "mask", "mix"} {
		o, err := parse([]string{"-data", "x", "-out", "y", "-synth", g, "-least", "6"}, &bytes.Buffer{})
		require.NoError(t, err)
		_, gen, err := settings(o)
		require.NoError(t, err)
		require.NoError(t, gen.(synth.Visible).Validate())
	}
}

// TestTwinsOfTheMixture: the table lies beside the weights, which hold its hash; a
// run goes on with it, and with no other.
func TestTwinsOfTheMixture(t *testing.T) {
	testutil.NoLeak(t)
	root, dir := plant(t), t.TempDir()
	start := filepath.Join(dir, "start")
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 2)))
	require.NoError(t, err)
	require.NoError(t, net.Save(start))
	require.NoError(t, net.Close())
	var stdout, stderr bytes.Buffer
	train := func(name string, more ...string) error {
		stdout.Reset()
		return run(t.Context(), append([]string{"-data", root, "-bank", bankFile(t), "-size", "72", "-crop", "64", "-batch", "2", "-steps", "4", "-warmup", "2",
			"-device", "cpu", "-recipe", "amplify", "-draws", "6", "-without", "scar", "-init", start, "-out", filepath.Join(dir, name)}, more...), &stdout, &stderr)
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		return b
	}
	log := filepath.Join(dir, "log.jsonl")
	require.NoError(t, train("whole", "-log", log))
	require.NotContains(t, stdout.String(), "scar")
	raw := read("whole.twins.json")
	table, err := tab.ReadTwinTable(bytes.NewReader(raw))
	require.NoError(t, err)
	require.Len(t, table.Products, 2)
	var shown bytes.Buffer
	require.NoError(t, table.Text(&shown, false))
	require.Contains(t, stdout.String(), shown.String())
	w, err := tensor.OpenWeights(filepath.Join(dir, "whole"))
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("sha256:%x", sha256.Sum256(raw)), w.Metadata["twins"])
	var first tab.Step
	require.NoError(t, json.Unmarshal(bytes.SplitN(read("log.jsonl"), []byte("\n"), 2)[0], &first))
	var told []string
	for _, m := range first.Indicators {
		told = append(told, m.Name)
	}
	require.Subset(t, told, []string{"amplify", "dense", "keep"})

	// Stopped and resumed gives the same bytes, and nothing is measured again.
	require.NoError(t, train("parts", "-max-steps", "2"))
	require.NoFileExists(t, filepath.Join(dir, "parts"))
	require.Equal(t, raw, read("parts.twins.json"))
	require.NoError(t, train("parts", "-resume"))
	require.NotContains(t, stdout.String(), "spread of")
	require.True(t, bytes.Equal(read("whole"), read("parts")))

	// The table of another run is taken as it is, by its file, and a control says so.
	require.NoError(t, train("again", "-twins", filepath.Join(dir, "whole.twins.json")))
	require.NotContains(t, stdout.String(), "spread of")
	require.Equal(t, raw, read("again.twins.json"))
	require.True(t, bytes.Equal(read("whole"), read("again")))
	require.ErrorIs(t, train("again2", "-twins", filepath.Join(dir, "none.twins.json")), os.ErrNotExist)
	require.NoError(t, train("control", "-twins", filepath.Join(dir, "whole.twins.json"), "-control", "misplaced"))
	require.False(t, bytes.Equal(read("whole"), read("control")), "misplaced masks teach the same")

	// Another table, another way or none at all are refused.
	require.NoError(t, train("other", "-max-steps", "2"))
	require.ErrorIs(t, train("other", "-resume", "-twins", "plain"), tab.ErrCheckpoint)
	require.ErrorIs(t, train("other", "-resume", "-without", "warp"), tab.ErrCheckpoint)
	table.Products[0].Spread[0][3]++
	var changed bytes.Buffer
	_, err = table.WriteTo(&changed)
	require.NoError(t, err)
	path := filepath.Join(dir, "other.twins.json")
	require.NoError(t, os.WriteFile(path, changed.Bytes(), 0o600))
	require.ErrorIs(t, train("other", "-resume"), tab.ErrCheckpoint)
	require.NoError(t, os.WriteFile(path, raw[:len(raw)/2], 0o600))
	require.ErrorContains(t, train("other", "-resume"), "other.twins.json")
	require.NoError(t, os.Remove(path))
	require.ErrorContains(t, train("other", "-resume"), "other.twins.json")

	// Plain twins need no table.
	require.NoError(t, train("plain", "-twins", "plain"))
	require.NoFileExists(t, filepath.Join(dir, "plain.twins.json"))
	w, err = tensor.OpenWeights(filepath.Join(dir, "plain"))
	require.NoError(t, err)
	require.NotContains(t, w.Metadata, "twins")
}

func TestWrongArguments(t *testing.T) {
	testutil.NoLeak(t)
	root, out := plant(t), filepath.Join(t.TempDir(), "o")
	bank := bankFile(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-out", out}, "-data is missing"},
		{[]string{"-data", root}, "-out is missing"},
		{[]string{"-data", root, "-out", out}, "neither -bank nor -clip is given"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-clip", "y"}, "both given"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-objective", "best"}, "-objective"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-bn", "off"}, "-bn"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-synth", "rust"}, "-synth"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-least", "-3"}, "-least"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-size", "8"}, "-size"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-device", "tpu"}, "device"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-batch", "500", "-size", "64"}, "does not fill a batch"},
		{[]string{"-data", filepath.Join(root, "none"), "-out", out, "-bank", bank}, "none"},
		{[]string{"-data", root, "-out", out, "-bank", filepath.Join(root, "no.bank")}, "no.bank"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-init", filepath.Join(root, "no.pth")}, "no.pth"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-resume"}, "o.ckpt"},
		{[]string{"-data", root, "-out", out, "stray"}, "stray"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-keep", "2"}, "-recipe amplify"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-recipe", "amplify", "-keep", "-2"}, "Weight"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-recipe", "amplify", "-synth", "nsa", "-without", "scar"}, "-synth mixture"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-recipe", "amplify", "-keep", "2", "-objective", "joint"}, "-objective"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-recipe", "amplify", "-crop", "16"}, "Crop"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-interpolate", "0.5"}, "statistics"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-interpolate", "2"}, "-interpolate"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-steps", "-1"}, "-steps"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-warmup", "-1"}, "-warmup"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-twins", "auto"}, "-synth mixture"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-synth", "mixture", "-twins", "best"}, "-twins"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-synth", "mixture", "-control", "none"}, "-control"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-control", "misplaced"}, "-synth mixture"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-synth", "mixture", "-without", "rust"}, "want one of nsa, patch, scar"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-synth", "mixture", "-least", "6"}, "-least"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-synth", "mixture", "-twins", "auto", "-draws", "0"}, "Draws"},
	} {
		var stdout, stderr bytes.Buffer
		err := run(t.Context(), append(c.args, "-epochs", "1"), &stdout, &stderr)
		require.ErrorContains(t, err, c.want, c.args)
	}
}

func TestAmplifyRecipe(t *testing.T) {
	testutil.NoLeak(t)
	root, dir := plant(t), t.TempDir()
	start := filepath.Join(dir, "start")
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 2)))
	require.NoError(t, err)
	require.NoError(t, net.Save(start))
	require.NoError(t, net.Close())
	with := func(name string, more ...string) []string {
		return append([]string{"-data", root, "-bank", bankFile(t), "-size", "72", "-crop", "64", "-batch", "2", "-steps", "5", "-device", "cpu", "-recipe", "amplify", "-draws", "8",
			"-init", start, "-keep", "2", "-out", filepath.Join(dir, name)}, more...)
	}
	var stdout, stderr bytes.Buffer
	require.NoError(t, run(t.Context(), with("whole"), &stdout, &stderr))
	require.Contains(t, stderr.String(), "mix(1 amplify + 0.3 dense + 2 keep)")
	require.Regexp(t, `step 1: .*amplify \d.* keep 0\.0000`, stderr.String())
	for _, want := range []string{"cloth: spread of 4 good images", "steel: spread of 4 good images"} {
		require.Equal(t, 1, strings.Count(stdout.String(), want), stdout.String())
	}
	require.NoError(t, run(t.Context(), with("half", "-max-steps", "3", "-interpolate", "0.5"), &stdout, &stderr))
	require.NoError(t, run(t.Context(), with("half", "-resume", "-interpolate", "0.5"), &stdout, &stderr))
	value := func(name, weight string) []float32 {
		w, err := tensor.OpenWeights(filepath.Join(dir, name))
		require.NoError(t, err)
		for _, a := range w.Arrays {
			if a.Name == weight {
				v, err := a.Floats()
				require.NoError(t, err)
				return v
			}
		}
		t.Fatal(weight, " is missing")
		return nil
	}
	const moved, kept = "layer3.0.conv1.weight", "layer4.0.conv1.weight"
	a, b, mid := value("start", moved), value("whole", moved), value("half", moved)
	require.NotEqual(t, a, b)
	for i := range mid {
		require.Equal(t, float32(0.5*float64(a[i])+0.5*float64(b[i])), mid[i])
	}
	require.Equal(t, value("start", kept), value("whole", kept))
}
