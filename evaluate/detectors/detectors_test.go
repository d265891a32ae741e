package detectors_test

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/detectors"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

// plates are small grey pictures of a class, the defective ones with a dark square.
func plates(t *testing.T, class string) (train, test *dataset.Memory) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, uint64(len(class))))
	make := func(split string, i int, defect bool) dataset.Sample {
		s := dataset.Sample{Image: image.NewRGBA(image.Rect(0, 0, 40, 32)),
			Item: dataset.Item{Name: fmt.Sprintf("%s/%s/%d", class, split, i), Class: class, Split: split, Defect: dataset.Good, Label: dataset.LabelGood}}
		if defect {
			s.Defect, s.Label, s.Mask = "hole", dataset.LabelDefective, image.NewGray(s.Image.Rect)
		}
		for y := range 32 {
			for x := range 40 {
				v := uint8(140 + rng.IntN(20))
				if defect && x >= 14 && x < 22 && y >= 10 && y < 18 {
					v = 20
					s.Mask.SetGray(x, y, color.Gray{Y: 255})
				}
				s.Image.SetRGBA(x, y, color.RGBA{v, v, v - 10, 255})
			}
		}
		return s
	}
	var good, mixed []dataset.Sample
	for i := range 4 {
		good = append(good, make(dataset.Train, i, false))
		mixed = append(mixed, make(dataset.Test, i, i%2 == 1))
	}
	train, err := dataset.NewMemory(good)
	require.NoError(t, err)
	test, err = dataset.NewMemory(mixed)
	require.NoError(t, err)
	return train, test
}

func randomNet(t *testing.T) *detectors.Network {
	t.Helper()
	n, err := detectors.OpenNetwork("random:5", detectors.NetworkOptions{}, tensor.CPU)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	return n
}

func small(t dataset.Transform) dataset.Transform {
	return dataset.Transform{Exact: image.Pt(64, 64), Filter: t.Filter}
}

// A detector that a program has set up itself gives what the method of its name gives.
func TestADetectorOfOnesOwn(t *testing.T) {
	train, test := plates(t, "alpha")
	net := randomNet(t)
	told := 0
	m, err := detectors.PaDiM(detectors.Choice{Net: net, Tune: small, Progress: func(downstream.Progress) { told++ }})
	require.NoError(t, err)
	require.Equal(t, evaluate.Seed{Reference: true}, m.Seed)
	trial := evaluate.Trial{Method: m, Seed: evaluate.Seed{Number: 3}, Train: train, Test: test}
	named, err := evaluate.Run(t.Context(), trial)
	require.NoError(t, err)
	live := tensor.Live() // with what the network keeps packed
	require.Positive(t, told)
	require.Equal(t, "random:5", named.Record.Weights)
	require.Equal(t, []string{"layer1", "layer2", "layer3"}, named.Record.Layers)

	cfg := downstream.DefaultPaDiM()
	cfg.Transform, cfg.Channels, cfg.Reduced = small(cfg.Transform), nil, 100
	trial.Method = evaluate.Method{Name: "own", Protocol: m.Protocol, New: func(s evaluate.Seed) (evaluate.Detector, error) {
		d, err := downstream.NewPaDiM(net.Net, cfg, s.Rand())
		return detectors.Of(d), err
	}}
	own, err := evaluate.Run(t.Context(), trial, evaluate.WithDetector(func(ctx context.Context, d evaluate.Detector, o *evaluate.Outcome) error {
		// One image has the score and the map of the set.
		s, err := test.Sample(ctx, 1)
		require.NoError(t, err)
		r, err := d.Score(ctx, s.Image)
		require.NoError(t, err)
		require.InEpsilon(t, o.Scores[1], r.Score, 1e-4)
		require.Equal(t, [2]int{64, 64}, [2]int{r.Map.W, r.Map.H})
		return nil
	}))
	require.NoError(t, err)
	require.Equal(t, named.Scores, own.Scores)
	require.Equal(t, *named.Record.AUPRO, *own.Record.AUPRO)
	require.Equal(t, live, tensor.Live(), "native tensors were leaked")
}

