package backbone_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// Stage after stage gives the bits of Forward, in both modes and for both kinds
// of blocks, and leaves its input alone.
func TestStagesEqualForward(t *testing.T) {
	for _, arch := range []backbone.Arch{backbone.ArchResNet18, backbone.ArchResNet50} {
		for _, mode := range []tensor.Mode{tensor.Evaluation, tensor.Training} {
			t.Run(arch.String()+" "+mode.String(), func(t *testing.T) {
				testutil.NoLeak(t)
				whole := network(t, arch, backbone.Pooled)
				staged := network(t, arch, backbone.Pooled)
				require.NoError(t, tensor.Run(t.Context(), tensor.CPU, mode, func(s *tensor.Scope) error {
					x := s.FromFloats(inputs(2, 64, 64), 2, 3, 64, 64)
					want := whole.Forward(s, x, all[:5]...)
					before := staged.Params().Version()
					for i, l := range all[:5] {
						in, err := s.Floats(x)
						require.NoError(t, err)
						y := staged.Stage(s, x, l)
						after, err := s.Floats(x)
						require.NoError(t, err)
						require.Equal(t, in, after, "the input of %s was changed", l)
						got, err := s.Floats(y)
						require.NoError(t, err)
						expected, err := s.Floats(want[i])
						require.NoError(t, err)
						require.Equal(t, expected, got, l)
						x = y
					}
					require.Equal(t, mode == tensor.Training, staged.Params().Version() > before)
					return s.Err()
				}))
				a, err := whole.Params().Arrays(t.Context())
				require.NoError(t, err)
				b, err := staged.Params().Arrays(t.Context())
				require.NoError(t, err)
				require.Equal(t, a, b, "running statistics")
			})
		}
	}
}

// network returns a network, or the first stages of one, with weights by formula.
func network(t *testing.T, arch backbone.Arch, last backbone.Layer) *backbone.ResNet {
	t.Helper()
	w := &tensor.Weights{Arrays: load(t, arch).arrays(t)}
	var m *backbone.ResNet
	var err error
	if last < backbone.Pooled {
		m, err = backbone.FromStages(w, arch, last, tensor.CPU)
	} else {
		m, err = backbone.FromWeights(w, tensor.CPU)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

func TestStageRefuses(t *testing.T) {
	testutil.NoLeak(t)
	m := network(t, backbone.ArchResNet18, backbone.Layer3)
	for name, c := range map[string]struct {
		l     backbone.Layer
		shape []int64
		want  error
	}{
		"layer it ends before": {backbone.Layer4, []int64{1, 256, 4, 4}, backbone.ErrLayer},
		"pooled":               {backbone.Pooled, []int64{1, 512, 2, 2}, backbone.ErrLayer},
		"no layer":             {-1, []int64{1, 3, 64, 64}, backbone.ErrLayer},
		"channels":             {backbone.Layer2, []int64{1, 128, 8, 8}, tensor.ErrShape},
		"dimensions":           {backbone.Layer2, []int64{64, 8, 8}, tensor.ErrShape},
		"small image":          {backbone.Stem, []int64{1, 3, 31, 64}, tensor.ErrShape},
	} {
		err := tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
			require.False(t, m.Stage(s, s.Zeros(c.shape...), c.l).Valid())
			return nil
		})
		require.ErrorIs(t, err, c.want, name)
	}
	err := tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		m.Stage(s, &tensor.Tensor{}, backbone.Layer1)
		return nil
	})
	require.ErrorIs(t, err, tensor.ErrReleased)
}

// The first stages of a network are those of the whole one, and nothing is beyond.
func TestFirstStages(t *testing.T) {
	testutil.NoLeak(t)
	whole := network(t, backbone.ArchResNet18, backbone.Pooled)
	m := network(t, backbone.ArchResNet18, backbone.Layer2)
	require.Equal(t, 128, m.Channels(backbone.Layer2))
	require.Zero(t, m.Channels(backbone.Layer3))
	require.Zero(t, m.Channels(backbone.Pooled))
	x := inputs(2, 64, 64)
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		in := s.FromFloats(x, 2, 3, 64, 64)
		want, err := s.Floats(whole.Forward(s, in, backbone.Layer2)[0])
		require.NoError(t, err)
		got, err := s.Floats(m.Forward(s, in, backbone.Layer2)[0])
		require.Equal(t, want, got)
		return err
	}))
	err := tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		m.Forward(s, s.Zeros(1, 3, 64, 64), backbone.Layer3)
		return nil
	})
	require.ErrorIs(t, err, backbone.ErrLayer)

	// What it is written as builds it again, and a fault in what is used is found.
	arrays, err := m.Params().Arrays(t.Context())
	require.NoError(t, err)
	for _, a := range arrays {
		require.False(t, strings.HasPrefix(a.Name, "layer3.") || strings.HasPrefix(a.Name, "fc."), a.Name)
	}
	again, err := backbone.FromStages(&tensor.Weights{Arrays: arrays}, backbone.ArchResNet18, backbone.Layer2, tensor.CPU)
	require.NoError(t, err)
	require.NoError(t, again.Close())
	_, err = backbone.FromStages(&tensor.Weights{Arrays: arrays}, backbone.ArchResNet18, backbone.Layer3, tensor.CPU)
	require.ErrorIs(t, err, backbone.ErrWeights)
	require.ErrorContains(t, err, "layer3.0.conv1.weight [256 128 3 3] is missing")
	_, err = backbone.FromStages(&tensor.Weights{Arrays: arrays}, backbone.ArchResNet50, backbone.Layer2, tensor.CPU)
	require.ErrorIs(t, err, backbone.ErrWeights)
	_, err = backbone.FromStages(&tensor.Weights{Arrays: arrays}, backbone.ArchResNet18, backbone.Pooled, tensor.CPU)
	require.ErrorIs(t, err, backbone.ErrLayer)
	_, err = backbone.FromStages(&tensor.Weights{Arrays: arrays}, backbone.Arch(9), backbone.Layer2, tensor.CPU)
	require.ErrorIs(t, err, backbone.ErrArch)
}
