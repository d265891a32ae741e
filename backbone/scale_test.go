package backbone_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// features returns what the network gives at all layers up to last, layer by layer.
func features(t *testing.T, m *backbone.ResNet, mode tensor.Mode, last backbone.Layer) [][]float32 {
	t.Helper()
	var out [][]float32
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, mode, func(s *tensor.Scope) error {
		for _, f := range m.Forward(s, s.FromFloats(inputs(2, 64, 64), 2, 3, 64, 64), all[:last+1]...) {
			v, err := s.Floats(f)
			if err != nil {
				return err
			}
			out = append(out, v)
		}
		return nil
	}))
	return out
}

func bits(t *testing.T, m *backbone.ResNet) []tensor.Array {
	t.Helper()
	a, err := m.Params().Arrays(t.Context())
	require.NoError(t, err)
	return a
}

// requireScaled compares features [n, len(by), ...] with the earlier ones times by,
// to a hundred-thousandth of the channels' own size.
func requireScaled(t *testing.T, before, after, by []float32, n int) {
	t.Helper()
	require.Len(t, after, len(before))
	per := len(before) / n / len(by)
	largest := 0.0
	for i, v := range before {
		largest = max(largest, math.Abs(float64(v)*float64(by[i/per%len(by)])))
	}
	require.NotZero(t, largest)
	for i, v := range before {
		require.InDelta(t, float64(v)*float64(by[i/per%len(by)]), after[i], 1e-5*largest, i)
	}
}

// The scaled stage gives its channels times the factors, and no other stage changes,
// for basic blocks and bottlenecks, in evaluation and in training: by no bit where
// factors are powers of two, else by rounding. That of a batch norm over the few values of
// a small batch is larger, so other factors are tried in evaluation.
func TestScaleChannels(t *testing.T) {
	for _, c := range []struct {
		name   string
		arch   backbone.Arch
		mode   tensor.Mode
		stages []backbone.Layer
		powers bool
	}{
		{"evaluation", backbone.ArchResNet18, tensor.Evaluation, all[1:5], true},
		{"training", backbone.ArchResNet18, tensor.Training, all[1:5], true},
		{"any factors", backbone.ArchResNet18, tensor.Evaluation, all[1:5], false},
		{"any factors", backbone.ArchResNet34, tensor.Evaluation, all[2:3], false},
		{"bottlenecks", backbone.ArchResNet50, tensor.Evaluation, all[1:5], true},
		{"any factors", backbone.ArchResNet50, tensor.Evaluation, all[1:4:4], false},
	} {
		t.Run(c.arch.String()+" "+c.name, func(t *testing.T) {
			testutil.NoLeak(t)
			plain := network(t, c.arch, backbone.Pooled)
			before := features(t, plain, c.mode, backbone.Pooled)
			for _, stage := range c.stages {
				m := network(t, c.arch, backbone.Pooled)
				rng := rand.New(rand.NewPCG(uint64(stage), 7))
				scale := make([]float32, m.Channels(stage))
				for i := range scale {
					scale[i] = float32(math.Exp2(4*rng.Float64() - 2))
					if c.powers {
						scale[i] = float32(math.Exp2(float64(rng.IntN(5) - 2)))
					}
				}
				version := m.Params().Version()
				features(t, m, tensor.Evaluation, backbone.Stem) // folded weights of before must go
				require.NoError(t, m.ScaleChannels(t.Context(), stage, scale))
				require.Greater(t, m.Params().Version(), version)
				for l, after := range features(t, m, c.mode, backbone.Pooled) {
					layer := backbone.Layer(l)
					switch {
					case layer == stage, layer == backbone.Pooled && stage == backbone.Layer4,
						layer == backbone.Stem && stage == backbone.Layer1 && c.arch != backbone.ArchResNet50:
						requireScaled(t, before[l], after, scale, 2)
					case c.powers:
						require.Equal(t, before[l], after, layer)
					default:
						requireScaled(t, before[l], after, []float32{1}, 2)
					}
				}
			}
		})
	}
}

