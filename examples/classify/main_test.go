package main

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/dataset/wafers"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/classify"
	"github.com/gotab/gotab/downstream/classify/compare"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

func classifyArgs(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	live := tensor.Live()
	var out, progress bytes.Buffer
	err = run(t.Context(), args, &out, &progress)
	require.Equal(t, live, tensor.Live(), "native tensors were leaked")
	return out.String(), progress.String(), err
}

// maps generates a file of per maps of each combination.
func maps(t *testing.T, per int, seed string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "maps.npz")
	_, _, err := classifyArgs(t, "generate", "-out", path, "-per", strconv.Itoa(per), "-seed", seed)
	require.NoError(t, err)
	return path
}

func readReport(t *testing.T, dir string) (r compare.Report) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "report.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &r))
	return r
}

func TestGenerate(t *testing.T) {
	dir := t.TempDir()
	path, sheet := filepath.Join(dir, "w.npz"), filepath.Join(dir, "w.png")
	stdout, _, err := classifyArgs(t, "generate", "-out", path, "-published", "0.002", "-seed", "4", "-sheet", sheet)
	require.NoError(t, err)
	require.Contains(t, stdout, "77 maps of 38 combinations") // 2 of each, 4 of one, 1 of Near-full
	ds, err := dataset.OpenMixedWM38(path)
	require.NoError(t, err)
	defer ds.Close()
	require.Equal(t, 77, ds.Len())
	first, err := ds.Map(t.Context(), 0)
	require.NoError(t, err)
	want := wafers.Draw(4, 0, wafers.Combinations()[0])
	require.Equal(t, want[:], first)
	f, err := os.Open(sheet)
	require.NoError(t, err)
	defer f.Close()
	img, err := png.Decode(f)
	require.NoError(t, err)
	require.Equal(t, image.Pt(6+12*(104+6), 6+19*(104+6+15)), img.Bounds().Size())
}

// The whole of Table 3's shape on a few maps: both backbones, two sets of
// weights, both models, both splits, and the nearest neighbour.
func TestClassifyWafers(t *testing.T) {
	data, out := maps(t, 5, "1"), filepath.Join(t.TempDir(), "out")
	saved := filepath.Join(t.TempDir(), "other.safetensors")
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(9, 9)))
	require.NoError(t, err)
	require.NoError(t, net.Save(saved))
	require.NoError(t, net.Close())
	stdout, stderr, err := classifyArgs(t, "-data", data, "-weights", "random,"+saved, "-device", "cpu", "-size", "32", "-epochs", "1",
		"-head-epochs", "40", "-model", "both", "-split", "both", "-backbone", "frozen", "-neighbour", "-out", out, "-save", "-encoding", "dies", "-balance")
	require.NoError(t, err)
	require.Contains(t, stderr, "random, frozen, sigmoids: fit on 152 images")
	require.Contains(t, stderr, "epoch 40/40, loss")
	for _, want := range []string{"split plain: 152 images to train, 38 to test", "split stratified: 152 images to train, 38 to test",
		"exact match", "top-1 of 38", "nearest neighbour", "softmax"} {
		require.Contains(t, stdout, want)
	}
	r := readReport(t, out)
	require.Equal(t, 32, r.Size)
	require.Len(t, r.Rows, 2*(1+2*2))
	for _, row := range r.Rows {
		require.Equal(t, 38, row.Test)
		require.Len(t, row.PerKind, 38)
		require.Len(t, row.PerLabel, 8)
		require.Len(t, row.Confusion.Counts, 38)
		n := 0
		for i, line := range row.Confusion.Counts {
			require.Len(t, line, 39)
			for _, v := range line {
				n += v
			}
			require.Equal(t, line[i], row.PerKind[i].TP)
		}
		require.Equal(t, 38, n)
		require.Equal(t, row.Top1.Value, row.Exact.Value, "the labels are right where the combination is")
		require.LessOrEqual(t, row.Exact.Low, row.Exact.Value)
		require.GreaterOrEqual(t, row.Exact.High, row.Exact.Value)
		require.Greater(t, row.Labels.F1, 0.1)
	}
	require.Equal(t, "nearest neighbour", r.Rows[5].Model)
	require.Equal(t, compare.Stratified, r.Rows[5].Split)
	for _, k := range r.Rows[5].PerKind {
		require.Equal(t, 1, k.TP+k.FN, "a stratified fifth of five")
	}
	text, err := os.ReadFile(filepath.Join(out, "report.txt"))
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(text), stdout), "the report begins with the table")
	require.Contains(t, string(text), "was called")

	path := filepath.Join(out, "other-frozen-softmax-stratified.safetensors")
	again, err := backbone.Open(saved, tensor.CPU)
	require.NoError(t, err)
	defer again.Close()
	c, err := classify.Open(t.Context(), path, again)
	require.NoError(t, err)
	require.Len(t, c.Names(), 38)
	require.NoError(t, c.Close())
}

func TestClassifyTrainedOnAnotherFile(t *testing.T) {
	train, test := maps(t, 2, "1"), maps(t, 1, "2")
	stdout, stderr, err := classifyArgs(t, "-data", train, "-test", test, "-weights", "random", "-device", "cpu", "-size", "32", "-epochs", "2", "-backbone", "trained")
	require.NoError(t, err)
	require.Contains(t, stdout, "76 images to train, 38 to test")
	require.Contains(t, stdout, "trained")
	require.Contains(t, stderr, "random, trained, sigmoids: epoch 2/2")
}

