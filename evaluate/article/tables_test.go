package article

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/dataset/wafers"
	"github.com/gotab/gotab/downstream/classify/compare"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/detectors"
	"github.com/gotab/gotab/evaluate/study"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

func TestMain(m *testing.M) { os.Exit(testutil.OneThread(m)) }

// darkness stands for every detector: a map of how dark each pixel is, with noise that
// only the network of the start has.
type darkness struct {
	noise float64
	fail  string
}

func (d *darkness) Fit(_ context.Context, good dataset.Dataset) error {
	if d.fail != "" && good.Item(0).Class == d.fail {
		return fmt.Errorf("no luck with %s", d.fail)
	}
	return nil
}
func (*darkness) Close() error { return nil }

func (d *darkness) Score(_ context.Context, in image.Image) (evaluate.Result, error) {
	img, err := dataset.Square(16).Image(in)
	if err != nil {
		return evaluate.Result{}, err
	}
	m := evaluate.Map{W: 16, H: 16, Data: make([]float32, 256)}
	var seed uint64
	for k := range m.Data {
		seed = 31*seed + uint64(img.Pix[4*k])
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	top := 0.0
	for k := range m.Data {
		m.Data[k] = float32(255 - float64(img.Pix[4*k]) + d.noise*rng.NormFloat64())
		top = max(top, float64(m.Data[k]))
	}
	return evaluate.Result{Score: top, Map: m}, nil
}

// fakes are methods of all names that tables ask for; fail is a class that RD4AD does not
// take.
func fakes(fail string) (out []detectors.Kind) {
	for _, k := range detectors.Kinds() {
		k.Plan = func(c detectors.Choice) (evaluate.Method, error) {
			m := evaluate.Method{Name: k.Name, Protocol: evaluate.DefaultProtocol(), Settings: []int{c.Epochs, c.Shots}, Epochs: c.Epochs, Shots: c.Shots, Others: k.Shots,
				Arch: c.Net.Arch.String(), Weights: c.Net.Weights, WeightsSHA256: c.Net.SHA256, Seed: evaluate.Seed{Reference: true}}
			m.Protocol.Transform = dataset.Square(16)
			m.New = func(evaluate.Seed) (evaluate.Detector, error) {
				d := &darkness{}
				if c.Net.Weights == "start" {
					d.noise = 120
				}
				if k.Name == "rd4ad" {
					d.fail = fail
				}
				return d, nil
			}
			return m, nil
		}
		out = append(out, k)
	}
	return out
}

// place is where a test runs: weights, and programs that note what they are asked for.
type place struct{ start, tools, notes, out string }

func newPlace(t *testing.T) place {
	t.Helper()
	dir := t.TempDir()
	p := place{filepath.Join(dir, "start.safetensors"), filepath.Join(dir, "tools"), filepath.Join(dir, "notes"), filepath.Join(dir, "out")}
	require.NoError(t, os.MkdirAll(p.tools, 0o755))
	trained := filepath.Join(dir, "trained.safetensors")
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	require.NoError(t, net.Save(p.start))
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		s.ScaleInto(net.Params().Get("layer2.0.conv1.weight"), 0.7)
		return s.Err()
	}))
	require.NoError(t, net.Save(trained))
	require.NoError(t, net.Close())
	program := func(name, body string) {
		text := "#!/bin/sh\nset -e\necho " + name + " \"$*\" >> '" + p.notes + "'\nall=\"$*\"\nwhile [ $# -gt 0 ]; do\n  [ \"$1\" = -out ] && out=$2\n  [ \"$1\" = -weights ] && weights=$2\n  shift\ndone\n" + body
		require.NoError(t, os.WriteFile(filepath.Join(p.tools, name), []byte(text), 0o755))
	}
	program("pretrain", "case \"$all\" in *cutpaste*) echo no luck >&2; exit 1;; esac\ncp '"+trained+"' \"$out\"\n")
	program("bank", "echo bank > \"$out\"\n")
	program("classify", `right=1100; v=0.5; case "$weights" in *tab*) right=1110; v=0.75;; esac
row() { printf '{"backbone":"%s","model":"%s","top1":{"value":%s},"labels":{"precision":0.5,"recall":0.25,"f1":%s},"classes":{"f1":0.125},"right":"%s"}' "$1" "$2" $v $v $right; }
echo "{\"rows\":[$(row frozen sigmoids),$(row frozen softmax),$(row trained sigmoids),$(row trained softmax)]}" > "$out/report.json"
`)
	return p
}

