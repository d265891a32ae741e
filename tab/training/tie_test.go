package training_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/card"
	"github.com/gotab/gotab/tab/training"
)

// tie is a small training where the start is blind, with the other classes held to the start.
func tie(t *testing.T, out string, classes ...string) training.Config {
	t.Helper()
	c := blind(t, out, classes...)
	amplify, keep := tab.DefaultAmplify(), tab.DefaultKeep()
	c.Train.Objective, c.Twins.Tie = tab.Mix{{Weight: 1, Objective: amplify}, {Weight: 1, Objective: keep}}, true
	return c
}

// tied are the classes of a card's recipe.
func tied(t *testing.T, c *card.Card) []string {
	t.Helper()
	var has struct{ Tied []string }
	require.NoError(t, json.Unmarshal(c.Recipe, &has))
	return has.Tied
}

// The classes on which the start sees damage stay in the training, tied; the card says so, and a run that was stopped goes
// on with the same ones.
func TestOthersAreTied(t *testing.T) {
	testutil.NoLeak(t)
	dir := t.TempDir()
	c := tie(t, filepath.Join(dir, "w"), "noisy", "even", "flat")
	var log bytes.Buffer
	c.Log = &log
	complete, err := training.Run(t.Context(), c)
	require.NoError(t, err)
	require.True(t, complete)
	require.Contains(t, log.String(), "trained, because the start hardly sees damage there: noisy; held to the start: even, flat\n")
	require.Contains(t, log.String(), "12 good images of 3 classes on cpu")
	made, err := card.Open(card.Name(c.Out))
	require.NoError(t, err)
	require.Len(t, made.Data, 3)
	for _, d := range made.Detectability {
		require.False(t, d.LeftOut)
		require.Equal(t, d.Class != "noisy", d.Tied, d.Class)
	}
	require.Equal(t, []string{"even", "flat"}, tied(t, made))

	for name, again := range map[string]func(*training.Config){
		"as it was begun": func(*training.Config) {},
		"without the flags, the checkpoint has what they said": func(c *training.Config) { c.Twins.WhereBlind, c.Twins.Tie = false, false },
		"without the second": func(c *training.Config) { c.Twins.Tie = false },
	} {
		parts := c
		parts.Out, parts.MaxSteps, parts.Log = filepath.Join(t.TempDir(), "w"), 1, nil
		complete, err = training.Run(t.Context(), parts)
		require.NoError(t, err, name)
		require.False(t, complete, name)
		parts.Resume, parts.MaxSteps = true, 0
		again(&parts)
		_, err = training.Run(t.Context(), parts)
		require.NoError(t, err, name)
		same(t, c.Out, parts.Out)
		resumed, err := card.Open(card.Name(parts.Out))
		require.NoError(t, err, name)
		require.Equal(t, made.Detectability, resumed.Detectability, name)
	}
}

// A run that was begun without tied classes does not get any later: begun on all classes alike, without the one that would be tied, or where
// the start sees damage on all.
func TestTiedLaterIsRefused(t *testing.T) {
	testutil.NoLeak(t)
	for _, begun := range []struct {
		classes    []string
		whereBlind bool
		says       string
	}{
		{[]string{"noisy", "even"}, false, `would hold ["even"] to the start`},
		{[]string{"noisy", "even"}, true, "Twins.Tie is for a run that was begun with it"},
		{[]string{"flat", "even"}, false, "Twins.Tie is for a run that was begun with it"},
	} {
		c := tie(t, filepath.Join(t.TempDir(), "w"), begun.classes...)
		c.Twins.WhereBlind, c.Twins.Tie, c.MaxSteps = begun.whereBlind, false, 1
		_, err := training.Run(t.Context(), c)
		require.NoError(t, err)
		c.Resume, c.MaxSteps, c.Twins.WhereBlind, c.Twins.Tie = true, 0, true, true
		_, err = training.Run(t.Context(), c)
		require.ErrorIs(t, err, tab.ErrCheckpoint)
		require.ErrorContains(t, err, begun.says)
	}
}

