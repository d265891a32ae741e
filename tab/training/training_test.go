package training_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/card"
	"github.com/gotab/gotab/tab/training"
	"github.com/gotab/gotab/tensor"
)

func TestMain(m *testing.M) { os.Exit(testutil.OneThread(m)) }

// small is a training of a few steps without anchors.
func small(t *testing.T, out string) training.Config {
	t.Helper()
	c := training.Default()
	paper, nsa, err := training.Recipe("paper", 64)
	require.NoError(t, err)
	c.Train, c.Synth, c.Twins.Measured = paper, nsa, false
	c.Data, c.Out, c.Device = []string{testutil.Plant(t, 4, 1, false)}, out, tensor.CPU
	c.Train.Transform = dataset.Transform{Exact: image.Pt(64, 64)}
	c.Train.Objective, c.Train.Batch, c.Train.Steps, c.Train.Repeat = tab.Classification{Binary: true}, 2, 3, 1
	return c
}

// A run from Go leaves weights with a card, and goes on where it was stopped.
func TestRunStopsAndGoesOn(t *testing.T) {
	testutil.NoLeak(t)
	dir := t.TempDir()
	whole := small(t, filepath.Join(dir, "whole"))
	whole.Options = map[string]string{"who": "a test"}
	var printed, log bytes.Buffer
	whole.Print, whole.Log = &printed, &log
	complete, err := training.Run(t.Context(), whole)
	require.NoError(t, err)
	require.True(t, complete)
	require.Contains(t, printed.String(), "epoch 0 loss ")
	require.Contains(t, log.String(), "8 good images of 2 classes on cpu; objective binary; anchors: none")
	c, err := card.Open(card.Name(whole.Out))
	require.NoError(t, err)
	require.True(t, c.Finished)
	require.Equal(t, whole.Options, c.Options)
	require.NoError(t, c.Weights.Check(whole.Out))

	parts := whole
	parts.Out, parts.MaxSteps = filepath.Join(dir, "parts"), 1
	complete, err = training.Run(t.Context(), parts)
	require.NoError(t, err)
	require.False(t, complete)
	require.NoFileExists(t, parts.Out)
	parts.Resume, parts.MaxSteps = true, 0
	refused := errors.New("not what was meant")
	parts.Agree = func(has tab.Config) error {
		require.Equal(t, 3, has.Steps)
		return refused
	}
	_, err = training.Run(t.Context(), parts)
	require.ErrorIs(t, err, refused)
	parts.Agree = nil
	complete, err = training.Run(t.Context(), parts)
	require.NoError(t, err)
	require.True(t, complete)
	a, err := os.ReadFile(whole.Out)
	require.NoError(t, err)
	b, err := os.ReadFile(parts.Out)
	require.NoError(t, err)
	require.True(t, bytes.Equal(a, b))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = training.Run(ctx, small(t, filepath.Join(dir, "never")))
	require.ErrorIs(t, err, context.Canceled)
}

var errFull = errors.New("the disk is full")

// A run that is lost before its first checkpoint leaves none of an older run, which would go on beside its card.
func TestAnOlderCheckpointIsNotThisRuns(t *testing.T) {
	testutil.NoLeak(t)
	old := small(t, filepath.Join(t.TempDir(), "w"))
	complete, err := training.Run(t.Context(), old)
	require.NoError(t, err)
	require.True(t, complete)
	was, err := os.ReadFile(training.Checkpoint(old.Out))
	require.NoError(t, err)

	lost := old
	lost.Train.Seed, lost.MaxSteps = 5, 1
	restore := atomicfile.Inject(func(_ atomicfile.Step, path string) error {
		if path == training.Checkpoint(lost.Out) {
			return errFull
		}
		return nil
	})
	_, err = training.Run(t.Context(), lost)
	restore()
	require.ErrorIs(t, err, errFull)
	lost.Resume, lost.MaxSteps = true, 0
	_, err = training.Run(t.Context(), lost)
	require.ErrorIs(t, err, os.ErrNotExist)
	kept, err := os.ReadFile(training.Checkpoint(old.Out) + ".old")
	require.NoError(t, err)
	require.True(t, bytes.Equal(was, kept))
}

// A step that was taken is logged, also where what follows its epoch fails: a run that goes on does not come to it again.
func TestTheLastStepBeforeAFailureIsLogged(t *testing.T) {
	testutil.NoLeak(t)
	c := small(t, filepath.Join(t.TempDir(), "w"))
	c.Journal = c.Out + ".jsonl"
	c.Probe = testutil.Plant(t, 2, 1, false)
	away := c.Probe + ".away"
	log := &said{word: "summing up", do: func() { require.NoError(t, os.Rename(c.Probe, away)) }} // after the first probe
	c.Log = log
	_, err := training.Run(t.Context(), c)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.Rename(away, c.Probe))
	c.Resume = true
	complete, err := training.Run(t.Context(), c)
	require.NoError(t, err)
	require.True(t, complete)
	b, err := os.ReadFile(c.Journal)
	require.NoError(t, err)
	for _, step := range []string{`"step":1,`, `"step":2,`, `"step":3,`} {
		require.Contains(t, string(b), step)
	}
}

