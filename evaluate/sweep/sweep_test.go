package sweep

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/study"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab/card"
	"github.com/gotab/gotab/tensor"
)

func TestMain(m *testing.M) { os.Exit(testutil.OneThread(m)) }

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

// sweepOf carries out the plan of a file.
func sweepOf(t *testing.T, path, out, program string, log io.Writer) error {
	t.Helper()
	p, err := ReadPlan(path)
	require.NoError(t, err)
	return Run(t.Context(), p, Config{Out: out, Pretrain: program, Device: tensor.CPU, Log: log})
}

func TestSweepFromPlanToTable(t *testing.T) {
	testutil.NoLeak(t)
	root, out := testutil.Plant(t, 6, 2, true), t.TempDir()
	program, notes := pretrainer(t, weights(t, true))
	path := writePlan(t, fmt.Sprintf(`{"start": %q, "data": [%q], "pretrain": ["-recipe", "amplify"],
		"padim": {"reference": true, "seeds": 2, "pixels": 1},
		"networks": [{"name": "a", "seeds": [1, 13], "shares": [1, 0.5]}, {"name": "b", "seeds": [2], "without": ["steel"], "pretrain": ["-keep", "2"]}]}`, weights(t, false), root))
	var stderr bytes.Buffer
	err := sweepOf(t, path, out, program, &stderr)
	require.ErrorContains(t, err, "a seed 13: pretrain")
	require.FileExists(t, filepath.Join(out, "weights", "a-13.safetensors.failed"))

	said, err := os.ReadFile(notes)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(said)), "\n")
	require.Len(t, lines, 3)
	require.Contains(t, lines[0], "-recipe amplify -data "+root)
	require.Contains(t, lines[2], "-keep 2 -data "+filepath.Join(out, "data", "b"))
	left, err := filepath.Glob(filepath.Join(out, "data", "b", "*", "train", "good", "*"))
	require.NoError(t, err)
	require.Len(t, left, 6, "the class that is left out is not in the training's folder")

	records, err := readRecords(filepath.Join(out, "records.jsonl"))
	require.NoError(t, err)
	require.Len(t, records, 4*2*3, "start, a of two shares, b, each two classes by three fits")
	sums := map[string]bool{}
	for _, r := range records {
		require.Len(t, r.Images.Scores, 4)
		require.Equal(t, r.Seed != "2", r.PixelAUROC != nil, r.Seed)
		sums[r.WeightsSHA256] = true
	}
	require.Len(t, sums, 3, "a and b are the same file, a share of a is another network")

	table, err := os.ReadFile(filepath.Join(out, "table.md"))
	require.NoError(t, err)
	for _, want := range []string{"| start |", "| a |", "| a a=0.5 |", "| b |", "cloth", "steel", "AUPRO", "a seed 13: "} {
		require.Contains(t, string(table), want)
	}

	require.NotContains(t, string(table), "NaN")

	// Nothing is done twice but the training that failed.
	stderr.Reset()
	require.Error(t, sweepOf(t, path, out, program, &stderr))
	require.NotContains(t, stderr.String(), "fits in")
	said, err = os.ReadFile(notes)
	require.NoError(t, err)
	require.Equal(t, 4, strings.Count(string(said), "\n"))
}

// Detectors that train are fitted and set beside the start too.
func TestSweepOfDetectorsThatTrain(t *testing.T) {
	testutil.NoLeak(t)
	root, out := testutil.Plant(t, 4, 2, true), t.TempDir()
	path := writePlan(t, fmt.Sprintf(`{"start": %q, "data": [%q], "classes": ["steel"],
		"detectors": [{"name": "simplenet", "seeds": 1, "epochs": 1, "layers": ["layer3"]}], "networks": [{"name": "a", "file": %q}]}`, weights(t, false), root, weights(t, true)))
	var stderr bytes.Buffer
	require.NoError(t, sweepOf(t, path, out, "", &stderr))
	records, err := readRecords(filepath.Join(out, "records.jsonl"))
	require.NoError(t, err)
	require.Len(t, records, 2)
	for _, r := range records {
		require.Equal(t, []any{"simplenet", 1, []string{"layer3"}}, []any{r.Method, r.Epochs, r.Layers})
		require.NotNil(t, r.PixelAUROC)
	}
	table, err := os.ReadFile(filepath.Join(out, "table.md"))
	require.NoError(t, err)
	require.Contains(t, string(table), "## simplenet, 1 epochs on layer3: image AUROC, %")
	require.Regexp(t, `\n\| a \| [\d.]+ \([+-]`, string(table))
}

