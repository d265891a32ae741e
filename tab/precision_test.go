package tab_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

func needBFloat16(t *testing.T) {
	t.Helper()
	if !tensor.HasBFloat16() {
		t.Skip("this processor has no AVX512-BF16")
	}
}

// The recipe, which mixes all dense objectives, trains in bfloat16 as in float32 but for roundings, goes on from a checkpoint bit for
// bit, and gives the network back as it was lent.
func TestRecipeInBFloat16(t *testing.T) {
	needBFloat16(t)
	testutil.NoLeak(t)
	ds := panels(t, 4)
	c := recipe()
	c.StartDecay = 0.1
	single := run(t, trainer(t, network(t), c), ds, 0)

	c.Precision = backbone.BFloat16
	whole := network(t)
	pre := trainer(t, whole, c)
	want := run(t, pre, ds, 0)
	require.Equal(t, backbone.BFloat16, whole.TrainingPrecision())
	require.NotEqual(t, single, want)
	for i := range want {
		require.InEpsilon(t, 1+single[i], 1+want[i], 0.05, "step %d", i)
	}

	path := filepath.Join(t.TempDir(), "run.ckpt")
	first := trainer(t, network(t), c)
	got := run(t, first, ds, 3)
	require.NoError(t, first.SaveCheckpoint(path))
	second := network(t)
	q, err := tab.Resume(path, tab.Parts{Visual: second, Synth: dent{}})
	require.NoError(t, err)
	require.Equal(t, backbone.BFloat16, q.Config().Precision)
	require.Equal(t, want, append(got, run(t, q, ds, 0)...))
	require.Equal(t, arrays(t, whole), arrays(t, second))
	require.NoError(t, q.Close())
	require.Equal(t, backbone.Float32, second.TrainingPrecision())
}

func TestPrecisionThatIsNotThere(t *testing.T) {
	testutil.NoLeak(t)
	c := recipe()
	c.Precision = 7
	net := network(t)
	_, err := tab.New(tab.Parts{Visual: net, Anchors: bank(t, 16), Synth: dent{}}, c)
	require.ErrorIs(t, err, tab.ErrConfig)
	require.ErrorIs(t, err, backbone.ErrPrecision)
	require.ErrorContains(t, err, "Config.Precision")
	require.Equal(t, backbone.Float32, net.TrainingPrecision())
	c.Precision = backbone.BFloat16
	c.Stages = [5]tab.Stage{}
	for l := range c.Stages {
		c.Stages[l].Rate = 1
	}
	_, err = tab.New(tab.Parts{Visual: singleOnly{net}, Anchors: bank(t, 16), Synth: dent{}}, c)
	require.ErrorIs(t, err, tab.ErrConfig)
	require.ErrorContains(t, err, "Config.Precision is bfloat16, the visual encoder has no other than float32")
}

// singleOnly is an encoder of a caller's own.
type singleOnly struct{ tab.VisualEncoder }
