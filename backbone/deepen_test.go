package backbone_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// Evaluation weights are made stage by stage. Runs that go to different depths at
// once see the same numbers as a Run that went all the way first.
func TestDeeperStagesAreFoldedWhenAskedFor(t *testing.T) {
	testutil.NoLeak(t)
	x := draw("x", 3*64*64)
	features := func(m *backbone.ResNet18, l backbone.Layer) (out []float32) {
		err := tensor.Run(tensor.WithThreads(context.Background(), 1), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) (err error) {
			out, err = s.Floats(m.Forward(s, s.FromFloats(x, 1, 3, 64, 64), l)[0])
			return err
		})
		if err != nil {
			t.Error(err)
		}
		return out
	}
	whole, err := backbone.NewResNet18(tensor.CPU, newRand())
	require.NoError(t, err)
	defer whole.Close()
	want := map[backbone.Layer][]float32{}
	for l := backbone.Pooled; l >= backbone.Stem; l-- {
		want[l] = features(whole, l)
	}
	m, err := backbone.NewResNet18(tensor.CPU, newRand())
	require.NoError(t, err)
	defer m.Close()
	got := make([][]float32, backbone.Pooled+1)
	var wg sync.WaitGroup
	for l := range got {
		wg.Add(1)
		go func() {
			defer wg.Done()
			got[l] = features(m, backbone.Layer(l))
		}()
	}
	wg.Wait()
	for l, v := range want {
		require.Equal(t, v, got[l], l)
	}
}