// RegAD trains once a class, whatever the support set, and again for another class.
func TestRegADTrainsOnceAClass(t *testing.T) {
	m, err := detectors.RegAD(detectors.Choice{Net: randomNet(t), Tune: small, Epochs: 1, Shots: 2})
	require.NoError(t, err)
	require.True(t, m.Others)
	a, aTest := plates(t, "alpha")
	b, bTest := plates(t, "beta")
	live := tensor.Live()
	var trained []int
	scores := map[float64]bool{}
	for _, c := range []struct {
		train, test, others dataset.Dataset
		seed                uint64
	}{{a, aTest, b, 1}, {a, aTest, b, 2}, {b, bTest, a, 1}} {
		o, err := evaluate.Run(t.Context(), evaluate.Trial{Method: m, Seed: evaluate.Seed{Number: c.seed}, Train: c.train, Test: c.test, Others: c.others})
		require.NoError(t, err)
		require.Equal(t, 2, o.Record.FitImages)
		trained = append(trained, o.Record.TrainImages)
		scores[o.Scores[0]] = true
	}
	require.Equal(t, []int{12, 0, 12}, trained, "four images with three looks at each")
	require.Len(t, scores, 3)
	require.Equal(t, live, tensor.Live(), "native tensors were leaked")
}

func TestMethodsFollowTheArticles(t *testing.T) {
	for _, arch := range backbone.Archs() {
		net := &detectors.Network{Net: new(backbone.ResNet), Arch: arch}
		deep := arch == backbone.ArchResNet50 || arch == backbone.ArchWideResNet50
		p, err := detectors.PaDiM(detectors.Choice{Net: net})
		require.NoError(t, err)
		require.Equal(t, map[bool]int{false: 100, true: 550}[deep], p.Settings.(downstream.PaDiMConfig).Reduced)
		require.Equal(t, arch == backbone.ArchResNet18, p.Seed.Reference)
		c, err := detectors.PatchCore(detectors.Choice{Net: net, Layers: []backbone.Layer{backbone.Layer2, backbone.Layer3, backbone.Layer4}})
		require.NoError(t, err)
		require.NoError(t, c.Settings.(downstream.PatchCoreConfig).Validate())
		require.Equal(t, map[bool]int{false: 0, true: 1023}[deep], c.Settings.(downstream.PatchCoreConfig).Dim)
	}
	masks := map[string]string{}
	for _, k := range detectors.Kinds() {
		m, err := k.Plan(detectors.Choice{Net: &detectors.Network{Net: new(backbone.ResNet)}, Epochs: 3, Shots: 2})
		require.NoError(t, err)
		require.NoError(t, m.Validate())
		require.Equal(t, k.Name, m.Name)
		require.Equal(t, k.Trains, m.Epochs > 0)
		require.Equal(t, k.Shots, m.Shots > 0)
		if !m.Others {
			tiled, err := detectors.Tiled(m, dataset.DefaultTiles())
			require.NoError(t, err)
			require.NoError(t, tiled.Validate())
			require.Contains(t, tiled.Protocol.Seen(), "tiles of the shorter side")
		}
		masks[k.Name] = m.Protocol.Mask + ", " + m.Protocol.Epoch
		_, err = k.Plan(detectors.Choice{})
		require.ErrorIs(t, err, downstream.ErrConfig, "there is no network")
	}
	require.Equal(t, map[string]string{
		"padim":                  metrics.MaskNearest + ", " + metrics.EpochNone,
		"padim-twins":            metrics.MaskNearest + ", " + metrics.EpochNone,
		"padim-twins-rank":       metrics.MaskNearest + ", " + metrics.EpochNone,
		"patchcore":              metrics.MaskNearest + ", " + metrics.EpochNone,
		"rd4ad":                  metrics.MaskBilinearHalf + ", " + metrics.EpochLast,
		"simplenet":              metrics.MaskBilinearOne + ", " + metrics.EpochLast,
		"simplenet-best-on-test": metrics.MaskBilinearOne + ", " + metrics.EpochBestOnTest,
		"regad":                  metrics.MaskNearest + ", " + metrics.EpochLast,
	}, masks)
}

