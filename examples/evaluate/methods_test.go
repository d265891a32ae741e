package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

// TestMethodThatTrainsOnOthers is a method that needs everything that a method can
// ask for: epochs, images of other classes, a support set.
func TestMethodThatTrainsOnOthers(t *testing.T) {
	root, path := t.TempDir(), filepath.Join(t.TempDir(), "r.jsonl")
	for _, c := range []string{"alpha", "beta", "gamma"} {
		class(t, root, c, true)
	}
	f := newDark()
	f.trains, f.shots = true, true
	var supports []string
	f.inFit = func(ctx context.Context, m evaluate.Material) error {
		require.Equal(t, 8, m.Others.Len())
		for i := range m.Others.Len() {
			require.NotEqual(t, "beta", m.Others.Item(i).Class)
			require.True(t, m.Others.Item(i).IsGood())
		}
		require.Equal(t, 4, m.Test.Len())
		support, err := m.Support(3)
		require.NoError(t, err)
		require.Equal(t, 3, support.Len())
		names := ""
		for i := range support.Len() {
			require.Equal(t, "beta", support.Item(i).Class)
			names += " " + support.Item(i).Name
		}
		supports = append(supports, names)
		_, err = m.Support(5)
		require.ErrorIs(t, err, dataset.ErrConfig, "more shots than images")
		require.ErrorContains(t, err, "beta")
		return nil
	}
	f.plans = func(m *evaluate.Method) { m.Others = true }
	f.fit = func(evaluate.Material) (evaluate.Learnt, error) {
		return evaluate.Learnt{Images: 3, Others: 4, Training: time.Nanosecond}, nil
	}
	stdout, _, err := evaluateDark(t, t.Context(), f, "-data", root, "-class", "beta", "-epochs", "7", "-shots", "3", "-seeds", "4", "-json", path)
	require.NoError(t, err)
	require.Contains(t, stdout, "dark on resnet18, layers layer1, 3 shots, 7 epochs")
	require.Contains(t, stdout, metrics.EpochLast)
	seen := map[string]bool{}
	for _, s := range supports {
		seen[s] = true
	}
	require.Greater(t, len(seen), 1, "seeds draw other support sets")
	for _, r := range recordsOf(t, path) {
		require.Equal(t, 7, r.Epochs)
		require.Equal(t, 3, r.FitImages)
		require.InEpsilon(t, 3/r.FitSeconds, r.FitSpeed, 1e-9, "the epochs were on other classes")
		require.Equal(t, 4, r.TrainImages)
		require.Equal(t, 1e-9, r.TrainSeconds)
		require.Equal(t, 3, r.Shots)
	}

	// What it learns from decides its figures: without one of the other images all is
	// done again.
	n := len(supports)
	require.NoError(t, os.Remove(filepath.Join(root, "gamma", "train", "good", "0.png")))
	f.inFit = func(_ context.Context, m evaluate.Material) error {
		require.Equal(t, 7, m.Others.Len())
		require.Equal(t, path+".dark-"+filepath.Base(root)+"+beta.ckpt", m.Checkpoint)
		n++
		return nil
	}
	_, _, err = evaluateDark(t, t.Context(), f, "-data", root, "-class", "beta", "-epochs", "7", "-shots", "3", "-json", path, "-resume")
	require.NoError(t, err)
	require.Len(t, supports, n-1)

	alone := t.TempDir()
	class(t, alone, "beta", true)
	_, _, err = evaluateDark(t, t.Context(), f, "-data", alone)
	require.ErrorIs(t, err, dataset.ErrLayout)
	require.ErrorContains(t, err, "dark learns from other classes, and beta is the only one")
}

func TestArchitecturesAndLayers(t *testing.T) {
	root, path := t.TempDir(), filepath.Join(t.TempDir(), "r.jsonl")
	class(t, root, "alpha", true)
	run := func(args ...string) (string, error) {
		stdout, _, err := evaluateArgs(t, append([]string{"-data", root, "-device", "cpu", "-json", path, "-resume"}, args...)...)
		return stdout, err
	}
	stdout, err := run("-weights", "random:5", "-arch", "resnet34", "-layers", "layer3,layer4")
	require.NoError(t, err)
	require.Contains(t, stdout, "padim on resnet34, layers layer3 layer4; weights random:5")
	require.Contains(t, stdout, "Seed 1. A seed decides the draw of 100 of 768 channels.")
	stdout, err = run("-weights", "random", "-layers", "layer1", "-seeds", "3") // 64 channels are fewer than 100
	require.NoError(t, err)
	require.NotContains(t, stdout, "±", "nothing is drawn, so there is one seed")
	rs := recordsOf(t, path)
	require.Len(t, rs, 2)
	require.Equal(t, []string{"layer3", "layer4"}, rs[0].Layers)
	require.Equal(t, "", rs[1].Chance)
	require.NotEqual(t, rs[0].WeightsSHA256, rs[1].WeightsSHA256)

	for name, c := range map[string]struct {
		is   error
		says string
		args []string
	}{
		"pooled":       {backbone.ErrLayer, "pooled", []string{"-weights", "random", "-layers", "pooled"}},
		"no layer":     {backbone.ErrLayer, `"layer9"`, []string{"-weights", "random", "-layers", "layer1,layer9"}},
		"layer twice":  {downstream.ErrLayers, "layer2 is named twice", []string{"-weights", "random", "-layers", "layer2,layer2"}},
		"no arch":      {backbone.ErrArch, "resnet101", []string{"-weights", "random", "-arch", "resnet101"}},
		"no reference": {evaluate.ErrSeed, "reference draw", []string{"-weights", "random", "-layers", "layer2", "-seed", "reference"}},
		"patchcore":    {evaluate.ErrSeed, "patchcore has no reference", []string{"-weights", "random", "-method", "patchcore", "-seed", "reference"}},
	} {
		_, err := run(c.args...)
		require.ErrorIs(t, err, c.is, name)
		require.ErrorContains(t, err, c.says, name)
	}

	n, err := backbone.NewResNet18(tensor.CPU, evaluate.Seed{Number: 1}.Rand())
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "net.safetensors")
	require.NoError(t, n.Save(file))
	require.NoError(t, n.Close())
	_, err = run("-weights", file, "-arch", "resnet50")
	require.ErrorIs(t, err, backbone.ErrArch)
	require.ErrorContains(t, err, "-arch resnet50: detectors: open network: no such architecture: net.safetensors holds resnet18")
}
