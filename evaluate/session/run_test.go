package session

import (
	"context"
	"errors"
	"image"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/detectors"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/scalars"
	"github.com/gotab/gotab/tensor"
)

func TestMain(m *testing.M) { os.Exit(testutil.OneThread(m)) }

// darkness is a detector without a network: a map of how dark each pixel is.
type darkness struct {
	fits *[]string
	fail string // a class
}

func (d darkness) Fit(_ context.Context, good dataset.Dataset) error {
	*d.fits = append(*d.fits, good.Item(0).Class)
	if good.Item(0).Class == d.fail {
		return errors.New("no luck")
	}
	return nil
}

func (darkness) Close() error { return nil }

func (darkness) Score(_ context.Context, in image.Image) (evaluate.Result, error) {
	img, err := dataset.Square(16).Image(in)
	if err != nil {
		return evaluate.Result{}, err
	}
	m := evaluate.Map{W: 16, H: 16, Data: make([]float32, 256)}
	top := float32(0)
	for k := range m.Data {
		m.Data[k] = 255 - float32(img.Pix[4*k])
		top = max(top, m.Data[k])
	}
	return evaluate.Result{Score: float64(top), Map: m}, nil
}

func (darkness) Save(path string) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := io.WriteString(w, "dark")
		return err
	})
}

// dark is a session of such detectors on the classes of a folder.
func dark(root string, fits *[]string, fail string) Config {
	c := Default()
	c.Data, c.Net = []string{root}, &detectors.Network{Weights: "none", SHA256: "0123456789"}
	c.Methods = []detectors.Kind{{Name: "dark", Plan: func(c detectors.Choice) (evaluate.Method, error) {
		m := evaluate.Method{Name: "dark", Protocol: evaluate.DefaultProtocol(), Chance: "nothing", Seed: evaluate.Seed{Number: 1}, Weights: c.Net.Weights, WeightsSHA256: c.Net.SHA256}
		m.Protocol.Transform = dataset.Square(16)
		m.New = func(evaluate.Seed) (evaluate.Detector, error) { return darkness{fits, fail}, nil }
		return m, nil
	}}}
	return c
}

// A class that fails costs no other its result, and what is there is not done again.
func TestRunGoesOn(t *testing.T) {
	root, dir := testutil.Plant(t, 3, 2, true), t.TempDir()
	var fits []string
	c := dark(root, &fits, "cloth")
	c.Records, c.Save, c.Seeds = filepath.Join(dir, "r.jsonl"), filepath.Join(dir, "saved"), []evaluate.Seed{{Number: 1}, {Number: 2}}
	var log strings.Builder
	c.Log = &log
	r, err := Run(t.Context(), c)
	require.ErrorContains(t, err, "2 of 4 runs failed (cloth, seed 1; cloth, seed 2), the first one because: ")
	require.Len(t, r.Records, 2)
	require.Equal(t, []string{"cloth", "cloth", "steel", "steel"}, fits)
	require.FileExists(t, filepath.Join(dir, "saved", filepath.Base(root), "steel", "dark-2.safetensors"))
	require.Contains(t, log.String(), "[3/4] steel, seed 1: fit on 3 good images")

	_, err = Run(t.Context(), c)
	require.ErrorIs(t, err, evaluate.ErrExists)
	fits = nil
	c.Methods, c.Resume = dark(root, &fits, "").Methods, true
	again, err := Run(t.Context(), c)
	require.NoError(t, err)
	require.Len(t, again.Records, 4)
	require.Equal(t, []string{"cloth", "cloth"}, fits)

	c.Part, c.Resume = evaluate.Part{Index: 1, Count: 2}, false
	r, err = Run(t.Context(), c)
	require.NoError(t, err)
	require.Len(t, r.Records, 2)
	require.FileExists(t, filepath.Join(dir, "r.1-of-2.jsonl"))
}

// learner trains for two epochs of three batches, from where an earlier run of it ended.
type learner struct {
	darkness
	tell  func(downstream.Progress)
	after int
}

