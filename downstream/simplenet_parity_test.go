package downstream

import (
	"encoding/json"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/simplenet"
	"github.com/gotab/gotab/downstream/internal/train"
	"github.com/gotab/gotab/tensor"
)

// simpleFixture is testdata/parity/simplenet.json.
type simpleFixture struct {
	LayerDim            int `json:"layer_dim"`
	Dim, Hidden, Images int
	Margin, Noise       float64
	AdaptorRate         float64 `json:"adaptor_rate"`
	AdaptorDecay        float64 `json:"adaptor_decay"`
	Rate, Decay         float64
	Patches             []float32
	Steps               []struct {
		Loss               float64
		Gradients, Weights map[string][]float32
	}
	Scores, Best, Map []float32
}

func (f simpleFixture) Config() SimpleNetConfig {
	c := DefaultSimpleNet()
	c.LayerDim, c.Dim, c.Hidden, c.Sigma = f.LayerDim, f.Dim, f.Hidden, 2
	c.AdaptorRate, c.AdaptorDecay, c.DiscriminatorRate, c.DiscriminatorDecay = f.AdaptorRate, f.AdaptorDecay, f.Rate, f.Decay
	c.Margin, c.Transform = f.Margin, dataset.Transform{}
	return c
}

// sines is what the script calls waves, times a factor.
func sines(n int, phase, factor float64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(factor * float64(float32(math.Sin(float64(i)*float64(i)*0.37+phase))))
	}
	return v
}

// difference is relative to the largest value of want.
func difference(t *testing.T, want, got []float32) float64 {
	t.Helper()
	require.Len(t, got, len(want))
	top, worst := 0.0, 0.0
	for i := range want {
		require.False(t, math.IsNaN(float64(got[i])))
		top = max(top, math.Abs(float64(want[i])))
		worst = max(worst, math.Abs(float64(want[i]-got[i])))
	}
	return worst / top
}

// simpleParity runs the fixture's steps under a configuration and returns the
// largest difference to the fixture for each kind of number.
func simpleParity(t *testing.T, want simpleFixture, cfg SimpleNetConfig) map[string]float64 {
	t.Helper()
	diff := map[string]float64{}
	note := func(kind string, a, b []float32) { diff[kind] = max(diff[kind], difference(t, a, b)) }
	p, err := NewSimpleNet(waves{}, cfg, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	const grid = 7 * 5
	tr, err := p.newTraining(t.Context(), &train.Frozen{N: want.Images})
	require.NoError(t, err)
	var given []tensor.Array
	for k, sp := range simplenet.Specs(want.Dim, want.Hidden) {
		n := 1
		for _, d := range sp.Shape {
			n *= int(d)
		}
		v := sines(n, float64(10+k), 0.4)
		if strings.HasSuffix(sp.Name, "running_var") || strings.HasSuffix(sp.Name, "norm.weight") {
			for i, x := range sines(n, float64(10+k), 1) {
				v[i] = float32(0.4*float64(x) + 1)
			}
		}
		given = append(given, tensor.FloatArray(sp.Name, v, sp.Shape...))
	}
	require.NoError(t, tr.Weights.Adaptor.SetArrays(t.Context(), renamed(given, simplenet.AdaptorPrefix), nil))
	require.NoError(t, tr.Weights.Discriminator.SetArrays(t.Context(), renamed(given, simplenet.DiscriminatorPrefix), nil))

	parts := func(s *tensor.Scope) []*tensor.Tensor {
		return p.emb.Parts(s, waves{}.Forward(s, s.Zeros(int64(want.Images), 3, 28, 20), cfg.Layers...))
	}
	for i, step := range want.Steps {
		noise := sines(want.Images*grid*want.Dim, float64(30+i), want.Noise)
		require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Training, func(s *tensor.Scope) error {
			// Gradients first, in a pass of their own: descend forgets them. Running
			// statistics are put back.
			before, err := s.Floats(tr.Weights.Discriminator.Get("norm.running_mean"))
			require.NoError(t, err)
			variance, err := s.Floats(tr.Weights.Discriminator.Get("norm.running_var"))
			require.NoError(t, err)
			s.Backward(tr.Weights.Loss(s, parts(s), s.FromFloats(noise, int64(len(noise)/want.Dim), int64(want.Dim)), cfg.Margin))
			for name, g := range step.Gradients {
				params, short := tr.Weights.Discriminator, strings.TrimPrefix(name, simplenet.DiscriminatorPrefix)
				if short == name {
					params, short = tr.Weights.Adaptor, strings.TrimPrefix(name, simplenet.AdaptorPrefix)
				}
				got, err := s.Floats(s.Grad(params.Get(short)))
				require.NoError(t, err)
				if !strings.HasSuffix(name, "norm.bias") && strings.HasSuffix(name, ".bias") {
					// Batch norm takes these biases away again: the gradient is 0.
					for i := range g {
						require.InDelta(t, 0, g[i], 1e-5, name)
						require.InDelta(t, 0, got[i], 1e-5, name)
					}
					continue
				}
				note("gradients", g, got)
			}
			require.NoError(t, tr.Weights.Adaptor.ZeroGrad())
			require.NoError(t, tr.Weights.Discriminator.ZeroGrad())
			s.CopyInto(tr.Weights.Discriminator.Get("norm.running_mean"), s.FromFloats(before, int64(want.Hidden)))
			s.CopyInto(tr.Weights.Discriminator.Get("norm.running_var"), s.FromFloats(variance, int64(want.Hidden)))

			loss, err := train.Descend(s, 0, tr.Rules, func(s *tensor.Scope) (*tensor.Tensor, error) {
				return tr.Weights.Loss(s, parts(s), s.FromFloats(noise, int64(len(noise)/want.Dim), int64(want.Dim)), cfg.Margin), nil
			})
			require.NoError(t, err)
			note("loss", []float32{float32(step.Loss)}, []float32{float32(loss)})
			// As the script does: Adam would magnify the rounding of gradients of 0.
			s.CopyInto(tr.Weights.Adaptor.Get("bias"), s.FromFloats(sines(want.Dim, 11, 0.4), int64(want.Dim)))
			s.CopyInto(tr.Weights.Discriminator.Get("hidden.bias"), s.FromFloats(sines(want.Hidden, 13, 0.4), int64(want.Hidden)))
			return s.Err()
		}))
		arrays, err := tr.Weights.Arrays(t.Context())
		require.NoError(t, err)
		for _, a := range arrays {
			got, err := a.Floats()
			require.NoError(t, err)
			note("weights", step.Weights[a.Name], got)
		}
	}

	arrays, err := tr.Weights.Arrays(t.Context())
	require.NoError(t, err)
	require.NoError(t, tr.Close())
	g, err := p.complete(t.Context(), &simpleModel{state: state{Model: engine.Model{Params: tensor.NewParams(tensor.CPU), GridW: 5, GridH: 7, InW: 20, InH: 28}}}, arrays)
	require.NoError(t, err)
	out := make([]Result, want.Images)
	for i := range out {
		out[i].Map = Map{W: 20, H: 28, Data: make([]float32, 20*28)}
	}
	var scores []float32
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		scores, err = s.Floats(g.Scores(s, parts(s)))
		return err
	}))
	require.NoError(t, p.score(t.Context(), g, &feed.Batch{Pixels: make([]float32, want.Images*3*28*20), N: want.Images}, out))
	note("scores", want.Scores, scores)
	best := make([]float32, want.Images)
	for i, r := range out {
		best[i] = float32(r.Score)
	}
	note("scores", want.Best, best)
	note("map", want.Map, out[want.Images-1].Map.Data)
	require.NoError(t, g.Params.Close())
	return diff
}

