package downstream_test

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/downstream"
)

// Batches of a training are counted through its epochs; what is none has no figures.
func TestProgressAsScalars(t *testing.T) {
	p := downstream.Progress{Stage: "train", Done: 2, Total: 7, Epoch: 3, Epochs: 9, Loss: 0.5}
	require.Equal(t, int64(16), p.Step())
	require.Equal(t, map[string]float64{"loss": 0.5, "epoch": 3}, maps.Collect(p.Scalars()))
	p.Accuracy, p.LR = 0.25, 1e-3
	require.Equal(t, map[string]float64{"loss": 0.5, "epoch": 3, "accuracy": 0.25, "lr": 1e-3}, maps.Collect(p.Scalars()))
	for most := range 4 {
		n := 0
		for range p.Scalars() {
			if n++; n > most {
				break
			}
		}
		require.Equal(t, most+1, n)
	}
	p = downstream.Progress{Stage: "score", Done: 2, Total: 7}
	require.Zero(t, p.Step())
	require.Empty(t, maps.Collect(p.Scalars()))
}
