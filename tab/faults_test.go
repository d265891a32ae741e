package tab_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/faulttest"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

// pinhole is a visual encoder of one weight, so that its checkpoint is small.
type pinhole struct{ params *tensor.Params }

func (p pinhole) Params() *tensor.Params      { return p.params }
func (p pinhole) Device() tensor.Device       { return p.params.Device() }
func (p pinhole) Channels(backbone.Layer) int { return 4 }
func (p pinhole) Forward(s *tensor.Scope, _ *tensor.Tensor, _ ...backbone.Layer) []*tensor.Tensor {
	return nil
}

// prepared is a Pretrainer of a pinhole that stands before its first step.
func prepared(t *testing.T, seed uint64) *tab.Pretrainer {
	t.Helper()
	p := pinhole{tensor.NewParams(tensor.CPU)}
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		return p.params.Put(s, "layer4.weight", s.FromFloats(make([]float32, 4), 4))
	}))
	c := config()
	c.Seed = seed
	pre, err := tab.New(tab.Parts{Visual: p, Anchors: bank(t, 8), Synth: generator()}, c)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, pre.Close())
		require.NoError(t, p.params.Close())
	})
	require.NoError(t, pre.Prepare(t.Context(), names))
	return pre
}

func fileWriters(t *testing.T) []faulttest.Writer {
	runs := [2]*tab.Pretrainer{prepared(t, 1), prepared(t, 2)}
	banks := [2]*tab.Bank{bank(t, 8), bank(t, 12)}
	return []faulttest.Writer{
		{Name: "checkpoint", Write: func(dir string, version int) error {
			return runs[version].SaveCheckpoint(filepath.Join(dir, "run.ckpt"))
		}},
		{Name: "text bank", Write: func(dir string, version int) error {
			return banks[version].Save(filepath.Join(dir, "bank.safetensors"))
		}},
	}
}

func TestFilesAreWholeOrNotThere(t *testing.T) {
	testutil.NoLeak(t)
	faulttest.Check(t, fileWriters(t)...)
}

func TestFilesSurviveKills(t *testing.T) {
	faulttest.Kill(t, "TestFilesSurviveKills", 8, 4, fileWriters(t)...)
}