// floats are the arrays of a file of weights that are of float32.
func floats(t *testing.T, file string) map[string][]float32 {
	t.Helper()
	net, err := backbone.Open(file, tensor.CPU)
	require.NoError(t, err)
	defer net.Close()
	all, err := net.Params().Arrays(t.Context())
	require.NoError(t, err)
	out := map[string][]float32{}
	for _, a := range all {
		if a.DType == tensor.Float32 {
			out[a.Name], err = a.Floats()
			require.NoError(t, err)
		}
	}
	return out
}

func distance(a, b []float32) (sum float64) {
	for i := range a {
		sum += math.Pow(float64(a[i])-float64(b[i]), 2)
	}
	return math.Sqrt(sum)
}

func TestControls(t *testing.T) {
	testutil.NoLeak(t)
	t.Setenv("PATH", "") // nothing is trained, so no program is needed
	root, out := testutil.Plant(t, 4, 1, false), t.TempDir()
	start, trained := weights(t, false), weights(t, true)
	planOf := func(scale string) string {
		return writePlan(t, fmt.Sprintf(`{"start": %q, "data": [%q], "padim": {"seeds": 1}, "networks": [
			{"name": "c1", "control": {"scale": %s}},
			{"name": "c2", "control": {"noise": %q}, "seeds": [1, 2]},
			{"name": "lost", "control": {"noise": "nowhere.safetensors"}, "seeds": [1]},
			{"name": "c3", "control": {"remeasure": true}}]}`, start, root, scale, trained))
	}
	var stderr bytes.Buffer
	sweep := func(scale string) error {
		stderr.Reset()
		return sweepOf(t, planOf(scale), out, "", &stderr)
	}
	require.ErrorContains(t, sweep("2"), "lost seed 1: control: ")

	at := func(name string) string { return filepath.Join(out, "weights", name) }
	from, to := floats(t, start), floats(t, trained)
	const moved, kept = "layer2.0.conv1.weight", "layer3.0.conv1.weight"
	for name, v := range floats(t, at("c1-0.safetensors")) {
		for i := range v {
			switch name {
			case "layer1.0.bn2.weight", "layer3.1.bn2.bias":
				require.Equal(t, 2*from[name][i], v[i])
			case "layer4.0.conv1.weight":
				require.Equal(t, from[name][i]/2, v[i])
			}
		}
	}
	one, two := floats(t, at("c2-1.safetensors")), floats(t, at("c2-2.safetensors"))
	for _, noisy := range []map[string][]float32{one, two} {
		require.InEpsilon(t, distance(from[moved], to[moved]), distance(from[moved], noisy[moved]), 1e-4)
		require.Equal(t, from[kept], noisy[kept])
	}
	require.NotEqual(t, one[moved], two[moved])
	cloth, steel := floats(t, at("c3-0.safetensors.classes/cloth.safetensors")), floats(t, at("c3-0.safetensors.classes/steel.safetensors"))
	for name, v := range from {
		if strings.Contains(name, "running_") {
			require.NotEqual(t, v, cloth[name], name)
			require.NotEqual(t, cloth[name], steel[name], name)
		} else {
			require.Equal(t, v, cloth[name], name)
			require.Equal(t, v, steel[name], name)
		}
	}

	records, err := readRecords(filepath.Join(out, "records.jsonl"))
	require.NoError(t, err)
	require.Len(t, records, 2*5, "two classes on the start, c1, c2 of two seeds, c3")
	sums := map[string]bool{}
	for _, r := range records {
		sums[r.WeightsSHA256] = true
		if r.Training.Name == "c3" {
			f, err := card.FileAt(at("c3-0.safetensors.classes/" + r.Class + ".safetensors"))
			require.NoError(t, err)
			require.Equal(t, f.SHA256, r.WeightsSHA256, "each class is judged on its own network")
		}
	}
	require.Len(t, sums, 6)
	table, err := os.ReadFile(filepath.Join(out, "table.md"))
	require.NoError(t, err)
	for _, want := range []string{"| c1 | ", "| c2 | ", "| c3 | ", "- lost seed 1: lost seed 1: control: "} {
		require.Contains(t, string(table), want)
	}
	require.NotContains(t, string(table), "NaN")

	// Weights of the same are made once, those of another plan anew.
	before := map[string]os.FileInfo{}
	for _, name := range []string{"c1-0.safetensors", "c2-1.safetensors", "c3-0.safetensors.classes/cloth.safetensors"} {
		before[name], err = os.Stat(at(name))
		require.NoError(t, err)
	}
	require.Error(t, sweep("4"))
	require.Equal(t, 2, strings.Count(stderr.String(), "fits in"), "c1 of two classes")
	for name, old := range before {
		now, err := os.Stat(at(name))
		require.NoError(t, err)
		require.Equal(t, name != "c1-0.safetensors", os.SameFile(old, now), name)
	}
}