func (l learner) Fit(ctx context.Context, good dataset.Dataset) error {
	for step := l.after; step < 6; step++ {
		l.tell(downstream.Progress{Detector: "Learner", Stage: "train", Done: step%3 + 1, Total: 3, Epoch: step/3 + 1, Epochs: 2, Loss: 1 / float64(step+1)})
	}
	l.tell(downstream.Progress{Detector: "Learner", Stage: "features", Done: 1, Total: 1})
	return l.darkness.Fit(ctx, good)
}

// Each training of a detector has a log of its own, which goes on where the training does; what does not train has none.
func TestCurvesOfTrainings(t *testing.T) {
	root, dir := testutil.Plant(t, 3, 1, false), t.TempDir()
	var fits []string
	still := dark(root, &fits, "").Methods[0]
	after := 0
	c := dark(root, &fits, "")
	c.Methods = []detectors.Kind{still, {Name: "learner", Trains: true, Plan: func(ch detectors.Choice) (evaluate.Method, error) {
		m, err := still.Plan(ch)
		m.Name = "learner"
		m.New = func(evaluate.Seed) (evaluate.Detector, error) {
			return learner{darkness{&fits, ""}, ch.Progress, after}, nil
		}
		return m, err
	}}}
	c.Curves = scalars.Places{CSV: filepath.Join(dir, "c.csv"), TensorBoard: filepath.Join(dir, "tb")}
	_, err := Run(t.Context(), c)
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(dir, "*.csv"))
	require.NoError(t, err)
	log := filepath.Join(dir, "c-"+filepath.Base(root)+"-steel-learner-1.csv")
	require.Equal(t, []string{filepath.Join(dir, "c-"+filepath.Base(root)+"-cloth-learner-1.csv"), log}, files)
	whole, err := os.ReadFile(log)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(whole)), "\n")
	require.Len(t, lines, 7)
	require.Equal(t, []string{"step,time,loss,epoch", "1", "4"}, []string{lines[0], lines[1][:1], lines[4][:1]})
	events, err := filepath.Glob(filepath.Join(c.Curves.TensorBoard, filepath.Base(root)+"-steel-learner-1", "*"))
	require.NoError(t, err)
	require.Len(t, events, 1)

	// A training that goes on from a checkpoint goes on in its log.
	after = 4
	_, err = Run(t.Context(), c)
	require.NoError(t, err)
	again, err := os.ReadFile(log)
	require.NoError(t, err)
	require.Len(t, strings.Split(strings.TrimSpace(string(again)), "\n"), 7)
	require.True(t, strings.HasPrefix(string(again), strings.Join(lines[:5], "\n")))

	// A log that fails costs no training, and is told.
	after = 0
	require.NoError(t, os.Remove(log))
	require.NoError(t, os.MkdirAll(filepath.Join(log, "in the way"), 0o755))
	fits = nil
	_, err = Run(t.Context(), c)
	require.ErrorContains(t, err, "steel")
	require.Equal(t, []string{"cloth", "cloth", "steel", "steel"}, fits)

	c.Methods = c.Methods[:1]
	_, err = Run(t.Context(), c)
	require.ErrorIs(t, err, ErrConfig)
	require.ErrorContains(t, err, "none of Methods does")
}

// Empty lists are as none: all classes, each method's own seed.
func TestEmptyListsAreAll(t *testing.T) {
	var fits []string
	c := dark(testutil.Plant(t, 3, 1, false), &fits, "")
	c.Classes, c.Seeds = []string{}, []evaluate.Seed{}
	r, err := Run(t.Context(), c)
	require.NoError(t, err)
	require.Len(t, r.Records, 2)
	require.Equal(t, testutil.PlantClasses(), fits)
}