// folder writes class folders: squares bright at the top or at the bottom.
func folder(t *testing.T, classes ...string) string {
	root := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 1))
	for k, class := range classes {
		require.NoError(t, os.MkdirAll(filepath.Join(root, class), 0o777))
		for i := range 10 {
			img := image.NewGray(image.Rect(0, 0, 36, 36))
			for y := range 36 {
				for x := range 36 {
					v := 60 + rng.IntN(20)
					if y*len(classes)/36 == k {
						v += 120
					}
					img.SetGray(x, y, color.Gray{Y: uint8(v)})
				}
			}
			f, err := os.Create(filepath.Join(root, class, strconv.Itoa(i)+".png"))
			require.NoError(t, err)
			require.NoError(t, png.Encode(f, img))
			require.NoError(t, f.Close())
		}
	}
	return root
}

func TestClassifyFolder(t *testing.T) {
	out := t.TempDir()
	stdout, _, err := classifyArgs(t, "-data", folder(t, "bottom", "top"), "-weights", "random", "-device", "cpu", "-size", "32",
		"-backbone", "frozen", "-head-epochs", "60", "-out", out)
	require.NoError(t, err)
	require.Contains(t, stdout, "top-1 of 2")
	require.NotContains(t, stdout, "exact match")
	r := readReport(t, out)
	require.Len(t, r.Rows, 1)
	require.Nil(t, r.Rows[0].Exact)
	require.Equal(t, 4, r.Rows[0].Test)
	require.Equal(t, 1.0, r.Rows[0].Top1.Value, "top and bottom are easy for any network")
	require.Equal(t, []string{"bottom", "top", metrics.Other}, r.Rows[0].Confusion.Classes)
}

func TestClassifyRefuses(t *testing.T) {
	data, pictures := maps(t, 1, "1"), folder(t, "only")
	base := []string{"-data", data, "-weights", "random", "-device", "cpu"}
	with := func(args ...string) []string { return append(append([]string(nil), base...), args...) }
	for name, c := range map[string]struct {
		args []string
		is   error
		says string
	}{
		"no data":        {[]string{"-weights", "random"}, errUsage, "-data is missing"},
		"no weights":     {[]string{"-data", data}, errUsage, "-weights is missing"},
		"weights twice":  {[]string{"-data", data, "-weights", "random,random"}, errUsage, "one twice"},
		"backbone":       {with("-backbone", "warm"), errUsage, "-backbone warm is not known"},
		"model":          {with("-model", "tree"), errUsage, "-model tree is not known"},
		"split":          {with("-split", "half"), errUsage, "-split half is not known"},
		"encoding":       {with("-encoding", "red"), errUsage, "-encoding red is not known"},
		"turn":           {with("-turn", "left"), errUsage, "-turn left is not known"},
		"label":          {with("-label", "name"), errUsage, "-label name is not known"},
		"size":           {with("-size", "31"), errUsage, "-size is 31"},
		"save":           {with("-save"), errUsage, "-save needs -out"},
		"stray argument": {with("more"), errUsage, `"more" is not a flag`},
		"unknown flag":   {with("-fast"), errUsage, "-fast"},
		"mixed kinds":    {with("-test", pictures), errUsage, "both be wafer maps or both be folders"},
		"folder labels":  {[]string{"-data", pictures, "-weights", "random", "-model", "sigmoids"}, errUsage, "for wafer maps"},
		"folder planes":  {[]string{"-data", pictures, "-weights", "random", "-neighbour"}, errUsage, "for wafer maps"},
		"device":         {append(with()[:4], "-device", "tpu"), nil, `device "tpu"`},
		"no such file":   {[]string{"-data", data + "x.npz", "-weights", "random", "-device", "cpu"}, os.ErrNotExist, "x.npz"},
		"no such folder": {[]string{"-data", pictures + "x", "-weights", "random", "-device", "cpu"}, os.ErrNotExist, filepath.Base(pictures) + "x"},
		"one class":      {[]string{"-data", pictures, "-weights", "random", "-device", "cpu", "-size", "32"}, downstream.ErrLabels, "nothing to tell apart"},
		"layout":         {[]string{"-data", pictures, "-weights", "random", "-device", "cpu", "-layout", "heap"}, dataset.ErrConfig, "heap"},
		"no weight file": {with("-weights", data+".safetensors"), os.ErrNotExist, ".safetensors"},
		"epochs":         {with("-epochs", "0", "-backbone", "trained"), errUsage, "-epochs is 0"},
		"rate":           {with("-lr", "0"), downstream.ErrConfig, "LR is 0"},

		"generate without out":  {[]string{"generate", "-per", "1"}, errUsage, "-out is missing"},
		"generate nothing":      {[]string{"generate", "-out", data}, errUsage, "either -per"},
		"generate both":         {[]string{"generate", "-out", data, "-per", "1", "-published", "1"}, errUsage, "either -per"},
		"generate stray":        {[]string{"generate", "-out", data, "-per", "1", "x"}, errUsage, `"x" is not a flag`},
		"generate too many":     {[]string{"generate", "-out", data + "y", "-per", "1000000"}, wafers.ErrCounts, "1048576"},
		"generate unknown flag": {[]string{"generate", "-fast"}, errUsage, "-fast"},
		"generate to nowhere":   {[]string{"generate", "-out", filepath.Join(data, "x"), "-per", "1"}, nil, "maps.npz"},
	} {
		_, _, err := classifyArgs(t, c.args...)
		require.Error(t, err, name)
		require.ErrorContains(t, err, c.says, name)
		require.NotContains(t, err.Error(), "\n", name)
		if c.is != nil {
			require.ErrorIs(t, err, c.is, name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	require.ErrorIs(t, run(ctx, with("-size", "32"), &out, &out), context.Canceled)
	require.ErrorIs(t, run(ctx, []string{"generate", "-out", data + "z", "-per", "1"}, &out, &out), context.Canceled)
}
