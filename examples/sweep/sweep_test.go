package main

import (
	"bytes"
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
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tensor"
)

func TestMain(m *testing.M) { os.Exit(testutil.OneThread(m)) }

// plant writes two classes of small pictures, the defective ones with a dark square and
// its mask.
func plant(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 1))
	save := func(img image.Image, parts ...string) {
		path := filepath.Join(append([]string{root}, parts...)...)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		f, err := os.Create(path)
		require.NoError(t, err)
		require.NoError(t, png.Encode(f, img))
		require.NoError(t, f.Close())
	}
	draw := func(class int, defect bool) (*image.RGBA, *image.Gray) {
		img, mask := image.NewRGBA(image.Rect(0, 0, 64, 64)), image.NewGray(image.Rect(0, 0, 64, 64))
		for y := range 64 {
			for x := range 64 {
				v := uint8(90 + 50*class + 40*(((x*(1+class)+y)/5)%2) + rng.IntN(20))
				if defect && x > 20 && x < 34 && y > 20 && y < 40 {
					v = 5
					mask.SetGray(x, y, color.Gray{Y: 255})
				}
				img.SetRGBA(x, y, color.RGBA{v, v, 255 - v, 255})
			}
		}
		return img, mask
	}
	for k, c := range []string{"cloth", "steel"} {
		for i := range 6 {
			img, _ := draw(k, false)
			save(img, c, "train", "good", fmt.Sprintf("%03d.png", i))
		}
		for i := range 2 {
			img, _ := draw(k, false)
			save(img, c, "test", "good", fmt.Sprintf("%03d.png", i))
			img, mask := draw(k, true)
			save(img, c, "test", "hole", fmt.Sprintf("%03d.png", i))
			save(mask, c, "ground_truth", "hole", fmt.Sprintf("%03d_mask.png", i))
		}
	}
	return root
}

// weights writes a random network; one that is trained differs in a convolution.
func weights(t *testing.T, trained bool) string {
	t.Helper()
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	defer net.Close()
	if trained {
		require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
			s.ScaleInto(net.Params().Get("layer2.0.conv1.weight"), 0.7)
			return s.Err()
		}))
	}
	path := filepath.Join(t.TempDir(), "weights.safetensors")
	require.NoError(t, net.Save(path))
	return path
}

// pretrainer writes a program that stands for pretrain: it notes its arguments and
// copies other weights, or fails where its seed is 13.
func pretrainer(t *testing.T, trained string) (program, notes string) {
	t.Helper()
	dir := t.TempDir()
	program, notes = filepath.Join(dir, "pretrain"), filepath.Join(dir, "notes")
	require.NoError(t, os.WriteFile(program, []byte(`#!/bin/sh
echo "$*" >> '`+notes+`'
while [ $# -gt 0 ]; do
  [ "$1" = -out ] && out=$2
  [ "$1" = -seed ] && seed=$2
  shift
done
if [ "$seed" = 13 ]; then echo "no luck" >&2; exit 1; fi
cp '`+trained+`' "$out"
`), 0o755))
	return program, notes
}

func writePlan(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plan.json")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

func TestSweepFromPlanToTable(t *testing.T) {
	testutil.NoLeak(t)
	root, out := plant(t), t.TempDir()
	program, notes := pretrainer(t, weights(t, true))
	path := writePlan(t, fmt.Sprintf(`{"start": %q, "data": [%q], "pretrain": ["-recipe", "amplify"],
		"padim": {"reference": true, "seeds": 2, "pixels": 1},
		"networks": [{"name": "a", "seeds": [1, 13], "shares": [1, 0.5]}, {"name": "b", "seeds": [2], "without": ["steel"], "pretrain": ["-keep", "2"]}]}`, weights(t, false), root))
	args := []string{"-plan", path, "-out", out, "-pretrain", program, "-device", "cpu"}
	var stderr bytes.Buffer
	err := run(t.Context(), args, &stderr)
	require.ErrorContains(t, err, "a seed 13: pretrain")

	said, err := os.ReadFile(notes)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(said)), "\n")
	require.Len(t, lines, 3)
	require.Contains(t, lines[0], "-recipe amplify -data "+root)
	require.Contains(t, lines[2], "-keep 2 -data "+filepath.Join(out, "data", "b"))
	left, err := filepath.Glob(filepath.Join(out, "data", "b", "*", "train", "good", "*"))
	require.NoError(t, err)
	require.Len(t, left, 6, "the class that is left out is not in the training's folder")

	s, err := openStore(filepath.Join(out, "results.jsonl"))
	require.NoError(t, err)
	// start, a of two shares, b, each two classes by three fits; one failure.
	require.Equal(t, 4*2*3+1, len(s.records))
	for _, r := range s.records {
		if r.Failed != "" {
			continue
		}
		require.Len(t, r.Scores, 4)
		require.Equal(t, r.Draw != "2", r.PixelAUROC != nil, r.Draw)
	}
	require.NoError(t, s.close())

	table, err := os.ReadFile(filepath.Join(out, "table.md"))
	require.NoError(t, err)
	for _, want := range []string{"| start |", "| a |", "| a a=0.5 |", "| b |", "cloth", "steel", "AUPRO", "a seed 13: "} {
		require.Contains(t, string(table), want)
	}

	require.NotContains(t, string(table), "NaN")

	// Nothing is done twice but the training that failed.
	stderr.Reset()
	require.Error(t, run(t.Context(), args, &stderr))
	require.NotContains(t, stderr.String(), "fits in")
	said, err = os.ReadFile(notes)
	require.NoError(t, err)
	require.Equal(t, 4, strings.Count(string(said), "\n"))
}

