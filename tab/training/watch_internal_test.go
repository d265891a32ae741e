package training

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

// A watch decides nothing: a network of which nothing can be told is told so, and what another probe says still comes.
func TestWatchNeverEndsATraining(t *testing.T) {
	testutil.NoLeak(t)
	rng := rand.New(rand.NewPCG(1, 2))
	var parts []dataset.Sample
	for i := range 6 {
		img := image.NewRGBA(image.Rect(0, 0, 32, 32))
		for k := range img.Pix {
			img.Pix[k] = uint8(rng.IntN(256))
		}
		parts = append(parts, dataset.Sample{Item: dataset.Item{Name: fmt.Sprint(i), Class: "a", Defect: dataset.Good, Label: dataset.LabelGood}, Image: img})
	}
	known, err := dataset.NewMemory(parts[:5])
	require.NoError(t, err)
	kept, err := dataset.NewMemory(parts[5:])
	require.NoError(t, err)
	net, err := backbone.NewResNet18(tensor.CPU, rng)
	require.NoError(t, err)
	defer net.Close()
	flat, err := backbone.NewResNet18(tensor.CPU, rng)
	require.NoError(t, err)
	defer flat.Close()
	arrays, err := flat.Params().Arrays(t.Context())
	require.NoError(t, err)
	for i := range arrays {
		if arrays[i].DType == tensor.Float32 {
			clear(arrays[i].Data)
		}
	}
	require.NoError(t, flat.Params().SetArrays(t.Context(), arrays, nil))

	c := tab.DefaultWatch()
	c.Transform = dataset.Square(32)
	var log bytes.Buffer
	w := &watching{o: Config{Log: &log}, other: tab.ProbeFunc(func(context.Context, tab.VisualEncoder) ([]tab.Measure, error) {
		return []tab.Measure{{Name: "other", Value: 1}}, nil
	})}
	w.watch, err = tab.NewWatch(t.Context(), net, known, kept, c)
	require.NoError(t, err)
	got, err := w.Probe(t.Context(), net)
	require.NoError(t, err)
	require.Len(t, got, 1+3*7)
	got, err = w.Probe(t.Context(), flat)
	require.NoError(t, err)
	require.Equal(t, []tab.Measure{{Name: "other", Value: 1}}, got)
	require.Contains(t, log.String(), "watch: nothing can be told: ")
	require.Contains(t, log.String(), "all the same at layer1")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = w.Probe(ctx, net)
	require.ErrorIs(t, err, context.Canceled)
}
