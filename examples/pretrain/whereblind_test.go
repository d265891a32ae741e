package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/training"
)

// -where-blind goes by the table: it trains the class on which foreign matter hardly stands out, says why, and ends with
// a code of its own and no file where there is none.
func TestWhereBlind(t *testing.T) {
	testutil.NoLeak(t)
	root, dir := testutil.Plant(t, 4, 1, false), t.TempDir()
	var stdout, stderr bytes.Buffer
	train := func(name string, more ...string) error {
		stdout.Reset()
		stderr.Reset()
		return run(t.Context(), append([]string{"-data", root, "-size", "72", "-crop", "64", "-batch", "2", "-steps", "1", "-warmup", "0", "-text", "0",
			"-device", "cpu", "-recipe", "amplify", "-draws", "3", "-out", filepath.Join(dir, name)}, more...), &stdout, &stderr)
	}
	require.NoError(t, train("all"))
	f, err := os.Open(filepath.Join(dir, "all.twins.json"))
	require.NoError(t, err)
	defer f.Close()
	table, err := tab.ReadTwinTable(f)
	require.NoError(t, err)
	require.Equal(t, "layer2", table.Layers[1])
	for i, p := range table.Products { // foreign matter stands out on cloth, and hardly on steel
		require.Contains(t, stdout.String(), "\n"+p.Class+": the start ")
		for k := range p.Kinds {
			if kind := &p.Kinds[k]; kind.Kind == synth.KindTexture || kind.Kind == synth.KindNoise {
				kind.Loudness[1] = []float64{5.31, 1.25}[i]
			}
		}
	}
	path := filepath.Join(dir, "told.twins.json")
	require.NoError(t, table.Save(path))
	require.NoError(t, train("steel", "-twins", path, "-where-blind"))
	require.Contains(t, stdout.String(), "cloth: the start sees damage already (texture 5.31 and noise 5.31 times what good parts vary by): of the five such sets")
	require.Contains(t, stdout.String(), "steel: the start hardly sees damage (texture 1.25 and noise 1.25 times what good parts vary by): training is likely to help")
	require.Contains(t, stderr.String(), "hardly sees damage there: steel; left out: cloth\n")
	var card struct {
		Data    []struct{ Class string }
		Options map[string]string
	}
	raw, err := os.ReadFile(filepath.Join(dir, "steel.card.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &card))
	require.Len(t, card.Data, 1)
	require.Equal(t, "steel", card.Data[0].Class)
	require.Equal(t, "true", card.Options["where-blind"])

	require.NoError(t, train("both", "-twins", path, "-where-blind", "-tie", "-tie-weight", "10"))
	require.Contains(t, stderr.String(), "hardly sees damage there: steel; held to the start: cloth\n")
	raw, err = os.ReadFile(filepath.Join(dir, "both.card.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &card))
	require.Len(t, card.Data, 2)
	require.Equal(t, []string{"true", "10"}, []string{card.Options["tie"], card.Options["tie-weight"]})
	require.Contains(t, string(raw), `"tied_weight": 10`)

	require.NoError(t, os.RemoveAll(filepath.Join(root, "steel")))
	err = train("none", "-twins", path, "-where-blind")
	require.ErrorIs(t, err, training.ErrNoneBlind)
	require.ErrorContains(t, err, "-where-blind: training: there is no class on which the start hardly sees damage (cloth): nothing is trained and nothing was written")
	var coded interface{ ExitCode() int }
	require.ErrorAs(t, err, &coded)
	require.Equal(t, 3, coded.ExitCode())
	files, err := filepath.Glob(filepath.Join(dir, "none*"))
	require.NoError(t, err)
	require.Empty(t, files)
}
