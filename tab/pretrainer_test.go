package tab_test

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

func sqrt(x float64) float64 { return math.Sqrt(x) }

func TestFitLearnsAndReports(t *testing.T) {
	testutil.NoLeak(t)
	m := network(t)
	before := arrays(t, m)
	c := config()
	c.Epochs, c.Objective = 5, tab.Joint()
	probed := 0
	probe := tab.ProbeFunc(func(_ context.Context, v tab.VisualEncoder) ([]tab.Measure, error) {
		probed++
		require.Equal(t, 512, v.Channels(backbone.Pooled))
		return []tab.Measure{{Name: "figure", Value: float64(probed)}}, nil
	})
	c.ProbeEvery = 2
	p, err := tab.New(tab.Parts{Visual: m, Anchors: bank(t, 16), Synth: generator(), Probe: probe}, c)
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	r, err := p.Fit(t.Context(), material(t, 8))
	require.NoError(t, err)
	require.Len(t, r.Epochs, 5)
	require.EqualValues(t, 5*4, r.Steps)
	require.Less(t, r.Epochs[4].Loss, r.Epochs[0].Loss)
	require.Equal(t, 3, probed, "after epochs 2 and 4 and the last")
	require.Equal(t, []tab.Measure{{Name: "figure", Value: 3}}, r.Epochs[4].Probe)
	require.Greater(t, r.Epochs[0].ImagesSec, 0.0)
	require.NotEqual(t, before, arrays(t, m))
	require.NotNil(t, p.Head().Get("projection.weight"), "512 against 16 needs a projection")
}

// run trains and returns the losses; it stops after n steps where n > 0.
func run(t *testing.T, p *tab.Pretrainer, ds dataset.Dataset, n int) []float64 {
	t.Helper()
	var losses []float64
	for st, err := range p.Steps(t.Context(), ds) {
		require.NoError(t, err)
		losses = append(losses, st.Loss)
		if len(losses) == n {
			break
		}
	}
	return losses
}

func TestResumedRunEqualsTheUnbrokenOne(t *testing.T) {
	testutil.NoLeak(t)
	ds := material(t, 8)
	for _, rule := range []string{"sgd", "adamw"} {
		for _, stop := range []int{3, 4} { // in the middle of the first epoch, and at its end
			t.Run(fmt.Sprintf("%s after %d", rule, stop), func(t *testing.T) {
				c := config()
				c.Optimizer.Rule, c.LR = rule, 1e-3
				c.HeadFirst(1)
				whole := network(t)
				want := run(t, pretrainer(t, whole, c), ds, 0)
				require.Len(t, want, 8)

				path := filepath.Join(t.TempDir(), "run.ckpt")
				first := network(t)
				p := pretrainer(t, first, c)
				got := run(t, p, ds, stop)
				require.NoError(t, p.SaveCheckpoint(path))

				second := network(t)
				q, err := tab.Resume(path, tab.Parts{Visual: second, Synth: generator()})
				require.NoError(t, err)
				defer func() { require.NoError(t, q.Close()) }()
				require.Equal(t, names, q.Classes())
				got = append(got, run(t, q, ds, 0)...)
				require.Equal(t, want, got)
				require.Equal(t, arrays(t, whole), arrays(t, second))
			})
		}
	}
}

// What each of the article's objectives carries from step to step (a projection, a scale, a head) is in the checkpoint.
func TestPooledObjectivesResumeBitForBit(t *testing.T) {
	testutil.NoLeak(t)
	ds := material(t, 8)
	for name, o := range map[string]tab.Objective{"paper": tab.Paper(), "official": tab.Official(), "joint": tab.Joint(), "normal": tab.NormalOnly(),
		"binary": tab.Classification{Binary: true}, "classes": tab.Classification{}} {
		t.Run(name, func(t *testing.T) {
			c := config()
			c.Objective, c.LR = o, 1e-3
			whole := network(t)
			want := run(t, pretrainer(t, whole, c), ds, 0)
			path := filepath.Join(t.TempDir(), "run.ckpt")
			first := pretrainer(t, network(t), c)
			got := run(t, first, ds, 3)
			require.NoError(t, first.SaveCheckpoint(path))
			second := network(t)
			q, err := tab.Resume(path, tab.Parts{Visual: second, Synth: generator()})
			require.NoError(t, err)
			defer func() { require.NoError(t, q.Close()) }()
			require.Equal(t, o, q.Config().Objective)
			require.Equal(t, want, append(got, run(t, q, ds, 0)...))
			require.Equal(t, arrays(t, whole), arrays(t, second))
		})
	}
}

