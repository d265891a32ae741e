package inspect_test

import (
	"image"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/classify"
	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

// Every detector of package downstream goes into a bundle and comes back as it was.
func TestEveryDetector(t *testing.T) {
	noLeak(t)
	net := network(t)
	first := []backbone.Layer{backbone.Layer1}
	for name, fit := range map[string]func(t *testing.T) (downstream.Detector, error){
		"patchcore": func(t *testing.T) (downstream.Detector, error) {
			c := downstream.DefaultPatchCore()
			c.Layers, c.Transform = first, dataset.Square(side)
			return downstream.NewPatchCore(net, c, rand.New(rand.NewPCG(1, 1)))
		},
		"rd4ad": func(t *testing.T) (downstream.Detector, error) {
			c := downstream.DefaultRD4AD()
			c.Layers, c.Transform, c.Epochs = first, dataset.Square(side), 1
			return downstream.NewRD4AD(net, c, rand.New(rand.NewPCG(1, 1)))
		},
		"simplenet": func(t *testing.T) (downstream.Detector, error) {
			c := downstream.DefaultSimpleNet()
			c.Layers, c.Transform, c.Epochs, c.LayerDim, c.Dim, c.Hidden = first, dataset.Square(side), 1, 0, 0, 8
			return downstream.NewSimpleNet(net, c, rand.New(rand.NewPCG(1, 1)))
		},
		"regad": func(t *testing.T) (downstream.Detector, error) {
			c := downstream.DefaultRegAD()
			c.Layers, c.Transform, c.Epochs, c.Hidden, c.Shots, c.Queries, c.TrainedTarget = first, dataset.Square(side), 0, 8, 2, 4, true
			r, err := downstream.NewRegAD(net, c, rand.New(rand.NewPCG(1, 1)))
			if err != nil {
				return nil, err
			}
			return r, r.Train(t.Context(), set(t, plates(6, 8)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			det, err := fit(t)
			require.NoError(t, err)
			defer func() { require.NoError(t, det.Close()) }()
			spec := realSpec(net)
			path := filepath.Join(t.TempDir(), name)
			require.ErrorIs(t, inspect.Create(t.Context(), path, det, spec), downstream.ErrNotFitted)
			require.NoError(t, det.Fit(t.Context(), set(t, plates(4, 1))))
			require.ErrorIs(t, inspect.Create(t.Context(), path, det, spec), downstream.ErrNotCalibrated)
			_, err = det.Calibrate(t.Context(), set(t, plates(10, 2)), metrics.Conformal(0.2))
			require.NoError(t, err)
			if name == "regad" {
				spec.Backbone = nil
			}
			require.NoError(t, inspect.Create(t.Context(), path, det, spec))
			b, err := inspect.Open(t.Context(), path)
			require.NoError(t, err)
			defer func() { require.NoError(t, b.Close()) }()
			require.NoError(t, b.Verify(t.Context()))
			require.Equal(t, name, b.Info().Detector)
			img := plates(1, 4)[0]
			want, err := det.Score(t.Context(), img)
			require.NoError(t, err)
			got, err := b.Decide(t.Context(), img)
			require.NoError(t, err)
			require.InEpsilon(t, want[0].Score, got[0].Score, 1e-5)
			require.Equal(t, name != "regad", inspect.SharedNets() == 1)
		})
	}
}

// A classifier names what is rejected, with a backbone that it shares or with its own.
func TestClassifierNamesDefects(t *testing.T) {
	noLeak(t)
	net := network(t)
	p := fittedPaDiM(t, net)
	_, err := p.Calibrate(t.Context(), set(t, plates(20, 2)), metrics.Overkill(0.1))
	require.NoError(t, err)
	var samples []dataset.Sample
	for i, img := range plates(4, 6) {
		item := dataset.Item{Class: "plate", Defect: "bar", Label: dataset.LabelDefective}
		picture := scratched(img)
		if i%2 == 0 {
			item.Defect, picture = "speck", image.NewRGBA(img.Bounds())
		}
		samples = append(samples, dataset.Sample{Item: item, Image: picture})
	}
	ds, err := dataset.NewMemory(samples)
	require.NoError(t, err)
	labelled, err := classify.ByDefect(ds, []string{"bar", "speck"})
	require.NoError(t, err)
	for _, frozen := range []bool{true, false} {
		cfg := classify.Default()
		cfg.Frozen, cfg.Epochs, cfg.Batch, cfg.Transform, cfg.LR = frozen, 1, 4, dataset.Square(side), 0.05
		cfg.Warmup = 0
		if frozen {
			cfg.Epochs = 30
		}
		c, err := classify.New(net, cfg, rand.New(rand.NewPCG(1, 1)))
		require.NoError(t, err)
		defer func() { require.NoError(t, c.Close()) }()
		spec := realSpec(net)
		spec.Classifier = c
		path := filepath.Join(t.TempDir(), "plate")
		require.ErrorIs(t, inspect.Create(t.Context(), path, p, spec), downstream.ErrNotFitted)
		require.NoError(t, c.Fit(t.Context(), labelled))
		require.NoError(t, inspect.Create(t.Context(), path, p, spec))
		b, err := inspect.Open(t.Context(), path, inspect.OnDevice(tensor.CPU))
		require.NoError(t, err)
		good, bad := plates(1, 4)[0], scratched(plates(1, 7)[0])
		got, err := b.Decide(t.Context(), good, bad)
		require.NoError(t, err)
		require.Empty(t, got[0].Defects)
		require.Len(t, got[1].Defects, 2)
		require.GreaterOrEqual(t, got[1].Defects[0].Probability, got[1].Defects[1].Probability)
		require.InDelta(t, 1, got[1].Defects[0].Probability+got[1].Defects[1].Probability, 1e-5)
		if frozen {
			require.Equal(t, "bar", got[1].Defects[0].Name)
		}
		require.NoError(t, b.Close())
	}
}