// make makes a table and returns it.
func (p place) make(t *testing.T, number int, root, fail string, set func(*Config)) (string, error) {
	t.Helper()
	c := Default()
	c.Table, c.Data, c.Start, c.Out, c.Tools, c.Device, c.Machine, c.Small, c.Kinds = number, root, p.start, p.out, p.tools, tensor.CPU, []string{"-threads", "1"}, true, fakes(fail)
	if set != nil {
		set(&c)
	}
	for _, file := range []*string{&c.Bank, &c.CLIP} { // files that the fake programs do not read; the tables sum them up
		if *file != "" {
			text := *file
			*file = filepath.Join(filepath.Dir(p.notes), "anchors", text)
			require.NoError(t, os.MkdirAll(filepath.Dir(*file), 0o755))
			require.NoError(t, os.WriteFile(*file, []byte(text), 0o644))
		}
	}
	text, err := Run(t.Context(), c)
	if text != "" {
		b, rerr := os.ReadFile(filepath.Join(p.out, fmt.Sprintf("table%d.md", number)))
		require.NoError(t, rerr)
		require.Equal(t, text, string(b))
	}
	return text, err
}

func bank(name string) func(*Config) { return func(c *Config) { c.Bank = name } }

func padim(bank string) func(*Config) {
	return func(c *Config) { c.Bank, c.Methods = bank, []string{"padim"} }
}

