package tab_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"log/slog"
	"math"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

// room is the side of images for dense objectives: of 64 pixels the border of 16
// leaves 32.
const room = 64

// panels is a small data set of two classes of larger pictures.
func panels(t testing.TB, each int) dataset.Dataset {
	t.Helper()
	rng := rand.New(rand.NewPCG(8, 9))
	var s []dataset.Sample
	for _, c := range names {
		for i := range each {
			s = append(s, dataset.Sample{Item: dataset.Item{Name: fmt.Sprintf("%s/%03d", c, i), Class: c, Split: dataset.Train, Defect: dataset.Good, Label: dataset.LabelGood}, Image: large(room+16, rng)})
		}
	}
	ds, err := dataset.NewMemory(s)
	require.NoError(t, err)
	return ds
}

// recipe is Recommended for few small pictures.
func recipe() tab.Config {
	c := tab.Recommended()
	c.Transform = dataset.Square(room + 8)
	c.Crop, c.Batch, c.Repeat, c.Steps, c.Workers = room, 4, 1, 4, 2
	c.Schedule.WarmupSteps = 2
	c.Jitter.Share = 0.5
	return c
}

// dent damages a square in the middle, so that some cell is always anomalous.
type dent struct{}

func (dent) Generate(dst, _ image.Image, rng *rand.Rand) (synth.Pair, error) {
	d := dst.(*image.RGBA)
	p := synth.Pair{Image: image.NewRGBA(d.Rect), Mask: image.NewGray(d.Rect)}
	copy(p.Image.Pix, d.Pix)
	y0, x0 := d.Rect.Dy()/2-8+rng.IntN(8), d.Rect.Dx()/2-8+rng.IntN(8)
	for y := y0; y < y0+8; y++ {
		for x := x0; x < x0+8; x++ {
			i := p.Image.PixOffset(x, y)
			p.Image.Pix[i] ^= 0x50
			p.Mask.Pix[p.Mask.PixOffset(x, y)] = 255
		}
	}
	return p, nil
}