func TestWorkersChangeNothing(t *testing.T) {
	testutil.NoLeak(t)
	ds := material(t, 8)
	var want []float64
	for _, w := range []int{1, 7} {
		c := config()
		c.Workers, c.Epochs = w, 1
		got := run(t, pretrainer(t, network(t), c), ds, 0)
		if want == nil {
			want = got
		}
		require.Equal(t, want, got)
	}
}

func TestCachedImagesAreUsedAsTheyAre(t *testing.T) {
	testutil.NoLeak(t)
	c := config()
	c.Epochs = 1
	c.Transform = dataset.Transform{Shorter: 40, Filter: dataset.Lanczos, Crop: image.Pt(side, side)} // not idempotent
	want := run(t, pretrainer(t, network(t), c), material(t, 4), 0)
	cached, err := dataset.NewCached(material(t, 4), c.Transform, 1<<20)
	require.NoError(t, err)
	all := func(dataset.Item) bool { return true }
	first := dataset.Filter(cached, func(it dataset.Item) bool { return it.Class == "cloth" })
	second := dataset.Filter(cached, func(it dataset.Item) bool { return it.Class != "cloth" })
	applied, err := dataset.Apply(cached, dataset.Items(cached))
	require.NoError(t, err)
	part, err := dataset.Subset(cached, []int{0, 1, 2, 3, 4, 5, 6, 7})
	require.NoError(t, err)
	for name, ds := range map[string]dataset.Dataset{
		"cached": cached, "filter": dataset.Filter(cached, all), "subset": part, "apply": applied, "concat": dataset.Concat(first, second),
	} {
		require.Equal(t, want, run(t, pretrainer(t, network(t), c), ds, 0), name)
	}
}

func TestEveryObjectiveTrains(t *testing.T) {
	testutil.NoLeak(t)
	ds := material(t, 4)
	head := map[string][]string{"binary": {"objective.linear.weight", "objective.linear.bias"}, "classes": {"objective.linear.weight", "objective.linear.bias"},
		"spot": {"objective.weight"}, "official": {"projection.weight", "objective.scale"}}
	for _, o := range []tab.Objective{tab.Paper(), tab.Official(), tab.Joint(), tab.NormalOnly(),
		tab.Classification{Binary: true}, tab.Classification{}, spot{}} {
		for _, separate := range []bool{false, true} {
			c := config()
			c.Objective, c.SeparatePasses, c.Epochs, c.ClipNorm = o, separate, 1, 1
			m := newTiny(t)
			p := pretrainer(t, m, c)
			require.NoError(t, p.Prepare(t.Context(), names))
			before := map[string][]byte{}
			all := func() []tensor.Array {
				h, err := p.Head().Arrays(t.Context())
				require.NoError(t, err)
				return append(arrays(t, m), h...)
			}
			for _, a := range all() {
				before[a.Name] = a.Data
			}
			steps := 0
			for st, err := range p.Steps(t.Context(), ds) {
				require.NoError(t, err, o.Name())
				require.Equal(t, [2]int{steps, 2}, [2]int{st.Batch, st.Batches})
				require.Greater(t, st.Loss, 0.0)
				require.Greater(t, st.GradNorm, 0.0)
				steps++
			}
			require.Equal(t, 2, steps, o.Name())
			moved := map[string]bool{}
			for _, a := range all() {
				moved[a.Name] = string(a.Data) != string(before[a.Name])
			}
			for _, n := range append([]string{"conv", "gamma", "beta", "mean", "variance"}, head[o.Name()]...) {
				require.True(t, moved[n], "%s, separate %v: %s has not moved (%v)", o.Name(), separate, n, moved)
			}
		}
	}
}