func (p place) asked(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile(p.notes)
	require.NoError(t, err)
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// several is a root with MVTec AD's classes and BTAD.
func several(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	testutil.PlantIn(t, filepath.Join(root, "mvtec"), 4, 3, true, "tile", "bottle", "cable")
	btad := filepath.Join(root, "BTech_Dataset_transformed")
	testutil.PlantIn(t, btad, 4, 3, true, "01", "02", "03")
	for _, c := range []string{"01", "02", "03"} {
		for from, to := range map[string]string{"train/good": "train/ok", "test/good": "test/ok", "test/hole": "test/ko", "ground_truth/hole": "ground_truth/ko"} {
			require.NoError(t, os.Rename(filepath.Join(btad, c, from), filepath.Join(btad, c, to)))
		}
		masks, err := filepath.Glob(filepath.Join(btad, c, "ground_truth/ko/*_mask.png"))
		require.NoError(t, err)
		for _, m := range masks {
			require.NoError(t, os.Rename(m, strings.Replace(m, "_mask", "", 1)))
		}
	}
	return root
}

// rows are the cells of the lines of a table that begin with a name.
func rows(text, name string) (out [][]string) {
	for _, line := range strings.Split(text, "\n") {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if strings.Trim(cells[0], "*") == name {
			out = append(out, cells[1:])
		}
	}
	return out
}

// Detection and localisation share their trainings and fits; what failed is told and
// tried again.
func TestDetectionAndLocalisation(t *testing.T) {
	testutil.NoLeak(t)
	root, p := several(t), newPlace(t)
	text, err := p.make(t, 1, root, "cable", bank("bank.safetensors"))
	require.ErrorContains(t, err, "not all fits succeeded")
	require.Contains(t, text, "# Table 1: detection")
	require.Contains(t, text, "in-domain")
	require.Contains(t, text, "no luck with cable")
	require.Regexp(t, `\| \| PaDiM, start \| PaDiM, TAB \| RD4AD, start \| .*RegAD-8, TAB \|`, text)
	require.Len(t, rows(text, "texture")[0], 10)
	require.Len(t, rows(text, "object"), 1)
	overall := rows(text, "overall")[0]
	require.Regexp(t, `^100\.00 \(\+[0-9.]+ ± [0-9.]+\)$`, overall[1], "without noise the holes are found")
	require.Equal(t, []string{"-", "-"}, overall[2:4], "a mean of classes of which one failed is none")
	require.NotEqual(t, "-", rows(text, "tile")[0][2])
	require.Len(t, p.asked(t), 1)
	beside, err := filepath.Glob(filepath.Join(filepath.Dir(p.start), "*.safetensors*"))
	require.NoError(t, err)
	require.Len(t, beside, 2, "nothing is written beside the weights of the start")
	require.Contains(t, p.asked(t)[0], "-device cpu -recipe paper -steps 4")
	require.Contains(t, p.asked(t)[0], " -threads 1 ")
	require.Contains(t, p.asked(t)[0], "bank.safetensors -data "+filepath.Join(root, "mvtec"))

	text, err = p.make(t, 2, root, "", bank("bank.safetensors"))
	require.NoError(t, err)
	require.Contains(t, text, "pixel AUROC")
	require.NotContains(t, text, "Failed")
	require.NotContains(t, rows(text, "overall")[0], "-")
	require.Regexp(t, `^[0-9.]+ \(\+[0-9.]+ ± [0-9.]+\)$`, rows(text, "overall")[0][1])
	require.Regexp(t, `^[0-9.]+ \(\+[0-9.]+\)$`, rows(text, "tile")[0][1])
	require.Len(t, p.asked(t), 1, "trained once")
	records, err := os.ReadFile(filepath.Join(p.out, "records.jsonl"))
	require.NoError(t, err)
	require.Equal(t, 2*3*5+2, bytes.Count(records, []byte("\n")), "fitted once, and the two that failed again")
}

func TestOtherData(t *testing.T) {
	testutil.NoLeak(t)
	root, p := several(t), newPlace(t)
	text, err := p.make(t, 4, root, "", func(c *Config) { c.Bank, c.Methods = "b", []string{"padim", "simplenet"} })
	require.NoError(t, err)
	require.Contains(t, text, "cross-data")
	require.Len(t, rows(text, "02"), 2, "image and pixel AUROC")
	require.Empty(t, rows(text, "tile"))
	require.Len(t, rows(text, "overall")[0], 4)

	// Without other data every second class is kept out of the training.
	text, err = p.make(t, 4, filepath.Join(root, "mvtec"), "", padim("b"))
	require.NoError(t, err)
	require.Contains(t, text, "kept out of pre-training: cable.")
	require.Len(t, rows(text, "cable"), 2)
	require.Empty(t, rows(text, "tile"))
	require.NoError(t, os.RemoveAll(filepath.Join(root, "mvtec", "cable", "ground_truth")))
	bare, err := p.make(t, 4, filepath.Join(root, "mvtec"), "", padim("b"))
	require.NoError(t, err)
	require.Len(t, rows(bare, "cable"), 1)
	require.Contains(t, bare, "No class has masks of its defects.")
	asked := p.asked(t)
	require.Contains(t, asked[1], filepath.Join(p.out, "data", "good-"))
	left, err := filepath.Glob(filepath.Join(p.out, "data", "good-*", "*", "train", "good", "*"))
	require.NoError(t, err)
	require.Len(t, left, 8)
	for _, f := range left {
		require.NotContains(t, f, "cable", "its good images were kept out")
	}
}

// Another bank under the same name, and other images in the same folder, are another training.
func TestWhatATrainingReadsIsInItsName(t *testing.T) {
	testutil.NoLeak(t)
	root, p := several(t), newPlace(t)
	asked := func() int {
		_, err := p.make(t, 1, root, "", padim("b"))
		require.NoError(t, err)
		return len(p.asked(t))
	}
	require.Equal(t, 1, asked())
	require.Equal(t, 1, asked())
	good, err := filepath.Glob(filepath.Join(root, "mvtec", "tile", "train", "good", "*"))
	require.NoError(t, err)
	require.NoError(t, os.Remove(good[0]))
	require.Equal(t, 2, asked())
	_, err = p.make(t, 1, root, "", padim("b2"))
	require.NoError(t, err)
	require.Len(t, p.asked(t), 3)
}

// Ways to pre-train, twins, objectives and sentences are columns beside the start.
func TestComparisonsOfTrainings(t *testing.T) {
	testutil.NoLeak(t)
	root, p := filepath.Join(several(t), "mvtec"), newPlace(t)
	text, err := p.make(t, 5, root, "", func(c *Config) { c.Bank, c.Methods, c.Pretrain = "b", []string{"padim"}, []string{"-lr", "0.5"} })
	require.NoError(t, err)
	require.Contains(t, text, "| PaDiM, start | PaDiM, classification | PaDiM, TAB |")
	require.Contains(t, p.asked(t)[0], "-objective binary")
	require.NotContains(t, p.asked(t)[0], "-bank")
	require.Contains(t, p.asked(t)[1], "-lr 0.5 -bank "+filepath.Join(filepath.Dir(p.notes), "anchors", "b"))

	text, err = p.make(t, 6, root, "", func(c *Config) { c.Bank, c.Seeds = "b", 2 })
	require.ErrorContains(t, err, "pretrain: exit status 1")
	require.Contains(t, text, "| PaDiM, start | PaDiM, Perlin | PaDiM, Mask | PaDiM, CutPaste | PaDiM, NSA |")
	require.Equal(t, "-", rows(text, "overall")[0][3], "the training failed")
	require.NotEqual(t, "-", rows(text, "overall")[0][4])
	require.Regexp(t, `- cutpaste-[0-9a-f]{8} seed 1: pretrain`, text)

	before := len(p.asked(t))
	text, err = p.make(t, 7, root, "", bank("b"))
	require.NoError(t, err)
	require.Len(t, p.asked(t), before+2, "TAB is the column NSA of table 6")
	require.Contains(t, text, "| PaDiM, classification | PaDiM, TAB, normal only | PaDiM, TAB |")

	_, err = p.make(t, 8, root, "", bank("b"))
	require.ErrorIs(t, err, ErrConfig)
	text, err = p.make(t, 8, root, "", func(c *Config) { c.CLIP = "clip.safetensors" })
	require.NoError(t, err)
	require.Len(t, rows(text, "overall")[0], 6)
	banks, err := filepath.Glob(filepath.Join(p.out, "banks", "*.safetensors"))
	require.NoError(t, err)
	require.Len(t, banks, 5)
	require.Regexp(t, `bank -clip .* -device cpu -threads 1 `, strings.Join(p.asked(t), "\n"))
	asked := len(p.asked(t))
	again, err := p.make(t, 8, root, "", func(c *Config) { c.CLIP = "clip.safetensors" })
	require.NoError(t, err)
	require.Equal(t, text, again)
	require.Len(t, p.asked(t), asked, "nothing is done twice")
}

// A Trainer takes the place of the program.
func TestTrainer(t *testing.T) {
	testutil.NoLeak(t)
	root, p := filepath.Join(several(t), "mvtec"), newPlace(t)
	b, err := os.ReadFile(p.start)
	require.NoError(t, err)
	require.NoError(t, os.Remove(filepath.Join(p.tools, "pretrain")))
	trained := 0
	text, err := p.make(t, 6, root, "", func(c *Config) {
		c.Bank = "b"
		c.Trainer = func(_ context.Context, v study.Variant, flags []string) error {
			require.Equal(t, []string{"-device", "cpu", "-recipe", "paper"}, flags[:4])
			trained++
			return os.WriteFile(v.File, b, 0o644)
		}
	})
	require.NoError(t, err)
	require.Equal(t, 4, trained)
	require.NotContains(t, rows(text, "overall")[0], "-")
}

func TestWaferMaps(t *testing.T) {
	testutil.NoLeak(t)
	root, p := several(t), newPlace(t)
	_, err := p.make(t, 3, root, "", bank("b"))
	require.ErrorContains(t, err, "needs wafer maps")
	writeWafers(t, filepath.Join(root, "MixedWM38.npz"))
	text, err := p.make(t, 3, root, "", bank("b"))
	require.NoError(t, err)
	require.Contains(t, text, "| frozen | sigmoids | start | 50.00 | 50.00 | 25.00 | 50.00 |\n")
	require.Contains(t, text, "| frozen | sigmoids | TAB | 75.00 (+25.00 ± 25.00) | 50.00 (+0.00) | 25.00 (+0.00) | 75.00 (+25.00) |\n")
	require.Contains(t, text, "| trained | softmax | TAB | 75.00 (+25.00 ± 25.00) | 0.00 (+0.00) | 0.00 (+0.00) | 12.50 (+0.00) |\n")
	asked := len(p.asked(t))
	_, err = p.make(t, 3, root, "", bank("b"))
	require.NoError(t, err)
	require.Len(t, p.asked(t), asked, "nothing is done twice")
}

// Every table's names are known to the programs that it asks.
func TestTablesAreComplete(t *testing.T) {
	for n := 1; n <= 8; n++ {
		o := Default()
		o.Table = n
		for _, m := range tableOf(o).methods {
			fits, err := o.fits(m)
			require.NoError(t, err)
			require.Len(t, fits, 1)
		}
	}
}

// Detectors read the layers that are asked for, and the table says which.
func TestLayersOfDetectors(t *testing.T) {
	p, root := newPlace(t), t.TempDir()
	testutil.PlantIn(t, root, 4, 3, true, "tile", "bottle")
	var read [][]backbone.Layer
	text, err := p.make(t, 1, root, "", func(c *Config) {
		padim("b")(c)
		c.Layers = []backbone.Layer{backbone.Layer3, backbone.Layer4}
		for i := range c.Kinds {
			plan := c.Kinds[i].Plan
			c.Kinds[i].Plan = func(ch detectors.Choice) (evaluate.Method, error) {
				read = append(read, ch.Layers)
				return plan(ch)
			}
		}
	})
	require.NoError(t, err)
	require.Contains(t, text, "; detectors read [layer3 layer4]")
	require.NotEmpty(t, read)
	for _, l := range read {
		require.Equal(t, []backbone.Layer{backbone.Layer3, backbone.Layer4}, l)
	}
}

func TestRefusals(t *testing.T) {
	p, root := newPlace(t), t.TempDir()
	for name, c := range map[string]struct {
		set  func(*Config)
		says string
	}{
		"no table":   {func(c *Config) { c.Table = 0 }, "Table is 0"},
		"no data":    {func(c *Config) { c.Data = "" }, "Data, Start and Out"},
		"recipe":     {func(c *Config) { c.Recipe = "best" }, "Recipe is"},
		"part":       {func(c *Config) { c.Table, c.Recipe = 6, "amplify" }, "takes the article's recipe apart"},
		"seeds":      {func(c *Config) { c.Seeds = 0 }, "Seeds is 0"},
		"methods":    {func(c *Config) { c.Methods = []string{"padim", "guess"} }, `Methods has "guess"`},
		"kinds":      {func(c *Config) { c.Kinds = nil }, "Kinds is empty"},
		"layers":     {func(c *Config) { c.Layers = []backbone.Layer{backbone.Layer2, backbone.Layer2} }, "Layers is [layer2 layer2]"},
		"pooled":     {func(c *Config) { c.Layers = []backbone.Layer{backbone.Pooled} }, "want stages from stem to layer4"},
		"of wafers":  {func(c *Config) { c.Table, c.Layers = 3, []backbone.Layer{backbone.Layer2} }, "table 3 has none"},
		"empty root": {func(*Config) {}, "nor does it hold a data set"},
		"tools":      {func(c *Config) { c.Tools = root }, "Tools"},
	} {
		_, err := p.make(t, 1, root, "", c.set)
		require.ErrorContains(t, err, c.says, name)
	}
	dir := t.TempDir()
	testutil.PlantIn(t, dir, 4, 1, true, "tile")
	_, err := p.make(t, 4, dir, "", bank("b"))
	require.ErrorContains(t, err, "needs other data")
	_, err = p.make(t, 1, dir, "", nil)
	require.ErrorContains(t, err, "text anchors are needed")
}

func writeWafers(t *testing.T, path string) {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, wafers.Write(t.Context(), &b, 1, wafers.Even(1)))
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o644))
}