// Factors and then their inverses give the network back, the classification layer
// included; a network that ends with the stage has no next one.
func TestScaleChannelsBack(t *testing.T) {
	testutil.NoLeak(t)
	m := network(t, backbone.ArchResNet18, backbone.Pooled)
	before := bits(t, m)
	for stage := backbone.Layer1; stage <= backbone.Layer4; stage++ {
		there, back := make([]float32, m.Channels(stage)), make([]float32, m.Channels(stage))
		for c := range there {
			there[c], back[c] = float32(int(1)<<(c%3)), 1/float32(int(1)<<(c%3))
		}
		require.NoError(t, m.ScaleChannels(t.Context(), stage, there))
		changed := map[string]bool{}
		for i, a := range bits(t, m) {
			changed[a.Name] = string(a.Data) != string(before[i].Data)
		}
		require.Equal(t, stage == backbone.Layer1, changed["bn1.weight"])
		require.Equal(t, stage == backbone.Layer4, changed["fc.weight"])
		require.True(t, changed[stage.String()+".1.bn2.weight"])
		require.NoError(t, m.ScaleChannels(t.Context(), stage, back))
		require.Equal(t, before, bits(t, m))
	}
	part, whole := network(t, backbone.ArchResNet18, backbone.Layer2), network(t, backbone.ArchResNet18, backbone.Layer2)
	two := make([]float32, 128)
	for c := range two {
		two[c] = 2
	}
	require.NoError(t, part.ScaleChannels(t.Context(), backbone.Layer2, two))
	a, b := features(t, whole, tensor.Evaluation, backbone.Layer2), features(t, part, tensor.Evaluation, backbone.Layer2)
	require.Equal(t, a[:2], b[:2])
	requireScaled(t, a[2], b[2], two, 2)
}

// What is refused leaves all bits alone.
func TestScaleChannelsRefuses(t *testing.T) {
	testutil.NoLeak(t)
	m := network(t, backbone.ArchResNet18, backbone.Layer3)
	ones := func(n int, at int, v float64) []float32 {
		out := make([]float32, n)
		for i := range out {
			out[i] = 1
		}
		if at >= 0 {
			out[at] = float32(v)
		}
		return out
	}
	before, version := bits(t, m), m.Params().Version()
	for name, c := range map[string]struct {
		stage backbone.Layer
		scale []float32
		want  error
	}{
		"stem":         {backbone.Stem, ones(64, -1, 0), backbone.ErrLayer},
		"beyond":       {backbone.Layer4, ones(512, -1, 0), backbone.ErrLayer},
		"pooled":       {backbone.Pooled, ones(512, -1, 0), backbone.ErrLayer},
		"no layer":     {-3, nil, backbone.ErrLayer},
		"too few":      {backbone.Layer2, ones(127, -1, 0), backbone.ErrScale},
		"none":         {backbone.Layer2, nil, backbone.ErrScale},
		"zero":         {backbone.Layer2, ones(128, 3, 0), backbone.ErrScale},
		"negative":     {backbone.Layer2, ones(128, 127, -1), backbone.ErrScale},
		"not a number": {backbone.Layer2, ones(128, 0, math.NaN()), backbone.ErrScale},
		"infinite":     {backbone.Layer2, ones(128, 0, math.Inf(1)), backbone.ErrScale},
		"tiny":         {backbone.Layer2, ones(128, 0, 1e-9), backbone.ErrScale},
	} {
		require.ErrorIs(t, m.ScaleChannels(t.Context(), c.stage, c.scale), c.want, name)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, m.ScaleChannels(ended, backbone.Layer1, ones(64, 0, 2)), context.Canceled)
	require.Equal(t, before, bits(t, m))
	require.Equal(t, version, m.Params().Version())

	// A weight at the end of float32, in the last tensor that is made.
	huge := bits(t, m)
	for i, a := range huge {
		if a.Name == "layer3.0.downsample.0.weight" {
			v, err := a.Floats()
			require.NoError(t, err)
			v[len(v)-1] = 3e38
			huge[i] = tensor.FloatArray(a.Name, v, a.Shape...)
		}
	}
	require.NoError(t, m.Params().SetArrays(t.Context(), huge, nil))
	require.ErrorIs(t, m.ScaleChannels(t.Context(), backbone.Layer2, ones(128, 127, 0.25)), backbone.ErrScale)
	require.Equal(t, huge, bits(t, m))

	gone, err := m.Clone(t.Context())
	require.NoError(t, err)
	require.NoError(t, gone.Close())
	require.ErrorIs(t, gone.ScaleChannels(t.Context(), backbone.Layer1, ones(64, -1, 0)), backbone.ErrClosed)
}
