package detectors_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/evaluate/detectors"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

// A probe gives what PaDiM, fitted and scored by hand, gives.
func TestProbe(t *testing.T) {
	testutil.NoLeak(t)
	root := testutil.Plant(t, 4, 2, false)
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	defer net.Close()
	cfg := downstream.DefaultPaDiM()
	cfg.Transform = dataset.Transform{}
	var classes []detectors.ProbeClass
	mean := 0.0
	for _, c := range testutil.PlantClasses() {
		train, err := dataset.OpenMVTecAD(root, c, dataset.Train)
		require.NoError(t, err)
		test, err := dataset.OpenMVTecAD(root, c, dataset.Test)
		require.NoError(t, err)
		classes = append(classes, detectors.ProbeClass{Class: c, Train: train, Test: test})
		d, err := downstream.NewPaDiM(net, cfg, nil)
		require.NoError(t, err)
		require.NoError(t, d.Fit(t.Context(), train))
		var scores []float64
		var defective []bool
		for s, err := range d.ScoreSet(t.Context(), test) {
			require.NoError(t, err)
			scores, defective = append(scores, s.Score), append(defective, s.IsDefective())
		}
		require.NoError(t, d.Close())
		a, err := metrics.AUROC(scores, defective)
		require.NoError(t, err)
		mean += a / 2
	}
	p, err := detectors.Probe(classes, cfg)
	require.NoError(t, err)
	got, err := p.Probe(t.Context(), net)
	require.NoError(t, err)
	require.Len(t, got, 3)
	require.Equal(t, "image AUROC cloth", got[0].Name)
	require.Equal(t, "image AUROC mean", got[2].Name)
	require.InDelta(t, mean, got[2].Value, 1e-12)

	none, err := dataset.Subset(classes[0].Train, nil)
	require.NoError(t, err)
	classes[0].Train = none
	classes[1].Test = dataset.Filter(classes[1].Test, dataset.Item.IsGood)
	_, err = detectors.Probe(classes, cfg)
	require.ErrorIs(t, err, dataset.ErrLayout)
	require.ErrorIs(t, err, metrics.ErrOneClass)
	require.ErrorContains(t, err, "steel")
	one, err := detectors.Probe(nil, cfg)
	require.NoError(t, err)
	got, err = one.Probe(t.Context(), net)
	require.NoError(t, err)
	require.Empty(t, got)
}
