package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/card"
	"github.com/gotab/gotab/tensor"
)

func TestMain(m *testing.M) { os.Exit(testutil.OneThread(m)) }

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
	root, dir := testutil.Plant(t, 4, 1, false), t.TempDir()
	base := []string{"-data", root, "-bank", bankFile(t), "-size", "64", "-epochs", "2", "-batch", "2", "-repeat", "1", "-device", "cpu", "-objective", "joint"}
	with := func(name string, more ...string) []string {
		return append(append(append([]string(nil), base...), "-out", filepath.Join(dir, name)), more...)
	}
	var stdout, stderr bytes.Buffer
	log := filepath.Join(dir, "log.jsonl")
	drawn := func(name string) []string {
		return []string{"-csv", filepath.Join(dir, name+".csv"), "-tensorboard", filepath.Join(dir, name+".runs")}
	}
	base = append(base, drawn("whole")...)
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
	base = append(base, drawn("parts")...)
	require.NoError(t, run(t.Context(), with("parts", "-head-epochs", "1", "-bn", "frozen", "-max-steps", "3"), &stdout, &stderr))
	require.NoFileExists(t, filepath.Join(dir, "parts"))
	require.NoError(t, run(t.Context(), with("parts", "-continue"), &stdout, &stderr))
	require.Contains(t, stderr.String(), "going on from "+filepath.Join(dir, "parts.ckpt"))
	a, err := os.ReadFile(filepath.Join(dir, "whole"))
	require.NoError(t, err)
	b, err := os.ReadFile(filepath.Join(dir, "parts"))
	require.NoError(t, err)
	require.True(t, bytes.Equal(a, b))

	// So does what is said of them, but for the time, and the parts of the run.
	one, other := cardOf(t, filepath.Join(dir, "whole")), cardOf(t, filepath.Join(dir, "parts"))
	require.Len(t, one.Parts, 1)
	require.Equal(t, []int64{0, 3, 3, 8}, []int64{other.Parts[0].From, other.Parts[0].To, other.Parts[1].From, other.Parts[1].To})
	_, all := other.Seconds()
	require.True(t, all)
	require.Equal(t, int64(8), other.Steps)
	require.Equal(t, "whole", one.Weights.Name)
	one.Parts, other.Parts, one.Weights.Name = nil, nil, "parts"
	one.Projection.Name = other.Projection.Name
	require.Equal(t, one, other)
	require.NoError(t, other.Projection.Check(filepath.Join(dir, "whole.projection")))

	// The table has each step once, though the run was stopped; speed and probe differ.
	whole, parts := figuresOf(t, filepath.Join(dir, "whole.csv")), figuresOf(t, filepath.Join(dir, "parts.csv"))
	require.Len(t, parts, 1+8, "header and steps")
	require.Equal(t, []string{"step", "probe/image AUROC cloth", "loss", "accuracy", "lr", "grad_norm"}, whole[0])
	require.Equal(t, "0", whole[1][0])
	for i, row := range parts {
		if i > 0 {
			require.Equal(t, row, append(whole[i+1][:1:1], whole[i+1][2:]...))
			require.Equal(t, steps[i].Loss, number(t, row[1]))
		}
	}
	for name, files := range map[string]int{"whole": 1, "parts": 2} {
		events, err := os.ReadDir(filepath.Join(dir, name+".runs"))
		require.NoError(t, err)
		require.Len(t, events, files)
	}
}

func cardOf(t *testing.T, weights string) *card.Card {
	t.Helper()
	c, err := card.Open(card.Name(weights))
	require.NoError(t, err)
	require.True(t, c.Finished)
	require.NoError(t, c.Weights.Check(weights))
	return c
}

