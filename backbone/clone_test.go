package backbone_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

func TestCloneIsApart(t *testing.T) {
	testutil.NoLeak(t)
	m, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	defer m.Close()
	m.FreezeStatistics(func(l backbone.Layer) bool { return l == backbone.Stem })
	c, err := m.Clone(t.Context())
	require.NoError(t, err)
	defer c.Close()
	require.Equal(t, m.Arch(), c.Arch())
	before, err := m.Params().Arrays(t.Context())
	require.NoError(t, err)
	same, err := c.Params().Arrays(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, same)

	// What a pass in training moves in the copy does not move in the original,
	// and what was frozen is so in the copy.
	x := inputs(2, 32, 32)
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Training, func(s *tensor.Scope) error {
		c.Forward(s, s.FromFloats(x, 2, 3, 32, 32), backbone.Pooled)
		return s.Err()
	}))
	moved, err := c.Params().Arrays(t.Context())
	require.NoError(t, err)
	after, err := m.Params().Arrays(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, after)
	changed := map[string]bool{}
	for i, a := range moved {
		if string(a.Data) != string(before[i].Data) {
			changed[a.Name] = true
		}
	}
	require.True(t, changed["layer1.0.bn1.running_mean"])
	require.False(t, changed["bn1.running_mean"])

	require.NoError(t, c.Close())
	_, err = c.Clone(t.Context())
	require.ErrorIs(t, err, tensor.ErrReleased)
	testutil.RequireClosed(t, c, backbone.ErrClosed, nil)
	for name, f := range map[string]func(s *tensor.Scope){
		"forward": func(s *tensor.Scope) { c.Forward(s, s.Zeros(1, 3, 32, 32), backbone.Pooled) },
		"stage":   func(s *tensor.Scope) { c.Stage(s, s.Zeros(1, 3, 32, 32), backbone.Stem) },
	} {
		for _, mode := range []tensor.Mode{tensor.Evaluation, tensor.Training} {
			err := tensor.Run(t.Context(), tensor.CPU, mode, func(s *tensor.Scope) error { f(s); return nil })
			require.ErrorIs(t, err, backbone.ErrClosed, name)
			require.ErrorContains(t, err, "backbone: "+name+": it is closed")
		}
	}
}