// spot is an objective of a caller: a logit per position of layer 3 against the
// mask. It needs no anchors and owns a parameter.
type spot struct{}

func (spot) Name() string { return "spot" }

func (spot) Needs() tab.Needs {
	return tab.Needs{Twin: true, Masks: true, Stages: []backbone.Layer{backbone.Layer3}}
}

func (spot) Setup(s *tensor.Scope, p *tensor.Params, d tab.Dims, rng *rand.Rand) error {
	n := int64(d.Channels[backbone.Layer3])
	w, err := tensor.Normal(rng, n, 0.1)
	if err != nil {
		return err
	}
	return p.Put(s, "objective.weight", s.FromFloats(w, 1, n, 1, 1))
}

func (spot) Loss(s *tensor.Scope, v tab.View) (loss, accuracy *tensor.Tensor) {
	f := v.Abnormal.Stages[backbone.Layer3]
	logit := s.Conv2d(f, v.Params.Get("objective.weight"), nil, tensor.Conv{})
	k := side / f.Size(2)
	return s.BCEWithLogits(logit, s.AvgPool2d(v.Masks, k, k, 0)), s.Mean(v.Masks, false)
}

func TestFrozenPhases(t *testing.T) {
	testutil.NoLeak(t)
	m := network(t)
	c := config()
	c.HeadFirst(1)
	c.Stages[backbone.Layer4].FreezeStatistics = true
	before := arrays(t, m)
	p := pretrainer(t, m, c)
	run(t, p, material(t, 8), 4) // the first epoch
	moved := map[string]bool{}
	for i, a := range arrays(t, m) {
		if string(a.Data) != string(before[i].Data) {
			moved[a.Name] = true
		}
	}
	require.NotEmpty(t, moved)
	for n := range moved {
		require.True(t, strings.HasPrefix(n, "layer4."), n)
		require.False(t, strings.Contains(n, "running_"), n)
	}
	run(t, p, material(t, 8), 0) // the second
	after := arrays(t, m)
	require.NotEqual(t, before[0].Data, after[0].Data, "conv1 is trained from epoch 1 on")
}

func TestNaNChangesNothing(t *testing.T) {
	testutil.NoLeak(t)
	m := network(t)
	p := pretrainer(t, m, config())
	require.NoError(t, p.Prepare(t.Context(), names))
	before := arrays(t, m)
	n := 2 * side * side * 3
	b := tab.Batch{H: side, W: side, Normal: make([]float32, n), Abnormal: make([]float32, n), Class: []int{0, 1}}
	for i := range b.Normal {
		b.Normal[i], b.Abnormal[i] = float32(i%7), float32(i%5)
	}
	b.Abnormal[17] = float32(math.NaN())
	_, err := p.Step(t.Context(), b)
	require.ErrorIs(t, err, tab.ErrDiverged)
	require.Equal(t, before, arrays(t, m))
	b.Abnormal[17] = 0
	st, err := p.Step(t.Context(), b)
	require.NoError(t, err)
	require.EqualValues(t, 1, st.Number)
}

func TestCancelLeavesAValidCheckpoint(t *testing.T) {
	testutil.NoLeak(t)
	ds := material(t, 8)
	path := filepath.Join(t.TempDir(), "run.ckpt")
	want := run(t, pretrainer(t, network(t), config()), ds, 0)

	ctx, cancel := context.WithCancel(t.Context())
	var got []float64
	p := pretrainer(t, network(t), config(), tab.WithCheckpoint(path), tab.WithProgress(func(st tab.Step) {
		if got = append(got, st.Loss); len(got) == 3 {
			cancel()
		}
	}))
	_, err := p.Fit(ctx, ds)
	require.ErrorIs(t, err, context.Canceled)
	q, err := tab.Resume(path, tab.Parts{Visual: network(t), Synth: generator()})
	require.NoError(t, err)
	defer q.Close()
	require.Equal(t, want, append(got, run(t, q, ds, 0)...))
}

