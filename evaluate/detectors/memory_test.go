package detectors_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/evaluate/detectors"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

func TestMemoryAnswersAsTheNetworkDoes(t *testing.T) {
	testutil.NoLeak(t)
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	defer net.Close()
	layers := []backbone.Layer{backbone.Layer1, backbone.Layer2}
	rng := rand.New(rand.NewPCG(1, 2))
	pixels := make([]float32, 3*3*32*32)
	for i := range pixels {
		pixels[i] = rng.Float32()
	}
	features := func(fe interface {
		Forward(s *tensor.Scope, x *tensor.Tensor, at ...backbone.Layer) []*tensor.Tensor
	}, rows ...int) (out [][]float32) {
		err := tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
			var x []float32
			for _, r := range rows {
				x = append(x, pixels[r*3*32*32:(r+1)*3*32*32]...)
			}
			for _, f := range fe.Forward(s, s.FromFloats(x, int64(len(rows)), 3, 32, 32), layers...) {
				v, err := s.Floats(f)
				if err != nil {
					return err
				}
				out = append(out, v)
			}
			return s.Err()
		})
		require.NoError(t, err)
		return out
	}
	for _, budget := range []int64{1 << 30, 40 << 10, 0} {
		mem := detectors.NewMemory(net, budget)
		for _, rows := range [][]int{{0, 1}, {1, 0}, {2}, {1, 2, 0}, {0, 1}} {
			want, got := features(net, rows...), features(mem, rows...)
			for k := range want {
				require.InDeltaSlice(t, want[k], got[k], 1e-5)
			}
		}
		require.LessOrEqual(t, mem.Bytes(), budget)
	}
	mem := detectors.NewMemory(net, 1<<30)
	features(mem, 0, 1, 2)
	kept := mem.Bytes()
	require.Positive(t, kept)
	features(mem, 2, 0)
	require.Equal(t, kept, mem.Bytes(), "what is known is not computed again")

	// Images of another size have maps of another size.
	for _, side := range []int{64, 32, 64} {
		x := make([]float32, 3*side*side)
		for i := range x {
			x[i] = float32(i%7) / 7
		}
		require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
			f := mem.Forward(s, s.FromFloats(x, 1, 3, int64(side), int64(side)), backbone.Layer1)
			if err := s.Err(); err != nil {
				return err
			}
			require.Equal(t, []int64{1, 64, int64(side / 4), int64(side / 4)}, f[0].Shape())
			return nil
		}))
	}

	// Other weights are another network.
	scale := make([]float32, net.Channels(backbone.Layer1))
	for i := range scale {
		scale[i] = 2
	}
	require.NoError(t, net.ScaleChannels(t.Context(), backbone.Layer1, scale))
	want, got := features(net, 0), features(mem, 0)
	require.InDeltaSlice(t, want[0], got[0], 1e-5)
}
