package training_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/scalars"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/training"
	"github.com/gotab/gotab/tensor"
)

// logged are the steps of a log, with 0 for what was measured before the first.
func logged(t *testing.T, path string) (steps []int64) {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	for line := range bytes.Lines(b) {
		var st tab.Step
		require.NoError(t, json.Unmarshal(line, &st))
		require.Equal(t, st.Number == 0, st.Epoch == -1)
		steps = append(steps, st.Number)
	}
	return steps
}

// tabled are the steps of a table.
func tabled(t *testing.T, path string) (steps []string, rows [][]string) {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	rows, err = csv.NewReader(bytes.NewReader(b)).ReadAll()
	require.NoError(t, err)
	for _, r := range rows[1:] {
		steps = append(steps, r[0])
	}
	return steps, rows
}

func copyOf(t *testing.T, to, from string) {
	t.Helper()
	b, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, b, 0o600))
}

// A process that is killed has logged steps behind its last checkpoint. When the run goes on, each step is there once.
func TestLogsHaveEachStepOnce(t *testing.T) {
	testutil.NoLeak(t)
	dir := t.TempDir()
	c := small(t, filepath.Join(dir, "w"))
	c.Train.Steps, c.MaxSteps = 9, 4
	c.Journal, c.Curves = filepath.Join(dir, "log.jsonl"), scalars.Places{CSV: filepath.Join(dir, "log.csv")}
	run := func(steps int) bool {
		c.MaxSteps = steps
		complete, err := training.Run(t.Context(), c)
		require.NoError(t, err)
		return complete
	}
	require.False(t, run(4))
	kept := filepath.Join(dir, "kept")
	copyOf(t, kept, training.Checkpoint(c.Out))
	c.Resume = true
	require.False(t, run(3))
	require.Equal(t, []int64{1, 2, 3, 4, 5, 6, 7}, logged(t, c.Journal))
	copyOf(t, training.Checkpoint(c.Out), kept)
	require.True(t, run(0))
	require.Equal(t, []int64{1, 2, 3, 4, 5, 6, 7, 8, 9}, logged(t, c.Journal))
	steps, _ := tabled(t, c.Curves.CSV)
	require.Equal(t, strings.Fields("1 2 3 4 5 6 7 8 9"), steps)
}

// A run that goes on from the checkpoint before its first step has what was measured then in its logs, once.
func TestLogsOfARestartBeforeTheFirstStep(t *testing.T) {
	testutil.NoLeak(t)
	dir := t.TempDir()
	c := small(t, filepath.Join(dir, "w"))
	c.Probe = c.Data[0]
	c.Journal, c.Curves = filepath.Join(dir, "log.jsonl"), scalars.Places{CSV: filepath.Join(dir, "log.csv")}
	c.MaxSteps = 1
	_, err := training.Run(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, []int64{0, 1}, logged(t, c.Journal))

	// The checkpoint that several ranks begin with.
	cfg := c.Train
	cfg.Transform = c.Reading.Transform(cfg.Transform)
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(cfg.Seed, 0)))
	require.NoError(t, err)
	pre, err := tab.New(tab.Parts{Visual: net, Synth: c.Synth}, cfg)
	require.NoError(t, err)
	require.NoError(t, pre.Prepare(t.Context(), testutil.PlantClasses()))
	require.NoError(t, pre.SaveCheckpoint(training.Checkpoint(c.Out)))
	require.NoError(t, pre.Close())
	require.NoError(t, net.Close())
	c.Resume, c.MaxSteps = true, 2
	_, err = training.Run(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, []int64{0, 1, 2}, logged(t, c.Journal))
	steps, rows := tabled(t, c.Curves.CSV)
	require.Equal(t, []string{"0", "1", "2"}, steps)
	require.Contains(t, rows[0], "probe/image AUROC steel")
}