func TestCheckpointsThatDoNotFit(t *testing.T) {
	testutil.NoLeak(t)
	ds := material(t, 4)
	dir := t.TempDir()
	path := filepath.Join(dir, "run.ckpt")
	p := pretrainer(t, network(t), config())
	require.ErrorIs(t, p.SaveCheckpoint(path), tab.ErrNotPrepared)
	run(t, p, ds, 1)
	require.NoError(t, p.SaveCheckpoint(path))
	good, err := os.ReadFile(path)
	require.NoError(t, err)

	// A folder that is not there: the error says so, the old file is as it was.
	require.Error(t, p.SaveCheckpoint(filepath.Join(dir, "none", "run.ckpt")))

	other := generator()
	other.Patches = 3
	_, err = tab.Resume(path, tab.Parts{Visual: network(t), Synth: other})
	require.ErrorIs(t, err, tab.ErrCheckpoint)

	threads := tensor.GetThreads()
	require.NoError(t, tensor.SetThreads(tensor.Threads{Cores: threads.Cores + 1, PerRun: threads.PerRun + 1}))
	_, err = tab.Resume(path, tab.Parts{Visual: network(t), Synth: generator()})
	require.NoError(t, tensor.SetThreads(threads))
	require.ErrorIs(t, err, tab.ErrCheckpoint)
	require.ErrorContains(t, err, "threads")

	q, err := tab.Resume(path, tab.Parts{Visual: network(t), Synth: generator()})
	require.NoError(t, err)
	defer q.Close()
	yielded := 0
	for st, err := range q.Steps(t.Context(), material(t, 5)) {
		require.ErrorIs(t, err, tab.ErrCheckpoint)
		require.Zero(t, st)
		yielded++
	}
	require.Equal(t, 1, yielded)

	m := network(t)
	before := arrays(t, m)
	for _, n := range []int{0, 7, 100, len(good) / 2, len(good) - 1} {
		bad := filepath.Join(dir, "bad.ckpt")
		require.NoError(t, os.WriteFile(bad, good[:n], 0o644))
		_, err = tab.Resume(bad, tab.Parts{Visual: m, Synth: generator()})
		require.Error(t, err, n)
	}
	weights := filepath.Join(dir, "weights.safetensors")
	require.NoError(t, m.Save(weights))
	_, err = tab.Resume(weights, tab.Parts{Visual: m, Synth: generator()})
	require.ErrorIs(t, err, tab.ErrCheckpoint)
	require.Equal(t, before, arrays(t, m))
}

func TestOwnObjectiveIsResumedByOption(t *testing.T) {
	testutil.NoLeak(t)
	path := filepath.Join(t.TempDir(), "run.ckpt")
	c := config()
	c.Objective = spot{}
	p := pretrainer(t, network(t), c)
	run(t, p, material(t, 4), 1)
	require.NoError(t, p.SaveCheckpoint(path))
	_, err := tab.Resume(path, tab.Parts{Visual: network(t), Synth: generator()})
	require.ErrorIs(t, err, tab.ErrCheckpoint)
	require.ErrorContains(t, err, "WithObjective")
	q, err := tab.Resume(path, tab.Parts{Visual: network(t), Synth: generator()}, tab.WithObjective(spot{}))
	require.NoError(t, err)
	require.NoError(t, q.Close())
}

