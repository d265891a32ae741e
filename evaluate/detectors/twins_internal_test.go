package detectors

import (
	"fmt"
	"image"
	"image/color"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

// PaDiM on chosen channels has those that package tab chooses, and keeps them in its file;
// what it draws before the fit is forgotten.
func TestPaDiMOnChosenChannels(t *testing.T) {
	testutil.NoLeak(t)
	good := greys(t, 4)
	net, err := OpenNetwork("random:1", NetworkOptions{}, tensor.CPU)
	require.NoError(t, err)
	defer net.Close()
	byName := func(name string) Kind {
		return Kinds()[slices.IndexFunc(Kinds(), func(k Kind) bool { return k.Name == name })]
	}
	for name, choose := range map[string]func(p tab.ProductChannels, n int, epsilon float64) ([]int, error){
		"padim-twins": tab.ProductChannels.Choose, "padim-twins-rank": tab.ProductChannels.Rank,
	} {
		small := func(dataset.Transform) dataset.Transform { return dataset.Square(64) }
		p, err := byName(name).Plan(Choice{Net: net, Tune: small})
		require.NoError(t, err)
		require.Equal(t, evaluate.Seed{Number: 1}, p.Seed)
		made, err := p.New(evaluate.Seed{Number: 5})
		require.NoError(t, err)
		d := made.(*Adapter).SetScorer.(*chosenPaDiM)
		defer func() { require.NoError(t, d.Close()) }()
		require.EqualValues(t, 5, d.twins.Seed)
		require.Equal(t, tab.DefaultTwins().Draws, d.twins.Draws)
		d.twins.Draws, d.cfg.Reduced = 4, 20
		require.NoError(t, d.Fit(t.Context(), good))
		products, err := tab.MeasureChannels(t.Context(), net.Net, good, synth.DefaultMixture(), d.twins)
		require.NoError(t, err)
		want, err := choose(products[0], 20, downstream.DefaultPaDiM().Epsilon)
		require.NoError(t, err)
		slices.Sort(want)
		require.Equal(t, want, d.Config().Channels)
		path := filepath.Join(t.TempDir(), "d")
		require.NoError(t, d.Save(path))
		again, err := downstream.OpenPaDiM(t.Context(), path, net.Net)
		require.NoError(t, err)
		require.Equal(t, want, again.Config().Channels)
		require.NoError(t, again.Close())
	}
	// Layers of no more than a hundred channels leave no choice.
	_, err = byName("padim-twins").Plan(Choice{Net: net, Layers: []backbone.Layer{backbone.Layer1}})
	require.ErrorIs(t, err, downstream.ErrChannels)
}

// greys are good images of one class, grey with noise.
func greys(t *testing.T, n int) *dataset.Memory {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 5))
	var samples []dataset.Sample
	for i := range n {
		s := dataset.Sample{Image: image.NewRGBA(image.Rect(0, 0, 40, 32)),
			Item: dataset.Item{Name: fmt.Sprint(i), Class: "alpha", Split: dataset.Train, Defect: dataset.Good, Label: dataset.LabelGood}}
		for k := range 40 * 32 {
			v := uint8(140 + rng.IntN(20))
			s.Image.SetRGBA(k%40, k/40, color.RGBA{v, v, v - 10, 255})
		}
		samples = append(samples, s)
	}
	ds, err := dataset.NewMemory(samples)
	require.NoError(t, err)
	return ds
}
