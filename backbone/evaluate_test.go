package backbone_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// In a Run of mode Training Evaluate gives the bits of a Run of mode Evaluation, which are those of Forward with frozen
// statistics but for 1e-5 of the largest, records nothing and changes nothing.
func TestEvaluateBesideATraining(t *testing.T) {
	for _, arch := range []backbone.Arch{backbone.ArchResNet18, backbone.ArchResNet50} {
		t.Run(arch.String(), func(t *testing.T) {
			testutil.NoLeak(t)
			m := network(t, arch, backbone.Pooled)
			before, err := m.Params().Arrays(t.Context())
			require.NoError(t, err)
			pixels := inputs(2, 64, 64)
			forward := func(mode tensor.Mode, see func(s *tensor.Scope, x *tensor.Tensor, at ...backbone.Layer) []*tensor.Tensor) (all [][]float32) {
				require.NoError(t, tensor.Run(t.Context(), tensor.CPU, mode, func(s *tensor.Scope) error {
					for _, y := range see(s, s.FromFloats(pixels, 2, 3, 64, 64), backbone.Stem, backbone.Layer1, backbone.Layer3, backbone.Pooled) {
						v, err := s.Floats(y)
						require.NoError(t, err)
						all = append(all, v)
					}
					return s.Err()
				}))
				return all
			}
			version := m.Params().Version()
			got := forward(tensor.Training, m.Evaluate)
			require.Equal(t, got, forward(tensor.Evaluation, m.Forward))
			require.Equal(t, got, forward(tensor.Evaluation, m.Evaluate))
			require.Equal(t, version, m.Params().Version())

			m.FreezeStatistics(func(backbone.Layer) bool { return true })
			for i, want := range forward(tensor.Training, m.Forward) {
				largest, off := 0.0, 0.0
				for k, v := range want {
					largest, off = max(largest, math.Abs(float64(v))), max(off, math.Abs(float64(v-got[i][k])))
				}
				require.Less(t, off, 1e-5*largest)
			}
			after, err := m.Params().Arrays(t.Context())
			require.NoError(t, err)
			require.Equal(t, before, after)

			err = tensor.Run(t.Context(), tensor.CPU, tensor.Training, func(s *tensor.Scope) error {
				s.Backward(s.Mean(m.Evaluate(s, s.FromFloats(pixels, 2, 3, 64, 64), backbone.Layer1)[0], false))
				return s.Err()
			})
			require.Error(t, err, "there is nothing to go back along")
		})
	}
}

func TestEvaluateRefuses(t *testing.T) {
	testutil.NoLeak(t)
	m := network(t, backbone.ArchResNet18, backbone.Layer3)
	for says, see := range map[string]func(s *tensor.Scope){
		"evaluate: no such layer: layer4":          func(s *tensor.Scope) { m.Evaluate(s, s.Zeros(1, 3, 32, 32), backbone.Layer4) },
		"evaluate: input: ":                        func(s *tensor.Scope) { m.Evaluate(s, nil, backbone.Layer3) },
		"want [N 3 H W] with N of 1 and H and W o": func(s *tensor.Scope) { m.Evaluate(s, s.Zeros(1, 3, 16, 32), backbone.Layer3) },
	} {
		for _, mode := range []tensor.Mode{tensor.Evaluation, tensor.Training} {
			require.ErrorContains(t, tensor.Run(t.Context(), tensor.CPU, mode, func(s *tensor.Scope) error {
				see(s)
				return nil
			}), says)
		}
	}
	require.NoError(t, m.Close())
	require.ErrorIs(t, tensor.Run(t.Context(), tensor.CPU, tensor.Training, func(s *tensor.Scope) error {
		m.Evaluate(s, s.Zeros(1, 3, 32, 32), backbone.Layer1)
		return nil
	}), backbone.ErrClosed)
}