// Ranks hold the same classes.
func TestRanksTieTheSameClasses(t *testing.T) {
	testutil.NoLeak(t)
	c := tie(t, filepath.Join(t.TempDir(), "w"), "noisy", "even")
	complete, errs := onTwo(t, c, newGate())
	require.NoError(t, errs[0])
	require.NoError(t, errs[1])
	require.Equal(t, [2]bool{true, true}, complete)
	made, err := card.Open(card.Name(c.Out))
	require.NoError(t, err)
	require.Equal(t, []string{"even"}, tied(t, made))
}

// A class of which the table leaves no twin is held on its mixture as it is; for one that is trained that is an error.
func TestTiedWithoutTwins(t *testing.T) {
	testutil.NoLeak(t)
	dir := t.TempDir()
	whole := tie(t, filepath.Join(dir, "whole"), "noisy", "even")
	whole.MaxSteps = 1
	_, err := training.Run(t.Context(), whole)
	require.NoError(t, err)
	f, err := os.Open(whole.Out + ".twins.json")
	require.NoError(t, err)
	defer f.Close()
	table, err := tab.ReadTwinTable(f)
	require.NoError(t, err)
	far := func(class, path string) {
		for i := range table.Products {
			if p := &table.Products[i]; p.Class == class {
				for k := range p.Kinds {
					if !p.Kinds[k].Normal {
						p.Kinds[k].Weight = 0
					}
				}
			}
		}
		require.NoError(t, table.Save(path))
	}
	path := filepath.Join(dir, "even.twins.json")
	far("even", path)
	c := tie(t, filepath.Join(dir, "w"), "noisy", "even")
	c.Twins.Measured, c.Twins.Table = false, path
	_, err = training.Run(t.Context(), c)
	require.NoError(t, err)
	// Nor does it fail where the run goes on without the flags.
	parts := c
	parts.Out, parts.MaxSteps = filepath.Join(dir, "parts"), 1
	_, err = training.Run(t.Context(), parts)
	require.NoError(t, err)
	parts.Resume, parts.MaxSteps, parts.Twins.WhereBlind, parts.Twins.Tie = true, 0, false, false
	_, err = training.Run(t.Context(), parts)
	require.NoError(t, err)
	same(t, c.Out, parts.Out)
	// The table may be the one that lies beside the weights: nothing of it is lost.
	c.Twins.Table = c.Out + ".twins.json"
	_, err = training.Run(t.Context(), c)
	require.NoError(t, err)

	path = filepath.Join(dir, "noisy.twins.json")
	far("noisy", path)
	c = tie(t, filepath.Join(dir, "no"), "noisy", "even")
	c.Twins.Measured, c.Twins.Table = false, path
	_, err = training.Run(t.Context(), c)
	require.ErrorIs(t, err, tab.ErrNoTwin)
}

// Where all classes are trained none is tied, and where none is nothing is written.
func TestNothingToTie(t *testing.T) {
	testutil.NoLeak(t)
	c := tie(t, filepath.Join(t.TempDir(), "w"), "noisy")
	_, err := training.Run(t.Context(), c)
	require.NoError(t, err)
	made, err := card.Open(card.Name(c.Out))
	require.NoError(t, err)
	require.Empty(t, tied(t, made))

	c = tie(t, filepath.Join(t.TempDir(), "w"), "even", "flat")
	_, err = training.Run(t.Context(), c)
	require.ErrorIs(t, err, training.ErrNoneBlind)
	nothing(t, c)
}

func TestTieRefuses(t *testing.T) {
	for says, set := range map[string]func(*training.Config){
		"so it needs that":                      func(c *training.Config) { c.Twins.WhereBlind = false },
		"and paper does not":                    func(c *training.Config) { c.Train.Objective = tab.Paper() },
		"Twins.WhereBlind sorts the classes it": func(c *training.Config) { c.Train.Tied = []string{"even"} },
	} {
		refuses(t, func() training.Config { return tie(t, "w", "noisy", "even") }, says, set)
	}
}
