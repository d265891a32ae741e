package metrics_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/metrics"
)

// The expected values are counted by hand.
func TestTally(t *testing.T) {
	tally, err := metrics.NewTally([]string{"good", "x", "x+y"}, []string{"x", "y"})
	require.NoError(t, err)
	labels := [][]bool{{false, false}, {true, false}, {true, true}}
	for _, c := range []struct {
		truth, said int
		labels      []bool
	}{{0, 0, labels[0]}, {0, 1, labels[1]}, {1, 1, labels[1]}, {2, 2, labels[2]}, {2, 3, []bool{false, true}}} {
		require.NoError(t, tally.Add(c.truth, c.said, labels[c.truth], c.labels))
	}
	f, err := tally.Figures()
	require.NoError(t, err)
	require.Equal(t, "10110", f.Right)
	require.InDelta(t, 0.6, f.Top1.Value, 1e-12)
	require.InDelta(t, 0.6, f.Exact.Value, 1e-12)
	require.Less(t, f.Top1.Low, 0.6)
	require.Greater(t, f.Top1.High, 0.6)
	require.Equal(t, []string{"good", "x", "x+y", metrics.Other}, f.Confusion.Classes)
	require.Equal(t, [][]int{{1, 1, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 1}}, f.Confusion.Counts)
	// Recall by kind: 1/2, 1/1, 1/2. Precision: 1/1, 1/2, 1/1.
	require.InDelta(t, (0.5+1+0.5)/3, f.Kinds.Recall, 1e-12)
	require.InDelta(t, (1+0.5+1)/3, f.Kinds.Precision, 1e-12)
	// Label x: 2 of 3 found, one alarm in three. Label y: all of two.
	require.InDelta(t, (2.0/3+1)/2, f.Labels.Recall, 1e-12)
	require.InDelta(t, (2.0/3+1)/2, f.Labels.Precision, 1e-12)
	require.Equal(t, "x", f.PerLabel[0].Name)
	require.Equal(t, 2, f.PerLabel[0].TP)

	var text bytes.Buffer
	require.NoError(t, f.WriteText(&text))
	for _, says := range []string{"good was called x: 1", "x+y was called other: 1", `4 is "other".`, "precision"} {
		require.Contains(t, text.String(), says)
	}
	b, err := json.Marshal(f)
	require.NoError(t, err)
	var back metrics.TallyFigures
	require.NoError(t, json.Unmarshal(b, &back))
	require.Equal(t, f, back)
}

func TestTallyRefuses(t *testing.T) {
	_, err := metrics.NewTally([]string{"a", "a"}, nil)
	require.Error(t, err)
	_, err = metrics.NewTally([]string{"a", metrics.Other}, nil)
	require.Error(t, err)
	_, err = metrics.NewTally([]string{"a", "b"}, []string{"x", "x"})
	require.Error(t, err)
	tally, err := metrics.NewTally([]string{"a", "b"}, nil)
	require.NoError(t, err)
	_, err = tally.Figures()
	require.ErrorIs(t, err, metrics.ErrEmpty)
	require.Error(t, tally.Add(2, 0, nil, nil), "no truth is other")
	require.Error(t, tally.Add(0, 3, nil, nil))
	require.Error(t, new(metrics.Tally).Add(0, 0, nil, nil))
	_, err = new(metrics.Tally).Figures()
	require.ErrorIs(t, err, metrics.ErrEmpty)
	require.ErrorIs(t, metrics.ConfusionTable{Classes: []string{"a"}, Counts: [][]int{{1, 2}}}.WriteText(new(bytes.Buffer)), metrics.ErrLength)

	// A count that fails leaves the tally as it was.
	labelled, err := metrics.NewTally([]string{"a", "b"}, []string{"x", "y"})
	require.NoError(t, err)
	require.NoError(t, labelled.Add(0, 0, []bool{true, false}, []bool{true, false}))
	require.Error(t, labelled.Add(0, 0, []bool{true}, []bool{true, false}))
	require.Error(t, labelled.Add(0, 9, []bool{true, false}, []bool{true, false}))
	f, err := labelled.Figures()
	require.NoError(t, err)
	require.Equal(t, "1", f.Right)
	require.Equal(t, 1, f.PerLabel[0].TP)
}