func TestSyntheticValidationReadsNoTestImage(t *testing.T) {
	testutil.NoLeak(t)
	root, out := testutil.Plant(t, 6, 2, true), t.TempDir()
	require.NoError(t, os.RemoveAll(filepath.Join(root, "cloth", "test")))
	require.NoError(t, os.RemoveAll(filepath.Join(root, "steel", "test")))
	program, _ := pretrainer(t, weights(t, true))
	path := writePlan(t, fmt.Sprintf(`{"start": %q, "data": [%q], "padim": {"seeds": 1},
		"synthetic": {"share": 0.34, "seed": 1, "kinds": ["noise"], "twins": 2}, "networks": [{"name": "a", "seeds": [1]}]}`, weights(t, false), root))
	var stderr bytes.Buffer
	require.NoError(t, sweepOf(t, path, out, program, &stderr))
	trained, err := filepath.Glob(filepath.Join(out, "data", "a", "cloth", "train", "good", "*"))
	require.NoError(t, err)
	require.Len(t, trained, 4)

	p, err := ReadPlan(path)
	require.NoError(t, err)
	sets, err := openSets(t.Context(), p)
	require.NoError(t, err)
	require.Equal(t, 4, sets[0].Good.Len())
	seen := map[string]bool{}
	for _, it := range dataset.Items(sets[0].Good) {
		seen[it.Name] = true
	}
	good, damaged := 0, 0
	for _, it := range dataset.Items(sets[0].Test) {
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
		for _, it := range dataset.Items(sets[0].Test) {
			require.NotEqual(t, filepath.Base(file), filepath.Base(it.Name), "trained on and scored")
		}
	}
}

