package main

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

// PaDiM on chosen channels has those that package tab chooses, and keeps them in its file;
// what it draws before the fit is forgotten.
func TestPaDiMOnChosenChannels(t *testing.T) {
	testutil.NoLeak(t)
	root := t.TempDir()
	class(t, root, "alpha", false)
	good, err := dataset.OpenMVTecAD(root, "alpha", dataset.Train)
	require.NoError(t, err)
	net, err := backbone.NewResNet18(tensor.CPU, seed{n: 1}.rand(forMethod))
	require.NoError(t, err)
	defer net.Close()
	byName := func(name string) method {
		return methods()[slices.IndexFunc(methods(), func(m method) bool { return m.name == name })]
	}
	for name, choose := range map[string]func(p tab.ProductChannels, n int, epsilon float64) ([]int, error){
		"padim-twins": tab.ProductChannels.Choose, "padim-twins-rank": tab.ProductChannels.Rank,
	} {
		small := func(dataset.Transform) dataset.Transform { return dataset.Square(64) }
		p, err := byName(name).plan(choice{arch: backbone.ArchResNet18, tune: small})
		require.NoError(t, err)
		require.Equal(t, seed{n: 1}, p.seed)
		made, err := p.make(net, seed{n: 5})
		require.NoError(t, err)
		d := made.(*chosenPaDiM)
		defer func() { require.NoError(t, d.Close()) }()
		require.EqualValues(t, 5, d.twins.Seed)
		require.Equal(t, tab.DefaultTwins().Draws, d.twins.Draws)
		d.twins.Draws, d.cfg.Reduced = 4, 20
		require.NoError(t, d.Fit(t.Context(), good))
		products, err := tab.MeasureChannels(t.Context(), net, good, synth.DefaultMixture(), d.twins)
		require.NoError(t, err)
		want, err := choose(products[0], 20, downstream.DefaultPaDiM().Epsilon)
		require.NoError(t, err)
		slices.Sort(want)
		require.Equal(t, want, d.Config().Channels)
		path := filepath.Join(t.TempDir(), "d")
		require.NoError(t, d.Save(path))
		again, err := downstream.OpenPaDiM(t.Context(), path, net)
		require.NoError(t, err)
		require.Equal(t, want, again.Config().Channels)
		require.NoError(t, again.Close())
	}
	// Layers of no more than a hundred channels leave no choice.
	_, err = byName("padim-twins").plan(choice{arch: backbone.ArchResNet18, layers: []backbone.Layer{backbone.Layer1}})
	require.ErrorIs(t, err, downstream.ErrChannels)
}