// torchvision's load_state_dict is strict: all its names are there and no others, with
// its shapes, whether a projection was trained or not.
func TestWeightsHaveTorchvisionsNames(t *testing.T) {
	var want struct{ State [][2]json.RawMessage } // name and shape
	raw, err := os.ReadFile(filepath.Join("..", "..", "backbone", "testdata", "parity", "resnet18.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &want))
	require.Len(t, want.State, 122)
	root, out := testutil.Plant(t, 4, 1, false), filepath.Join(t.TempDir(), "w")
	var stdout, stderr bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-data", root, "-bank", bankFile(t), "-recipe", "paper", "-size", "64", "-steps", "1", "-batch", "2", "-device", "cpu", "-out", out}, &stdout, &stderr))
	require.FileExists(t, out+".projection", "4 wide text, 512 wide features")
	w, err := tensor.OpenWeights(out)
	require.NoError(t, err)
	shapes := map[string][]int64{}
	for _, a := range w.Arrays {
		shapes[a.Name] = a.Shape
	}
	require.Len(t, shapes, len(want.State))
	for _, p := range want.State {
		var name string
		var shape []int64
		require.NoError(t, json.Unmarshal(p[0], &name))
		require.NoError(t, json.Unmarshal(p[1], &shape))
		require.Contains(t, shapes, name)
		require.ElementsMatch(t, shape, shapes[name], name)
	}
}

// The card says what went in, refuses other images, and takes figures later.
func TestCard(t *testing.T) {
	root, dir := testutil.Plant(t, 4, 1, false), t.TempDir()
	out, bank := filepath.Join(dir, "w"), bankFile(t)
	start := filepath.Join(dir, "start.safetensors")
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 2)))
	require.NoError(t, err)
	require.NoError(t, net.Save(start))
	require.NoError(t, net.Close())
	var stdout, stderr bytes.Buffer
	train := func(more ...string) error {
		stderr.Reset()
		return run(t.Context(), append([]string{"-data", root, "-bank", bank, "-recipe", "paper", "-init", start, "-size", "64", "-steps", "3", "-batch", "2", "-lr", "0.001", "-repeat", "1",
			"-device", "cpu", "-out", out}, more...), &stdout, &stderr)
	}
	require.NoError(t, train("-licence", "CC-BY-4.0", "-licence", "own pictures", "-max-steps", "1"))
	c, err := card.Open(card.Name(out))
	require.NoError(t, err)
	require.False(t, c.Finished)
	require.Nil(t, c.Weights)
	require.Equal(t, int64(1), c.Steps)
	require.NoError(t, c.Start.File.Check(start))
	require.NoError(t, c.Anchors.File.Check(bank))
	require.Equal(t, "by hand", c.Anchors.Model)
	require.Equal(t, []string{"CC-BY-4.0", "own pictures"}, c.Licences)
	require.Equal(t, map[string]string{"size": "64", "steps": "3", "batch": "2", "lr": "0.001", "recipe": "paper", "repeat": "1"}, c.Options)
	require.Len(t, c.Data, 2)
	require.Equal(t, "cloth", c.Data[0].Class)
	require.Equal(t, 4, c.Data[0].Images)
	h := sha256.New()
	for i := range 4 {
		name := fmt.Sprintf("cloth/train/good/%03d.png", i)
		b, err := os.ReadFile(filepath.Join(root, name))
		require.NoError(t, err)
		fmt.Fprintf(h, "%x  %s\n", sha256.Sum256(b), name)
	}
	require.Equal(t, fmt.Sprintf("%x", h.Sum(nil)), c.Data[0].SHA256)
	var settings map[string]any
	require.NoError(t, json.Unmarshal(c.Recipe, &settings))
	require.EqualValues(t, 3, settings["Steps"])
	text := string(must(os.ReadFile(card.Name(out))))
	require.NotContains(t, text, dir, "no paths")
	require.NotContains(t, text, root)

	// An image with the same name and other pixels.
	name := filepath.Join(root, "cloth", "train", "good", "002.png")
	was := must(os.ReadFile(name))
	require.NoError(t, os.WriteFile(name, must(os.ReadFile(filepath.Join(root, "cloth", "train", "good", "001.png"))), 0o600))
	require.ErrorContains(t, train("-resume"), "other contents")
	require.NoError(t, os.WriteFile(name, was, 0o600))

	require.NoError(t, train("-resume"))
	done := cardOf(t, out)
	require.Len(t, done.Parts, 2)
	require.Equal(t, c.Start, done.Start)
	require.Equal(t, c.Licences, done.Licences)
	require.Equal(t, 1.0, done.Share)

	// Figures come later, and change nothing else.
	table := filepath.Join(dir, "table.txt")
	require.NoError(t, os.WriteFile(table, []byte("cloth +4.2\n"), 0o600))
	require.NoError(t, train("-resume", "-measured", table))
	later := cardOf(t, out)
	require.Equal(t, "cloth +4.2\n", later.Measured.Text)
	require.NoError(t, later.Measured.Check(table))
	later.Measured = nil
	require.Equal(t, done, later)
	require.NoError(t, os.WriteFile(table, []byte("\xff"), 0o600))
	require.ErrorContains(t, train("-resume", "-measured", table), "no text")

	// Without the card the run goes on and says less; half a card is an error.
	require.NoError(t, os.Remove(card.Name(out)))
	require.NoError(t, train("-resume"))
	require.Contains(t, stderr.String(), "is missing")
	require.Nil(t, cardOf(t, out).Start)
	require.NoError(t, os.WriteFile(card.Name(out), []byte(text[:99]), 0o600))
	require.ErrorIs(t, train("-resume"), card.ErrCard)
}

