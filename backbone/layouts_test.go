package backbone_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// oneDNN wants weights in a layout that depends on batch, size and threads. A
// network that has met a problem once must not turn its weights when the problem
// comes again, whatever came between.
func TestMixedShapesTurnNoWeights(t *testing.T) {
	if !tensor.HasOneDNN() {
		t.Skip("this libtorch has no oneDNN")
	}
	testutil.NoReorders(t, func() func() {
		require.NoError(t, tensor.SetThreads(tensor.Threads{Cores: 2, PerRun: 2}))
		m, err := backbone.NewResNet18(tensor.CPU, newRand())
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, m.Close()) })
		pass := func(n, h, w int64, threads int) {
			x := draw("x", n*3*h*w)
			require.NoError(t, tensor.Run(tensor.WithThreads(t.Context(), threads), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
				in := s.FromFloats(x, n, 3, h, w)
				_, err := s.Floats(m.Forward(s, in, backbone.Pooled)[0])
				m.Stage(s, m.Stage(s, in, backbone.Stem), backbone.Layer1)
				return err
			}))
		}
		return func() {
			for _, threads := range []int{1, 2} {
				pass(2, 224, 224, threads)
				pass(1, 224, 224, threads)
				pass(1, 97, 131, threads)
				pass(3, 64, 64, threads)
			}
		}
	})
}
