package inspect_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

// A bundle computes in the precision that it was fitted and calibrated in, beside another one of
// the same weights in the usual one.
func TestBundleKeepsItsPrecision(t *testing.T) {
	if !tensor.HasBFloat16() {
		t.Skip("this processor has no AVX512-BF16")
	}
	noLeak(t)
	single, plain := realBundle(t)
	net := network(t)
	require.NoError(t, net.SetPrecision(backbone.BFloat16))
	p := fittedPaDiM(t, net)
	_, err := p.Calibrate(t.Context(), set(t, plates(20, 2)), metrics.Overkill(0.1))
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "half.gotab")
	require.NoError(t, inspect.Create(t.Context(), path, p, realSpec(net)))

	half, err := inspect.Open(t.Context(), path)
	require.NoError(t, err)
	other, err := inspect.Open(t.Context(), single)
	require.NoError(t, err)
	require.Equal(t, 2, inspect.SharedNets(), "networks of two precisions are not shared")
	img := plates(1, 77)[0]
	var scores []float64
	for i, b := range []*inspect.Bundle{half, other} {
		require.NoError(t, b.Verify(t.Context()))
		in, err := inspect.New(b, inspect.DefaultConfig())
		require.NoError(t, err)
		v, err := in.Inspect(t.Context(), img)
		require.NoError(t, err)
		want, err := []*downstream.PaDiM{p, plain}[i].Score(t.Context(), img)
		require.NoError(t, err)
		require.InEpsilon(t, want[0].Score, v.Score, 1e-2)
		scores = append(scores, v.Score)
		require.NoError(t, in.Close())
	}
	require.InEpsilon(t, scores[1], scores[0], 0.05)
	require.NotEqual(t, scores[1], scores[0])
	require.NoError(t, half.Close())
	require.NoError(t, other.Close())
}