// Shards of either kind train what their files do, to the bit, and the card has the checksums of their
// index: nothing is read for it.
func TestShards(t *testing.T) {
	root, dir := testutil.Plant(t, 4, 1, false), t.TempDir()
	files, err := dataset.OpenMVTecAD(root, "", "")
	require.NoError(t, err)
	bank := bankFile(t)
	train := func(out, data string, more ...string) error {
		var stdout, stderr bytes.Buffer
		return run(t.Context(), append([]string{"-data", data, "-bank", bank, "-recipe", "paper", "-size", "64", "-steps", "2", "-batch", "2", "-device", "cpu", "-out", filepath.Join(dir, out)}, more...), &stdout, &stderr)
	}
	require.NoError(t, train("plain", root))
	var cards []*card.Card
	for _, a := range []dataset.ShardArchive{dataset.ShardTar, dataset.ShardZip} {
		set := filepath.Join(dir, "set."+string(a))
		cfg := dataset.DefaultShards()
		cfg.Archive, cfg.Shuffle = a, false
		require.NoError(t, dataset.WriteShards(t.Context(), set, files, cfg))
		require.NoError(t, train(string(a), set))
		require.Equal(t, must(os.ReadFile(filepath.Join(dir, "plain"))), must(os.ReadFile(filepath.Join(dir, string(a)))), a)
		cards = append(cards, cardOf(t, filepath.Join(dir, string(a))))
	}
	require.Equal(t, cards[0].Data, cards[1].Data)
	plain := cardOf(t, filepath.Join(dir, "plain"))
	require.Len(t, cards[0].Data, len(plain.Data))
	for i, c := range cards[0].Data {
		require.Equal(t, plain.Data[i].Class, c.Class)
		require.Equal(t, plain.Data[i].Images, c.Images, "those of the test are left out")
		h := sha256.New()
		for k := range c.Images {
			name := fmt.Sprintf("%s/train/good/%03d.png", c.Class, k)
			b := must(os.ReadFile(filepath.Join(root, name)))
			fmt.Fprintf(h, "crc32c:%08x:%d  %s\n", crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)), len(b), name)
		}
		require.Equal(t, fmt.Sprintf("%x", h.Sum(nil)), c.SHA256)
	}
	// Both kinds of root in one run; and a damaged set.
	require.NoError(t, train("both", root, "-data", filepath.Join(dir, "set.zip")))
	require.Equal(t, 2*plain.Data[0].Images, cardOf(t, filepath.Join(dir, "both")).Data[0].Images)
	index := filepath.Join(dir, "set.zip", "index.jsonl")
	raw := must(os.ReadFile(index))
	raw[20] ^= 1
	require.NoError(t, os.WriteFile(index, raw, 0o600))
	require.ErrorIs(t, train("damaged", filepath.Join(dir, "set.zip")), dataset.ErrDamaged)
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// figuresOf reads a table without the columns that differ from run to run.
func figuresOf(t *testing.T, path string) [][]string {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	require.NoError(t, err)
	var keep []int
	for i, name := range rows[0] {
		if name != "time" && name != "images_sec" {
			keep = append(keep, i)
		}
	}
	out := make([][]string, len(rows))
	for i, r := range rows {
		for _, k := range keep {
			out[i] = append(out[i], r[k])
		}
	}
	return out
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(text, 64)
	require.NoError(t, err)
	return v
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
	root, dir := testutil.Plant(t, 4, 1, false), t.TempDir()
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

	// A table of more products serves, and one of fewer does not.
	cloth := t.TempDir()
	require.NoError(t, os.Rename(filepath.Join(root, "steel"), filepath.Join(cloth, "steel")))
	stderr.Reset()
	require.NoError(t, train("less", "-twins", filepath.Join(dir, "whole.twins.json")))
	require.Contains(t, stderr.String(), "is of more products than are trained; passed over: steel\n")
	require.Equal(t, raw, read("less.twins.json"))
	require.NoError(t, train("cloth"))
	require.NoError(t, os.Rename(filepath.Join(cloth, "steel"), filepath.Join(root, "steel")))
	err = train("more", "-twins", filepath.Join(dir, "cloth.twins.json"))
	require.ErrorIs(t, err, tab.ErrUnknownClass)
	require.ErrorContains(t, err, `"steel"`)

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
	root, out := testutil.Plant(t, 4, 1, false), filepath.Join(t.TempDir(), "o")
	bank := bankFile(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-out", out}, "-data is missing"},
		{[]string{"-data", root}, "-out is missing"},
		{[]string{"-data", root, "-out", out, "-recipe", "paper"}, "neither -bank nor -clip is given"},
		{[]string{"-data", filepath.Join(root, "none"), "-out", out, "-recipe", "paper"}, "neither -bank nor -clip is given"},
		{[]string{"-data", root, "-out", out, "-recipe", "paper", "-bank", bank, "-clip", "y"}, "both given"},
		{[]string{"-data", root, "-out", out, "-recipe", "paper", "-bank", bank, "-objective", "best"}, "-objective"},
		{[]string{"-data", root, "-out", out, "-recipe", "paper", "-bank", bank, "-bn", "off"}, "-bn"},
		{[]string{"-data", root, "-out", out, "-recipe", "paper", "-bank", bank, "-synth", "rust"}, "-synth"},
		{[]string{"-data", root, "-out", out, "-recipe", "paper", "-bank", bank, "-least", "-3"}, "-least"},
		{[]string{"-data", root, "-out", out, "-recipe", "paper", "-bank", bank, "-size", "8"}, "-size"},
		{[]string{"-data", root, "-out", out, "-recipe", "paper", "-bank", bank, "-device", "tpu"}, "device"},
		{[]string{"-data", root, "-out", out, "-recipe", "paper", "-bank", bank, "-batch", "500", "-size", "64"}, "does not fill a batch"},
		{[]string{"-data", filepath.Join(root, "none"), "-out", out, "-recipe", "paper", "-bank", bank}, "none"},
		{[]string{"-data", root, "-out", out, "-recipe", "paper", "-bank", filepath.Join(root, "no.bank")}, "no.bank"},
		{[]string{"-data", root, "-out", out, "-recipe", "paper", "-bank", bank, "-init", filepath.Join(root, "no.pth")}, "no.pth"},
		{[]string{"-data", root, "-out", out, "-recipe", "paper", "-bank", bank, "-resume"}, "o.ckpt"},
		{[]string{"-data", root, "-out", out, "stray"}, "stray"},
		{[]string{"-data", root, "-out", out, "-recipe", "paper", "-bank", bank, "-keep", "2"}, "-recipe amplify"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-recipe", "amplify", "-keep", "-2"}, "Weight"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-recipe", "amplify", "-synth", "nsa", "-without", "scar"}, "-synth mixture"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-recipe", "amplify", "-keep", "2", "-objective", "joint"}, "-objective"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-recipe", "amplify", "-crop", "16"}, "Crop"},
		{[]string{"-data", root, "-out", out, "-recipe", "paper", "-bank", bank, "-interpolate", "0.5"}, "statistics"},
		{[]string{"-data", root, "-out", out, "-recipe", "paper", "-bank", bank, "-interpolate", "2"}, "-interpolate"},
		{[]string{"-data", root, "-out", out, "-recipe", "paper", "-bank", bank, "-steps", "-1"}, "-steps"},
		{[]string{"-data", root, "-out", out, "-recipe", "paper", "-bank", bank, "-warmup", "-1"}, "-warmup"},
		{[]string{"-data", root, "-out", out, "-recipe", "paper", "-bank", bank, "-twins", "auto"}, "-synth mixture"},
		{[]string{"-data", root, "-out", out, "-recipe", "paper", "-bank", bank, "-synth", "mixture", "-twins", "best"}, "-twins"},
		{[]string{"-data", root, "-out", out, "-recipe", "paper", "-bank", bank, "-synth", "mixture", "-control", "none"}, "-control"},
		{[]string{"-data", root, "-out", out, "-recipe", "paper", "-bank", bank, "-control", "misplaced"}, "-synth mixture"},
		{[]string{"-data", root, "-out", out, "-recipe", "paper", "-bank", bank, "-synth", "mixture", "-without", "rust"}, "want one of nsa, patch, scar"},
		{[]string{"-data", root, "-out", out, "-recipe", "paper", "-bank", bank, "-synth", "mixture", "-least", "6"}, "-least"},
		{[]string{"-data", root, "-out", out, "-recipe", "paper", "-bank", bank, "-synth", "mixture", "-twins", "auto", "-draws", "0"}, "-draws is 0"},
		{[]string{"-data", root, "-out", out, "-recipe", "paper", "-bank", bank, "-where-blind"}, "-where-blind"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-recipe", "amplify", "-tie"}, "it needs that"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-recipe", "amplify", "-tie-weight", "2"}, "it belongs to -tie"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-recipe", "amplify", "-where-blind", "-tie", "-tie-weight", "0"}, "-tie-weight is 0"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-recipe", "amplify", "-where-blind", "-tie", "-keep", "0"}, "which is 0"},
		{[]string{"-data", root, "-out", out, "-recipe", "paper", "-bank", bank, "-synth", "mixture", "-twins", "auto", "-where-blind", "-tie"}, "belongs to -recipe amplify"},
		{[]string{"-data", root, "-out", out, "-recipe", "paper", "-bank", bank, "-synth", "mixture", "-where-blind"}, "-where-blind"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-recipe", "amplify", "-twins", "plain", "-where-blind"}, "-where-blind"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-recipe", "amplify", "-without", "texture", "-without", "noise", "-where-blind"}, "keeps out both"},
		{[]string{"-data", root, "-out", out, "-bank", bank}, "-init is missing: the recipe amplify"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-synth", "mixture", "-continue"}, "-init is missing: the recipe amplify"},
		{[]string{"-data", root, "-out", out, "-bank", bank, "-resume"}, "o.ckpt"},
	} {
		var stdout, stderr bytes.Buffer
		err := run(t.Context(), append(c.args, "-epochs", "1"), &stdout, &stderr)
		require.ErrorContains(t, err, c.want, c.args)
	}
}

func TestAmplifyRecipe(t *testing.T) {
	testutil.NoLeak(t)
	root, dir := testutil.Plant(t, 4, 1, false), t.TempDir()
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