func trainer(t testing.TB, v tab.VisualEncoder, c tab.Config) *tab.Pretrainer {
	t.Helper()
	p, err := tab.New(tab.Parts{Visual: v, Anchors: bank(t, 16), Synth: dent{}}, c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// denseObjectives are those that look at stages, alone and together.
func denseObjectives() map[string]tab.Objective {
	focal := tab.DefaultDense()
	focal.Count = tab.DenseFocal
	return map[string]tab.Objective{
		"keep": tab.DefaultKeep(), "amplify": tab.DefaultAmplify(), "dense": tab.DefaultDense(), "focal": focal,
		"recipe": tab.Recommended().Objective,
		"pooled": tab.Mix{{1, tab.Joint()}, {0.5, tab.DefaultKeep()}, {1, tab.Classification{}}},
	}
}

func TestDenseObjectivesResumeBitForBit(t *testing.T) {
	testutil.NoLeak(t)
	ds := panels(t, 4) // two batches an epoch, so that step 3 is in the middle of the second
	for name, o := range denseObjectives() {
		t.Run(name, func(t *testing.T) {
			c := recipe()
			c.Objective = o
			c.StartDecay = 0.1
			whole := network(t)
			before := arrays(t, whole)
			want := run(t, trainer(t, whole, c), ds, 0)
			require.Len(t, want, 4)
			if name != "keep" { // alone it has nothing to correct
				require.NotEqual(t, before, arrays(t, whole))
			}

			path := filepath.Join(t.TempDir(), "run.ckpt")
			first := trainer(t, network(t), c)
			got := run(t, first, ds, 3)
			require.NoError(t, first.SaveCheckpoint(path))
			second := network(t)
			q, err := tab.Resume(path, tab.Parts{Visual: second, Synth: dent{}})
			require.NoError(t, err)
			defer func() { require.NoError(t, q.Close()) }()
			require.Equal(t, o, q.Config().Objective)
			require.Equal(t, want, append(got, run(t, q, ds, 0)...))
			require.Equal(t, arrays(t, whole), arrays(t, second))
		})
	}
}

func TestRecipeAmplifiesAndKeeps(t *testing.T) {
	testutil.NoLeak(t)
	c := recipe()
	c.Steps, c.Jitter.Share = 16, 0
	var first, last float64
	for st, err := range trainer(t, network(t), c).Steps(t.Context(), panels(t, 4)) {
		require.NoError(t, err)
		if st.Number <= 4 {
			first += st.Loss / 4
		}
		if st.Number > 12 {
			last += st.Loss / 4
		}
	}
	require.Less(t, last, first)
}

// Some steps tell the parts of their loss and how far damage has been pushed, which
// changes nothing.
func TestIndicators(t *testing.T) {
	testutil.NoLeak(t)
	ds := panels(t, 4)
	var losses [2][]float64
	for k, every := range []int{0, 3} {
		c := recipe()
		c.Steps, c.Jitter.Share, c.IndicatorsEvery = 6, 0, every
		var log bytes.Buffer
		p, err := tab.New(tab.Parts{Visual: network(t), Anchors: bank(t, 16), Synth: dent{}}, c, tab.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		require.NoError(t, err)
		told := 0
		for st, err := range p.Steps(t.Context(), ds) {
			require.NoError(t, err)
			losses[k] = append(losses[k], st.Loss)
			if every == 0 || st.Number != 1 && st.Number%3 != 0 {
				require.Empty(t, st.Indicators)
				continue
			}
			told++
			value := map[string]float64{}
			var names []string
			for _, m := range st.Indicators {
				value[m.Name] = m.Value
				names = append(names, m.Name)
			}
			require.Equal(t, []string{"ln q/q0 layer1", "ln q/q0 layer2", "ln q/q0 layer3", "amplify", "dense", "keep"}, names)
			require.InEpsilon(t, st.Loss, value["amplify"]+0.3*value["dense"]+value["keep"], 1e-5)
			for _, n := range names[:3] {
				if st.Number == 1 {
					require.InDelta(t, 0, value[n], 1e-5, n)
				} else {
					require.NotZero(t, value[n], n)
				}
			}
		}
		require.Equal(t, told, strings.Count(log.String(), "msg=indicators"), log.String())
		require.NoError(t, p.Close())
	}
	require.Equal(t, losses[0], losses[1])
}

// At the start nothing has moved, so there is nothing to keep.
func TestKeepIsZeroAtTheStart(t *testing.T) {
	testutil.NoLeak(t)
	for _, separate := range []bool{false, true} {
		c := recipe()
		c.Objective, c.SeparatePasses = tab.DefaultKeep(), separate
		losses := run(t, trainer(t, network(t), c), panels(t, 4), 1)
		require.Zero(t, losses[0])
	}
}

// watched remembers what it was asked for.
type watched struct {
	*backbone.ResNet18
	asked map[backbone.Layer]bool
}

func (w watched) Forward(s *tensor.Scope, x *tensor.Tensor, at ...backbone.Layer) []*tensor.Tensor {
	for _, l := range at {
		w.asked[l] = true
	}
	return w.ResNet18.Forward(s, x, at...)
}

func TestLayer4IsNotComputedWhereNothingReadsIt(t *testing.T) {
	testutil.NoLeak(t)
	for name, o := range denseObjectives() {
		w := watched{network(t), map[backbone.Layer]bool{}}
		before := arrays(t, w.ResNet18)
		c := recipe()
		c.Objective, c.Steps = o, 1
		for l := range c.Stages {
			c.Stages[l] = tab.Stage{Rate: 1} // statistics would move if anything went through
		}
		run(t, trainer(t, w, c), panels(t, 4), 0)
		pooled := name == "pooled"
		require.Equal(t, pooled, w.asked[backbone.Pooled], name)
		require.False(t, w.asked[backbone.Layer4], name)
		moved := false
		for i, a := range arrays(t, w.ResNet18) {
			if string(a.Data) != string(before[i].Data) && a.Name[:6] == "layer4" {
				moved = true
			}
		}
		require.Equal(t, pooled, moved, name)
	}
	// A network that ends with layer 3 can be trained then.
	whole := network(t)
	short, err := backbone.FromStages(&tensor.Weights{Arrays: arrays(t, whole)}, backbone.ArchResNet18, backbone.Layer3, tensor.CPU)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, short.Close()) })
	c := recipe()
	c.Steps, c.StartDecay = 1, 0.1
	run(t, trainer(t, short, c), panels(t, 4), 0)
	c.Objective = tab.Joint()
	_, err = tab.New(tab.Parts{Visual: short, Anchors: bank(t, 16), Synth: dent{}}, c)
	require.ErrorIs(t, err, tab.ErrConfig)
}

