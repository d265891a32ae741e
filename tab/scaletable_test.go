package tab_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/tab"
)

// full is a writer without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no room") }

func TestScaleTable(t *testing.T) {
	table := tab.ScaleTable{Twins: 0.5, Deviation: 1, Limit: 4, Ridge: 0.1, Seed: 7, Draws: 3, Products: []tab.ScaledProduct{{Class: "cloth", Images: 4}},
		Stages: []tab.ScaledStage{{Layer: "layer1", Scale: []float32{0.5, 2}, Ratio: []float64{1, 4}, Deviation: []float64{1, 2}}}}
	var b bytes.Buffer
	n, err := table.WriteTo(&b)
	require.NoError(t, err)
	require.Equal(t, int64(b.Len()), n)
	require.Contains(t, b.String(), "\n \"twins\": 0.5,\n")
	var back tab.ScaleTable
	require.NoError(t, json.Unmarshal(b.Bytes(), &back))
	require.Equal(t, table, back)
	_, err = table.WriteTo(full{})
	require.ErrorContains(t, err, "no room")
	_, err = tab.ScaleByTwins(t.Context(), nil, nil, nil, tab.DefaultTwins(), tab.DefaultScale())
	require.ErrorIs(t, err, tab.ErrConfig)
}