func FuzzReadReport(f *testing.F) {
	f.Add([]byte(`{"rows":[{"backbone":"frozen","model":"softmax","top1":{"value":0.5},"right":"10"}]}`))
	f.Add([]byte(`{"rows":[{"top1":{"value":2}}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := readReport(bytes.NewReader(b))
		if err != nil {
			require.ErrorIs(t, err, errReport)
			return
		}
		for _, row := range r.Rows { // what is read can be compared with itself
			if n, err := accuracy([]compare.Row{row}, []compare.Row{row}, false); err == nil {
				require.Zero(t, n.difference)
			}
		}
	})
}

// A class is trained under its folder's name; one that is none is refused, and nothing is copied.
func TestClassesThatNameNoFolder(t *testing.T) {
	for _, class := range []string{"../../line", "line1/bolt", "..", "."} {
		root, dir := t.TempDir(), t.TempDir()
		testutil.PlantIn(t, root, 3, 1, false, "a")
		all, err := dataset.OpenMVTecAD(root, "", "")
		require.NoError(t, err)
		items := dataset.Items(all)
		for i := range items {
			items[i].Class = class
		}
		f, err := os.Create(filepath.Join(root, dataset.ManifestFile))
		require.NoError(t, err)
		require.NoError(t, dataset.WriteManifest(f, items))
		require.NoError(t, f.Close())
		var d data
		require.NoError(t, d.add(t.Context(), root, io.Discard))
		to := filepath.Join(dir, "1", "2", "3", "copies")
		_, err = trainFolders(t.Context(), d.own, to, true, func(string) bool { return true })
		require.ErrorIs(t, err, dataset.ErrLayout)
		require.ErrorContains(t, err, "which is no name of a folder")
		there, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Empty(t, there)
		require.NoError(t, d.Close())
	}
}