func TestReportOfTwoNetworks(t *testing.T) {
	root, dir := testutil.Plant(t, 3, 2, true), t.TempDir()
	var fits []string
	c := dark(root, &fits, "")
	c.Classes, c.Report = []string{"steel"}, filepath.Join(dir, "report")
	c.Second, c.SecondPath = &detectors.Network{Weights: "other", SHA256: "9876543210"}, "other"
	r, err := Run(t.Context(), c)
	require.NoError(t, err)
	require.Len(t, r.Records, 1)
	require.Len(t, r.Differences, 1)
	require.Contains(t, r.Differences[0], "+0.00 points")
	require.FileExists(t, filepath.Join(c.Report, "report.html"))
	var table, details strings.Builder
	require.NoError(t, r.Write(&table, false))
	require.Contains(t, table.String(), "steel")
	require.True(t, strings.HasSuffix(table.String(), "\n\n"+r.Differences[0]+"\n"))
	require.NoError(t, r.Write(&details, true))
	require.True(t, strings.HasSuffix(details.String(), table.String()))
	require.Greater(t, details.Len(), table.Len())
	table.Reset()
	require.NoError(t, Result{}.Write(&table, true))
	require.Empty(t, table.String())
	c.Second = c.Net
	_, err = Run(t.Context(), c)
	require.ErrorIs(t, err, ErrConfig)
}

func TestConfigsThatAreRefused(t *testing.T) {
	net := &detectors.Network{Weights: "none", SHA256: "0123456789"}
	for says, set := range map[string]func(*Config){
		"Data is empty":                     func(c *Config) { c.Data = nil },
		"Data names two":                    func(c *Config) { c.Data = []string{"a/x", "b/x"} },
		"Classes names a twice":             func(c *Config) { c.Classes = []string{"a", "a"} },
		"Net is nil":                        func(c *Config) { c.Net = nil },
		"Methods is empty":                  func(c *Config) { c.Methods = nil },
		"Resume needs Records":              func(c *Config) { c.Resume = true },
		"and Resume leaves out":             func(c *Config) { c.Records, c.Resume, c.Maps = "r", true, "m" },
		"Second needs Report":               func(c *Config) { c.Second = net },
		"SameScale is for":                  func(c *Config) { c.SameScale = true },
		"part -1 of 2":                      func(c *Config) { c.Records, c.Part = "r", evaluate.Part{Index: -1, Count: 2} },
		"part 2 of 2":                       func(c *Config) { c.Records, c.Part = "r", evaluate.Part{Index: 2, Count: 2} },
		"part 1 of 0":                       func(c *Config) { c.Records, c.Part = "r", evaluate.Part{Index: 1} },
		"session: wrong settings: Rule":     func(c *Config) { c.Report, c.Second, c.Rule.Rate = "r", net, 2 },
		"session: wrong settings: a second": func(c *Config) { c.Report, c.Second = "r", net; c.Methods[0].Shots = true },
		"Part needs Records":                func(c *Config) { c.Part.Count = 2 },
		"too few good parts":                func(c *Config) { c.Rule.Kind = metrics.RuleTail },
		"does not go with dark":             func(c *Config) { c.Report, c.Second = "r", net; c.Methods[0].Shots = true },
	} {
		c := dark("x", nil, "")
		set(&c)
		_, err := Run(t.Context(), c)
		require.ErrorIs(t, err, ErrConfig, says)
		require.ErrorContains(t, err, says)
	}
	c := dark("x", nil, "")
	c.Rule.Rate = 2
	require.ErrorIs(t, c.Validate(), metrics.ErrRange)
	require.ErrorIs(t, c.Validate(), ErrConfig)
	r, err := backbone.NewResNet18(tensor.CPU, evaluate.Seed{Number: 1}.Rand())
	require.NoError(t, err)
	defer r.Close()
	c = dark("x", nil, "")
	c.Net, c.Layers = &detectors.Network{Net: r, Arch: r.Arch()}, []backbone.Layer{backbone.Pooled}
	require.ErrorIs(t, c.Validate(), backbone.ErrLayer)
	require.ErrorIs(t, c.Validate(), ErrConfig)
	require.Equal(t, "cpu", device(c.Net))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var fits []string
	_, err = Run(ctx, dark(testutil.Plant(t, 3, 1, false), &fits, ""))
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, fits)
}
