package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

// startWeights writes random weights.
func startWeights(t *testing.T, dir string) string {
	t.Helper()
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 2)))
	require.NoError(t, err)
	path := filepath.Join(dir, "start")
	require.NoError(t, net.Save(path))
	require.NoError(t, net.Close())
	return path
}

// Scaled weights give layers 1 to 3 times the factors of the file, and layer 4 as
// before, with and without a training before.
func TestScale(t *testing.T) {
	testutil.NoLeak(t)
	root, dir := testutil.Plant(t, 4, 1, false), t.TempDir()
	start := startWeights(t, dir)
	var stdout, stderr bytes.Buffer
	at := func(name string) string { return filepath.Join(dir, name) }
	base := []string{"-data", root, "-size", "64", "-device", "cpu", "-init", start, "-draws", "6"}
	with := func(name string, more ...string) error {
		return run(t.Context(), append(append(append([]string(nil), base...), "-out", at(name)), more...), &stdout, &stderr)
	}
	layers := []backbone.Layer{backbone.Layer1, backbone.Layer2, backbone.Layer3, backbone.Layer4}
	features := func(path string) (out [][]float32) {
		net, err := backbone.OpenResNet18(path, tensor.CPU)
		require.NoError(t, err)
		defer net.Close()
		require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
			for _, f := range net.Forward(s, s.FromNHWC(testutil.Draw("picture", 3*64*64), 1, 64, 64, 3), layers...) {
				v, err := s.Floats(f)
				if err != nil {
					return err
				}
				out = append(out, v)
			}
			return nil
		}))
		return out
	}
	check := func(before, after string) tab.ScaleTable {
		raw, err := os.ReadFile(at(after) + ".scale.json")
		require.NoError(t, err)
		var s tab.ScaleTable
		require.NoError(t, json.Unmarshal(raw, &s))
		w, err := tensor.OpenWeights(at(after))
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("twins 1, deviation 0.5; sha256:%x", sha256.Sum256(raw)), w.Metadata["scale"])
		require.Equal(t, `["cloth","steel"]`, w.Metadata["classes"])
		require.Len(t, s.Stages, 3)
		require.Len(t, s.Products, 2)
		require.Equal(t, 4, s.Products[0].Images)
		require.Positive(t, s.Products[0].Twins.Drawn)
		a, b := features(at(before)), features(at(after))
		for l, f := range a {
			factors, largest := []float32{1}, 0.0
			if l < 3 {
				require.Equal(t, layers[l].String(), s.Stages[l].Layer)
				factors = s.Stages[l].Scale
			}
			per := len(f) / len(factors)
			for i := range f {
				largest = max(largest, float64(f[i]*factors[i/per]))
			}
			for i := range f {
				require.InDelta(t, f[i]*factors[i/per], b[l][i], 1e-5*largest)
			}
		}
		return s
	}
	require.NoError(t, with("untrained", "-recipe", "none", "-scale", "1,0.5"))
	s := check("start", "untrained")
	require.NotEqual(t, s.Stages[0].Scale[0], s.Stages[0].Scale[1])
	require.NoFileExists(t, at("untrained.ckpt"))

	// By the names of another library they are the same weights.
	require.NoError(t, with("renamed", "-recipe", "none", "-scale", "1,0.5", "-names", "hf"))
	renamed, err := tensor.OpenWeights(at("renamed"))
	require.NoError(t, err)
	require.Contains(t, renamed.Arrays[0].Name, "resnet.embedder")
	check("start", "renamed")

	trained := []string{"-bank", bankFile(t), "-size", "72", "-crop", "64", "-batch", "2", "-steps", "2", "-recipe", "amplify", "-twins", "plain"}
	require.NoError(t, with("plain", trained...))
	require.NoError(t, with("scaled", append(trained, "-scale", "1,0.5")...))
	check("plain", "scaled")
	for name, args := range map[string][]string{
		"one number": {"-recipe", "none", "-scale", "1"},
		"text":       {"-recipe", "none", "-scale", "a,b"},
		"range":      {"-recipe", "none", "-scale", "3,0"},
		"nothing":    {"-recipe", "none"},
		"resume":     {"-recipe", "none", "-scale", "1,0", "-resume"},
		"training":   {"-recipe", "none", "-scale", "1,0", "-lr", "0.1"},
		"synth":      {"-recipe", "none", "-scale", "1,0", "-synth", "nsa"},
		"draws":      {"-recipe", "paper", "-bank", bankFile(t), "-draws", "3"},
	} {
		require.ErrorIs(t, with("refused", args...), errUsage, name)
	}
	require.NoFileExists(t, at("refused"))
	require.ErrorIs(t, run(t.Context(), []string{"-data", root, "-out", at("refused"), "-recipe", "none", "-scale", "1,0"}, &stdout, &stderr), errUsage)
}