// The decay is an update of its own: w - rate decay (w - start).
func TestDecayTowardsTheStart(t *testing.T) {
	testutil.NoLeak(t)
	ds := panels(t, 4)
	weights := func(decay float64) map[string][]float32 {
		m := network(t)
		c := recipe()
		c.Objective, c.Steps, c.Schedule, c.Jitter.Share = tab.Joint(), 1, tab.Schedule{}, 0
		c.Optimizer = tab.DefaultConfig().Optimizer
		c.LR, c.StartDecay = 0.01, decay
		run(t, trainer(t, m, c), ds, 0)
		out := map[string][]float32{}
		for _, a := range arrays(t, m) {
			if a.DType == tensor.Float32 {
				v, err := a.Floats()
				require.NoError(t, err)
				out[a.Name] = v
			}
		}
		return out
	}
	start := map[string][]float32{}
	for _, a := range arrays(t, network(t)) {
		if a.DType == tensor.Float32 {
			v, err := a.Floats()
			require.NoError(t, err)
			start[a.Name] = v
		}
	}
	free, held := weights(0), weights(20)
	for name, rate := range map[string]float64{"layer1.0.conv1.weight": 0.3, "layer2.0.bn1.weight": 0.6, "layer3.1.conv2.weight": 1, "conv1.weight": 0} {
		moved := false
		for i, w := range held[name] {
			want := float64(free[name][i]) - 0.01*rate*20*(float64(free[name][i])-float64(start[name][i]))
			require.InDelta(t, want, float64(w), 1e-7, name)
			moved = moved || w != free[name][i]
		}
		require.Equal(t, rate > 0, moved, name)
	}
}

func TestStepsAreCounted(t *testing.T) {
	testutil.NoLeak(t)
	ds := panels(t, 6) // three batches an epoch
	c := recipe()
	c.Steps, c.Schedule = 7, tab.Schedule{Cosine: true, WarmupSteps: 3, Min: 0.1}
	c.ProbeEvery = 2
	var probed []int
	m := network(t)
	p, err := tab.New(tab.Parts{Visual: m, Anchors: bank(t, 16), Synth: dent{}, Probe: tab.ProbeFunc(func(context.Context, tab.VisualEncoder) ([]tab.Measure, error) {
		probed = append(probed, 0)
		return nil, nil
	})}, c)
	require.NoError(t, err)
	defer p.Close()
	var got [][3]int
	for st, err := range p.Steps(t.Context(), ds) {
		require.NoError(t, err)
		got = append(got, [3]int{st.Epoch, st.Batch, st.Batches})
		i := float64(len(got) - 1)
		want := min(1, (i+1)/3) * (0.1 + 0.9*(1+math.Cos(math.Pi*i/7))/2)
		require.InDelta(t, c.LR*want, st.LR, 1e-12)
	}
	require.Equal(t, [][3]int{{0, 0, 3}, {0, 1, 3}, {0, 2, 3}, {1, 0, 3}, {1, 1, 3}, {1, 2, 3}, {2, 0, 1}}, got)
	require.Len(t, probed, 2, "after epoch 2 and at the end")
	require.Empty(t, run(t, p, ds, 0), "the run is over")
}

