package tab_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

func TestSaveWeights(t *testing.T) {
	m := network(t)
	p := pretrainer(t, m, config())
	path := filepath.Join(t.TempDir(), "net.safetensors")
	require.ErrorIs(t, p.SaveWeights(t.Context(), path, tab.DefaultWeightsConfig()), tab.ErrNotPrepared)
	require.NoError(t, p.Prepare(t.Context(), names))
	head, err := p.Head().Arrays(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, head)
	plain := arrays(t, m)
	for _, c := range []tab.WeightsConfig{
		tab.DefaultWeightsConfig(), {Head: true}, {Names: backbone.HuggingFace, Head: true, Metadata: map[string]string{"run": "7", "format": "x"}},
	} {
		require.NoError(t, p.SaveWeights(t.Context(), path, c))
		w, err := tensor.OpenWeights(path)
		require.NoError(t, err)
		want := map[string]string{"format": "pt", "classes": `["cloth","steel"]`, "objective": p.Config().Objective.Name(), "architecture": "resnet18"}
		if c.Metadata != nil {
			want["run"] = "7"
		}
		require.Equal(t, want, w.Metadata)
		net, err := c.Names.Rename(plain)
		require.NoError(t, err)
		n := len(net)
		require.Equal(t, net, w.Arrays[:n:n])
		if !c.Head {
			require.Len(t, w.Arrays, n)
			continue
		}
		require.Len(t, w.Arrays[n:], len(head))
		for i, a := range w.Arrays[n:] {
			require.Equal(t, "tab."+head[i].Name, a.Name)
			require.Equal(t, head[i].Data, a.Data)
		}
		require.Equal(t, "tab.projection.weight", w.Arrays[n].Name)
		back, err := backbone.Open(path, tensor.CPU) // the head is passed over
		require.NoError(t, err)
		for i, a := range arrays(t, back) {
			if !strings.HasPrefix(a.Name, "fc.") {
				require.Equal(t, plain[i], a)
			}
		}
		require.NoError(t, back.Close())
	}
	projection := path + ".projection"
	there, err := p.SaveProjection(t.Context(), projection)
	require.NoError(t, err)
	require.True(t, there)
	w, err := tensor.OpenWeights(projection)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"format": "pt"}, w.Metadata)
	require.Equal(t, "projection.weight", w.Arrays[0].Name)
	for _, a := range w.Arrays {
		require.Contains(t, head, a)
	}
	require.ErrorIs(t, p.SaveWeights(t.Context(), path, tab.WeightsConfig{Names: 9}), backbone.ErrNames)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, p.SaveWeights(ctx, path, tab.DefaultWeightsConfig()), context.Canceled)
	_, err = p.SaveProjection(ctx, projection)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, p.Close())
	_, err = p.SaveProjection(t.Context(), projection)
	require.ErrorIs(t, err, tab.ErrClosed)
	require.ErrorIs(t, p.SaveWeights(t.Context(), path, tab.DefaultWeightsConfig()), tab.ErrClosed)
}