func TestSyntheticValidationReadsNoTestImage(t *testing.T) {
	testutil.NoLeak(t)
	root, out := plant(t), t.TempDir()
	require.NoError(t, os.RemoveAll(filepath.Join(root, "cloth", "test")))
	require.NoError(t, os.RemoveAll(filepath.Join(root, "steel", "test")))
	program, _ := pretrainer(t, weights(t, true))
	path := writePlan(t, fmt.Sprintf(`{"start": %q, "data": [%q], "padim": {"seeds": 1},
		"synthetic": {"share": 0.34, "seed": 1, "kinds": ["noise"], "twins": 2}, "networks": [{"name": "a", "seeds": [1]}]}`, weights(t, false), root))
	var stderr bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-plan", path, "-out", out, "-pretrain", program, "-device", "cpu"}, &stderr))
	trained, err := filepath.Glob(filepath.Join(out, "data", "a", "cloth", "train", "good", "*"))
	require.NoError(t, err)
	require.Len(t, trained, 4)

	p, err := readPlan(path)
	require.NoError(t, err)
	sets, err := openSets(t.Context(), p)
	require.NoError(t, err)
	require.Equal(t, 4, sets[0].good.Len())
	seen := map[string]bool{}
	for _, it := range dataset.Items(sets[0].good) {
		seen[it.Name] = true
	}
	good, damaged := 0, 0
	for _, it := range dataset.Items(sets[0].test) {
		if it.IsGood() {
			require.False(t, seen[it.Name], "%s is fitted on and scored", it.Name)
			good++
		} else {
			damaged++
		}
	}
	require.Equal(t, 2, good)
	require.Equal(t, 4, damaged)
	for _, file := range trained {
		for _, it := range dataset.Items(sets[0].test) {
			require.NotEqual(t, filepath.Base(file), filepath.Base(it.Name), "trained on and scored")
		}
	}
}

func TestStoreCutsOffWhatAKilledProcessLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.jsonl")
	s, err := openStore(path)
	require.NoError(t, err)
	require.NoError(t, s.add(record{Network: "a", Class: "x", Detector: "padim", Draw: "1"}))
	_, err = openStore(path)
	require.ErrorContains(t, err, "another sweep")
	_, err = s.f.WriteString(`{"version":1,"network":"half`)
	require.NoError(t, err)
	require.NoError(t, s.close())
	s, err = openStore(path)
	require.NoError(t, err)
	require.Len(t, s.records, 1)
	require.NoError(t, s.add(record{Network: "b"}))
	require.NoError(t, s.close())
	s, err = openStore(path)
	require.NoError(t, err)
	require.Len(t, s.records, 2)
	require.NoError(t, s.close())
	require.NoError(t, os.WriteFile(path, []byte("{\"version\":7}\n"), 0o644))
	_, err = openStore(path)
	require.ErrorContains(t, err, "version 7")
}

func TestPairsGiveTheAreas(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var records []record
	var sum float64
	for range 3 {
		var r record
		for i := range 20 {
			r.Defective = append(r.Defective, i%3 == 0)
			r.Scores = append(r.Scores, float64(rng.IntN(8)))
		}
		a, err := metrics.AUROC(r.Scores, r.Defective)
		require.NoError(t, err)
		r.ImageAUROC = a
		sum += a / 3
		records = append(records, r)
	}
	all := make([]int, 20)
	for i := range all {
		all[i] = i
	}
	require.InDelta(t, sum, newPairs(records).area(all, records[0].Defective), 1e-6)
	same, err := compare(t.Context(), cell{records: records, image: sum}, cell{records: records, image: sum})
	require.NoError(t, err)
	require.Zero(t, same.difference)
	require.Zero(t, same.err)
	records[1].Defective = append([]bool{true}, records[1].Defective[1:19]...)
	records[1].Defective = append(records[1].Defective, true)
	_, err = compare(t.Context(), cell{records: records[:1]}, cell{records: records[1:2]})
	require.ErrorContains(t, err, "different images")
}

func TestPlansThatAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                           `"start" is missing`,
		`{"start": "a"}`:               `"data" is missing`,
		`{"start": "a", "data":["d"]}`: "neither",
		`{"start": "a", "data":["d"], "padim":{"seeds":1}, "x":1}`:                                                        `unknown field "x"`,
		`{"start": "a", "data":["d"], "padim":{"seeds":1}, "networks":[{"name":"start","file":"f"}]}`:                     `"name" of network 0`,
		`{"start": "a", "data":["d"], "padim":{"seeds":1}, "networks":[{"name":"../x","file":"f"}]}`:                      `"name" of network 0`,
		`{"start": "a", "data":["d"], "padim":{"seeds":1}, "networks":[{"name":"n"}]}`:                                    `give either a "file"`,
		`{"start": "a", "data":["d"], "padim":{"seeds":1}, "networks":[{"name":"n","file":"f","shares":[2]}]}`:            "a share is 2",
		`{"start": "a", "data":["d"], "padim":{"seeds":1}, "networks":[{"name":"n","file":"f"},{"name":"n","file":"f"}]}`: "two networks",
		`{"start": "a", "data":["d"], "patchcore":{"seeds":1,"reference":true}}`:                                          "no reference draw",
		`{"start": "a", "data":["d"], "padim":{"seeds":1}, "synthetic":{"share":1,"kinds":["nsa"],"twins":1}}`:            `"share" of "synthetic"`,
		`{"start": "a", "data":["d"], "padim":{"seeds":1}} {}`:                                                            "more behind its end",
	} {
		_, err := readPlan(writePlan(t, text))
		require.ErrorContains(t, err, want, text)
	}
	_, err := kindOf(synth.DefaultMixture(), "cracks")
	require.ErrorIs(t, err, errPlan)
}