func TestStepsOfTheirOwnNeedTheMetric(t *testing.T) {
	testutil.NoLeak(t)
	p := trainer(t, network(t), recipe())
	require.ErrorIs(t, p.MeasureProducts(t.Context(), panels(t, 4)), tab.ErrNotPrepared)
	require.NoError(t, p.Prepare(t.Context(), names))
	n := 2 * room * room
	b := tab.Batch{H: room, W: room, Class: []int{0, 1}, Normal: make([]float32, 3*n), Abnormal: make([]float32, 3*n), Masks: make([]uint8, n)}
	for i := range b.Normal {
		b.Normal[i] = float32(i % 11)
		b.Abnormal[i] = b.Normal[i]
	}
	_, err := p.Step(t.Context(), b)
	require.ErrorIs(t, err, tab.ErrNotPrepared)
	require.ErrorContains(t, err, "MeasureProducts")
	require.NoError(t, p.MeasureProducts(t.Context(), panels(t, 4)))
	// Twins that nobody damaged count as normal: nothing is pushed, and text still has something to say.
	st, err := p.Step(t.Context(), b)
	require.NoError(t, err)
	require.Greater(t, st.Loss, 0.0)
	b.Masks = nil
	_, err = p.Step(t.Context(), b)
	require.ErrorContains(t, err, "Masks")

	single, err := dataset.NewImages("cloth", large(room+16, rand.New(rand.NewPCG(1, 1))))
	require.NoError(t, err)
	c := recipe()
	c.Repeat = 4
	_, err = trainer(t, network(t), c).Fit(t.Context(), single)
	require.ErrorIs(t, err, tab.ErrConfig)
	require.ErrorContains(t, err, "4 or more")
	c.Crop = 512
	_, err = trainer(t, network(t), c).Fit(t.Context(), panels(t, 4))
	require.ErrorIs(t, err, tab.ErrConfig)
	require.ErrorContains(t, err, "Crop")
	c.Crop = 32 // nothing is left beside the border
	_, err = trainer(t, network(t), c).Fit(t.Context(), panels(t, 4))
	require.ErrorIs(t, err, tab.ErrConfig)
	require.ErrorContains(t, err, "border")
}

// plainEncoder cannot say what it is made of.
type plainEncoder struct{ tab.VisualEncoder }

func (plainEncoder) FreezeStatistics(func(backbone.Layer) bool) {}

func TestRecipesThatMakeNoSense(t *testing.T) {
	testutil.NoLeak(t)
	m := network(t)
	ok := tab.Recommended()
	require.NoError(t, ok.Validate())
	layers := []backbone.Layer{backbone.Layer2}
	for name, o := range map[string]tab.Objective{
		"no layers":      tab.Keep{},
		"twice":          tab.Keep{Layers: append(layers, layers...)},
		"pooled":         tab.Keep{Layers: []backbone.Layer{backbone.Pooled}},
		"tail":           tab.Keep{Layers: layers, Tail: -1},
		"tail nan":       tab.Keep{Layers: layers, Tail: math.NaN()},
		"gain":           tab.Amplify{Layers: layers, Cap: 1, Softness: 1},
		"cap":            tab.Amplify{Layers: layers, Gain: 1, Softness: 1},
		"softness":       tab.Amplify{Layers: layers, Gain: 1, Cap: 1, Softness: math.Inf(1)},
		"amplify layers": tab.Amplify{Gain: 1, Cap: 1, Softness: 1},
		"dense layers":   tab.Dense{Scale: 1, Count: tab.DenseFocal},
		"dense count":    tab.Dense{Layers: layers, Scale: 1, Count: "none"},
		"dense scale":    tab.Dense{Layers: layers, Count: tab.DenseBalanced},
		"empty":          tab.Mix{},
		"nothing":        tab.Mix{{1, nil}},
		"weight":         tab.Mix{{0, tab.Joint()}},
		"same twice":     tab.Mix{{1, tab.Joint()}, {2, tab.Joint()}},
		"bad part":       tab.Mix{{1, tab.Keep{}}},
	} {
		c := ok
		c.Objective = o
		require.ErrorIs(t, c.Validate(), tab.ErrConfig, name)
	}
	for name, change := range map[string]func(*tab.Config){
		"steps":        func(c *tab.Config) { c.Steps = -1 },
		"decay":        func(c *tab.Config) { c.StartDecay = math.NaN() },
		"crop":         func(c *tab.Config) { c.Crop = 31 },
		"share":        func(c *tab.Config) { c.Jitter.Share = 1.1 },
		"brightness":   func(c *tab.Config) { c.Jitter.Brightness = -1 },
		"contrast":     func(c *tab.Config) { c.Jitter.Contrast = 2 },
		"metric count": func(c *tab.Config) { c.Metric.Images = 3 },
		"ridge":        func(c *tab.Config) { c.Metric.Ridge = 0 },
		"form":         func(c *tab.Config) { c.Metric.Form = "round" },
		"indicators":   func(c *tab.Config) { c.IndicatorsEvery = -1 },
		"warm-up":      func(c *tab.Config) { c.Schedule.Warmup = 1 },
		"warm-up < 0":  func(c *tab.Config) { c.Schedule.WarmupSteps = -1 },
		"period":       func(c *tab.Config) { c.Schedule.Period = 3 },
	} {
		c := ok
		change(&c)
		require.ErrorIs(t, c.Validate(), tab.ErrConfig, name)
	}
	_, err := tab.New(tab.Parts{Visual: plainEncoder{m}, Anchors: bank(t, 8), Synth: dent{}}, ok)
	require.ErrorIs(t, err, tab.ErrConfig)
	require.ErrorContains(t, err, "frozen copy")
	// An objective that asks for what cannot be.
	for _, n := range []tab.Needs{{NoPooled: true}, {Cells: true, Stages: layers}, {Metric: true}, {Start: true}, {Twin: true, Stages: layers, Start: true, Cells: true, WithinSpread: true}, {Anchors: true, Project: true, NoPooled: true, Stages: layers}} {
		c := ok
		c.Objective = asking{spot{}, n}
		require.ErrorIs(t, c.Validate(), tab.ErrConfig)
	}
}

