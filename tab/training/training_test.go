package training_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
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
	c.Train.Objective = tab.Paper()
	_, err := training.Run(t.Context(), c)
	require.ErrorIs(t, err, training.ErrConfig)
	require.ErrorContains(t, err, "needs anchors, and there are none")
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