func TestConfigsThatAreRefused(t *testing.T) {
	require.NoError(t, small(t, "w").Validate())
	for says, set := range map[string]func(*training.Config){
		"Data is empty":            func(c *training.Config) { c.Data = nil },
		"Out is empty":             func(c *training.Config) { c.Out = "" },
		"MaxSteps is -1":           func(c *training.Config) { c.MaxSteps = -1 },
		"Untrained needs weights":  func(c *training.Config) { c.Untrained = true },
		"Interpolate is 2":         func(c *training.Config) { c.Interpolate = 2 },
		"batch norm statistics":    func(c *training.Config) { c.Interpolate = 0.5 },
		"Twins are of the mixture": func(c *training.Config) { c.Twins.Measured = true },
		"Prefix is \"x.\"":         func(c *training.Config) { c.Prefix = "x." },
		"Names: ":                  func(c *training.Config) { c.Names = 9 },
		"Twins.Draws is 0": func(c *training.Config) {
			scale := tab.DefaultScale()
			c.Scale, c.Twins.Draws = &scale, 0
		},
		"Twins.Without: ": func(c *training.Config) {
			c.Synth = nil
			for _, g := range synth.DefaultMixture().Kinds {
				c.Twins.Without = append(c.Twins.Without, g.Kind)
			}
		},
		"needs anchors, and there are none":      func(c *training.Config) { c.Train.Objective = tab.Paper() },
		"Out and Init are the same file":         func(c *training.Config) { c.Init = "./w" },
		"checkpoint of Out and Init are":         func(c *training.Config) { c.Init = "w.ckpt" },
		"Journal and Out are the same file":      func(c *training.Config) { c.Journal = "w" },
		"Journal and Init are the same file":     func(c *training.Config) { c.Init, c.Journal = "start", "start" },
		"Journal and the card of Out are":        func(c *training.Config) { c.Journal = card.Name("w") },
		"Curves.CSV and Journal are the same":    func(c *training.Config) { c.Journal, c.Curves.CSV = "log", "log" },
		"Curves.CSV and Measured are the same f": func(c *training.Config) { c.Measured, c.Curves.CSV = "log", "log" },
		"Journal and Twins.Table are the same f": func(c *training.Config) { c.Synth, c.Twins.Table, c.Journal = nil, "log", "log" },
		"table of twins of Out and Twins.Table ": func(c *training.Config) {
			c.Synth, c.Twins.Table, c.Twins.WhereBlind = nil, "w.twins.json", true
		},
	} {
		c := small(t, "w")
		set(&c)
		_, err := training.Run(t.Context(), c)
		require.ErrorIs(t, err, training.ErrConfig, says)
		require.ErrorContains(t, err, says)
	}
	c := small(t, filepath.Join(t.TempDir(), "w"))
	c.Train.Batch = 0
	require.ErrorIs(t, c.Validate(), tab.ErrConfig)
	c = small(t, filepath.Join(t.TempDir(), "w"))
	c.Reading.Decoder.Bits16 = 3
	require.ErrorIs(t, c.Validate(), dataset.ErrConfig)

	// A link to the weights is the weights.
	dir := t.TempDir()
	c = small(t, filepath.Join(dir, "w"))
	c.Init = filepath.Join(dir, "start")
	require.NoError(t, os.WriteFile(c.Init, []byte("weights"), 0o600))
	require.NoError(t, os.Symlink(c.Init, c.Out))
	_, err := training.Run(t.Context(), c)
	require.ErrorIs(t, err, training.ErrConfig)
	data, err := os.ReadFile(c.Init)
	require.NoError(t, err)
	require.Equal(t, "weights", string(data))

	// What a checkpoint or its settings decide is not refused before they are read.
	c = small(t, "w")
	c.Resume, c.Interpolate, c.Train.Objective = true, 0.5, tab.Paper()
	require.NoError(t, c.Validate())
}

// frozen is a small training that moves no statistics of batch norm.
func frozen(t *testing.T, out string) training.Config {
	c := small(t, out)
	c.Train.FreezeStatistics(backbone.Layer4)
	c.Interpolate = 0.5
	return c
}

