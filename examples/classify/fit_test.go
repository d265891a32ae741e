package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/tensor"
)

func TestWeightsAreToldApart(t *testing.T) {
	for _, c := range []struct{ weights, want []string }{
		{[]string{"random", "runs/plant.pth"}, []string{"random", "plant"}},
		{[]string{"runs/plant.pth", "runs/plant.safetensors"}, []string{"plant.pth", "plant.safetensors"}},
		{[]string{"a/plant.pth", "b/plant.pth"}, []string{"a/plant.pth", "b/plant.pth"}},
		{[]string{"a/x/plant.pth", "./b/x/plant.pth", "c.pth"}, []string{"a/x/plant.pth", "b/x/plant.pth", "c"}},
		// Files could be told apart by their names, but not by those of the classifiers.
		{[]string{"a b.pth", "a_b.pth", "c/d.pth"}, nil},
		{[]string{"a/plant.pth", "a/../a/plant.pth"}, nil},
	} {
		got, err := weightsNames(c.weights)
		if c.want == nil {
			require.ErrorContains(t, err, "two of them are the same", c.weights)
			continue
		}
		require.NoError(t, err, c.weights)
		require.Equal(t, c.want, got)
	}
	// Before the data are opened.
	var out bytes.Buffer
	err := judge(t.Context(), options{data: "none.npz", weights: []string{"w.pth", "./w.pth"}}, tensor.CPU, &report{}, &out)
	require.ErrorContains(t, err, "-weights w.pth,./w.pth: ")
}