// A file of the first version is read, tabled, and gone on with.
func TestOldResults(t *testing.T) {
	testutil.NoLeak(t)
	root, out := testutil.Plant(t, 6, 2, true), t.TempDir()
	start, other := weights(t, false), weights(t, true)
	path := writePlan(t, fmt.Sprintf(`{"start": %q, "data": [%q], "classes": ["cloth"], "padim": {"reference": true}, "networks": [{"name": "a", "file": %q}]}`, start, root, other))
	p, err := ReadPlan(path)
	require.NoError(t, err)
	sets, err := openSets(t.Context(), p)
	require.NoError(t, err)
	var lines []string
	for name, file := range map[string]string{"start": start, "a": other} {
		f, err := card.FileAt(file)
		require.NoError(t, err)
		lines = append(lines, fmt.Sprintf(`{"version":1,"network":%q,"seed":0,"share":1,"weights_sha256":%q,"set":%q,"class":"cloth","detector":"padim","draw":"reference",`+
			`"defective":[false,false,true,true],"scores":[1,%s,3,4],"image_auroc":%s,"pixel_auroc":0.25,"aupro":0.5}`, name, f.SHA256, sets[0].ID,
			map[string]string{"start": "3.5", "a": "2"}[name], map[string]string{"start": "0.75", "a": "1"}[name]))
	}
	lines = append(lines, `{"version":1,"network":"b","seed":13,"share":1,"weights_sha256":"","set":"","class":"","detector":"","draw":"","defective":null,"scores":null,"image_auroc":0,"pixel_auroc":null,"aupro":null,"failed":"no luck"}`)
	text := strings.Join(lines, "\n") + "\n" + `{"version":1,"network":"half`
	require.NoError(t, os.WriteFile(filepath.Join(out, "results.jsonl"), []byte(text), 0o644))
	table := func(only bool) string {
		var stderr bytes.Buffer
		if only {
			require.NoError(t, WriteTable(t.Context(), p, Config{Out: out}))
		} else {
			require.NoError(t, sweepOf(t, path, out, "", &stderr))
		}
		require.NotContains(t, stderr.String(), "fits in", "all is done")
		b, err := os.ReadFile(filepath.Join(out, "table.md"))
		require.NoError(t, err)
		return string(b)
	}
	first := table(true)
	require.Contains(t, first, "| start | 75.00 d0.00 | 75.00 |\n")
	require.Regexp(t, `\| a \| 100\.00 \(\+25\.00 ± [1-9][0-9.]+\) s0\.00 d0\.00 \| 100\.00 \(\*\*\+25\.00\*\* `, first)
	require.Contains(t, first, "- b seed 13: no luck\n")
	require.Contains(t, first, "| a | 25.00 (+0.00) | 25.00 (+0.00) |")
	require.Equal(t, first, table(false))
	after, err := os.ReadFile(filepath.Join(out, "results.jsonl"))
	require.NoError(t, err)
	require.Equal(t, text, string(after), "it is not written")

	for _, bad := range []string{"{\"version\":7}\n", "{\"version\":1,\"scores\":[1]}\n", "nothing\n"} {
		_, err := readOld(strings.NewReader(bad))
		require.ErrorIs(t, err, evaluate.ErrRecords, bad)
	}
}

// Weights and test images that have changed are judged anew, and the table has the new figures alone.
func TestTablesAreOfWhatIsThereNow(t *testing.T) {
	testutil.NoLeak(t)
	root, out := testutil.Plant(t, 4, 2, false), t.TempDir()
	file := weights(t, false)
	path := writePlan(t, fmt.Sprintf(`{"start": %q, "data": [%q], "classes": ["cloth"], "padim": {"seeds": 1}, "networks": [{"name": "a", "file": %q}]}`, weights(t, true), root, file))
	p, err := ReadPlan(path)
	require.NoError(t, err)
	table := func() string {
		b, err := os.ReadFile(filepath.Join(out, "table.md"))
		require.NoError(t, err)
		return string(b)
	}
	both := func() string {
		require.NoError(t, sweepOf(t, path, out, "", io.Discard))
		after := table()
		require.NoError(t, WriteTable(t.Context(), p, Config{Out: out, Device: tensor.CPU}))
		require.Equal(t, after, table())
		return after
	}
	require.NotContains(t, both(), "12.50")

	// The first figures are told apart from all that follow.
	records := filepath.Join(out, "records.jsonl")
	b, err := os.ReadFile(records)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(records, regexp.MustCompile(`"image_auroc":[0-9.]+`).ReplaceAll(b, []byte(`"image_auroc":0.125`)), 0o644))
	require.Contains(t, both(), "| a | 12.50 (+0.00")

	other, err := os.ReadFile(weights(t, true))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, other, 0o644))
	require.NoError(t, WriteTable(t.Context(), p, Config{Out: out, Device: tensor.CPU}))
	require.Contains(t, table(), "| a | - | - |", "nothing is known of these weights")
	require.Contains(t, table(), "| start | 12.50 d0.00 |")
	got := both()
	require.Contains(t, got, "| start | 12.50 d0.00 |")
	require.NotContains(t, got, "| a | 12.50")
	require.NotContains(t, got, "| a | - |")

	images, err := filepath.Glob(filepath.Join(root, "cloth", "test", "good", "*"))
	require.NoError(t, err)
	require.NoError(t, os.Remove(images[0]))
	got = both()
	require.NotContains(t, got, "12.50")
	require.NotContains(t, got, "| a | - |")
	all, err := readRecords(records)
	require.NoError(t, err)
	require.Len(t, all, 2+1+2)
}