// A run that goes on mixes with the weights that it began with, whatever the settings beside it say.
func TestResumedRunsMixWithTheirStart(t *testing.T) {
	testutil.NoLeak(t)
	dir := t.TempDir()
	start := filepath.Join(dir, "start")
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 2)))
	require.NoError(t, err)
	require.NoError(t, net.Save(start))
	require.NoError(t, net.Close())
	run := func(c training.Config) error {
		_, err := training.Run(t.Context(), c)
		return err
	}
	same := func(a, b string) {
		x, err := os.ReadFile(a)
		require.NoError(t, err)
		y, err := os.ReadFile(b)
		require.NoError(t, err)
		require.True(t, bytes.Equal(x, y))
	}
	for _, init := range []string{"", start} {
		whole := frozen(t, filepath.Join(dir, "whole"))
		whole.Init, whole.Train.Seed = init, 7
		require.NoError(t, run(whole))
		parts := whole
		parts.Out, parts.MaxSteps = filepath.Join(dir, "parts"), 1
		require.NoError(t, run(parts))
		parts.Resume, parts.MaxSteps, parts.Train.Seed = true, 0, 8
		wrong := parts
		if wrong.Init = start; init != "" {
			wrong.Init = ""
		}
		require.ErrorIs(t, run(wrong), training.ErrInterpolate)
		require.NoFileExists(t, parts.Out)
		require.NoError(t, run(parts))
		same(whole.Out, parts.Out)
		require.NoError(t, os.Remove(parts.Out))

		// Without the card nobody knows what the start was.
		if init == "" {
			require.NoError(t, os.Remove(card.Name(parts.Out)))
			require.ErrorIs(t, run(parts), training.ErrInterpolate)
		}
	}

	// The checkpoint's statistics count, not those of the settings beside it.
	moving := small(t, filepath.Join(dir, "moving"))
	moving.MaxSteps = 1
	require.NoError(t, run(moving))
	still := frozen(t, moving.Out)
	still.Resume, still.Data = true, moving.Data
	err = run(still)
	require.ErrorIs(t, err, training.ErrInterpolate)
	require.ErrorIs(t, err, training.ErrConfig)
	require.ErrorContains(t, err, "batch norm statistics")
}

// The reading's view and bits are those of the training, and a mixture goes on with them alone.
func TestReadingDecidesWhatIsSeen(t *testing.T) {
	testutil.NoLeak(t)
	c := small(t, filepath.Join(t.TempDir(), "w"))
	c.Train.Transform = dataset.Transform{Shorter: 73, Crop: image.Pt(64, 64)}
	c.Reading.View, _ = dataset.ParseView("tiles:32")
	c.Reading.Decoder.Bits16 = 12
	c.Synth, c.MaxSteps = nil, 1
	_, err := training.Run(t.Context(), c)
	require.NoError(t, err)
	c.Resume = true
	c.Agree = func(has tab.Config) error {
		require.Equal(t, image.Pt(64, 64), has.Transform.Exact)
		require.Equal(t, image.Point{}, has.Transform.Crop)
		require.Equal(t, 12, has.Transform.Bits16)
		return nil
	}
	_, err = training.Run(t.Context(), c)
	require.NoError(t, err)
	for _, set := range []func(*training.Config){func(c *training.Config) { c.Train.Seed++ }, func(c *training.Config) { c.Reading.Decoder.Bits16 = 16 }} {
		other := c
		set(&other)
		_, err = training.Run(t.Context(), other)
		require.ErrorIs(t, err, tab.ErrCheckpoint)
	}
}

// Every name gives settings that hold, and no other name is known.
func TestNames(t *testing.T) {
	for _, name := range training.Recipes() {
		cfg, nsa, err := training.Recipe(name, 64)
		require.NoError(t, err)
		require.NoError(t, cfg.Validate(), name)
		require.NoError(t, nsa.Validate(), name)
	}
	for _, name := range training.Objectives() {
		o, err := training.Objective(name)
		require.NoError(t, err)
		require.NotEmpty(t, o.Name())
	}
	for _, name := range training.Generators() {
		g, err := training.Generator(name, synth.DefaultNSA(), 6)
		require.NoError(t, err)
		require.NoError(t, g.(synth.Visible).Validate())
		_, err = training.Generator(name, synth.DefaultNSA(), -3)
		require.ErrorIs(t, err, training.ErrConfig)
	}
	_, _, err := training.Recipe("best", 64)
	require.ErrorIs(t, err, training.ErrConfig)
	_, err = training.Objective("best")
	require.ErrorIs(t, err, training.ErrConfig)
	_, err = training.Generator("rust", synth.DefaultNSA(), 0)
	require.ErrorIs(t, err, training.ErrConfig)
	require.Len(t, training.AmplifyTerms(1, 0, 2), 2)
}