// A method that chooses the images that it learns from sees no tiles.
func TestTilesOfMethodsThatChoose(t *testing.T) {
	for _, k := range detectors.Kinds() {
		m, err := k.Plan(detectors.Choice{Net: randomNet(t), Tune: small})
		require.NoError(t, err)
		tiled, err := detectors.Tiled(m, dataset.DefaultTiles())
		if err == nil {
			var d evaluate.Detector
			if d, err = tiled.New(evaluate.Seed{Number: 1}); err == nil {
				require.NoError(t, d.Close())
			}
		}
		if k.Chooses {
			require.ErrorIs(t, err, downstream.ErrConfig, k.Name)
		} else {
			require.NoError(t, err, k.Name)
		}
	}
	_, err := detectors.Tiled(evaluate.Method{}, dataset.Tiles{})
	require.ErrorIs(t, err, downstream.ErrConfig)
}

// A network is opened for what its methods read: what a kind says it reads is what it plans with, and the network has it.
func TestNetworkForLayersOfKinds(t *testing.T) {
	net := randomNet(t)
	file := filepath.Join(t.TempDir(), "net.safetensors")
	require.NoError(t, net.Net.Save(file))
	for _, k := range detectors.Kinds() {
		m, err := k.Plan(detectors.Choice{Net: net})
		require.NoError(t, err, k.Name)
		var names []string
		for _, l := range k.Layers {
			names = append(names, l.String())
		}
		require.Equal(t, m.Layers, names, k.Name)
	}
	all := detectors.LayersOf(detectors.Kinds(), nil)
	require.Equal(t, []backbone.Layer{backbone.Layer1, backbone.Layer2, backbone.Layer3}, all)
	require.Equal(t, []backbone.Layer{backbone.Layer4}, detectors.LayersOf(detectors.Kinds(), []backbone.Layer{backbone.Layer4}))
	require.Empty(t, detectors.LayersOf(nil, nil))
	before := tensor.Live()
	n, err := detectors.OpenNetwork(file, detectors.NetworkOptions{Layers: all}, tensor.CPU)
	require.NoError(t, err)
	require.Zero(t, n.Net.Channels(backbone.Layer4))
	require.Less(t, tensor.Live()-before, int64(len(net.Net.Params().Names())), "what is beyond was not made")
	require.NoError(t, n.Close())
	require.Equal(t, before, tensor.Live())
}

func TestOpenNetwork(t *testing.T) {
	net := randomNet(t)
	file := filepath.Join(t.TempDir(), "net.safetensors")
	require.NoError(t, net.Net.Save(file))
	n, err := detectors.OpenNetwork(file, detectors.NetworkOptions{}, tensor.CPU)
	require.NoError(t, err)
	require.Equal(t, "net.safetensors", n.Weights)
	require.Len(t, n.SHA256, 64)
	require.Equal(t, backbone.ArchResNet18, n.Arch)
	require.NoError(t, n.Close())
	require.NoError(t, (*detectors.Network)(nil).Close())
	for name, c := range map[string]struct {
		weights string
		o       detectors.NetworkOptions
		is      error
	}{
		"other architecture": {file, detectors.NetworkOptions{Arch: "resnet50"}, backbone.ErrArch},
		"no architecture":    {"random", detectors.NetworkOptions{Arch: "resnet101"}, backbone.ErrArch},
		"no seed":            {"random:x", detectors.NetworkOptions{}, downstream.ErrConfig},
		"no file":            {file + "x", detectors.NetworkOptions{}, os.ErrNotExist},
	} {
		live := tensor.Live()
		n, err := detectors.OpenNetwork(c.weights, c.o, tensor.CPU)
		require.ErrorIs(t, err, c.is, name)
		require.Nil(t, n, name)
		require.Equal(t, live, tensor.Live(), name)
	}
}