// What an earlier call has done stands in the table while a training goes on, that of older weights does not.
func TestTableOfAnEarlierCall(t *testing.T) {
	testutil.NoLeak(t)
	root, out := testutil.Plant(t, 4, 1, false), t.TempDir()
	other, err := os.ReadFile(weights(t, true))
	require.NoError(t, err)
	p, err := ReadPlan(writePlan(t, fmt.Sprintf(`{"start": %q, "data": [%q], "classes": ["cloth"], "padim": {"seeds": 1},
		"networks": [{"name": "t", "seeds": [1]}, {"name": "a", "file": %q}]}`, weights(t, false), root, weights(t, true))))
	require.NoError(t, err)
	var during string
	cfg := Config{Out: out, Device: tensor.CPU, Trainer: func(_ context.Context, v study.Variant, _ []string) error {
		b, err := os.ReadFile(filepath.Join(out, "table.md"))
		during = string(b)
		return errors.Join(err, os.WriteFile(v.File, other, 0o644))
	}}
	require.NoError(t, Run(t.Context(), p, cfg))
	require.Contains(t, during, "| t | - | - |")
	require.Contains(t, during, "| a | - | - |")
	require.NoError(t, os.Remove(filepath.Join(out, "weights", "t-1.safetensors")))
	require.NoError(t, Run(t.Context(), p, cfg))
	require.Contains(t, during, "| t | - | - |")
	require.Regexp(t, `\| a \| [0-9.]+ \(`, during)
}

func FuzzReadOld(f *testing.F) {
	f.Add([]byte("{\"version\":1,\"scores\":[1],\"defective\":[true]}\n{"))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := readOld(bytes.NewReader(b))
		if err == nil {
			require.LessOrEqual(t, len(o.done)+len(o.failures), bytes.Count(b, []byte("\n")))
		}
	})
}

func TestPlansThatAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                           `"start" is missing`,
		`{"start": "a"}`:               `"data" is missing`,
		`{"start": "a", "data":["d"]}`: "neither",
		`{"start": "a", "data":["d"], "padim":{"seeds":1,"pixels":-1}}`: `"pixels" of a detector`,
		`{"start": 1}`: "cannot unmarshal",
		`{"start"`:     "unexpected EOF",
		`{"start": "a", "data":["d"], "padim":{"seeds":1}, "x":1}`:                                                                  `unknown field "x"`,
		`{"start": "a", "data":["d"], "padim":{"seeds":1}, "networks":[{"name":"start","file":"f"}]}`:                               `"name" of network 0`,
		`{"start": "a", "data":["d"], "padim":{"seeds":1}, "networks":[{"name":"../x","file":"f"}]}`:                                `"name" of network 0`,
		`{"start": "a", "data":["d"], "padim":{"seeds":1}, "networks":[{"name":"n"}]}`:                                              `give either a "file"`,
		`{"start": "a", "data":["d"], "padim":{"seeds":1}, "networks":[{"name":"n","control":{}}]}`:                                 "exactly one",
		`{"start": "a", "data":["d"], "padim":{"seeds":1}, "networks":[{"name":"n","control":{"scale":2,"remeasure":true}}]}`:       "exactly one",
		`{"start": "a", "data":["d"], "padim":{"seeds":1}, "networks":[{"name":"n","control":{"scale":-2}}]}`:                       `"scale" is -2`,
		`{"start": "a", "data":["d"], "padim":{"seeds":1}, "networks":[{"name":"n","control":{"scale":2},"seeds":[1]}]}`:            `for "noise" alone`,
		`{"start": "a", "data":["d"], "padim":{"seeds":1}, "networks":[{"name":"n","control":{"noise":"f"}}]}`:                      `needs "seeds"`,
		`{"start": "a", "data":["d"], "padim":{"seeds":1}, "networks":[{"name":"n","control":{"remeasure":true},"shares":[0.5]}]}`:  "of trained weights",
		`{"start": "a", "data":["d"], "padim":{"seeds":1}, "networks":[{"name":"n","control":{"remeasure":true},"file":"f"}]}`:      `a "file" too`,
		`{"start": "a", "data":["d"], "padim":{"seeds":1}, "networks":[{"name":"n","control":{"remeasure":true},"without":["c"]}]}`: "nothing is trained",
		`{"start": "a", "data":["d"], "padim":{"seeds":1}, "networks":[{"name":"n","control":{"speed":1}}]}`:                        `unknown field "speed"`,
		`{"start": "a", "data":["d"], "padim":{"seeds":1}, "networks":[{"name":"n","file":"f","shares":[2]}]}`:                      "a share is 2",
		`{"start": "a", "data":["d"], "padim":{"seeds":1}, "networks":[{"name":"n","file":"f"},{"name":"n","file":"f"}]}`:           "two networks",
		`{"start": "a", "data":["d"], "patchcore":{"seeds":1,"reference":true}}`:                                                    "no reference draw",
		`{"start": "a", "data":["d"], "padim":{"seeds":1}, "synthetic":{"share":1,"kinds":["nsa"],"twins":1}}`:                      `"share" of "synthetic"`,
		`{"start": "a", "data":["d"], "detectors":[{"name":"guess","seeds":1}]}`:                                                    `detector 0 is "guess": want one of`,
		`{"start": "a", "data":["d"], "detectors":[{"name":"regad","seeds":1}]}`:                                                    `detector 0 is "regad"`,
		`{"start": "a", "data":["d"], "detectors":[{"name":"padim","seeds":1}]}`:                                                    `detector 0 is "padim"`,
		`{"start": "a", "data":["d"], "detectors":[{"name":"rd4ad"}]}`:                                                              `"seeds" are 1 to 1000`,
		`{"start": "a", "data":["d"], "detectors":[{"name":"rd4ad","seeds":1,"reference":true}]}`:                                   "no reference draw",
		`{"start": "a", "data":["d"], "detectors":[{"name":"rd4ad","seeds":1,"layers":["layer1","layer1"]}]}`:                       `has layer1 twice`,
		`{"start": "a", "data":["d"], "detectors":[{"name":"rd4ad","seeds":1,"layers":["top"]}]}`:                                   `"top"`,
		`{"start": "a", "data":["d"], "detectors":[{"name":"padim-twins","seeds":1,"epochs":2}]}`:                                   "does not train",
		`{"start": "a", "data":["d"], "detectors":[{"name":"rd4ad","seeds":1},{"name":"rd4ad","seeds":2}]}`:                         `two of "detectors"`,
		`{"start": "a", "data":["d"], "padim":{"seeds":1}} {}`:                                                                      "more behind its end",
	} {
		_, err := ReadPlan(writePlan(t, text))
		require.ErrorContains(t, err, want, text)
		require.ErrorIs(t, err, ErrPlan, text)
	}
	p, err := ReadPlan(writePlan(t, `{"start": "a", "data":["d"], "padim":{"seeds":1}}`))
	require.NoError(t, err)
	t.Chdir(t.TempDir())
	require.ErrorIs(t, Run(t.Context(), p, Config{}), ErrConfig)
	require.ErrorIs(t, WriteTable(t.Context(), p, Config{}), ErrConfig)
	files, err := os.ReadDir(".")
	require.NoError(t, err)
	require.Empty(t, files)
	_, err = kindOf(synth.DefaultMixture(), "cracks")
	require.ErrorIs(t, err, ErrPlan)
}

// A plan that holds can be written and read again, and names files of its own.
func FuzzPlan(f *testing.F) {
	f.Add([]byte(`{"start": "a", "data":["d"], "padim":{"seeds":1}, "networks":[{"name":"n","control":{"scale":2}}]}`))
	f.Add([]byte(`{"start": "a", "data":["d"], "detectors":[{"name":"rd4ad","seeds":1,"epochs":2,"layers":["layer4"]}]}`))
	f.Add([]byte(`{"start": "a", "data":["d"], "patchcore":{"seeds":1}, "synthetic":{"share":0.5,"kinds":["nsa"],"twins":1}, "networks":[{"name":"n","seeds":[1],"shares":[1,0.5]}]} `))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePlan(b)
		if err != nil {
			require.ErrorIs(t, err, ErrPlan)
			return
		}
		raw, err := json.Marshal(p)
		require.NoError(t, err)
		again, err := parsePlan(raw)
		require.NoError(t, err)
		require.Len(t, again.Networks, len(p.Networks))
		for i := range p.Networks {
			p.Networks[i].File = ""
		}
		for _, v := range p.variants(&study.Runner{Out: "out"}) {
			require.Equal(t, filepath.Join("out", "weights"), filepath.Dir(v.File))
		}
	})
}