type asking struct {
	spot
	needs tab.Needs
}

func (a asking) Needs() tab.Needs { return a.needs }

func TestMixTakesWhatItsPartsNeed(t *testing.T) {
	m := tab.Mix{{1, tab.Joint()}, {2, tab.DefaultKeep()}, {0.5, tab.Dense{Layers: []backbone.Layer{backbone.Layer4}}}}
	n := m.Needs()
	require.True(t, n.Twin && n.Masks && n.Anchors && n.Project && n.Start && n.Cells && n.Metric)
	require.False(t, n.NoPooled)
	require.Equal(t, []backbone.Layer{backbone.Layer1, backbone.Layer2, backbone.Layer3, backbone.Layer4}, n.Stages)
	require.True(t, m[1:].Needs().NoPooled)
	require.Equal(t, "mix(1 joint + 2 keep + 0.5 dense)", m.Name())
}

func TestOwnObjectiveInAMixIsResumedByOption(t *testing.T) {
	testutil.NoLeak(t)
	path := filepath.Join(t.TempDir(), "run.ckpt")
	c := config()
	c.Objective = tab.Mix{{1, spot{}}, {1, tab.Joint()}}
	p := pretrainer(t, network(t), c)
	run(t, p, material(t, 4), 1)
	require.NoError(t, p.SaveCheckpoint(path))
	_, err := tab.Resume(path, tab.Parts{Visual: network(t), Synth: generator()})
	require.ErrorIs(t, err, tab.ErrCheckpoint)
	require.ErrorContains(t, err, "WithObjective")
	q, err := tab.Resume(path, tab.Parts{Visual: network(t), Synth: generator()}, tab.WithObjective(c.Objective))
	require.NoError(t, err)
	require.NoError(t, q.Close())
}

func TestInterpolate(t *testing.T) {
	testutil.NoLeak(t)
	ctx := t.Context()
	start, end := network(t), network(t)
	c := recipe()
	c.Steps = 2
	run(t, trainer(t, end, c), panels(t, 4), 0)
	from, to := arrays(t, start), arrays(t, end)
	dst := network(t)
	at := func(a float64) []tensor.Array {
		require.NoError(t, tab.Interpolate(ctx, dst.Params(), start.Params(), end.Params(), a))
		return arrays(t, dst)
	}
	require.Equal(t, from, at(0))
	require.Equal(t, to, at(1))
	moved := 0
	for i, x := range at(0.25) {
		if string(from[i].Data) == string(to[i].Data) {
			require.Equal(t, from[i], x)
			continue
		}
		moved++
		u, err := from[i].Floats()
		require.NoError(t, err)
		v, err := to[i].Floats()
		require.NoError(t, err)
		w, err := x.Floats()
		require.NoError(t, err)
		for j := range w {
			require.Equal(t, float32(0.75*float64(u[j])+0.25*float64(v[j])), w[j])
		}
	}
	require.Greater(t, moved, 20)

	// In place.
	require.NoError(t, tab.Interpolate(ctx, end.Params(), start.Params(), end.Params(), 0.25))
	require.Equal(t, arrays(t, dst), arrays(t, end))

	for _, a := range []float64{-0.1, 1.1, math.NaN()} {
		require.ErrorIs(t, tab.Interpolate(ctx, dst.Params(), start.Params(), end.Params(), a), tab.ErrConfig)
	}
	short, err := backbone.FromStages(&tensor.Weights{Arrays: from}, backbone.ArchResNet18, backbone.Layer3, tensor.CPU)
	require.NoError(t, err)
	defer short.Close()
	before := arrays(t, dst)
	for _, pair := range [][2]*tensor.Params{{start.Params(), short.Params()}, {short.Params(), start.Params()}} {
		err := tab.Interpolate(ctx, dst.Params(), pair[0], pair[1], 0.5)
		require.ErrorIs(t, err, tab.ErrConfig)
		require.ErrorContains(t, err, "layer4")
	}
	require.ErrorIs(t, tab.Interpolate(ctx, short.Params(), start.Params(), end.Params(), 0.5), tab.ErrConfig, "dst has other names")
	require.Equal(t, before, arrays(t, dst))

	// Statistics that training has moved are refused.
	free := network(t)
	run(t, pretrainer(t, free, config()), material(t, 4), 1)
	err = tab.Interpolate(ctx, dst.Params(), start.Params(), free.Params(), 0.5)
	require.ErrorIs(t, err, tab.ErrConfig)
	require.ErrorContains(t, err, "frozen")
	require.Equal(t, before, arrays(t, dst))
}

