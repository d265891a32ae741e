package main

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/card"
	"github.com/gotab/gotab/tensor"
)

func TestRecipes(t *testing.T) {
	for _, r := range []string{"paper", "official", "ref", "amplify"} {
		o, err := parse([]string{"-data", "x", "-out", "y", "-recipe", r}, &bytes.Buffer{})
		require.NoError(t, err)
		cfg, gen, err := settings(o)
		require.NoError(t, err)
		if r != "amplify" { // which takes the mixture
			require.NoError(t, gen.(interface{ Validate() error }).Validate())
		}
		require.NoError(t, cfg.Validate())
	}
	o, err := parse([]string{"-data", "x", "-out", "y", "-recipe", "ref", "-batch", "8", "-lr", "0.5"}, &bytes.Buffer{})
	require.NoError(t, err)
	cfg, _, err := settings(o)
	require.NoError(t, err)
	require.Equal(t, 8, cfg.Batch)
	require.Equal(t, 0.5, cfg.LR)
	require.Equal(t, "joint", cfg.Objective.Name())
	o, err = parse([]string{"-data", "x", "-out", "y", "-recipe", "amplify", "-warmup", "7"}, &bytes.Buffer{})
	require.NoError(t, err)
	cfg, _, err = settings(o)
	require.NoError(t, err)
	require.Equal(t, tab.Recommended().Objective, cfg.Objective)
	require.Equal(t, 7, cfg.Schedule.WarmupSteps)
	require.Equal(t, []string{"mixture", "auto"}, []string{o.synth, o.twins})
}

// What is trained where -recipe names none: gotab's own recipe, but for what it does not know, and what was begun.
func TestRecipeThatIsNotNamed(t *testing.T) {
	testutil.NoLeak(t)
	root := testutil.Plant(t, 8, 1, false)
	for _, c := range []struct {
		want string
		args []string
	}{
		{"amplify", []string{"-init", "w"}},
		{"amplify", []string{"-init", "w", "-synth", "mixture"}},
		{"amplify", []string{"-init", "w", "-continue"}}, // of nothing
		{"paper", []string{"-objective", "binary"}},
		{"paper", []string{"-synth", "nsa"}},
		{"paper", []string{"-least", "6"}},
		{"official", []string{"-recipe", "official"}},
	} {
		o, err := parse(append([]string{"-data", root, "-out", filepath.Join(root, "y")}, c.args...), io.Discard)
		require.NoError(t, err, c.args)
		require.Equal(t, c.want, o.recipe, c.args)
		require.Equal(t, c.want, o.Options["recipe"])
	}
	start := filepath.Join(root, "start.safetensors")
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	require.NoError(t, net.Save(start))
	require.NoError(t, net.Close())
	for recipe, begin := range map[string][]string{"amplify": {"-init", start, "-crop", "64", "-draws", "3", "-text", "0"}, "paper": {"-recipe", "paper", "-bank", bankFile(t)}} {
		out := filepath.Join(t.TempDir(), "w.safetensors")
		base := []string{"-data", root, "-size", "72", "-batch", "2", "-device", "cpu", "-out", out}
		begin = append(append(base, "-steps", "2", "-max-steps", "1"), begin...)
		require.NoError(t, run(t.Context(), begin, io.Discard, io.Discard))
		for _, again := range []string{"-resume", "-continue"} {
			o, err := parse(append(base, again), io.Discard)
			require.NoError(t, err)
			require.Equal(t, recipe, o.recipe)
		}
		require.NoError(t, run(t.Context(), append(base, "-init", start, "-resume"), io.Discard, io.Discard)) // to its end
		c, err := card.Open(card.Name(out))
		require.NoError(t, err)
		require.Equal(t, recipe, c.Options["recipe"])

		// A card of a program that did not write it.
		delete(c.Options, "recipe")
		require.NoError(t, c.Save(card.Name(out)))
		o, err := parse(append(base, "-resume"), io.Discard)
		require.NoError(t, err)
		require.Equal(t, "paper", o.recipe)
		require.NoError(t, os.Remove(card.Name(out)))
		_, err = parse(append(base, "-resume"), io.Discard)
		require.ErrorIs(t, err, errUsage)
		require.ErrorContains(t, err, "card.json is missing")
	}
}