// renamed returns the arrays with a prefix, without it.
func renamed(arrays []tensor.Array, prefix string) (out []tensor.Array) {
	for _, a := range arrays {
		if name, ok := strings.CutPrefix(a.Name, prefix); ok {
			a.Name = name
			out = append(out, a)
		}
	}
	return out
}

// TestSimpleNetEqualsPyTorch compares patches, loss, gradients, weights after
// one step and after two, scores and a map with a program that works in float64
// and computes adaptor and discriminator as they are defined.
func TestSimpleNetEqualsPyTorch(t *testing.T) {
	// tolerance: some hundred float32 roundings of 6e-8, and Adam divides by the
	// root of small squares; the bar is 1e-4.
	const tolerance = 2e-5
	start := tensor.Live()
	raw, err := os.ReadFile(filepath.Join("testdata", "parity", "simplenet.json"))
	require.NoError(t, err)
	var want simpleFixture
	require.NoError(t, json.Unmarshal(raw, &want))
	require.Len(t, want.Steps, 2)

	p, err := NewSimpleNet(waves{}, want.Config(), rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		got, err := s.Floats(p.emb.Embed(s, s.Zeros(int64(want.Images), 3, 28, 20)))
		require.LessOrEqual(t, difference(t, want.Patches, got[:len(want.Patches)]), tolerance)
		return err
	}))
	right := simpleParity(t, want, want.Config())
	t.Logf("differences: %v", right)
	require.ElementsMatch(t, []string{"loss", "gradients", "weights", "scores", "map"}, slices.Collect(maps.Keys(right)))
	for kind, d := range right {
		require.LessOrEqual(t, d, tolerance, kind)
	}
	// Settings that are wrong must show where they act, or the comparison proves
	// nothing.
	for kind, change := range map[string]func(*SimpleNetConfig){
		"loss":      func(c *SimpleNetConfig) { c.Margin = 0.51 },
		"gradients": func(c *SimpleNetConfig) { c.Neighbourhood = 1 },
		"weights":   func(c *SimpleNetConfig) { c.AdaptorDecay = 0 },
		"scores":    func(c *SimpleNetConfig) { c.DiscriminatorDecay = 0 },
		"map":       func(c *SimpleNetConfig) { c.Sigma = 2.1 },
	} {
		cfg := want.Config()
		change(&cfg)
		require.Greater(t, simpleParity(t, want, cfg)[kind], 1e-4, kind)
	}
	require.Equal(t, start, tensor.Live())
}