func TestMaterialWithoutDefects(t *testing.T) {
	testutil.NoLeak(t)
	flat := func(i int) dataset.Sample {
		m := image.NewRGBA(image.Rect(0, 0, side, side))
		for y := range side {
			for x := range side {
				m.Set(x, y, color.Gray{128})
			}
		}
		return dataset.Sample{Item: dataset.Item{Name: fmt.Sprint("flat/", i), Class: "cloth", Label: dataset.LabelGood}, Image: m}
	}
	ds, err := dataset.NewMemory([]dataset.Sample{flat(0), flat(1), flat(2), flat(3)})
	require.NoError(t, err)
	_, err = pretrainer(t, network(t), config()).Fit(t.Context(), ds)
	require.ErrorIs(t, err, tab.ErrNoTwin)
	require.ErrorContains(t, err, "cloth")
}

func TestWrongUse(t *testing.T) {
	testutil.NoLeak(t)
	m := network(t)
	_, err := tab.New(tab.Parts{Anchors: bank(t, 8), Synth: generator()}, config())
	require.ErrorIs(t, err, tab.ErrConfig)
	_, err = tab.New(tab.Parts{Visual: m, Synth: generator()}, config())
	require.ErrorContains(t, err, "Anchors")
	_, err = tab.New(tab.Parts{Visual: m, Anchors: bank(t, 8)}, config())
	require.ErrorContains(t, err, "Synth")
	for _, change := range []func(*tab.Config){
		func(c *tab.Config) { c.Objective = nil }, func(c *tab.Config) { c.Epochs = 0 }, func(c *tab.Config) { c.Batch = 1 },
		func(c *tab.Config) { c.LR = math.NaN() }, func(c *tab.Config) { c.LR = 0 }, func(c *tab.Config) { c.Optimizer.Rule = "lion" },
		func(c *tab.Config) { c.Stages[2].Rate = -1 }, func(c *tab.Config) { c.Schedule.Min = 2 }, func(c *tab.Config) { c.Workers = 0 },
		func(c *tab.Config) { c.Objective = tab.Alignment{Form: "other", Scale: 1} }, func(c *tab.Config) { c.Normalize.Std[0] = 0 },
		func(c *tab.Config) { c.Repeat = 0 }, func(c *tab.Config) { c.ClipNorm = -1 }, func(c *tab.Config) { c.TwinAttempts = 0 },
	} {
		c := config()
		change(&c)
		_, err := tab.New(tab.Parts{Visual: m, Anchors: bank(t, 8), Synth: generator()}, c)
		require.Error(t, err)
	}
	p := pretrainer(t, m, config())
	_, err = p.Step(t.Context(), tab.Batch{})
	require.ErrorIs(t, err, tab.ErrNotPrepared)
	err = p.Prepare(t.Context(), []string{"cloth", "paper"})
	require.ErrorIs(t, err, tab.ErrUnknownClass)
	require.ErrorContains(t, err, `"paper"`)
	require.NoError(t, p.Prepare(t.Context(), names))
	require.Error(t, p.Prepare(t.Context(), names))
	_, err = p.Step(t.Context(), tab.Batch{H: side, W: side, Class: []int{0, 9}, Normal: make([]float32, 2*side*side*3), Abnormal: make([]float32, 2*side*side*3)})
	require.ErrorContains(t, err, "Class[1] is 9")
	c := config()
	c.Batch = 64
	_, err = pretrainer(t, m, c).Fit(t.Context(), material(t, 4))
	require.ErrorContains(t, err, "does not fill a batch of 64")
	require.NoError(t, p.Close())
	require.NoError(t, p.Close())
	_, err = p.Step(t.Context(), tab.Batch{})
	require.ErrorIs(t, err, tab.ErrClosed)
	testutil.RequireClosed(t, p, tensor.ErrClosed, []any{material(t, 4)})

	boom := errors.New("boom")
	q, err := tab.New(tab.Parts{Visual: m, Anchors: bank(t, 8), Synth: generator(),
		Probe: tab.ProbeFunc(func(context.Context, tab.VisualEncoder) ([]tab.Measure, error) { return nil, boom })}, config())
	require.NoError(t, err)
	defer q.Close()
	_, err = q.Fit(t.Context(), material(t, 4))
	require.ErrorIs(t, err, boom)
}