func TestCheckpointsOfOtherRecipes(t *testing.T) {
	testutil.NoLeak(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "run.ckpt")
	c := recipe()
	p := trainer(t, network(t), c)
	run(t, p, panels(t, 4), 1)
	require.NoError(t, p.SaveCheckpoint(path))
	w, err := tensor.OpenWeights(path)
	require.NoError(t, err)
	resume := func(arrays []tensor.Array) error {
		bad := filepath.Join(dir, "bad.ckpt")
		require.NoError(t, tensor.SaveWeights(bad, w.Metadata, arrays))
		q, err := tab.Resume(bad, tab.Parts{Visual: network(t), Synth: dent{}})
		if err == nil {
			require.NoError(t, q.Close())
		}
		return err
	}
	require.NoError(t, resume(w.Arrays))
	drop := func(name string) []tensor.Array {
		return slices.DeleteFunc(slices.Clone(w.Arrays), func(a tensor.Array) bool { return a.Name == name })
	}
	for _, name := range []string{"metric.layer2.whiten", "metric.layer1.q95", "start.conv1.weight"} {
		require.Len(t, drop(name), len(w.Arrays)-1, name)
		require.ErrorIs(t, resume(drop(name)), tab.ErrCheckpoint, name)
	}
	require.ErrorIs(t, resume(append(drop("metric.layer3.q99"), tensor.FloatArray("metric.layer3.q99", make([]float32, 5), 5))), tab.ErrCheckpoint)
	require.ErrorIs(t, resume(append(slices.Clone(w.Arrays), tensor.FloatArray("metric.layer4.q99", make([]float32, 2), 2))), tab.ErrCheckpoint)
	require.ErrorIs(t, resume(append(drop("metric.layer3.q99"), tensor.FloatArray("metric.layer3.q99", []float32{1, float32(math.NaN())}, 2))), tab.ErrCheckpoint)
}

// What is frozen stays, weights and statistics, and the rest is trained.
func TestFreezeKeepsStages(t *testing.T) {
	testutil.NoLeak(t)
	c := recipe()
	c.Freeze(backbone.Layer1)
	c.Stages[backbone.Layer2].FreezeStatistics = false
	net := network(t)
	before := arrays(t, net)
	run(t, trainer(t, net, c), panels(t, 4), 0)
	moved := map[bool]int{}
	for i, a := range arrays(t, net) {
		early := strings.HasPrefix(a.Name, "conv1.") || strings.HasPrefix(a.Name, "bn1.") || strings.HasPrefix(a.Name, "layer1.")
		if early {
			require.Equal(t, before[i], a)
		}
		if !reflect.DeepEqual(before[i], a) {
			moved[early]++
		}
	}
	require.Greater(t, moved[false], 10)
	c.Freeze(backbone.Layer4 + 3) // no farther than there are stages
	require.Equal(t, tab.Stage{FreezeStatistics: true}, c.Stages[backbone.Layer4])
}
