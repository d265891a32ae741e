package tab_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

// seen is Keep at layer 1, which writes down what it is shown of each pair.
type seen struct {
	tab.Keep
	cells bool
	pairs *[]seenPair
}

type seenPair struct {
	class, tied             int
	anomalous, clean, inner int
}

func (o seen) Name() string { return "seen" }

func (o seen) Needs() tab.Needs {
	if o.cells {
		return o.Keep.Needs()
	}
	return tab.Needs{Stages: []backbone.Layer{backbone.Layer1}, NoPooled: true, Tied: tab.TiedHeld}
}

func (o seen) Loss(s *tensor.Scope, v tab.View) (loss, accuracy *tensor.Tensor) {
	class, err := s.Floats(s.Cast(v.Class, tensor.Float32))
	s.Fail(err)
	tied := make([]float32, len(class))
	if v.Tied != nil {
		tied, err = s.Floats(v.Tied)
		s.Fail(err)
	}
	for i := range class {
		p := seenPair{class: int(class[i]), tied: int(tied[i])}
		if c, ok := v.Cells[backbone.Layer1]; ok {
			p.anomalous, p.clean, p.inner = c.AnomalousCount[i], c.CleanCount[i], c.InnerCount
		}
		*o.pairs = append(*o.pairs, p)
	}
	if o.cells {
		return o.Keep.Loss(s, v)
	}
	return s.Mean(s.Square(v.Normal.Stages[backbone.Layer1]), false), s.Full(0, tensor.Float32)
}

// What Config.Tied names is what an objective is told is tied, whether it looks at cells or not, and half of the places are theirs.
func TestTiedClassesAreTold(t *testing.T) {
	testutil.NoLeak(t)
	for _, cells := range []bool{true, false} {
		var pairs []seenPair
		keep := tab.DefaultKeep()
		keep.Layers = []backbone.Layer{backbone.Layer1}
		c := recipe()
		c.Objective = seen{keep, cells, &pairs}
		c.Tied = []string{names[1]}
		p, err := tab.New(tab.Parts{Visual: network(t), Synth: dent{}}, c)
		require.NoError(t, err)
		run(t, p, panels(t, 8), c.Steps)
		require.NoError(t, p.Close())
		require.Len(t, pairs, c.Steps*c.Batch)
		held := 0
		for _, pair := range pairs {
			require.Equal(t, pair.class, pair.tied, "class 1 is the tied one")
			held += pair.tied
			switch {
			case !cells:
			case pair.tied == 1:
				require.Zero(t, pair.anomalous)
				require.Equal(t, pair.inner, pair.clean)
			default:
				require.NotZero(t, pair.anomalous)
				require.Less(t, pair.clean, pair.inner)
			}
		}
		require.Equal(t, len(pairs)/2, held)
	}
}
