package tab_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
)

// stands is a table of products with the loudness of kinds at layers 1 to 3.
func stands(products map[string][]tab.KindTwins) *tab.TwinTable {
	t := &tab.TwinTable{Layers: []string{"layer1", "layer2", "layer3"}, Ridge: 0.1, Far: 4}
	for _, class := range []string{"board", "edge", "even", "one", "tile", "unplaced"} {
		if kinds, ok := products[class]; ok {
			t.Products = append(t.Products, tab.ProductTwins{Class: class, Images: 4, Spread: make([][4]float64, 3), Kinds: kinds})
		}
	}
	return t
}

// The start is blind where neither foreign texture nor noise stands out at layer 2 by two and a half times what good parts vary by; other kinds, and
// kinds of which nothing was placed, do not count.
func TestDetectability(t *testing.T) {
	kind := func(k synth.Kind, drawn int, l1, l2, l3 float64) tab.KindTwins {
		return tab.KindTwins{Kind: k, All: tab.TwinCounts{Drawn: drawn}, Loudness: []float64{l1, l2, l3}}
	}
	table := stands(map[string][]tab.KindTwins{
		"board":    {kind(synth.KindNSA, 9, 9, 9, 9), kind(synth.KindTexture, 9, 0.9, 1.18, 7), kind(synth.KindNoise, 9, 9, 1.34, 0.6)}, // of real circuit boards
		"edge":     {kind(synth.KindTexture, 9, 1, 2.5, 1)},
		"even":     {kind(synth.KindNSA, 9, 1, 1, 1)},
		"one":      {kind(synth.KindTexture, 0, 0, 0, 0), kind(synth.KindNoise, 9, 1, 2.49, 1)},
		"tile":     {kind(synth.KindTexture, 9, 3.57, 5.31, 5.34), kind(synth.KindNoise, 9, 2.58, 3.52, 3.03)},
		"unplaced": {kind(synth.KindTexture, 0, 0, 0, 0), kind(synth.KindNoise, 0, 0, 0, 0)},
	})
	want := []tab.Detectability{
		{Class: "board", Foreign: map[synth.Kind]float64{synth.KindTexture: 1.18, synth.KindNoise: 1.34}, StandsOut: 1.34, Blind: true},
		{Class: "edge", Foreign: map[synth.Kind]float64{synth.KindTexture: 2.5}, StandsOut: 2.5},
		{Class: "even"},
		{Class: "one", Foreign: map[synth.Kind]float64{synth.KindNoise: 2.49}, StandsOut: 2.49, Blind: true},
		{Class: "tile", Foreign: map[synth.Kind]float64{synth.KindTexture: 5.31, synth.KindNoise: 3.52}, StandsOut: 5.31},
		{Class: "unplaced"},
	}
	require.Equal(t, want, table.Detectability())

	// A file has it for who reads it otherwise, and older files without it give the same.
	var file, again bytes.Buffer
	_, err := table.WriteTo(&file)
	require.NoError(t, err)
	var raw map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(file.Bytes(), &raw))
	var written []tab.Detectability
	require.NoError(t, json.Unmarshal(raw["detectability"], &written))
	require.Equal(t, want, written)
	delete(raw, "detectability")
	old, err := json.Marshal(raw)
	require.NoError(t, err)
	read, err := tab.ReadTwinTable(bytes.NewReader(old))
	require.NoError(t, err)
	require.Equal(t, want, read.Detectability())
	_, err = read.WriteTo(&again)
	require.NoError(t, err)
	require.Equal(t, file.String(), again.String())

	// Without layer 2, or with numbers missing, nothing is said.
	table.Layers[1] = "layer4"
	for _, d := range table.Detectability() {
		require.Equal(t, tab.Detectability{Class: d.Class}, d)
	}
	table.Layers[1], table.Products[0].Kinds[1].Loudness = "layer2", nil
	require.Equal(t, map[synth.Kind]float64{synth.KindNoise: 1.34}, table.Detectability()[0].Foreign)
	require.Empty(t, (&tab.TwinTable{}).Detectability())
}
